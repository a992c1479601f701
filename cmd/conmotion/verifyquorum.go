package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
)

// chooseLogs tells a rule over several logs from the one log that there is without.
func (f *verifyFlags) chooseLogs(quorum bool) error {
	n := len(f.logs) + len(f.statics) + len(f.keyFiles)
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

// voter is one log of a rule, under one or more names.
type voter struct {
	names []string
	trust trust
	files []*staticLog
	out   *scitt.Verification
}

// voters are the logs of a rule.
type voters struct {
	logs    []*voter
	missing []string // names of logs that are out of reach
}

// voters reads the keys of the logs. Logs that have a key in common are one.
func (v *verification) voters(ctx context.Context) (*voters, error) {
	all := &voters{}
	add := func(name string, files *staticLog, t trust, err error) error {
		switch {
		case err != nil && (exitCode(err) == exitBad || isMissing(err)):
			return err
		case err != nil:
			v.found("log", resultNotChecked, "%s is out of reach: %v", name, err)
			all.missing = append(all.missing, name)
		default:
			one := &voter{names: []string{name}, trust: t}
			if files != nil {
				one.files = []*staticLog{files}
			}
			all.add(one)
		}
		return nil
	}
	for _, path := range v.keyFiles {
		t, err := readKeys(path)
		if err != nil {
			return nil, err
		}
		all.add(&voter{names: []string{path}, trust: t})
	}
	for _, location := range v.statics {
		files, t, err := v.openVoter(ctx, location)
		if err := add(location, files, t, err); err != nil {
			return nil, err
		}
	}
	for _, url := range v.logs {
		o := v.clientOptions(1)
		o.Retries = 1 // others may do without it
		c, err := client.New(url, o)
		if err != nil {
			return nil, usage(fmt.Errorf("--log: %w", err))
		}
		keys, err := c.Keys(ctx)
		if err := add(url, nil, trust{keys: keys}, err); err != nil {
			return nil, err
		}
	}
	if n := len(all.logs) + len(all.missing); v.quorum > n {
		are := "logs are"
		if n == 1 {
			are = "log is"
		}
		return nil, usage(fmt.Errorf("--quorum %d: only %d %s named", v.quorum, n, are))
	}
	return all, nil
}

// openVoter opens a log in files, with its own of the --vkey.
func (v *verification) openVoter(ctx context.Context, location string) (*staticLog, trust, error) {
	vkeys, err := keysFor(ctx, location, v.vkeys)
	if err != nil {
		return nil, trust{}, err
	}
	files, err := v.openStatic(ctx, location, vkeys)
	if err != nil {
		return nil, trust{}, err
	}
	t, err := files.trust(ctx)
	return files, t, err
}

// add adds a log, to those that it is the same as.
func (all *voters) add(one *voter) {
	all.logs = slices.DeleteFunc(all.logs, func(o *voter) bool {
		if !one.trust.shares(o.trust) {
			return false
		}
		one.names = append(o.names, one.names...)
		one.files = append(o.files, one.files...)
		one.trust.keys = append(one.trust.keys, o.trust.keys...)
		one.trust.unnamed = append(one.trust.unnamed, o.trust.unnamed...)
		return true
	})
	all.logs = append(all.logs, one)
}

// shares says whether two logs have a key in common, under whatever name.
func (t trust) shares(o trust) bool {
	mine := t.publicKeys()
	return slices.ContainsFunc(o.publicKeys(), func(k string) bool { return slices.Contains(mine, k) })
}

func (t trust) publicKeys() (keys []string) {
	for _, k := range append(slices.Clone(t.keys), t.unnamed...) {
		if der, err := x509.MarshalPKIXPublicKey(k.Public); err == nil {
			keys = append(keys, string(der))
		}
	}
	return keys
}

// verify has each log verify the Receipts with its own keys. A Receipt is what
// the log says of it that vouches, or else that knows the key that it names.
func (all *voters) verify(verifier *scitt.Verifier, data []byte, receipts [][]byte) (*scitt.Verification, error) {
	out, err := verifier.Verify(data) // without keys: the signature
	if err != nil {
		return nil, err
	}
	for _, l := range all.logs {
		own := *verifier
		own.LogKeys = l.trust.forReceipts(receipts)
		if l.out, err = own.Verify(data); err != nil {
			return nil, err
		}
		for i, r := range l.out.Receipts {
			known := r.Receipt != nil && !errors.Is(r.Err, scitt.ErrUnknownKey)
			if r.Err == nil || known && out.Receipts[i].Err != nil {
				out.Receipts[i] = r
			}
		}
	}
	return out, nil
}

// vouches says whether a Receipt of this log verifies.
func (l *voter) vouches() bool {
	return slices.ContainsFunc(l.out.Receipts, func(r scitt.ReceiptVerification) bool { return r.Err == nil })
}

// count holds the logs that vouch to the rule, and looks whether those in files
// still hold the entry.
func (all *voters) count(ctx context.Context, v *verification, out *scitt.Verification) error {
	var names []string
	looked := false
	for _, l := range all.logs {
		if !l.vouches() {
			continue
		}
		names = append(names, strings.Join(l.names, " = "))
		for _, files := range l.files {
			v.files, looked = files, true
			if err := v.current(ctx, out); err != nil {
				return err
			}
		}
	}
	if !looked {
		v.files = nil
		if err := v.current(ctx, out); err != nil {
			return err
		}
	}
	n := len(names)
	if n < v.quorum && n+len(all.missing) >= v.quorum {
		return usage(fmt.Errorf("no verdict: %d logs vouch for it, %d are needed, and out of reach are %s", n, v.quorum, strings.Join(all.missing, ", ")))
	}
	result, vouch := resultOK, "vouch"
	if n == 1 {
		vouch = "vouches"
	}
	if n < v.quorum {
		result = resultBad
	}
	v.found("quorum", result, "%d of %d logs %s for it, and %d are needed: %s", n, len(all.logs)+len(all.missing), vouch, v.quorum, cmpNone(names))
	return nil
}

func cmpNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
