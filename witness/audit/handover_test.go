package audit

import (
	"crypto"
	"fmt"
	"slices"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

const handoverPolicy = `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}, "chain": "optional"%s}`

// TestHandovers: what a policy admits of handovers, and what an audit tells of a log that
// has more.
func TestHandovers(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol := w.alice, w.bob, testlog.Key(t, "ES256")
	made := 0
	say := func(by crypto.Signer, link *scitt.ChainLink) []byte {
		made++
		return w.sign(by, scitt.SignOptions{Chain: link}, fmt.Sprint(made))
	}
	first := func(by crypto.Signer) []byte { return say(by, &scitt.ChainLink{Name: "c"}) }
	after := func(by crypto.Signer, entry []byte) []byte { return say(by, testlog.After(t, entry)) }
	hand := func(from, to crypto.Signer) *scitt.Handover { return testlog.NewHandover(t, "c", from, to) }
	give := func(from, to, by crypto.Signer, entry []byte) []byte {
		return testlog.Handover(t, by, hand(from, to), entry)
	}
	a0, b0, c0 := first(alice), first(bob), first(carol)
	given := give(alice, bob, alice, a0)
	taken := give(alice, bob, bob, given)
	onward := give(bob, carol, bob, taken)
	pinned := hand(alice, bob) // to another key of Bob's than that of his name
	pinned.Key = hand(alice, carol).Key
	given2 := testlog.Handover(t, alice, pinned, a0)
	for name, tc := range map[string]struct {
		entries [][]byte // behind the policy, which is entry 1
		want    []string
	}{
		"given and taken":                  {[][]byte{a0, given, taken, after(bob, taken)}, nil},
		"handed on":                        {[][]byte{a0, given, taken, onward, give(bob, carol, carol, onward)}, nil},
		"given and never taken":            {[][]byte{a0, given, b0, after(bob, b0)}, nil},
		"two offers":                       {[][]byte{a0, c0, give(carol, bob, carol, c0), given, taken}, nil},
		"the old key goes on":              {[][]byte{a0, given, after(alice, given)}, []string{"4 chain"}},
		"and after it was taken":           {[][]byte{a0, given, taken, after(alice, given), after(bob, taken)}, []string{"5 chain"}},
		"the old key begins a chain again": {[][]byte{a0, given, first(alice), taken}, []string{"4 chain"}},
		"a fork before the handover":       {[][]byte{a0, given, after(alice, a0), taken}, []string{"4 chain"}},
		"a second handover":                {[][]byte{a0, given, give(alice, carol, alice, given)}, []string{"4 chain"}},
		"a second handover in its place":   {[][]byte{a0, given, give(alice, carol, alice, a0), taken}, []string{"4 chain"}},
		"and both are taken": {[][]byte{a0, given, give(alice, carol, alice, a0), taken, give(alice, carol, carol, give(alice, carol, alice, a0))},
			[]string{"4 chain", "6 chain"}},
		"taken without a handover":                 {[][]byte{a0, give(alice, bob, bob, a0)}, []string{"3 chain"}},
		"continued without a handover":             {[][]byte{a0, after(bob, a0)}, []string{"3 chain"}},
		"continued after it by a record":           {[][]byte{a0, given, after(bob, given)}, []string{"4 chain"}},
		"taken by another":                         {[][]byte{a0, given, give(alice, carol, carol, given)}, []string{"4 chain"}},
		"taken not behind it":                      {[][]byte{a0, given, give(alice, bob, bob, a0)}, []string{"4 chain"}},
		"taken twice":                              {[][]byte{a0, given, taken, give(alice, bob, bob, taken)}, []string{"5 chain"}},
		"taken before it was given":                {[][]byte{a0, taken, given}, []string{"3 chain"}},
		"given by a stranger":                      {[][]byte{a0, give(alice, bob, carol, a0)}, []string{"3 type"}},
		"to an issuer that has such a chain":       {[][]byte{a0, b0, given}, []string{"4 chain"}},
		"taken by an issuer that has one by then":  {[][]byte{a0, given, b0, taken}, []string{"5 chain"}},
		"in a circle":                              {[][]byte{a0, given, taken, give(bob, alice, bob, taken)}, []string{"5 chain"}},
		"by another key than the named one":        {[][]byte{a0, given2, testlog.Handover(t, bob, pinned, given2)}, []string{"4 chain"}},
		"the same again":                           {[][]byte{a0, given, taken, given, taken}, []string{"5 log/duplicate", "6 log/duplicate"}},
		"a handover that was refused binds nobody": {[][]byte{a0, b0, given, after(alice, a0)}, []string{"4 chain"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t = t
			begin := w.keys.Begin(t, fmt.Sprintf(handoverPolicy, `, "handover": "allowed"`))
			m := w.log(append(begin, tc.entries...)...)
			w.audit(m, Options{}).expect(tc.want...)
			// The same, where the audit goes on after each entry from what it saved.
			var state *State
			var a *audited
			for n := range tc.entries {
				a = w.auditor(w.log(append(begin, tc.entries[:n+1]...)...), state, Options{})
				if err := a.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				state = a.states[len(a.states)-1]
			}
			var all []string
			for _, v := range state.Violations {
				all = append(all, fmt.Sprintf("%d %s", *v.Index, v.Check))
			}
			if !slices.Equal(all, tc.want) {
				t.Errorf("one entry at a time: %q, want %q", all, tc.want)
			}
		})
	}
	t.Run("not allowed", func(t *testing.T) {
		w := *w
		w.t = t
		w.audit(w.log(append(w.keys.Begin(t, fmt.Sprintf(handoverPolicy, "")), a0, given, after(alice, a0))...), Options{}).expect("3 type")
	})
}
