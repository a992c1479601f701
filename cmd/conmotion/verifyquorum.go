package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// chooseLogs tells a rule over several logs from the one log that there is without.
func (f *verifyFlags) chooseLogs(quorum bool) error {
	n := len(f.logs) + len(f.statics) + len(f.keyFiles)
	for _, url := range f.logs {
		if !party.IsURL(url) {
			return fmt.Errorf("--log: %q is not the URL of a service, such as https://transparency.example", url)
		}
	}
	switch {
	case quorum && (f.quorum < 1 || n == 0):
		return errors.New("--quorum is at least 1, and needs logs: --log, --static or --keys")
	case quorum:
		return nil
	case n > 1:
		return errors.New("several logs need --quorum: how many of them have to vouch")
	}
	for list, one := range map[*[]string]*string{&f.logs: &f.log, &f.statics: &f.static, &f.keyFiles: &f.keys} {
		if len(*list) > 0 {
			*one = (*list)[0]
		}
	}
	return nil
}

// logsOf reads the keys of the logs of a rule.
func (v *verification) logsOf(ctx context.Context) (*witness.Quorum, error) {
	q := &witness.Quorum{Threshold: v.quorum}
	v.filesOf = map[string]*party.Log{}
	add := func(name string, keys witness.Keys, err error) error {
		switch {
		case err != nil && (cli.ExitCode(err) == cli.ExitBad || isMissing(err) || errors.Is(err, party.ErrVKeys) || errors.Is(err, party.ErrDamaged)):
			return err
		case err != nil:
			v.found("log", witness.NotChecked, "%s is out of reach: %v", name, err)
			q.Missing = append(q.Missing, name)
		default:
			q.Add(name, keys)
		}
		return nil
	}
	for _, path := range v.keyFiles {
		keys, err := readKeys(path)
		if err != nil {
			return nil, err
		}
		q.Add(path, keys)
	}
	for _, location := range v.statics {
		var keys witness.Keys
		files, err := v.examine(ctx, location, v.MemoryFlags)
		if err == nil {
			v.filesOf[location] = files
			keys.Named, err = files.ReceiptKeys(ctx)
		}
		if err := add(location, keys, err); err != nil {
			return nil, err
		}
	}
	for _, url := range v.logs {
		files, keys, err := v.serviceKeys(ctx, url)
		v.filesOf[url] = files
		if err := add(url, keys, err); err != nil {
			return nil, err
		}
	}
	if n := q.Size(); v.quorum > n {
		are := "logs are"
		if n == 1 {
			are = "log is"
		}
		return nil, cli.Usage(fmt.Errorf("--quorum %d: only %d %s named", v.quorum, n, are))
	}
	return q, nil
}

// counted tells the outcome of a rule, and whether those of the logs that vouch
// whose files are here still hold the entry.
func (v *verification) counted(ctx context.Context, q *witness.Quorum, outs []*scitt.Verification) error {
	var vouching []string
	looked := map[*party.Log]bool{}
	for _, l := range q.Doubted() { // whose checkpoint may say it all the same
		for _, name := range l.Names {
			v.held = false
			if v.files = v.filesOf[name]; v.files == nil || looked[v.files] {
				continue
			}
			if looked[v.files] = true; v.current(ctx, l.Keys, outs) == nil && v.held {
				l.Vouched = outs[0]
			}
		}
	}
	for _, l := range q.Vouching() {
		vouching = append(vouching, strings.Join(l.Names, " = "))
		for _, name := range l.Names {
			if v.files = v.filesOf[name]; v.files == nil || looked[v.files] {
				continue
			}
			looked[v.files] = true
			if err := v.current(ctx, l.Keys, outs); err != nil {
				return err
			}
		}
	}
	if len(looked) == 0 {
		v.files = nil
		if err := v.current(ctx, witness.Keys{}, outs); err != nil {
			return err
		}
	}
	n, result := len(vouching), witness.OK
	switch q.Outcome() {
	case witness.Undecided:
		why := slices.Clone(q.Missing)
		for _, l := range q.Doubted() {
			why = append(why, strings.Join(l.Names, " = ")+" (a receipt by a compromised key; get a fresh one)")
		}
		return cli.Usage(fmt.Errorf("no verdict: %s for it, %d are needed, and out of reach are %s", plural.Verb(n, "log", "vouches", "vouch"), v.quorum, strings.Join(why, ", ")))
	case witness.Missed:
		result = witness.Failed
	}
	names := "none"
	if n > 0 {
		names = strings.Join(vouching, ", ")
	}
	v.found("quorum", result, "%s for it of %d, and %d needed: %s", plural.Verb(n, "log", "vouches", "vouch"), q.Size(), v.quorum, names)
	return nil
}
