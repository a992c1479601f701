package verify_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/monitor/verify"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

// TestFork: a log that signs two histories gives Receipts that verify. Only the look
// at the log tells.
func TestFork(t *testing.T) {
	keys := testlog.NewKeys(t)
	first, second := statement(t, "first"), statement(t, "second")
	entries := [][]byte{first.Entry(), second.Entry(), statement(t, "third").Entry()}
	// The files of a log without a service: it announces nothing.
	var files testlog.Files
	files.Publish(t, keys, entries)
	files.Put(tiles.ConfigurationPath, nil)
	log := open(t, &files, party.Options{VKeys: keys.VKeys})
	own, never := receiptOf(t, keys, testlog.Origin, first, scitt.LeafHash(second.Entry())), receipt(t, keys, first)
	for name, c := range map[string]struct {
		data                  []byte
		search                bool
		result, check, detail string // the last finding
	}{
		"both":                      {scitt.AttachReceipts(first, own, never), false, witness.Failed, "log now", "somebody changed the size in the receipt"},
		"the other way round":       {scitt.AttachReceipts(first, never, own), false, witness.Failed, "log now", "to the root "},
		"another log with its name": {scitt.AttachReceipts(first, own, receipt(t, testlog.NewKeys(t), first)), false, witness.OK, "log now", "entry 0 of 3"},
		"an older tree of this log": {scitt.AttachReceipts(first, own), false, witness.OK, "log now", "entry 0 of 3"},
		"another history":           {scitt.AttachReceipts(first, never), false, witness.Failed, "log now", "does not extend"},
		"no receipt of this log":    {first.Entry(), true, witness.OK, "log now", "entry 0 of 3"},
		"and no search":             {first.Entry(), false, witness.NotChecked, "log now", "--static searches all of it"},
		"not in the log":            {statement(t, "never").Entry(), true, witness.Failed, "log now", "of 3 entries does not hold the statement"},
	} {
		t.Run(name, func(t *testing.T) {
			v := &verify.Verifier{Search: c.search}
			if err := v.Add(log, nil); err != nil {
				t.Fatal(err)
			}
			r := verified(t, v, c.data)
			got := r.Checks[len(r.Checks)-1]
			if got.Check != c.check || got.Result != c.result || !strings.Contains(got.Detail, c.detail) {
				t.Errorf("got %+v", got)
			}
			if c.result == witness.Failed && r.Verdict == nil {
				t.Errorf("no verdict: %+v", r)
			}
		})
	}
}

// TestOlderLog: a log that shows less than the Receipt is of has the files of both
// trees, which a person is told, or there is no verdict.
func TestOlderLog(t *testing.T) {
	keys := testlog.NewKeys(t)
	st := statement(t, "s")
	entries := append(keys.Begin(t, "{}"), st.Entry(), statement(t, "another").Entry())
	var files testlog.Files
	files.Publish(t, keys, entries)
	data := scitt.AttachReceipts(st, testlog.Must(open(t, &files, party.Options{VKeys: keys.VKeys}).Files.View.Receipt(t.Context(), 2, scitt.LeafHash(st.Entry())))(t))
	for _, c := range []struct { // in this order: what is lost stays lost
		name string
		lost bool // the files of the larger tree
		want expected
	}{
		{"both are here", false, expected{checks: []string{"ok log now: entry 2 of 4"}}},
		{"one is lost", true, expected{unsure: "the receipt is for a tree of 4 entries, and the log shows 3 here", checks: []string{"not checked log now: "}}},
	} {
		if c.lost {
			files.Clear()
		}
		files.Publish(t, keys, entries[:3])
		var notices []string
		v := &verify.Verifier{Options: party.Options{Notice: func(format string, args ...any) { notices = append(notices, fmt.Sprintf(format, args...)) }}}
		if err := v.Add(open(t, &files, party.Options{VKeys: keys.VKeys}), nil); err != nil {
			t.Fatal(err)
		}
		t.Run(c.name, func(t *testing.T) { c.want.hold(t, verified(t, v, data)) })
		if told := strings.Contains(strings.Join(notices, ""), "an older state of it"); told == c.lost {
			t.Errorf("%s: %q", c.name, notices)
		}
	}
}

// TestCompromised: a Receipt by a key that the log says is compromised proves nothing
// alone, whatever tree it names; and it accuses nobody.
func TestCompromised(t *testing.T) {
	keys, other := testlog.NewKeys(t), testlog.NewKeysOf(t, "other.example")
	known, invented := statement(t, "known"), statement(t, "invented")
	entries := keys.Begin(t, "{}")
	first := entries[0]
	entries = append(entries, known.Entry())
	// signed is what a key signs for the last of these entries.
	signed := func(k *testlog.Keys, entries ...[]byte) []byte {
		n := uint64(len(entries) - 1)
		return testlog.Must(opened(t, k, entries...).Files.View.Receipt(t.Context(), n, scitt.LeafHash(entries[n])))(t)
	}
	old, vouched := signed(keys, entries...), signed(other, first, invented.Entry())
	genuine := scitt.AttachReceipts(known, old)
	tiny := signed(keys, first, invented.Entry())
	small := scitt.AttachReceipts(invented, tiny)
	large := scitt.AttachReceipts(invented, signed(keys, append(append([][]byte{}, entries...), first, first, invented.Entry())...))
	both := scitt.AttachReceipts(invented, tiny, vouched)

	var files testlog.Files
	remembering := party.Options{Home: party.Home(t.TempDir())}
	files.Publish(t, keys, entries)
	open(t, &files, remembering)
	sound, after := keys.Compromise(t, entries, first)
	files.Publish(t, sound, after)
	log := open(t, &files, remembering)
	files.Clear()
	files.Publish(t, keys, entries)
	dir := t.TempDir()
	files.WriteTo(t, dir)
	if _, err := party.Open(t.Context(), dir, remembering); !errors.Is(err, tiles.ErrBehind) {
		t.Errorf("an old copy, which does not say so yet: %v", err)
	}
	fresh := scitt.AttachReceipts(known, testlog.Must(log.Files.View.Receipt(t.Context(), 2, scitt.LeafHash(known.Entry())))(t))
	const doubt = "the key is compromised, and what it signed proves nothing alone"
	for name, c := range map[string]struct {
		threshold int
		logs      []verify.Log
		search    bool
		data      []byte
		want      expected
		err       string // of Verify
	}{
		"a fresh one":                    {0, []verify.Log{log}, false, fresh, expected{}, ""},
		"what the log holds":             {0, []verify.Log{log}, false, genuine, expected{checks: []string{doubt, "entry 2 of 4"}}, ""},
		"a small tree":                   {0, []verify.Log{log}, false, small, expected{unsure: "a fresh receipt", checks: []string{doubt}}, ""},
		"a large tree":                   {0, []verify.Log{log}, false, large, expected{unsure: doubt, checks: []string{doubt}}, ""},
		"a tree that the log never had":  {0, []verify.Log{log}, true, small, expected{verdict: "does not hold the statement", unsure: doubt}, ""},
		"a quorum of it":                 {1, []verify.Log{log}, false, small, expected{}, "no verdict: 0 logs vouch for it, 1 are needed, and out of reach are log (a receipt by a compromised key; get a fresh one)"},
		"a quorum of what the log holds": {1, []verify.Log{log}, false, genuine, expected{}, ""},
		"a quorum of another":            {1, []verify.Log{log, saved(t, "other", other)}, false, both, expected{checks: []string{doubt}}, ""},
		"a quorum of both":               {2, []verify.Log{log, saved(t, "other", other)}, false, both, expected{}, "no verdict: 1 log vouches"},
	} {
		t.Run(name, func(t *testing.T) {
			v := &verify.Verifier{Threshold: c.threshold, Search: c.search}
			for _, l := range c.logs {
				if err := v.Add(l, nil); err != nil {
					t.Fatal(err)
				}
			}
			r, err := v.Verify(t.Context(), verify.Statement{Data: c.data})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v, %+v", err, r)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c.want.hold(t, r)
		})
	}
}

// TestNameOfAnother: a log that puts another log's name into its Receipts does not make
// that one look as if it forked.
func TestNameOfAnother(t *testing.T) {
	keys, liar := testlog.NewKeys(t), testlog.NewKeys(t)
	st := statement(t, "first")
	log := opened(t, keys, append(keys.Begin(t, `{"version": 1}`), st.Entry())...)
	own := testlog.Must(log.Files.View.Receipt(t.Context(), 2, scitt.LeafHash(st.Entry())))(t)
	v := &verify.Verifier{Threshold: 2}
	for _, l := range []verify.Log{saved(t, "liar", liar), log} {
		if err := v.Add(l, nil); err != nil {
			t.Fatal(err)
		}
	}
	expected{checks: []string{"ok log now: entry 2 of 3", "ok quorum: 2 logs vouch for it of 2, and 2 needed: liar, log"}}.hold(t, verified(t, v, scitt.AttachReceipts(st, receipt(t, liar, st), own)))
}
