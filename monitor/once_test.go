package monitor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// newES256Party is a party whose statements have twins.
func newES256Party(t testing.TB, name, typ string) *party {
	p := newParty(t, name, typ)
	p.key = testlog.FixedKey(t, name)
	return p
}

// with is the party with these entries in place of its own.
func (p *party) with(entries ...[]byte) *party {
	q := *p
	q.entries = entries
	return &q
}

// flaws are the anomalies as "index kind", and "of index" where there is one before.
func flaws(list []Anomaly) (out []string) {
	for _, a := range list {
		text := fmt.Sprintf("%d %s", a.Entry.Index, a.Kind)
		if a.Previous != nil {
			text += fmt.Sprintf(" of %d", a.Previous.Index)
		}
		out = append(out, text)
	}
	return out
}

// copied are logs that an operator, or a stranger who found a way, has put
// copies into, by the honest log's entries.
var copied = map[string]struct {
	entries func(t testing.TB, e [][]byte) [][]byte
	flaws   []string
}{
	"twin of a create after its delete": {func(t testing.TB, e [][]byte) [][]byte {
		return append(slices.Clone(e), testlog.Twin(t, e[0]))
	}, []string{"6 duplicate of 0"}},
	"the same create after its delete": {func(t testing.TB, e [][]byte) [][]byte {
		return append(slices.Clone(e), e[0])
	}, []string{"6 duplicate of 0"}},
	"twin of an old delete": {func(t testing.TB, e [][]byte) [][]byte {
		return append(slices.Clone(e), testlog.Twin(t, e[2]), testlog.Twin(t, e[2]))
	}, []string{"6 duplicate of 2", "7 duplicate of 2"}},
	"chain goes on behind a copy": {func(t testing.TB, e [][]byte) [][]byte {
		return slices.Insert(slices.Clone(e), 2, testlog.Twin(t, e[1]), e[0], testlog.Twin(t, e[0]))
	}, []string{"2 duplicate of 1", "3 duplicate of 0", "4 duplicate of 0"}},
	"garbage before every entry": {func(t testing.TB, e [][]byte) (out [][]byte) {
		for _, entry := range e {
			out = append(out, testlog.Garbage(entry), entry)
		}
		return out
	}, []string{"0 signature", "2 signature", "4 signature", "6 signature", "8 signature", "10 signature"}},
	"garbage, twin, original, garbage": {func(t testing.TB, e [][]byte) [][]byte {
		return slices.Concat([][]byte{testlog.Garbage(e[0]), testlog.Twin(t, e[0]), e[0], testlog.Garbage(e[0])}, e[1:])
	}, []string{"0 signature", "2 duplicate of 1", "3 signature"}},
	"garbage far ahead, and twins": {func(t testing.TB, e [][]byte) [][]byte {
		return slices.Concat([][]byte{testlog.Garbage(e[4])}, e, [][]byte{testlog.Twin(t, e[4]), testlog.Twin(t, e[0])})
	}, []string{"0 signature", "7 duplicate of 5", "8 duplicate of 1"}},
}

// copyParty has a log in which copies would do harm.
func copyParty(t testing.TB) *party {
	p := newES256Party(t, "provider", scitt.TypeRecord)
	p.record(inventory(Create, noon, "web"))                                      // 0
	p.record(configured(Create, noon+minute, "web", object{"tls": "1.3"}))        // 1
	p.record(inventory(Delete, noon+2*minute, "web"))                             // 2
	p.record(inventory(Create, noon+3*minute, "db"))                              // 3
	p.record(configured(Create, noon+4*minute, "db", object{"encrypted": false})) // 4
	p.record(configured(Modify, noon+5*minute, "db", object{"encrypted": true}))  // 5
	return p
}

// stateOf is a replay without what copies may change: places in the log and anomalies.
func stateOf(r *Replay) string {
	var b strings.Builder
	for _, a := range r.Assets() {
		fmt.Fprintln(&b, a.UID, a.Created.ID, a.Last.ID, a.Created.Time, a.Last.Time, a.Configurations)
	}
	for _, c := range r.Configurations() {
		fmt.Fprintln(&b, c.UID, c.Created.ID, c.Last.ID, c.SHA256, c.Assets)
	}
	records, deferred := r.Counts()
	fmt.Fprintln(&b, records, deferred, r.LastTime())
	for _, key := range []string{string(Inventory), string(Configuration)} {
		head, _ := r.Head(r.issuers[0], key)
		fmt.Fprintln(&b, key, *head)
	}
	return b.String()
}

// TestCopies: a replay, a history and a comparison of a log with copies in it
// come to what they come to without, and list the copies.
func TestCopies(t *testing.T) {
	honest := copyParty(t)
	want := stateOf(honest.replay(nil))
	history := func(p *party) string {
		var b strings.Builder
		for _, s := range must(HistoryOf(t.Context(), p.log(), p.side().Filter, "web", 1<<40))(t).Steps {
			fmt.Fprintln(&b, s.Action, s.What, s.Entry.EntryID)
		}
		return b.String()
	}
	auditor := newES256Party(t, "auditor", scitt.TypeObservation)
	auditor.record(inventory(Create, noon, "web"))
	auditor.record(inventory(Create, noon+3*minute, "db"))
	metrics := func(p *party) string {
		c := must(Compare(t.Context(), p.side(), auditor.side(), Interval{at(noon), at(noon + 60*minute), time.Minute}))(t)
		var b strings.Builder
		for _, f := range c.Findings {
			fmt.Fprintln(&b, f.Kind, f.UID, f.From, f.To)
		}
		return fmt.Sprint(*c.Metrics[Inventory], *c.Metrics[Configuration], b.String())
	}
	for name, c := range copied {
		t.Run(name, func(t *testing.T) {
			p := honest.with(c.entries(t, honest.entries)...)
			p.t = t
			r := p.replay(nil)
			if got := stateOf(r); got != want {
				t.Errorf("it comes to\n%s, not to\n%s", got, want)
			}
			list, _ := r.Anomalies()
			if got := flaws(list); !slices.Equal(got, c.flaws) {
				t.Errorf("anomalies %q, not %q", got, c.flaws)
			}
			if got, want := history(p), history(honest); got != want {
				t.Errorf("history\n%s, not\n%s", got, want)
			}
			if got, want := metrics(p), metrics(honest); got != want {
				t.Errorf("comparison\n%s, not\n%s", got, want)
			}
			p.checkSplits(r)
			golden(t, "copies/"+strings.NewReplacer(" ", "-", ",", "").Replace(name)+".json", bytesOf(t, r.Write))
		})
	}
}

// checkSplits: saved and resumed at any point, a replay comes to the same bytes.
func (p *party) checkSplits(want *Replay) {
	p.t.Helper()
	whole := bytesOf(p.t, want.Save)
	for n := range p.entries {
		r := NewReplay(p.side().Filter, nil)
		if err := r.Advance(p.t.Context(), p.log(), uint64(n)); err != nil {
			p.t.Fatal(err)
		}
		r = must(Resume(bytesOf(p.t, r.Save)))(p.t)
		if err := r.Advance(p.t.Context(), p.log(), 1<<40); err != nil {
			p.t.Fatal(err)
		}
		if got := bytesOf(p.t, r.Save); !bytes.Equal(got, whole) {
			paths, _ := differences(got, whole)
			p.t.Fatalf("resumed at %d it differs at %v", n, paths)
		}
	}
}

// TestCopyUnchecked: who does not verify takes the first, and says so.
func TestCopyUnchecked(t *testing.T) {
	honest := copyParty(t)
	p := honest.with(slices.Concat([][]byte{testlog.Garbage(honest.entries[0])}, honest.entries)...)
	log := p.log()
	log.Verify = nil
	r := NewReplay(p.side().Filter, nil)
	if err := r.Advance(t.Context(), log, 1<<40); err != nil {
		t.Fatal(err)
	}
	list, _ := r.Anomalies()
	if got := flaws(list); !slices.Equal(got, []string{"1 duplicate of 0"}) || !strings.Contains(list[0].Detail, "were not checked") {
		t.Errorf("%+v", list)
	}
	if got := stateOf(r); got != stateOf(honest.replay(nil)) {
		t.Errorf("what counts is another: %s", got)
	}
}

// TestCopyMovesMeasurement: a copy of an old delete, which would make everything
// missing, and of an old create, which would hide that it is.
func TestCopyMovesMeasurement(t *testing.T) {
	provider, auditor := newES256Party(t, "provider", scitt.TypeRecord), newES256Party(t, "auditor", scitt.TypeObservation)
	provider.record(inventory(Create, noon-3*minute, "a"))
	provider.record(inventory(Delete, noon-2*minute, "a"))
	provider.record(inventory(Create, noon-minute, "a"))
	auditor.record(inventory(Create, noon-minute, "a"))
	impact := func(p *party) int {
		c := must(Compare(t.Context(), p.side(), auditor.side(), hour))(t)
		m := must(Measure(c, measureOptions(Inventory)))(t)
		if r := must(Recompute(t.Context(), m.Payload, p.log(), auditor.log()))(t); !r.Same() {
			t.Errorf("it is not computed again: %v", r.Paths)
		}
		return m.Impact
	}
	twin := provider.with(append(slices.Clone(provider.entries), testlog.Twin(t, provider.entries[1]))...)
	if got := impact(twin); got != 0 || impact(provider) != 0 {
		t.Errorf("impact %d", got)
	}
	provider.record(inventory(Delete, noon-minute/2, "a"))
	twin = provider.with(append(slices.Clone(provider.entries), testlog.Twin(t, provider.entries[2]))...)
	if got := impact(twin); got != 100 || impact(provider) != 100 {
		t.Errorf("impact %d of what is missing", got)
	}
}

// endorseIn signs an endorsement, a dispute or a withdrawal for a log.
func (p *party) endorseIn(home string, v Verdict, entry EntryRef) []byte {
	e := endorsement(v, entry, 0, 0)
	e.Home = home
	if v != Withdraw {
		e.Scope, e.Until = []string{"existence"}, at(noon+100*minute)
	}
	return must(testlog.SignAs(p.key, e, scitt.SignOptions{IssuedAt: at(noon)}))(p.t)
}

// TestCopiesOfEndorsements: what a copy would bring back, or take away.
func TestCopiesOfEndorsements(t *testing.T) {
	records := copyParty(t)
	target := EntryRef{idOf(t, records.entries[3]).String(), 3, records.origin()}
	a := newES256Party(t, "auditor", scitt.TypeObservation)
	entry := func(statement []byte) []byte { return must(scitt.ParseStatement(statement))(t).Entry() }
	endorse := entry(a.endorseIn(a.origin(), Endorse, target))
	dispute := entry(a.endorseIn(a.origin(), Dispute, target))
	ref := func(e []byte) EntryRef { return EntryRef{idOf(t, e).String(), 0, a.origin()} }
	withdraw := entry(a.endorseIn(a.origin(), Withdraw, ref(endorse)))
	retract := entry(a.endorseIn(a.origin(), Withdraw, ref(dispute)))
	for name, c := range map[string]struct {
		entries [][]byte
		want    string // standings
		flaws   []string
		ok      bool // require --endorsed-by
	}{
		"endorsed":                     {[][]byte{endorse}, "0 holds", nil, true},
		"twin of a withdrawn one":      {[][]byte{endorse, withdraw, testlog.Twin(t, endorse)}, "0 withdrawn", []string{"2 duplicate of 0"}, false},
		"twin before the withdrawal":   {[][]byte{testlog.Twin(t, endorse), endorse, withdraw}, "0 withdrawn", []string{"1 duplicate of 0"}, false},
		"twin of a retracted dispute":  {[][]byte{endorse, dispute, retract, testlog.Twin(t, dispute)}, "0 holds, 1 withdrawn", []string{"3 duplicate of 1"}, true},
		"garbage hides no endorsement": {[][]byte{testlog.Garbage(endorse), endorse}, "1 holds", []string{"0 signature"}, true},
		"garbage hides no withdrawal":  {[][]byte{testlog.Garbage(withdraw), endorse, withdraw}, "1 withdrawn", []string{"0 signature"}, false},
		"garbage alone":                {[][]byte{testlog.Garbage(endorse)}, "", []string{"0 signature"}, false},
		"garbage withdraws nothing":    {[][]byte{endorse, testlog.Garbage(withdraw)}, "0 holds", []string{"1 signature"}, true},
	} {
		found, bad, err := Endorsements(t.Context(), a.with(c.entries...).log(), nil)
		if err != nil {
			t.Fatal(err)
		}
		id := idOf(t, records.entries[3])
		if got := standings(Evaluate(found, nil, id, at(noon+minute))); got != c.want {
			t.Errorf("%s: %s, not %s", name, got, c.want)
		}
		if got := flaws(bad); !slices.Equal(got, c.flaws) {
			t.Errorf("%s: anomalies %q, not %q", name, got, c.flaws)
		}
		q := Requirements{EndorsedBy: []string{a.issuer()}, What: Inventory}
		ok := !slices.ContainsFunc(q.Judge(id, "", found, nil, nil, at(noon+minute)), func(j Judgement) bool { return !j.OK })
		if ok != c.ok {
			t.Errorf("%s: satisfied %v", name, ok)
		}
	}

	// A copy of the newest record has its id, so the endorsement is of it too.
	twins := records.with(append(slices.Clone(records.entries), testlog.Twin(t, records.entries[3]))...)
	if asset, ok := twins.replay(nil).Asset("db"); !ok || asset.Last.ID.String() != target.EntryID || asset.Last.Index != 3 {
		t.Errorf("the newest record is %+v", asset)
	}
}

func standings(list []Standings) string {
	var out []string
	for _, s := range list {
		out = append(out, fmt.Sprintf("%d %s", s.Self.Index, s.Standing))
	}
	return strings.Join(out, ", ")
}

// TestHomeLog: a stranger carries what was said in one log to another, without
// what was said later.
func TestHomeLog(t *testing.T) {
	records := copyParty(t)
	id := idOf(t, records.entries[3])
	target := EntryRef{id.String(), 3, records.origin()}
	a := newES256Party(t, "auditor", scitt.TypeObservation)
	endorse := a.endorseIn(a.origin(), Endorse, target)
	dispute := a.endorseIn(a.origin(), Dispute, target)
	home := a.with(endorse, dispute,
		a.endorseIn(a.origin(), Withdraw, EntryRef{idOf(t, endorse).String(), 0, a.origin()}))
	p := goldenPair(t)
	measured := must(Measure(p.compare(hour), measureOptions(Inventory)))(t) // home: the auditor's log
	measurement := must(testlog.SignAs(a.key, measured, scitt.SignOptions{IssuedAt: at(noon)}))(t)
	carried := NewLog(staticLog(t, "log.stranger.example", [][]byte{endorse, dispute, measurement}), nil, scitt.SelfCertifying(nil, nil).Verifier(nil))

	read := func(logs ...Log) (said []Registered, claims []Measured) {
		for _, log := range logs {
			found, bad, err := Endorsements(t.Context(), log, nil)
			if err != nil || len(bad) > 0 {
				t.Fatal(bad, err)
			}
			measured, bad, err := Measurements(t.Context(), log, nil)
			if err != nil || len(bad) > 0 {
				t.Fatal(bad, err)
			}
			said, claims = append(said, found...), append(claims, measured...)
		}
		return Distinct(said), claims
	}
	for name, c := range map[string]struct {
		logs []Log
		want string
	}{
		"at home":                    {[]Log{home.log()}, "0 withdrawn, 1 holds"},
		"carried":                    {[]Log{carried}, "0 as_of_log, 1 as_of_log"},
		"carried, and home is read":  {[]Log{carried, home.log()}, "0 withdrawn, 1 holds"},
		"home, and carried is read":  {[]Log{home.log(), carried}, "0 withdrawn, 1 holds"},
		"a withdrawal without it":    {[]Log{home.with(home.entries[2]).log(), carried}, "0 withdrawn, 1 as_of_log"},
		"an end that has come first": {[]Log{carried}, ""},
	} {
		said, _ := read(c.logs...)
		when := at(noon + minute)
		if c.want == "" {
			when, c.want = at(noon+100*minute), "0 expired, 1 expired"
		}
		if got := standings(Evaluate(said, nil, id, when)); got != c.want {
			t.Errorf("%s: %s, not %s", name, got, c.want)
		}
	}

	limit := 100
	q := Requirements{EndorsedBy: []string{a.issuer()}, What: Inventory, MaxImpact: &limit}
	said, claims := read(carried)
	now := at(noon + 62*minute)
	for _, j := range q.Judge(id, "", said, claims, nil, now) {
		if j.OK != (j.Requirement == "not disputed") || !strings.Contains(j.Detail, "only as of that log") || !strings.Contains(j.Detail, a.origin()) {
			t.Errorf("%+v", j)
		}
	}
	if m := q.Newest(said, claims, now); len(claims) != 1 || m != nil {
		t.Errorf("a measurement that was carried there counts: %+v", m)
	}
	if _, claims = read(a.with(measurement).log()); q.Newest(nil, claims, now) == nil {
		t.Error("a measurement in its home does not count")
	}
}

// TestAcknowledgementHome: an acknowledgement has its sub, and leads on only as of
// the log that a stranger carried it to.
func TestAcknowledgementHome(t *testing.T) {
	p := copyParty(t)
	key := testKey("log")
	ack := must(NewAcknowledgement(verifier(t, key), Acknowledgement{Asset: "vm", Home: "home", Transparent: p.transparent(0, key)}, nil))(t)
	good := must(testlog.SignAs(p.key, ack, scitt.SignOptions{IssuedAt: at(noon)}))(t)
	payload := must(ack.Payload())(t)
	wrong := must(scitt.SignStatement(p.key, scitt.SignOptions{ContentType: ContentType, IssuedAt: at(noon), Type: scitt.TypeAcknowledgement, Subject: "acknowledgement/other"}, payload))(t)
	for origin, carried := range map[string]bool{"home": false, "elsewhere": true} {
		log := NewLog(staticLog(t, origin, [][]byte{wrong, good, testlog.Twin(t, good)}), nil, scitt.SelfCertifying(nil, nil).Verifier(nil))
		links, bad, err := Links(t.Context(), log, "vm")
		if err != nil || len(links) != 1 || links[0].From.Index != 1 || links[0].Carried() != carried {
			t.Errorf("%s: %+v, %v", origin, links, err)
		}
		if got := flaws(bad); !slices.Equal(got, []string{"0 invalid", "2 duplicate of 1"}) {
			t.Errorf("%s: %q", origin, got)
		}
	}
}

// TestAcknowledgementKeepsOneReceipt: of many Receipts only that of the log
// that is named takes room.
func TestAcknowledgementKeepsOneReceipt(t *testing.T) {
	p := copyParty(t)
	key := testKey("log")
	one := p.transparent(0, key)
	s := must(scitt.ParseStatement(one))(t)
	other := must(scitt.ParseStatement(p.transparent(0, testKey("another log"))))(t)
	many := scitt.AttachReceipts(s, other.Receipts[0], s.Receipts[0], other.Receipts[0])
	a := must(NewAcknowledgement(verifier(t, key), Acknowledgement{Asset: "vm", Home: "home", Transparent: many}, nil))(t)
	if !bytes.Equal(a.Transparent, one) {
		t.Errorf("%d bytes are embedded, not %d", len(a.Transparent), len(one))
	}
	if err := a.Verify(verifier(t, key), nil); err != nil {
		t.Error(err)
	}
}

// brokenSource fails for one entry that is asked for alone.
type brokenSource struct {
	Source
	at uint64
}

var errBroken = errors.New("broken")

func (b brokenSource) Entries(ctx context.Context, from, to uint64) iter.Seq2[tiles.Entry, error] {
	if from == b.at && to == from+1 {
		return func(yield func(tiles.Entry, error) bool) { yield(tiles.Entry{}, errBroken) }
	}
	return b.Source.Entries(ctx, from, to)
}

// TestOnceErrors: where it cannot be told whether something is a copy, nothing is
// said.
func TestOnceErrors(t *testing.T) {
	honest := copyParty(t)
	p := honest.with(append(slices.Clone(honest.entries), honest.entries[1])...)
	log := p.log()
	log.Source = brokenSource{log.Source, 1}
	if err := NewReplay(p.side().Filter, nil).Advance(t.Context(), log, 1<<40); !errors.Is(err, errBroken) {
		t.Error(err)
	}
	if _, _, err := Endorsements(t.Context(), log, nil); err != nil {
		t.Error(err)
	}
}

// TestOnceOrder: a statement that is read after a later copy of it is what counts.
func TestOnceOrder(t *testing.T) {
	honest := copyParty(t)
	p := honest.with(append(slices.Clone(honest.entries), testlog.Twin(t, honest.entries[1]))...)
	once := NewOnce()
	id := idOf(t, p.entries[1])
	for _, step := range [][2]uint64{{6, 6}, {1, 1}, {6, 1}, {1, 1}} {
		if got, err := once.Take(t.Context(), p.log().Source, id, step[0]); err != nil || got != step[1] {
			t.Errorf("entry %d: entry %d counts, %v", step[0], got, err)
		}
	}
	if _, err := LoadOnce(once.Save(), 1); !errors.Is(err, ErrMalformed) {
		t.Errorf("of entries that were not read: %v", err)
	}
}

// TestNoStatements: bytes that are nobody's statement count for nothing, have no
// entry id, and are told whatever is selected, also by a replay that goes on.
func TestNoStatements(t *testing.T) {
	p := newES256Party(t, "log", scitt.TypeRecord)
	p.record(inventory(Create, noon, "a"))
	hidden := p.record(inventory(Delete, noon, "a")).Entry()
	long := append([]byte{0xd2, 0x98, 4}, hidden[2:]...) // the array's length in two bytes
	if s, err := scitt.DecodeStatement(long); err != nil || s.ID() != idOf(t, hidden) {
		t.Fatalf("other readers do not take it: %v", err)
	}
	p.entries[1] = long
	p.record(inventory(Create, noon, "b"))
	p.entries = append(p.entries, []byte("nonsense"))
	r := p.replay(nil)
	if len(r.Assets()) != 2 || r.Unread().NoStatement != 2 {
		t.Errorf("%d assets, %d entries that are no statement", len(r.Assets()), r.Unread().NoStatement)
	}
	list, _ := r.Anomalies()
	list = slices.DeleteFunc(list, func(a Anomaly) bool { return a.Kind == AnomalyChainGap }) // the chain has a hole
	for i, index := range []uint64{1, 3} {
		if a := list[i]; a.Kind != AnomalyNoStatement || a.Entry != (EntryRef{"", index, p.origin()}) || a.Detail == "" {
			t.Errorf("%+v", a)
		}
	}
	p.checkSplits(r)
	s := readSchema(t, "replay")
	var document any
	if err := json.Unmarshal(bytesOf(t, r.Write), &document); err != nil {
		t.Fatal(err)
	}
	if errs := s.check(s.root, document, "$"); errs != nil {
		t.Errorf("%q", errs)
	}
	nobody := Filter{Issuers: []string{"https://nobody.example"}}
	none := NewReplay(nobody, nil)
	if err := none.Advance(t.Context(), p.log(), 4); err != nil || none.Unread().NoStatement != 2 {
		t.Errorf("%d of nobody's: %v", none.Unread().NoStatement, err)
	}
	if h := must(HistoryOf(t.Context(), p.log(), Filter{}, "a", 3))(t); h.Unread.NoStatement != 1 || len(h.Steps) != 1 {
		t.Errorf("%+v", h)
	}
	if _, bad, err := Endorsements(t.Context(), p.log(), nobody.Issuers); err != nil || CountUnread(bad).NoStatement != 2 {
		t.Errorf("%+v, %v", bad, err)
	}
}
