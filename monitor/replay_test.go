package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

const minute = int64(60_000)

// kinds are the anomalies of a replay in short.
func kinds(r *Replay) []string {
	var out []string
	for _, a := range r.anomalies {
		s := fmt.Sprintf("%d %s", a.Entry.Index, a.Kind)
		if a.UID != "" {
			s += " " + string(a.What) + "/" + a.UID
		}
		if a.Chain != "" {
			s += " in " + a.Chain
		}
		if a.Previous != nil {
			s += fmt.Sprintf(" after %d", a.Previous.Index)
		}
		out = append(out, s)
	}
	return out
}

// state is what is alive, in short.
func state(r *Replay) string {
	var out []string
	for _, a := range r.Assets() {
		out = append(out, fmt.Sprintf("%s@%d-%d%v", a.UID, a.Created.Index, a.Last.Index, a.Configurations))
	}
	for _, c := range r.Configurations() {
		out = append(out, fmt.Sprintf("{%s@%d-%d%v}", c.UID, c.Created.Index, c.Last.Index, c.Assets))
	}
	return strings.Join(out, " ")
}

func TestReplay(t *testing.T) {
	for name, c := range map[string]struct {
		events    []object
		want      string
		anomalies []string
	}{
		"lives": {[]object{inventory(Create, noon, "a", "b"), inventory(Modify, noon+1, "a"), inventory(Delete, noon+2, "b"), inventory(Create, noon+3, "b")},
			"a@0-1[] b@3-3[]", nil},
		"duplicate create": {[]object{inventory(Create, noon, "a"), inventory(Create, noon+1, "a")},
			"a@0-1[]", []string{"1 duplicate_create inventory/a after 0"}},
		"after delete": {[]object{inventory(Create, noon, "a"), inventory(Delete, noon+1, "a"), inventory(Delete, noon+2, "a"), inventory(Modify, noon+3, "a")},
			"a@3-3[]", []string{"2 delete_deleted inventory/a after 1", "3 modify_deleted inventory/a after 1"}},
		"unknown": {[]object{inventory(Modify, noon, "a"), inventory(Delete, noon, "b")},
			"a@0-0[]", []string{"0 modify_unknown inventory/a", "1 delete_unknown inventory/b"}},
		"time goes backwards": {[]object{inventory(Create, noon, "a"), inventory(Modify, noon-1, "a"), inventory(Delete, noon+5, "a"), inventory(Create, noon+4, "a"), inventory(Create, noon-9, "b")},
			"a@3-3[] b@4-4[]", []string{"1 time_backwards in inventory after 0", "1 time_backwards inventory/a after 0",
				"3 time_backwards inventory/a after 2", "4 time_backwards in inventory after 3"}},
		"own configuration": {[]object{inventory(Create, noon, "a"), configured(Create, noon+1, "a", 1), configured(Modify, noon+2, "a", 2)},
			"a@0-0[a] {a@1-2[a]}", nil},
		"own configuration ends with its asset": {[]object{inventory(Create, noon, "a"), configured(Create, noon+1, "a", 1), inventory(Delete, noon+2, "a"), configured(Delete, noon+2, "a", 1)},
			"", nil},
		"its deletion once": {[]object{configured(Create, noon, "a", 1), inventory(Create, noon, "a"), inventory(Delete, noon, "a"), configured(Delete, noon, "a", 1), configured(Delete, noon, "a", 1)},
			"", []string{"4 delete_deleted configuration/a after 2"}},
		"shared configuration": {[]object{inventory(Create, noon, "a", "b"), shared(Create, noon, "base", 1, "a", "b", "x"), configured(Create, noon, "a", 1), inventory(Delete, noon, "b"), shared(Create, noon, "alt", 1, "a")},
			"a@0-0[a alt base] {a@2-2[a]} {alt@4-4[a]} {base@1-1[a x]}", nil},
		"shared moves": {[]object{shared(Create, noon, "base", 1, "a", "b"), shared(Modify, noon, "base", 1, "b", "c"), inventory(Create, noon, "a", "b", "c"), shared(Delete, noon, "base", 1, "z")},
			"a@2-2[] b@2-2[] c@2-2[]", nil},
		"configuration anomalies": {[]object{configured(Modify, noon, "a", 1), configured(Create, noon, "a", 1), configured(Delete, noon, "b", 1)},
			"{a@0-1[a]}", []string{"0 modify_unknown configuration/a", "1 duplicate_create configuration/a after 0", "2 delete_unknown configuration/b"}},
		"own becomes shared": {[]object{configured(Create, noon, "a", 1), shared(Modify, noon, "a", 1, "a", "b"), inventory(Create, noon, "a"), inventory(Delete, noon, "a")},
			"{a@0-1[b]}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := newParty(t, "provider", scitt.TypeRecord)
			for _, e := range c.events {
				p.record(e)
			}
			r := p.replay(nil)
			if got := state(r); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got := kinds(r); !slices.Equal(got, c.anomalies) {
				t.Errorf("anomalies %q, not %q", got, c.anomalies)
			}
		})
	}
}

func TestChainAnomalies(t *testing.T) {
	p := newParty(t, "provider", scitt.TypeRecord)
	n := 0
	add := func(link *scitt.ChainLink) *scitt.Head {
		n++
		r := must(NewRecord(encode(inventory(Create, noon, fmt.Sprint(n))), Inventory, ""))(t)
		s := p.add(must(testlog.SignAs(p.key, r, scitt.SignOptions{IssuedAt: at(noon), Chain: link}))(t))
		if link == nil {
			return nil
		}
		return &scitt.Head{Seq: link.Seq, ID: s.ID()}
	}
	add(nil) // 0: no chain yet
	first := add((*scitt.Head)(nil).Next("inventory"))
	second := add(first.Next("inventory"))                                                                                                            // 2
	add(first.Next("inventory"))                                                                                                                      // 3: fork
	add((*scitt.Head)(nil).Next("inventory"))                                                                                                         // 4: restart
	add(nil)                                                                                                                                          // 5: abandoned
	gap := add(&scitt.ChainLink{Name: "inventory", Seq: 5, Prev: second.ID[:]})                                                                       // 6
	add(gap.Next("inventory"))                                                                                                                        // 7: goes on
	add(&scitt.ChainLink{Name: "inventory", Seq: 7, Prev: second.ID[:]})                                                                              // 8: wrong prev
	add(&scitt.ChainLink{Name: "inventory", Seq: 9, Prev: make([]byte, 32)})                                                                          // 9: gap
	p.add(must(scitt.SignStatement(p.key, scitt.SignOptions{Subject: "x", Chain: &scitt.ChainLink{Name: "other", Seq: 1, Prev: gap.ID[:]}}, nil))(t)) // 10: of another type
	want := []string{
		"3 chain_fork in inventory after 2", "4 chain_fork in inventory after 2", "5 chain_missing in inventory after 2",
		"6 chain_gap in inventory after 2", "8 chain_prev in inventory after 7", "9 chain_gap in inventory after 8", "10 chain_gap in other",
	}
	if got := kinds(p.replay(nil)); !slices.Equal(got, want) {
		t.Errorf("anomalies %q", got)
	}
}

func TestReplaySelects(t *testing.T) {
	provider, auditor := newParty(t, "provider", scitt.TypeRecord), newParty(t, "auditor", scitt.TypeObservation)
	both := newParty(t, "log", scitt.TypeRecord)
	both.add(testStatement(t, "keys"))
	for _, s := range []*scitt.Statement{
		provider.record(inventory(Create, noon, "a")), auditor.record(inventory(Create, noon, "b")), provider.record(inventory(Create, noon+minute, "c")),
	} {
		both.entries = append(both.entries, s.Entry())
	}
	for name, c := range map[string]struct {
		filter Filter
		until  int64
		to     uint64
		want   string
	}{
		"records":        {Filter{}, 0, 99, "a@1-1[] c@3-3[]"},
		"observations":   {Filter{Types: []string{scitt.TypeObservation}}, 0, 99, "b@2-2[]"},
		"both":           {Filter{Types: []string{scitt.TypeObservation, scitt.TypeRecord, scitt.TypeRecord}}, 0, 99, "a@1-1[] b@2-2[] c@3-3[]"},
		"an issuer":      {Filter{Issuers: []string{provider.issuer()}}, 0, 99, "a@1-1[] c@3-3[]"},
		"another issuer": {Filter{Issuers: []string{auditor.issuer()}}, 0, 99, ""},
		"until a time":   {Filter{}, noon, 99, "a@1-1[]"},
		"until an entry": {Filter{}, 0, 3, "a@1-1[]"},
		"nothing":        {Filter{}, 0, 0, ""},
	} {
		var until *time.Time
		if c.until != 0 {
			until = pointer(at(c.until))
		}
		r := NewReplay(c.filter, until)
		if err := r.Advance(t.Context(), both.log(), c.to); err != nil {
			t.Fatal(err)
		}
		if got := state(r); got != c.want || len(r.anomalies) > 0 {
			t.Errorf("%s: %s, anomalies %q", name, got, kinds(r))
		}
	}
}

// testStatement is a statement that is not a record.
func testStatement(t testing.TB, content string) []byte {
	return must(scitt.SignStatement(testKey("someone"), scitt.SignOptions{Subject: "x"}, []byte(content)))(t)
}

func TestReplayRefusesRecords(t *testing.T) {
	p := newParty(t, "provider", scitt.TypeRecord)
	p.hash = true
	p.record(inventory(Create, noon, "a"))
	s := p.record(inventory(Create, noon, "b"))
	delete(p.blobs, [32]byte(s.Payload))
	p.hash = false
	sign := func(o scitt.SignOptions, content string) []byte {
		o.Type = scitt.TypeRecord
		return must(scitt.SignStatement(p.key, o, []byte(content)))(t)
	}
	good := string(encode(inventory(Create, noon, "c")))
	p.add(sign(scitt.SignOptions{Subject: "inventory/c"}, "{"))                                         // 2
	p.add(sign(scitt.SignOptions{Subject: "inventory/c", Issuer: newParty(t, "x", "").issuer()}, good)) // 3: signed by another
	p.add(sign(scitt.SignOptions{Subject: "inventory/other"}, good))                                    // 4
	p.add(sign(scitt.SignOptions{Subject: "inventory/d", IssuedAt: time.Unix(maxSeconds+1, 0)}, good))  // 5
	p.add(sign(scitt.SignOptions{Subject: "f"}, `{"class_uid":2004}`))                                  // 6: about something else
	r := p.replay(nil)
	want := []string{"1 content_missing", "2 invalid", "3 signature", "4 subject", "4 chain_missing in inventory after 1", "5 invalid"}
	slices.Sort(want)
	got := kinds(r)
	slices.Sort(got)
	if !slices.Equal(got, want) || state(r) != "a@0-0[] c@4-4[]" {
		t.Errorf("anomalies %q, state %s", got, state(r))
	}
	// A storage that gives other bytes, or more than are read, does not serve it either.
	p.blobs[[32]byte(s.Payload)] = []byte("other")
	r = p.replay(nil)
	if got := kinds(r); !slices.Contains(got, "1 content_missing") || r.Unread() != (Unread{ContentMissing: 1}) {
		t.Errorf("anomalies %q, %+v", got, r.Unread())
	}
}

// forOthers is a storage that gives its artifacts to others.
type forOthers struct{}

func (forOthers) Artifact(context.Context, reader.Digest, int64) ([]byte, error) {
	return nil, fmt.Errorf("storage: %w", reader.ErrPrivate)
}

// TestPrivateContent: of a record whose content is private nobody says that it is
// withheld. Nothing is measured without it, and with the content nothing is missing.
func TestPrivateContent(t *testing.T) {
	p, o := newParty(t, "provider", scitt.TypeRecord), newParty(t, "auditor", scitt.TypeObservation)
	p.hash = true
	p.record(inventory(Create, noon, "a"))
	o.record(inventory(Create, noon, "a"))
	in := Interval{From: at(noon - minute), To: at(noon + minute)}
	for _, c := range []struct {
		artifacts reader.Artifacts
		unread    Unread
	}{{forOthers{}, Unread{ContentPrivate: 1}}, {p.log().Artifacts, Unread{}}} {
		log := p.log()
		log.Artifacts = c.artifacts
		got, err := Compare(t.Context(), Party{Log: log}, Party{Log: o.log(), Filter: Filter{Types: []string{scitt.TypeObservation}}}, in)
		if err != nil {
			t.Fatal(err)
		}
		if got.Unread() != c.unread || len(got.withheld.list()) > 0 {
			t.Errorf("unread %+v, withheld %v", got.Unread(), got.withheld.list())
		}
		if _, err = Measure(got, MeasureOptions{What: Inventory, At: in.To, Home: "home.example"}); errors.Is(err, ErrUnverified) != c.unread.Any() {
			t.Errorf("measured: %v", err)
		}
	}
}

// story of a golden log: everything that a document can have.
func goldenParty(t testing.TB) *party {
	p := newParty(t, "provider", scitt.TypeRecord)
	p.record(inventory(Create, noon, "web-1", "web-2"))
	p.record(configured(Create, noon+minute, "web-1", object{"encrypted": false, "ports": []int{22, 443}}))
	p.record(shared(Create, noon+2*minute, "baseline/é<7>\u2028", object{"tls": "1.3"}, "web-1", "web-2"))
	p.record(inventory(Delete, noon+3*minute, "web-2"))
	p.record(configured(Modify, noon+4*minute, "web-1", object{"encrypted": true, "ports": []int{443}}))
	p.record(inventory(Modify, noon+5*minute, "web-2"))
	p.record(inventory(Delete, noon+6*minute, "never"))
	return p
}

func TestReplayDocument(t *testing.T) {
	p := goldenParty(t)
	r := p.replay(nil)
	golden(t, "replay.json", bytesOf(t, r.Write))
	golden(t, "saved.json", bytesOf(t, r.Save))
	golden(t, "history.json", bytesOf(t, must(HistoryOf(t.Context(), p.log(), Filter{}, "web-1", 99))(t).Write))
	before := p.replay(pointer(at(noon + 2*minute)))
	golden(t, "difference.json", bytesOf(t, must(Diff(before, r))(t).Write))
	if d := must(Diff(r, r))(t); len(d.Changes) > 0 {
		t.Errorf("a replay differs from itself: %+v", d.Changes)
	}
	if _, err := Diff(r, NewReplay(Filter{Types: []string{"x"}}, nil)); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
	steps := must(HistoryOf(t.Context(), p.log(), Filter{}, "web-2", 99))(t).Steps
	if len(steps) != 4 || steps[1].Configurations[0] != "baseline/é<7>\u2028" {
		t.Errorf("history %+v", steps)
	}
}

// randomEvents are events that mostly make sense.
func randomEvents(rng *rand.Rand, n int) []object {
	var out []object
	ms := noon
	for range n {
		ms += rng.Int64N(3) * 1000
		when := ms
		if rng.IntN(20) == 0 {
			when -= rng.Int64N(10_000)
		}
		uid := fmt.Sprintf("a%d", rng.IntN(6))
		action := []Action{Create, Modify, Delete}[rng.IntN(3)]
		switch rng.IntN(4) {
		case 0:
			out = append(out, configured(action, when, uid, object{"v": rng.IntN(2)}))
		case 1:
			uids := []string{uid}
			if other := fmt.Sprintf("a%d", rng.IntN(6)); other != uid {
				uids = append(uids, other)
			}
			out = append(out, shared(action, when, fmt.Sprintf("c%d", rng.IntN(3)), rng.IntN(2), uids...))
		default:
			out = append(out, inventory(action, when, uid))
		}
	}
	return out
}

// model says what is alive, by the rules of docs/monitoring.md and in the most
// naive way: from the raw events, without chains, times and indices.
func model(events []object, until int64) string {
	type thing struct {
		created, last int
		assets        []string
	}
	assets, configs := map[string]*thing{}, map[string]*thing{}
	for i, e := range events {
		if e["time"].(int64) > until {
			continue
		}
		kind, action, _ := parseCode(e["metadata"].(object)["event_code"].(string))
		var uids []string
		for _, r := range e["resources"].([]object) {
			uids = append(uids, r["uid"].(string))
		}
		slices.Sort(uids)
		set, uid := assets, uids[0]
		if kind == Configuration {
			set = configs
			if u, ok := e["unmapped"].(object); ok {
				uid = u["conmotion"].(object)["configuration"].(object)["uid"].(string)
			}
		}
		if action == Delete {
			_, alive := set[uid]
			delete(set, uid)
			if alive && kind == Inventory {
				for name, c := range configs {
					if name == uid && slices.Equal(c.assets, uids) {
						delete(configs, name)
					}
					c.assets = slices.DeleteFunc(slices.Clone(c.assets), func(a string) bool { return a == uid })
				}
			}
			continue
		}
		if set[uid] == nil {
			set[uid] = &thing{created: i}
		}
		set[uid].last, set[uid].assets = i, uids
	}
	var out []string
	for _, uid := range slices.Sorted(maps.Keys(assets)) {
		names := []string{}
		for _, name := range slices.Sorted(maps.Keys(configs)) {
			if slices.Contains(configs[name].assets, uid) {
				names = append(names, name)
			}
		}
		out = append(out, fmt.Sprintf("%s@%d-%d%v", uid, assets[uid].created, assets[uid].last, names))
	}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		c := configs[name]
		out = append(out, fmt.Sprintf("{%s@%d-%d%v}", name, c.created, c.last, c.assets))
	}
	return strings.Join(out, " ")
}

// TestReplayModel: a replay is what the naive model says, with and without an
// end, and it is the same bytes when it is interrupted anywhere.
func TestReplayModel(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		events := randomEvents(rng, 5+rng.IntN(60))
		p := newParty(t, "provider", scitt.TypeRecord)
		for _, e := range events {
			p.record(e)
		}
		r := p.replay(nil)
		if got, want := state(r), model(events, 1<<60); got != want {
			t.Fatalf("seed %d: replay\n%s\nmodel\n%s", seed, got, want)
		}
		until := noon + rng.Int64N(60_000)
		if got, want := state(p.replay(pointer(at(until)))), model(events, until); got != want {
			t.Fatalf("seed %d until %d: replay\n%s\nmodel\n%s", seed, until, got, want)
		}
		full := bytesOf(t, r.Save)
		part := NewReplay(Filter{}, nil)
		cut := rng.IntN(len(p.entries))
		early := &party{t: t, typ: p.typ, entries: p.entries[:cut+1]}
		if err := part.Advance(t.Context(), early.log(), uint64(cut)); err != nil {
			t.Fatal(err)
		}
		resumed, err := Resume(bytesOf(t, part.Save))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := resumed.Advance(t.Context(), p.log(), 1<<40); err != nil {
			t.Fatal(err)
		}
		if again := bytesOf(t, resumed.Save); !bytes.Equal(full, again) {
			paths, _ := differences(full, again)
			t.Fatalf("seed %d: resumed at %d it differs at %v", seed, cut, paths)
		}
		if doc := bytesOf(t, r.Write); !bytes.Equal(doc, must(canonical(doc))(t)) {
			t.Fatal("the document is not in JCS form")
		}
	}
}

// TestReplayForgets: what is remembered of the dead and of anomalies is bounded.
func TestReplayForgets(t *testing.T) {
	r := NewReplay(Filter{}, nil)
	r.checkpoint.Origin = "log.example"
	apply := func(action Action, uid string) {
		r.apply(&record{Ref: Ref{Index: r.next}, issuer: "i", subject: "inventory/" + uid,
			event: &Event{Kind: Inventory, Action: action, Assets: []string{uid}}})
		r.next++
	}
	const n = maxGraves + 10
	for i := range n {
		apply(Create, fmt.Sprint(i))
		apply(Delete, fmt.Sprint(i))
	}
	apply(Delete, "0")
	apply(Delete, fmt.Sprint(n-1))
	if got := kinds(r); len(got) != 2 || !strings.Contains(got[0], "delete_unknown") || !strings.Contains(got[1], "delete_deleted") {
		t.Errorf("%q", got)
	}
	if len(r.dead.list) != maxGraves || len(r.dead.at) != maxGraves || len(r.assets) != 0 {
		t.Errorf("%d graves", len(r.dead.list))
	}
	for range maxAnomalies + 5 {
		apply(Delete, "0")
	}
	if len(r.anomalies) != maxAnomalies || r.anomaliesMore != 7 {
		t.Errorf("%d anomalies and %d more", len(r.anomalies), r.anomaliesMore)
	}
}
