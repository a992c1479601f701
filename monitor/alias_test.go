package monitor

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

const firewall = "//compute.googleapis.com/projects/p/global/firewalls/allow"

// resource is an event about a resource of Google Cloud; alt is another name of it.
func resource(e object, typ, alt string) object {
	r := e["resources"].([]object)[0]
	r["type"], e["cloud"] = typ, object{"provider": "gcp", "account": object{"uid": "p"}, "region": "global"}
	delete(r, "name")
	if alt != "" {
		r["uid_alt"] = alt
	}
	return e
}

func aliveIn(r *Replay) string {
	var uids []string
	for _, a := range r.Assets() {
		uids = append(uids, fmt.Sprintf("%s@%d", a.UID, a.Created.Index))
	}
	for _, c := range r.Configurations() {
		uids = append(uids, "="+c.UID)
	}
	return strings.Join(uids, " ")
}

// TestNames: whatever a record calls an asset, it is one where the issuer says so, and where two have the name nothing is guessed.
func TestNames(t *testing.T) {
	const full, other = "compute.googleapis.com/Firewall", "//compute.googleapis.com/projects/p/global/firewalls/deny"
	known := func(p *party) { p.record(resource(inventory(Create, noon, firewall), full, "579")) }
	for name, c := range map[string]struct {
		do        func(p *party)
		want      string // alive, with the entry that created it
		anomalies []string
	}{
		"the number is the firewall": {func(p *party) {
			known(p)
			p.record(resource(inventory(Modify, noon+1, "579"), "FirewallRule", ""))
			p.record(resource(configured(Create, noon+2, "579", 1), full, ""))
			p.record(inventory(Modify, noon+3, "579")) // without an account
		}, firewall + "@0 =" + firewall, nil},
		"also what was said before that was known": {func(p *party) {
			p.record(resource(inventory(Create, noon, "579"), "FirewallRule", ""))
			p.record(resource(configured(Create, noon, "579", 1), "FirewallRule", ""))
			p.record(resource(shared(Create, noon, "gcp/p/global/FirewallRule/579#tags", 1, "579"), "FirewallRule", ""))
			p.record(resource(inventory(Modify, noon+1, firewall), full, "579"))
		}, firewall + "@0 =" + firewall + " =" + firewall + "#tags", nil},
		"it is deleted by its number": {func(p *party) {
			known(p)
			p.record(resource(inventory(Delete, noon+1, "579"), full, ""))
		}, "", nil},
		"a number of two is of neither": {func(p *party) {
			known(p)
			p.record(resource(inventory(Create, noon, other), full, "579"))
			p.record(resource(inventory(Create, noon+1, "579"), full, ""))
		}, firewall + "@0 " + other + "@1 gcp/p/global/" + full + "/579@2", []string{"2 alias_ambiguous"}},
		"a number of what is gone can be another's": {func(p *party) {
			known(p)
			p.record(inventory(Delete, noon+1, firewall))
			p.record(resource(inventory(Create, noon+2, other), full, "579"))
			p.record(resource(inventory(Modify, noon+3, "579"), full, ""))
		}, other + "@2", nil},
		"a number of an earlier life is not of this one": {func(p *party) {
			known(p)
			p.record(inventory(Delete, noon+1, firewall))
			p.record(resource(inventory(Create, noon+2, firewall), full, "580"))
			p.record(resource(inventory(Create, noon+3, "579"), full, ""))
		}, firewall + "@2 gcp/p/global/" + full + "/579@3", nil},
		"another project's number is another": {func(p *party) {
			known(p)
			e := resource(inventory(Create, noon+1, "579"), full, "")
			e["cloud"].(object)["account"] = object{"uid": "q"}
			p.record(e)
		}, firewall + "@0 gcp/q/global/" + full + "/579@1", nil},
		"a name that others know is no alias": {func(p *party) {
			p.record(resource(inventory(Create, noon, other), full, ""))
			p.record(resource(inventory(Create, noon, firewall), full, other))
		}, firewall + "@1 " + other + "@0", nil},
		"another issuer's word is not this one's": {func(p *party) {
			known(p)
			p.key, p.heads = testKey("auditor"), map[Kind]*scitt.Head{}
			p.record(resource(inventory(Create, noon+1, "579"), full, ""))
		}, firewall + "@0 gcp/p/global/" + full + "/579@1", nil},
		"a scan sees it by its number": {func(p *party) {
			known(p)
			p.record(resource(inventory(Create, noon, other), full, "580"))
			p.scan(noon+1, noon+2, Seen{}, "gcp/p/global/FirewallRule/579")
		}, firewall + "@0", nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := newParty(t, "provider", scitt.TypeRecord)
			c.do(p)
			r := p.replay(nil)
			var anomalies []string
			for _, a := range r.anomalies {
				anomalies = append(anomalies, fmt.Sprintf("%d %s", a.Entry.Index, a.Kind))
			}
			if got := aliveIn(r); got != c.want || !slices.Equal(anomalies, c.anomalies) {
				t.Errorf("alive %s, anomalies %v; want %s, %v", got, anomalies, c.want, c.anomalies)
			}
			// From a saved replay of each beginning, and with the stories of a comparison, it is the same.
			whole := bytesOf(t, r.Save)
			for n := range len(p.entries) {
				part := NewReplay(p.side().Filter, nil)
				if err := part.Advance(t.Context(), p.log(), uint64(n)); err != nil {
					t.Fatal(err)
				}
				again := must(Resume(bytesOf(t, part.Save)))(t)
				if err := again.Advance(t.Context(), p.log(), 1<<40); err != nil || !bytes.Equal(bytesOf(t, again.Save), whole) {
					t.Errorf("from entry %d on: %v\n%s\n%s", n, err, bytesOf(t, again.Save), whole)
				}
			}
			if got := must(Compare(t.Context(), p.side(), p.side(), hour))(t); len(got.Findings) > 0 {
				t.Errorf("it differs from itself: %v", findings(got))
			}
		})
	}
}

func TestHistoryByAnyName(t *testing.T) {
	p := newParty(t, "provider", scitt.TypeRecord)
	const full = "compute.googleapis.com/Firewall"
	p.record(resource(inventory(Create, noon, "579"), full, ""))
	p.record(resource(inventory(Modify, noon+1, firewall), full, "579"))
	p.record(resource(configured(Modify, noon+2, "579", 1), full, ""))
	p.record(resource(inventory(Create, noon+2, firewall+"2"), full, "42"))
	p.record(resource(inventory(Create, noon+2, firewall+"3"), full, "42"))
	p.record(resource(inventory(Delete, noon+3, "579"), full, ""))
	for _, name := range []string{firewall, "579", "gcp/p/global/FirewallRule/579"} {
		h := must(HistoryOf(t.Context(), p.log(), p.side().Filter, name, 1<<40))(t)
		var at []uint64
		for _, s := range h.Steps {
			at = append(at, s.Entry.Index)
		}
		if h.UID != firewall || fmt.Sprint(at) != "[0 1 2 5]" {
			t.Errorf("%s: %s %v", name, h.UID, at)
		}
	}
	if h, err := HistoryOf(t.Context(), p.log(), p.side().Filter, "42", 1<<40); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "2, "+firewall+"3") {
		t.Errorf("of two assets: %v, %v", h, err)
	}
	if asset, err := p.replay(nil).Identify("unknown"); asset != "unknown" || err != nil {
		t.Error(asset, err)
	}
}

// TestCompareNames: one side names by number what the other has by name, and says so.
func TestCompareNames(t *testing.T) {
	const full, other = "compute.googleapis.com/Firewall", "//compute.googleapis.com/projects/p/global/firewalls/deny"
	for name, c := range map[string]struct {
		reported []string // names, with the alias behind a blank
		observed []string
		want     string
		second   string // by version 2
	}{
		"the reports have both":      {[]string{firewall + " 579"}, []string{"579"}, "", "phantom inventory/" + firewall + " r0; missing inventory/gcp/p/global/" + full + "/579 o0"},
		"the observations have both": {[]string{"579"}, []string{firewall + " 579"}, "", "missing inventory/" + firewall + " o0; phantom inventory/gcp/p/global/" + full + "/579 r0"},
		"a number of two": {[]string{firewall + " 579", other + " 579"}, []string{"579"},
			"alias_ambiguous; phantom inventory/" + firewall + " r0; phantom inventory/" + other + " r1; missing inventory/gcp/p/global/" + full + "/579 o0", ""},
		"two numbers of one": {[]string{firewall + " 579", firewall + " 580"}, []string{"579", "580"},
			"phantom inventory/" + firewall + " r0; missing inventory/gcp/p/global/" + full + "/579 o0; missing inventory/gcp/p/global/" + full + "/580 o1", ""},
		"what is observed by its name too is not hidden by an alias": {[]string{firewall + " 579"}, []string{firewall, "579"}, "missing inventory/gcp/p/global/" + full + "/579 o1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			for _, side := range []struct {
				*party
				names []string
			}{{p.provider, c.reported}, {p.auditor, c.observed}} {
				for _, n := range side.names {
					uid, alt, _ := strings.Cut(n, " ")
					side.record(resource(inventory(Modify, noon, uid), full, alt))
				}
			}
			in := Interval{From: at(noon), To: at(noon + 60*minute), Grace: hour.Grace}
			got := p.compare(in)
			var all []string
			for _, a := range got.Observed.Anomalies {
				if a.Kind == AnomalyAlias {
					all = append(all, string(a.Kind))
				}
			}
			if text := strings.Join(append(all, findings(got)...), "; "); text != c.want {
				t.Errorf("%s, want %s", text, c.want)
			}
			if c.second == "" {
				return
			}
			// A measurement of version 2 comes out by the rules of version 2.
			old := must(compare(t.Context(), p.provider.side(), p.auditor.side(), in, newWithheld(nil), secondVersion))(t)
			m := must(Measure(old, measureOptions(Inventory)))(t)
			if text := strings.Join(findings(old), "; "); text != c.second || m.Impact != 50 {
				t.Errorf("version 2: impact %d, %s, want %s", m.Impact, text, c.second)
			}
			if r := must(Recompute(t.Context(), m.Payload, p.provider.log(), p.auditor.log()))(t); !r.Same() {
				t.Errorf("version 2 differs at %v", r.Paths)
			}
		})
	}
}

// TestScansOfSeveral: a scan is held to what its issuer said, whoever else spoke of the same assets.
func TestScansOfSeveral(t *testing.T) {
	p := newParty(t, "provider", scitt.TypeRecord)
	mine := func(do func()) {
		key, heads := p.key, p.heads
		do()
		p.key, p.heads = key, heads
	}
	scan := func(started int64, uids ...string) {
		r := NewReplay(Filter{Issuers: []string{p.issuer()}}, nil)
		if err := r.Advance(t.Context(), p.log(), 1<<40); err != nil {
			t.Fatal(err)
		}
		seen := Seen{Of: p.typ, Started: at(started), Ended: at(started + 1), Assets: map[string]bool{}, Empty: true}
		for _, uid := range uids {
			seen.Assets[uid] = true
		}
		s, _ := r.NewScan(p.issuer(), seen)
		p.registerScan(s, started+1)
	}
	p.record(collected(noon, "eu/a"))
	p.record(collected(noon, "eu/b"))
	p.record(collected(noon, "eu/d"))
	mine(func() {
		p.key, p.heads = testKey("auditor"), map[Kind]*scitt.Head{}
		p.record(collected(noon+1, "eu/a")) // speaks of the provider's asset too
		p.record(collected(noon+1, "eu/c"))
		p.record(inventory(Delete, noon+1, "eu/b"))
		scan(noon+2, "eu/a", "eu/c")
	})
	scan(noon+3, "eu/b")                // a and d are gone, says the provider: a is the auditor's word now
	p.record(collected(noon+4, "eu/e")) // and so on behind it
	scan(noon+5, "eu/b", "eu/e")
	r := p.replay(nil)
	if got := aliveIn(r); got != "eu/a@0 eu/c@4 eu/e@8" || len(r.anomalies) > 0 {
		t.Errorf("%s, %+v", got, r.anomalies)
	}
	again := NewReplay(p.side().Filter, nil)
	if err := again.Advance(t.Context(), p.log(), 8); err != nil {
		t.Fatal(err)
	}
	again = must(Resume(bytesOf(t, again.Save)))(t)
	if err := again.Advance(t.Context(), p.log(), 1<<40); err != nil || !bytes.Equal(bytesOf(t, again.Save), bytesOf(t, r.Save)) {
		t.Errorf("from the middle on: %v", err)
	}
}
