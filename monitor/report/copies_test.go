package report

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// TestCopies: copies that an operator put into a log change nothing but what is
// left out, and what was carried to another log counts only in its home.
func TestCopies(t *testing.T) {
	key := testlog.FixedKey(t, "auditor")
	entry := func(statement []byte, err error) []byte {
		return must(scitt.ParseStatement(must(statement, err)(t)))(t).Entry()
	}
	provider, auditor := newTestLog(t, "log.provider.example"), newTestLog(t, "log.auditor.example")
	w := &world{provider, auditor, map[string]monitor.EntryRef{}}
	w.report("a", first.Add(time.Minute), nil)
	w.observe("a", first.Add(time.Minute), nil)
	const stranger = "https://auditor.example" // whose key is not known
	signed := func(v monitor.Verdict, about monitor.EntryRef, o scitt.SignOptions) []byte {
		e := monitor.Endorsement{Entry: about, Home: auditor.origin, Verdict: v, From: first}
		if v != monitor.Withdraw {
			e.Scope, e.Until = []string{"existence"}, first.Add(90*day)
		}
		o.IssuedAt = first
		return entry(testlog.SignAs(key, &e, o))
	}
	say := func(v monitor.Verdict, about monitor.EntryRef) []byte { return signed(v, about, scitt.SignOptions{}) }
	endorse := say(monitor.Endorse, w.records["a"])
	ref := monitor.EntryRef{EntryID: must(scitt.ParseStatement(endorse))(t).ID().String(), Index: 1, Origin: auditor.origin}
	withdraw := say(monitor.Withdraw, ref)
	m := measure(t, provider, auditor, monitor.Inventory, first, first.Add(day))
	measurement := entry(testlog.SignAs(key, m, scitt.SignOptions{IssuedAt: first}))

	o := w.options(t)
	o.MeasuredBy = []string{testlog.DIDJWK(t, key)}
	withheld := signed(monitor.Withdraw, ref, scitt.SignOptions{Hash: true})
	unchecked := signed(monitor.Dispute, w.records["a"], scitt.SignOptions{Issuer: stranger})
	o.MeasuredBy = append(o.MeasuredBy, stranger)
	o.EndorsedBy, o.Recompute, o.Compare = o.MeasuredBy, false, false
	observed := auditor.entries
	for name, c := range map[string]struct {
		auditor, provider [][]byte // behind what is there
		standings, left   []string
		points            int
	}{
		"honest":                 {[][]byte{endorse, withdraw, measurement}, nil, []string{"endorse withdrawn 1"}, nil, 1},
		"twins":                  {[][]byte{endorse, withdraw, testlog.Twin(t, endorse), measurement, testlog.Twin(t, measurement)}, nil, []string{"endorse withdrawn 1"}, []string{"endorsement duplicate 1", "measurement duplicate 1"}, 1},
		"garbage first":          {[][]byte{testlog.Garbage(endorse), testlog.Garbage(measurement), endorse, measurement}, nil, []string{"endorse holds 1"}, []string{"endorsement signature 1", "measurement signature 1"}, 1},
		"carried":                {nil, [][]byte{endorse, measurement}, nil, []string{"endorsement as_of_log 1", "measurement as_of_log 1"}, 0},
		"carried, and withdrawn": {[][]byte{endorse, withdraw}, [][]byte{testlog.Twin(t, endorse)}, []string{"endorse withdrawn 1"}, nil, 0},
		"a withdrawal withheld":  {[][]byte{endorse, withheld}, nil, []string{"endorse unknown 1"}, []string{"endorsement content_missing 1"}, 0},
		"a dispute unchecked":    {[][]byte{endorse, unchecked}, nil, []string{"endorse unknown 1"}, []string{"endorsement unchecked 1"}, 0},
		"withdrawn, and more":    {[][]byte{endorse, withdraw, unchecked}, nil, []string{"endorse withdrawn 1"}, []string{"endorsement unchecked 1"}, 0},
		"a withdrawal carried":   {[][]byte{endorse}, [][]byte{withdraw}, []string{"endorse withdrawn 1"}, nil, 0},
	} {
		auditor.entries, provider.entries = slices.Concat(observed, c.auditor), slices.Concat(provider.entries[:1], c.provider)
		r := must(Make(t.Context(), w.sources(), o))(t)
		var standings, left []string
		for _, s := range r.Endorsements.Standings {
			standings = append(standings, fmt.Sprint(s.Verdict, " ", s.Standing, " ", s.Count))
		}
		for _, l := range r.LeftOut.Counts {
			left = append(left, fmt.Sprint(l.Type, " ", l.Reason, " ", l.Count))
		}
		points := 0
		for _, a := range r.Assessments {
			for _, s := range a.Series {
				points += len(s.Points)
			}
		}
		if !slices.Equal(standings, c.standings) || !slices.Equal(left, c.left) || points != c.points {
			t.Errorf("%s: %q, left out %q, %d measurements; not %q, %q, %d", name, standings, left, points, c.standings, c.left, c.points)
		}
	}
}
