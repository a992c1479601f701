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

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

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
	payload := must(ack.payload())(t)
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
		t.Errorf("%d assets, %d entries that are not a statement", len(r.Assets()), r.Unread().NoStatement)
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
