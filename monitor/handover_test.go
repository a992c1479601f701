package monitor

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// handoverLog is a log of two issuers, the second of which may take the first one's chain.
type handoverLog struct {
	*party
	old, heir *party
}

func newHandoverLog(t *testing.T) handoverLog {
	return handoverLog{newParty(t, "log", scitt.TypeRecord), newParty(t, "old", scitt.TypeRecord), newParty(t, "heir", scitt.TypeRecord)}
}

// say records the creation of an asset after an entry of a chain, or as its first one.
func (l handoverLog) say(by *party, uid string, after []byte) []byte {
	l.t.Helper()
	by.heads[Inventory] = nil
	if after != nil {
		link := testlog.After(l.t, after)
		by.heads[Inventory] = &scitt.Head{Seq: link.Seq - 1, ID: scitt.EntryID(link.Prev)}
	}
	return l.put(by.record(inventory(Create, noon, uid)).Entry())
}

func (l handoverLog) hand(by *party, after []byte) []byte {
	l.t.Helper()
	return l.put(testlog.Handover(l.t, by.key, testlog.NewHandover(l.t, "inventory", l.old.key, l.heir.key), after))
}

func (l handoverLog) put(entry []byte) []byte {
	l.entries = append(l.entries, entry)
	return entry
}

func (l handoverLog) uids(r *Replay) (uids []string) {
	for _, asset := range r.Assets() {
		uids = append(uids, asset.UID)
	}
	return uids
}

// TestReplayHandover: a chain that was handed over is that of its first issuer, wherever
// the replay was interrupted, and what the old key says behind it does not count.
func TestReplayHandover(t *testing.T) {
	l := newHandoverLog(t)
	given := l.hand(l.old, l.say(l.old, "a", nil))                              // 1
	taken := l.hand(l.heir, given)                                              // 2
	l.say(l.old, "late", given)                                                 // 3
	l.put(l.heir.record(configured(Create, noon, "x", object{"a": 1})).Entry()) // 4: of another chain
	want := []string{"a"}
	for i := range 300 { // more than is read at a time
		want = append(want, fmt.Sprintf("b%03d", i))
		taken = l.say(l.heir, want[len(want)-1], taken)
	}
	for name, f := range map[string]Filter{"everybody": {}, "the first issuer": {Issuers: []string{l.old.issuer()}}} {
		r := NewReplay(f, nil)
		for _, to := range []uint64{1, 2, 3, 4, 5, 6, 299, 1 << 20} {
			if err := r.Advance(t.Context(), l.log(), to); err != nil {
				t.Fatal(err)
			}
			r = must(Resume(bytesOf(t, r.Save)))(t)
		}
		whole := NewReplay(f, nil)
		if err := whole.Advance(t.Context(), l.log(), 1<<20); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(bytesOf(t, r.Save), bytesOf(t, whole.Save)) {
			t.Errorf("%s: it depends on where the replay was interrupted", name)
		}
		if got := l.uids(r); !slices.Equal(got, want) {
			t.Errorf("%s: assets %q", name, got)
		}
		if got := kinds(r); !slices.Equal(got, []string{"3 chain_handover"}) {
			t.Errorf("%s: anomalies %q", name, got)
		}
		if got := len(r.Configurations()); got != 1-len(f.Issuers) {
			t.Errorf("%s: %d configurations of the heir's own chain", name, got)
		}
		got := r.Handovers()
		if len(got) != 1 || got[0].From != l.old.issuer() || got[0].To != l.heir.issuer() || got[0].Entry.Index != 2 || got[0].Chain != "inventory" {
			t.Errorf("%s: handovers %+v", name, got)
		}
	}
}

// TestReplayForgedHandover: who takes a chain that was not given to it has none of it.
func TestReplayForgedHandover(t *testing.T) {
	l := newHandoverLog(t)
	first := l.say(l.old, "a", nil)
	l.say(l.heir, "b", l.hand(l.heir, first))
	r := NewReplay(Filter{Issuers: []string{l.old.issuer()}}, nil)
	if err := r.Advance(t.Context(), l.log(), 9); err != nil {
		t.Fatal(err)
	}
	if got := l.uids(r); !slices.Equal(got, []string{"a"}) || len(kinds(r)) != 0 || len(r.Handovers()) != 0 {
		t.Errorf("assets %q, anomalies %q, handovers %+v", got, kinds(r), r.Handovers())
	}
	all := NewReplay(Filter{}, nil)
	if err := all.Advance(t.Context(), l.log(), 9); err != nil {
		t.Fatal(err)
	}
	if got := kinds(all); !slices.Equal(got, []string{"1 chain_handover", "2 chain_gap in inventory"}) {
		t.Errorf("anomalies %q", got)
	}
}

// TestCompareHandover: what is reported under the new key counts as its first issuer's word, and what the old key says
// behind the handover does not, in a comparison and in the measurement of it, which comes out the same again.
func TestCompareHandover(t *testing.T) {
	l := newHandoverLog(t)
	auditor := newParty(t, "auditor", scitt.TypeObservation)
	first := l.say(l.old, "a", nil)
	given := l.hand(l.old, first)
	taken := l.hand(l.heir, given)
	l.say(l.old, "old key", given)
	l.say(l.heir, "b", taken)
	for _, uid := range []string{"a", "b", "c"} {
		auditor.record(inventory(Create, noon, uid))
	}
	old, heir := l.old.issuer(), l.heir.issuer()
	for name, tt := range map[string]struct {
		issuers  []string
		findings []string
		flaws    []string
	}{
		"the first issuer": {[]string{old}, []string{"missing inventory/c o2"}, []string{"3 chain_handover"}},
		"both":             {[]string{old, heir}, []string{"missing inventory/c o2"}, []string{"3 chain_handover"}},
		"everybody":        {nil, []string{"missing inventory/c o2"}, []string{"3 chain_handover"}},
		"the heir alone":   {[]string{heir}, []string{"missing inventory/a o0", "missing inventory/c o2"}, nil},
	} {
		reported := Party{Log: l.log(), Filter: Filter{Issuers: tt.issuers}}
		c := must(Compare(t.Context(), reported, auditor.side(), hour))(t)
		var flaws []string
		for _, a := range c.Reported.Anomalies {
			flaws = append(flaws, fmt.Sprintf("%d %s", a.Entry.Index, a.Kind))
		}
		if got := findings(c); !slices.Equal(got, tt.findings) || !slices.Equal(flaws, tt.flaws) {
			t.Errorf("%s: %q, anomalies %q", name, got, flaws)
		}
		m := must(Measure(c, MeasureOptions{What: Inventory, At: hour.To, Home: "log.auditor.example"}))(t)
		if r := must(Recompute(t.Context(), m.Payload, l.log(), auditor.log()))(t); !r.Same() {
			t.Errorf("%s: recomputed with differences at %q", name, r.Paths)
		}
	}
}
