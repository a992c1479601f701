package monitor

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// collected is an event of somebody who looked: uid is "REGION/NAME".
func collected(ms int64, uid string) object {
	e := inventory(Modify, ms, uid)
	e["activity_id"], e["type_uid"] = 2, classCloudInventory*100+2
	region, _, _ := strings.Cut(uid, "/")
	e["cloud"] = object{"provider": "test", "account": object{"uid": "1"}, "region": region}
	return e
}

// scan looks at what is there, and registers the scan as import does.
func (p *party) scan(started, ended int64, seen Seen, uids ...string) (*Scan, int) {
	p.t.Helper()
	seen.Of, seen.Started, seen.Ended, seen.Assets = p.typ, at(started), at(ended), map[string]bool{}
	for _, uid := range uids {
		seen.Assets[uid] = true
	}
	s, share := p.replay(nil).NewScan(p.issuer(), seen)
	if s != nil {
		p.registerScan(s, ended)
	}
	return s, share
}

func (p *party) registerScan(s *Scan, issued int64) {
	p.t.Helper()
	p.add(must(testlog.SignAs(p.key, s, scitt.SignOptions{IssuedAt: at(issued + 1000)}))(p.t))
}

func TestScan(t *testing.T) {
	const day = 24 * 60 * minute
	for name, c := range map[string]struct {
		do        func(p *party) (incomplete int, gone []string)
		want      string // alive
		anomalies []string
	}{
		"what is not seen is gone": {func(p *party) (int, []string) {
			p.scan(noon+1, noon+2, Seen{}, "eu/a", "eu/b", "us/c")
			s, share := p.scan(noon+day, noon+day+5, Seen{}, "eu/a", "us/c")
			if share != 33 {
				t.Errorf("%d percent", share)
			}
			return len(s.Incomplete), s.Gone
		}, "eu/a us/c", nil},
		"a region in which nothing is seen was denied": {func(p *party) (int, []string) {
			p.record(collected(noon, "us/c"))
			s, _ := p.scan(noon+day, noon+day+5, Seen{}, "eu/a", "eu/b")
			return len(s.Incomplete), s.Gone
		}, "eu/a eu/b us/c", nil},
		"or is empty": {func(p *party) (int, []string) {
			s, _ := p.scan(noon+day, noon+day+5, Seen{Empty: true}, "eu/a", "eu/b")
			return len(s.Incomplete), s.Gone
		}, "eu/a eu/b", nil},
		"a page is missing": {func(p *party) (int, []string) {
			s, _ := p.scan(noon+day, noon+day+5, Seen{Incomplete: []string{"nextToken"}}, "eu/a", "us/c")
			return len(s.Incomplete), s.Gone
		}, "eu/a eu/b us/c", nil},
		"another account's": {func(p *party) (int, []string) {
			s, _ := p.scan(noon+day, noon+day+5, Seen{Scope: Scope{"account=2"}})
			return len(s.Incomplete), s.Gone
		}, "eu/a eu/b us/c", nil},
		"one region's": {func(p *party) (int, []string) {
			s, _ := p.scan(noon+day, noon+day+5, Seen{Scope: Scope{"region=eu"}}, "eu/b")
			return len(s.Incomplete), s.Gone
		}, "eu/b us/c", nil},
		"what was created while it ran is there": {func(p *party) (int, []string) {
			p.record(collected(noon+day+3, "eu/new"))
			s, _ := p.scan(noon+day, noon+day+5, Seen{}, "eu/a", "us/c")
			return len(s.Incomplete), s.Gone
		}, "eu/a eu/new us/c", nil},
		"the later start wins": {func(p *party) (int, []string) {
			p.scan(noon+day+3, noon+day+9, Seen{}, "eu/a", "eu/b", "us/c")
			s, _ := p.scan(noon+day, noon+day+12, Seen{}, "eu/a", "us/c")
			return len(s.Incomplete), s.Gone
		}, "eu/a eu/b us/c", nil},
		"it comes again": {func(p *party) (int, []string) {
			s, _ := p.scan(noon+day, noon+day+5, Seen{}, "eu/a", "us/c")
			p.record(collected(noon+2*day, "eu/b"))
			return len(s.Incomplete), s.Gone
		}, "eu/a eu/b us/c", nil},
		"its deletion comes too": {func(p *party) (int, []string) {
			s, _ := p.scan(noon+day, noon+day+5, Seen{}, "eu/a", "us/c")
			p.record(inventory(Delete, noon+2*day, "eu/b"))
			return len(s.Incomplete), s.Gone
		}, "eu/a us/c", nil},
		"of other records nothing is inferred": {func(p *party) (int, []string) {
			s, _ := p.replay(nil).NewScan(p.issuer(), Seen{Of: p.typ, Started: at(noon + day), Ended: at(noon + day), Assets: map[string]bool{"eu/a": true, "us/c": true}})
			p.record(collected(noon+1, "eu/z"))
			p.registerScan(s, noon+day)
			return 0, s.Gone
		}, "eu/a eu/b eu/z us/c", []string{"4 scan_mismatch"}},
		"of a scan that does not follow nothing is inferred": {func(p *party) (int, []string) {
			p.scan(noon+1, noon+2, Seen{}, "eu/a", "eu/b", "us/c")
			s, _ := p.scan(noon+day, noon+day, Seen{}, "eu/a", "eu/b", "us/c")
			s.Started, s.Previous = s.Started.Add(time.Second), nil
			s.Ended = s.Ended.Add(time.Second)
			p.registerScan(s, noon+day+1000)
			return 0, nil
		}, "eu/a eu/b us/c", []string{"5 scan_mismatch"}},
		"a scan of the future is invalid": {func(p *party) (int, []string) {
			s, _ := p.replay(nil).NewScan(p.issuer(), Seen{Of: p.typ, Started: at(noon + day), Ended: at(noon + day), Assets: map[string]bool{"eu/a": true, "us/c": true}})
			p.registerScan(s, noon)
			return 0, s.Gone
		}, "eu/a eu/b us/c", []string{"3 invalid"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newParty(t, "auditor", scitt.TypeObservation)
			for _, uid := range []string{"eu/a", "eu/b", "us/c"} {
				p.record(collected(noon, uid))
			}
			incomplete, gone := c.do(p)
			var alive []string
			r := p.replay(nil)
			for _, a := range r.Assets() {
				alive = append(alive, a.UID)
			}
			if got := strings.Join(alive, " "); got != c.want {
				t.Errorf("alive %s, want %s; gone %v, %d reasons", got, c.want, gone, incomplete)
			}
			if incomplete > 0 && len(gone) > 0 {
				t.Errorf("%d reasons, and %v is gone", incomplete, gone)
			}
			if got := kinds(r); !slices.Equal(got, c.anomalies) {
				t.Errorf("anomalies %q", got)
			}
			// What is saved goes on, and says the same.
			if again := must(Resume(bytesOf(t, r.Save)))(t); state(again) != state(r) || len(again.scans) != len(r.scans) {
				t.Errorf("resumed: %s", state(again))
			}
		})
	}
}

// TestScanCompared: a comparison infers the end, and marks it.
func TestScanCompared(t *testing.T) {
	provider, auditor := newParty(t, "provider", scitt.TypeRecord), newParty(t, "auditor", scitt.TypeObservation)
	for _, p := range []*party{provider, auditor} {
		p.record(collected(noon, "eu/a"))
		p.record(collected(noon, "eu/b"))
		p.scan(noon+1, noon+2, Seen{}, "eu/a", "eu/b", "us/c")
	}
	provider.scan(noon+10*minute, noon+10*minute+1, Seen{}, "eu/a")
	c := must(Compare(t.Context(), provider.side(), auditor.side(), Interval{at(noon + 20*minute), at(noon + 60*minute), 5 * time.Minute, nil}))(t)
	if m := c.Metrics[Inventory]; m.Missing != 1 || m.Observed != 2 || m.Reported != 1 || len(c.Findings) != 1 {
		t.Errorf("%+v %+v", m, c.Findings)
	}
	c = must(Compare(t.Context(), provider.side(), auditor.side(), Interval{at(noon), at(noon + 60*minute), 5 * time.Minute, nil}))(t)
	if m := c.Metrics[Inventory]; m.Missing != 0 || m.Inferred != 1 || m.Late != 0 {
		t.Errorf("%+v %+v", m, c.Findings) // the lives overlap
	}
	h := must(HistoryOf(t.Context(), provider.log(), provider.side().Filter, "eu/b", 1<<40))(t)
	if n := len(h.Steps); n != 2 || h.Steps[1].Action != Gone || h.Steps[1].Entry.Time != noon+10*minute {
		t.Errorf("%+v", h.Steps)
	}
}

// TestBaseline: what the first scan finds is not late, and what a later one finds is.
func TestBaseline(t *testing.T) {
	provider, auditor := newParty(t, "provider", scitt.TypeRecord), newParty(t, "auditor", scitt.TypeObservation)
	auditor.record(inventory(Create, noon+minute, "eu/a"))
	auditor.record(inventory(Create, noon+minute, "eu/b"))
	provider.record(collected(noon+minute, "eu/a"), noon+50*minute)
	provider.scan(noon+49*minute, noon+50*minute, Seen{}, "eu/a")
	provider.record(collected(noon+minute, "eu/b"), noon+52*minute)
	c := must(Compare(t.Context(), provider.side(), auditor.side(), Interval{at(noon), at(noon + 60*minute), 5 * time.Minute, nil}))(t)
	if m := c.Metrics[Inventory]; m.Late != 1 || m.Missing != 0 || c.Findings[0].UID != "eu/b" || len(c.Reported.Anomalies) != 0 {
		t.Errorf("%+v %+v %+v", m, c.Findings, c.Reported.Anomalies)
	}
}

// correction marks an event.
func correction(e object) object {
	e["unmapped"] = object{"conmotion": object{"correction": true}}
	return e
}

// TestCorrection: what comes late as a correction counts at its own time, and changes nothing of how things are.
func TestCorrection(t *testing.T) {
	events := []object{
		inventory(Create, noon+10*minute, "a"), configured(Create, noon+10*minute, "a", 1), configured(Modify, noon+40*minute, "a", 3),
		inventory(Delete, noon+50*minute, "a"),
	}
	late := []object{
		correction(inventory(Create, noon+5*minute, "a")), correction(configured(Modify, noon+20*minute, "a", 2)),
		correction(inventory(Delete, noon+6*minute, "a")),
	}
	inTime, corrected := newParty(t, "provider", scitt.TypeRecord), newParty(t, "provider", scitt.TypeRecord)
	for _, e := range []object{late[0], late[2], events[0], events[1], late[1], events[2], events[3]} {
		delete(e, "unmapped")
		inTime.record(e)
	}
	for _, e := range events {
		corrected.record(e)
	}
	for _, e := range late {
		corrected.record(correction(e), noon+70*minute)
	}
	r := corrected.replay(nil)
	if got := fmt.Sprint(state(r), kinds(r)); got != "[4 time_backwards in inventory after 3 4 late inventory/a after 3 5 late configuration/a after 3 6 late inventory/a after 3]" &&
		got != "[4 late inventory/a after 3 5 late configuration/a after 3 6 late inventory/a after 3]" {
		t.Error(got)
	}
	auditor := newParty(t, "auditor", scitt.TypeObservation)
	for _, e := range []object{inventory(Create, noon+10*minute, "a"), configured(Create, noon+10*minute, "a", 1), configured(Modify, noon+20*minute, "a", 2),
		configured(Modify, noon+40*minute, "a", 3), inventory(Delete, noon+50*minute, "a")} {
		auditor.record(e)
	}
	in := Interval{at(noon), at(noon + 60*minute), time.Minute, nil}
	want := must(Compare(t.Context(), inTime.side(), auditor.side(), in))(t)
	got := must(Compare(t.Context(), corrected.side(), auditor.side(), in))(t)
	if want.Metrics[Configuration].Drift != 0 {
		t.Fatalf("%+v", want.Findings)
	}
	for _, what := range []Kind{Inventory, Configuration} {
		a, b := *want.Metrics[what], *got.Metrics[what]
		a.BasisSHA256, b.BasisSHA256, a.LagLongest, b.LagLongest, a.LagMedian, b.LagMedian, a.Late, b.Late = "", "", 0, 0, 0, 0, 0, 0
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: %+v, want %+v", what, b, a)
		}
	}
}

func TestScope(t *testing.T) {
	web := Traits{Account: "1", Region: "eu", Type: "AWS::EC2::Instance", Tags: []string{"env:prod", "x"}}
	for terms, want := range map[string]bool{
		"": true, "account=1": true, "account=2": false, "account=2 account=1": true, "account=1 region=us": false, "type=AWS::EC2::*": true, "type=AWS::S3::*": false,
		"tag=env:prod": true, "tag=env:dev": false, "-tag=x": false, "account=1 -type=AWS::Config::*": true, "-account=1": false,
	} {
		s := must(ParseScope(strings.Fields(terms)))(t)
		if s.selects(web) != want {
			t.Errorf("%q: %v", terms, !want)
		}
	}
	if s := must(ParseScope([]string{"project=p", "account=p"}))(t); len(s) != 1 || s[0] != "account=p" {
		t.Errorf("%q", s)
	}
	for _, bad := range []string{"x", "x=1", "account=", "=1", "--account=1"} {
		if _, err := ParseScope([]string{bad}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	// An auditor's sample does not make the rest phantom.
	provider, auditor := newParty(t, "provider", scitt.TypeRecord), newParty(t, "auditor", scitt.TypeObservation)
	for _, uid := range []string{"eu/a", "us/c", "us/d"} {
		provider.record(collected(noon, uid))
	}
	auditor.record(collected(noon, "eu/a"))
	in := Interval{at(noon), at(noon + 60*minute), time.Minute, Scope{"region=eu"}}
	c := must(Compare(t.Context(), provider.side(), auditor.side(), in))(t)
	if m := c.Metrics[Inventory]; m.Union != 1 || m.Phantom != 0 {
		t.Errorf("%+v", m)
	}
	payload := must(Measure(c, MeasureOptions{What: Inventory, At: at(noon + 60*minute), Home: "log"}))(t).Payload
	if r := must(Recompute(t.Context(), payload, provider.log(), auditor.log()))(t); !r.Same() || !bytes.Contains(payload, []byte(`"scope":["region=eu"]`)) {
		t.Errorf("%v %s", r.Paths, payload)
	}
	// A correction says where its object is, too.
	provider.record(collected(noon, "eu/b"))
	provider.record(inventory(Delete, noon+50*minute, "eu/b"))
	provider.record(correction(collected(noon+20*minute, "eu/b")), noon+70*minute)
	c = must(Compare(t.Context(), provider.side(), auditor.side(), in))(t)
	if m := c.Metrics[Inventory]; m.Union != 2 || m.Phantom != 1 {
		t.Errorf("%+v", m)
	}
}

func TestScanDocument(t *testing.T) {
	s := &Scan{Of: scitt.TypeRecord, Scope: Scope{"account=1", "region=eu"}, Started: at(noon), Ended: at(noon + 1), Previous: &scitt.EntryID{1}, Gone: []string{"a", "b"},
		Count: 1, Digest: strings.Repeat("0", 64)}
	payload := must(s.payload())(t)
	golden(t, "scan.json", payload)
	for name, edit := range map[string][2]string{
		"order": {`["a","b"]`, `["b","a"]`}, "times": {`"ended":"2026-01-01T12`, `"ended":"2026-01-01T11`}, "digest": {`000"`, `00g"`},
		"gone of an incomplete one": {`"incomplete":[]`, `"incomplete":["x"]`}, "scope": {`"account=1"`, `"account=9"`}, "scope's order": {`"account=1"`, `"tag=1"`},
		"format": {`scan/1`, `scan/2`}, "negative": {`"count":1`, `"count":-1`}, "previous": {`"previous":"01`, `"previous":"0`},
	} {
		bad := bytes.Replace(payload, []byte(edit[0]), []byte(edit[1]), 1)
		if _, err := parseScan(bad); (err == nil) != (name == "scope") || err != nil && !errors.Is(err, ErrMalformed) || bytes.Equal(bad, payload) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseScan(f *testing.F) {
	seed := must((&Scan{Of: scitt.TypeRecord, Started: at(noon), Ended: at(noon), Digest: strings.Repeat("0", 64), Gone: []string{"a"}}).payload())(f)
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseScan(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Error(err)
			}
			return
		}
		if again := must(s.payload())(t); !bytes.Equal(again, data) {
			t.Errorf("%s", again)
		}
	})
}

func (s *Scan) payload() ([]byte, error) {
	payload, _, err := s.ToSign()
	return payload, err
}

// TestHold: what the log says already of what an event is about.
func TestHold(t *testing.T) {
	p := newParty(t, "provider", scitt.TypeRecord)
	p.record(inventory(Create, noon, "a", "b"))
	p.record(configured(Create, noon, "a", 1))
	p.record(inventory(Delete, noon+2, "b"))
	r := p.replay(nil)
	for name, c := range map[string]struct {
		event       object
		newer, same bool
	}{
		"as it is":         {inventory(Modify, noon+9, "a"), false, true},
		"older":            {inventory(Modify, noon-9, "a"), true, true},
		"deleted":          {inventory(Modify, noon, "b"), true, false},
		"deleted again":    {inventory(Delete, noon+9, "b"), false, true},
		"unknown":          {inventory(Modify, noon, "c"), false, false},
		"deletion":         {inventory(Delete, noon+9, "a"), false, false},
		"one of two":       {inventory(Modify, noon+9, "a", "c"), false, false},
		"content":          {configured(Modify, noon+9, "a", 1), false, true},
		"another content":  {configured(Modify, noon+9, "a", 2), false, false},
		"an older content": {configured(Modify, noon-9, "a", 2), true, false},
	} {
		e := must(ParseEvent(encode(c.event)))(t)
		if h := r.Hold("provider", e); (h.Newer != nil) != c.newer || h.Same != c.same {
			t.Errorf("%s: %+v", name, h)
		}
	}
}
