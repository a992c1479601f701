package verify_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/monitor/verify"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

// TestThreshold: so many logs have to vouch; one that is out of reach does not, and
// where it could have changed the result there is no verdict.
func TestThreshold(t *testing.T) {
	a, b, c := testlog.NewKeysOf(t, "a"), testlog.NewKeysOf(t, "b"), testlog.NewKeysOf(t, "c")
	st, other := statement(t, "s"), statement(t, "other")
	key := testlog.Key(t, "ES256")
	content := testlog.Statement(t, key, "s", []byte("x"))
	again := testlog.Must(scitt.ParseStatement(testlog.Twin(t, content)))(t)
	once := testlog.Must(scitt.ParseStatement(content))(t)
	ra, rb := receipt(t, a, st), receipt(t, b, st)
	data := scitt.AttachReceipts(st, ra, rb)
	for name, tc := range map[string]struct {
		threshold   int
		unreachable int
		statements  []verify.Statement
		want        expected
		err         string // of Verify
	}{
		"two of three":                 {2, 0, []verify.Statement{{Data: data}}, expected{checks: []string{"ok quorum: 2 logs vouch for it of 3, and 2 needed: a, b"}}, ""},
		"three of three":               {3, 0, []verify.Statement{{Data: data}}, expected{verdict: "quorum: 2 logs vouch for it of 3, and 3 needed: a, b"}, ""},
		"enough without the missing":   {2, 1, []verify.Statement{{Data: data}}, expected{checks: []string{"not checked log: missing 0 is out of reach: no answer"}}, ""},
		"too few without the missing":  {3, 1, []verify.Statement{{Data: data}}, expected{}, "no verdict: 2 logs vouch for it, 3 are needed, and out of reach are missing 0"},
		"more than there are":          {5, 1, []verify.Statement{{Data: data}}, expected{}, "--quorum 5: only 4 logs are named"},
		"receipts beside it":           {2, 0, []verify.Statement{{Data: st.Entry(), Receipts: [][]byte{ra, rb}}}, expected{checks: []string{"ok receipt 1: ", "ok receipt 2: "}}, ""},
		"one beside it, and one in it": {2, 0, []verify.Statement{{Data: scitt.AttachReceipts(st, ra), Receipts: [][]byte{rb}}}, expected{}, ""},
		"two signatures":               {2, 0, []verify.Statement{{Data: scitt.AttachReceipts(once, receipt(t, a, once))}, {Data: scitt.AttachReceipts(again, receipt(t, b, again))}}, expected{}, ""},
		"and one that nobody has":      {1, 0, []verify.Statement{{Data: scitt.AttachReceipts(once, receipt(t, a, once))}, {Data: scitt.AttachReceipts(again, receipt(t, testlog.NewKeysOf(t, "d"), again))}}, expected{}, ""},
		"two contents":                 {1, 0, []verify.Statement{{Data: data}, {Data: scitt.AttachReceipts(other, receipt(t, a, other))}}, expected{verdict: "another content", checks: []string{"failed entry id: "}}, ""},
		"two signatures and no rule":   {0, 0, []verify.Statement{{Data: data}, {Data: data}}, expected{}, "need a threshold"},
	} {
		t.Run(name, func(t *testing.T) {
			v := &verify.Verifier{Threshold: tc.threshold}
			for _, k := range []*testlog.Keys{a, b, c} {
				if err := v.Add(saved(t, k.Note.Name(), k), nil); err != nil {
					t.Fatal(err)
				}
			}
			for i := range tc.unreachable {
				if err := v.Add(verify.Log{Name: fmt.Sprint("missing ", i)}, errors.New("no answer")); err != nil {
					t.Fatal(err)
				}
			}
			r, err := v.Verify(t.Context(), tc.statements...)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("%v, %+v", err, r)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			tc.want.hold(t, r)
		})
	}
}

// TestAdd: only a log that is out of reach is left out of a rule; what speaks against
// one is an error, and so is each where there is one log.
func TestAdd(t *testing.T) {
	for _, c := range []struct {
		threshold int
		err       error
		fails     bool
	}{
		{1, errors.New("no answer"), false},
		{0, errors.New("no answer"), true},
		{1, tiles.ErrCorrupt, true},
		{1, party.ErrVKeys, true},
		{1, party.ErrDamaged, true},
	} {
		v := &verify.Verifier{Threshold: c.threshold}
		if err := v.Add(verify.Log{Name: "log"}, fmt.Errorf("log: %w", c.err)); (err != nil) != c.fails || err != nil && !errors.Is(err, c.err) {
			t.Errorf("%v with a threshold of %d: %v", c.err, c.threshold, err)
		}
	}
}

// TestWitnesses: the checkpoint that a Receipt carries must have its quorum of
// witnesses, lately where that is asked for; the log's checkpoint of now will do.
func TestWitnesses(t *testing.T) {
	keys, w := testlog.NewKeys(t), testlog.NewCosigner(t, "w.example", "Ed25519")
	policy := testlog.Must(witness.ParsePolicy(fmt.Appendf(nil, "witness w %s\nquorum w\n", w)))(t)
	elsewhere := testlog.Must(witness.ParsePolicy(fmt.Appendf(nil, "log %s\nwitness w %s\nquorum w\n", testlog.NewKeysOf(t, "other.example").VKeys[0], w)))(t)
	now := time.Unix(1_800_000_000, 0)
	st := statement(t, "s")
	var files testlog.Files
	files.Publish(t, keys, append(keys.Begin(t, "{}"), st.Entry()))
	view := open(t, &files, party.Options{VKeys: keys.VKeys}).Files.View
	bare := view.Checkpoint.Raw
	proof := testlog.Must(view.Inclusion(t.Context(), 2, scitt.LeafHash(st.Entry())))(t)
	cosigned := func(at time.Time) []byte { return testlog.Cosign(t, bare, w, at) }
	carrying := func(raw []byte) []byte {
		return scitt.AttachReceipts(st, testlog.Must(testlog.Must(keys.Verifiers.Open(raw))(t).Receipt(proof))(t))
	}
	const check = "witnesses of receipt 1: "
	for name, c := range map[string]struct {
		policy *witness.Policy
		maxAge time.Duration
		in     []byte    // the checkpoint that the Receipt carries
		now    time.Time // when the log's own checkpoint was cosigned; zero for offline
		want   expected
		err    error // of Verify
	}{
		"cosigned":            {policy, 0, cosigned(now.Add(-time.Hour)), time.Time{}, expected{checks: []string{"ok " + check + "w at "}}, nil},
		"lately":              {policy, 2 * time.Hour, cosigned(now.Add(-time.Hour)), time.Time{}, expected{checks: []string{"ok " + check}}, nil},
		"too long ago":        {policy, time.Minute, cosigned(now.Add(-time.Hour)), time.Time{}, expected{unsure: "too old", checks: []string{"not checked " + check}}, nil},
		"by nobody":           {policy, 0, bare, time.Time{}, expected{verdict: "the quorum of witnesses is missing", checks: []string{"failed " + check}}, nil},
		"but now":             {policy, 0, bare, now, expected{checks: []string{"ok " + check + "of the log's checkpoint of now: w at "}}, nil},
		"too old, but now":    {policy, time.Minute, cosigned(now.Add(-time.Hour)), now, expected{checks: []string{"ok " + check + "of the log's checkpoint of now"}}, nil},
		"for another log":     {elsewhere, 0, cosigned(now), time.Time{}, expected{}, witness.ErrPolicy},
		"an age of no policy": {nil, time.Minute, cosigned(now), time.Time{}, expected{}, witness.ErrPolicy},
		"no demand":           {nil, 0, bare, time.Time{}, expected{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := party.Options{MaxAge: c.maxAge, Now: func() time.Time { return now }}
			if c.policy != nil {
				o.Witnesses = []*witness.Policy{c.policy}
			}
			v := &verify.Verifier{Options: o}
			log := saved(t, "log", keys)
			if !c.now.IsZero() {
				files.Put(tiles.CheckpointPath, cosigned(c.now))
				o.VKeys = keys.VKeys
				log = open(t, &files, o)
			}
			if err := v.Add(log, nil); err != nil {
				t.Fatal(err)
			}
			r, err := v.Verify(t.Context(), verify.Statement{Data: carrying(c.in)})
			if !errors.Is(err, c.err) {
				t.Fatal(err)
			}
			if c.err == nil {
				c.want.hold(t, r)
			}
		})
	}
}
