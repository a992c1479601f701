package monitor

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestJudgeUnread: a statement of which it is not known what it says neither
// satisfies nor refuses, where the outcome depends on it, and else changes nothing.
func TestJudgeUnread(t *testing.T) {
	ten := 10
	unread := func(n byte, issuer, subject string) Anomaly {
		return Anomaly{Kind: []AnomalyKind{AnomalyContent, AnomalyUnchecked}[n%2], Entry: gateRef(n), Issuer: issuer, Subject: subject, Detail: "not read"}
	}
	aboutEntry, aboutTwo, aboutThree := "endorsement/"+gateEntry.String(), "endorsement/"+gateRef(2).EntryID, "endorsement/"+gateRef(3).EntryID
	endorsed, disputed := said(2, "A", Endorse, "existence", 24), said(3, "A", Dispute, "existence", 0)
	by := func(issuers ...string) Requirements { return Requirements{EndorsedBy: issuers} }
	measure := Requirements{MeasuredBy: []string{"A"}, MaxImpact: &ten}
	disputeOfMeasurement := said(8, "A", Dispute, "x", 0)
	disputeOfMeasurement.Entry = gateRef(5)
	for name, c := range map[string]struct {
		q        Requirements
		said     []Registered
		measured []Measured
		unread   Anomaly
		outcome  string // what is not satisfied; with "?" what cannot be told
	}{
		"nothing unread":                      {by("A"), []Registered{endorsed}, nil, Anomaly{}, ""},
		"a withdrawal":                        {by("A"), []Registered{endorsed}, nil, unread(9, "A", aboutTwo), "endorsed?"},
		"a withdrawal by another":             {by("A", "B"), []Registered{endorsed, said(4, "B", Endorse, "x", 5)}, nil, unread(9, "B", aboutTwo), ""},
		"a dispute":                           {by("A"), []Registered{endorsed}, nil, unread(10, "A", aboutEntry), "endorsed?, not disputed?"},
		"a dispute of another entry":          {by("A"), []Registered{endorsed}, nil, unread(10, "A", "endorsement/"+gateRef(7).EntryID), ""},
		"by nobody who is named":              {by("A"), []Registered{endorsed}, nil, unread(10, "C", aboutEntry), ""},
		"an endorsement":                      {by("A"), nil, nil, unread(9, "A", aboutEntry), "endorsed?, not disputed?"},
		"an endorsement by one of two":        {by("A", "B"), nil, nil, unread(9, "A", aboutEntry), "endorsed?, endorsed, not disputed?"},
		"a withdrawal of a dispute":           {by("A"), []Registered{endorsed, disputed}, nil, unread(9, "A", aboutThree), "endorsed?, not disputed?"},
		"disputed, whatever else":             {by("A"), []Registered{endorsed, disputed}, nil, unread(9, "A", "measurement/inventory/log"), "endorsed, not disputed"},
		"a measurement":                       {measure, nil, []Measured{took(5, "A", 1, 1)}, unread(9, "A", "measurement/inventory/log"), "measured?, impact?"},
		"a measurement where there is none":   {measure, nil, nil, unread(9, "A", "measurement/inventory/log"), "measured?"},
		"a measurement of another log":        {measure, nil, []Measured{took(5, "A", 1, 1)}, unread(9, "A", "measurement/inventory/else"), ""},
		"a measurement of another kind":       {measure, nil, []Measured{took(5, "A", 11, 1)}, unread(9, "A", "measurement/configuration/log"), "impact"},
		"a dispute of the measurement":        {measure, nil, []Measured{took(5, "A", 1, 1)}, unread(9, "A", "endorsement/"+gateRef(5).EntryID), "measured?, impact?"},
		"a withdrawal of a measurement's":     {measure, []Registered{disputeOfMeasurement}, []Measured{took(5, "A", 1, 1)}, unread(9, "A", "endorsement/"+gateRef(8).EntryID), "measured?"},
		"an anomaly of which all is known":    {by("A"), []Registered{endorsed}, nil, Anomaly{Kind: AnomalySignature, Entry: gateRef(9), Issuer: "A", Subject: aboutEntry}, ""},
		"an endorsement beside one that held": {by("A"), []Registered{said(2, "A", Endorse, "existence", 1)}, nil, unread(9, "A", aboutEntry), "endorsed?, not disputed?"},
	} {
		c.q.What = Inventory
		var outcome []string
		for _, j := range c.q.Judge(gateEntry, "log", c.said, c.measured, []Anomaly{c.unread}, at(noon).Add(4*time.Hour)) {
			switch {
			case j.OK && len(j.Unread) > 0:
				t.Errorf("%s: %s is satisfied by what is not known", name, j.Requirement)
			case len(j.Unread) > 0:
				outcome = append(outcome, j.Requirement+"?")
				if !strings.Contains(j.Detail, "not read") {
					t.Errorf("%s: %s does not say why: %s", name, j.Requirement, j.Detail)
				}
			case !j.OK:
				outcome = append(outcome, j.Requirement)
			}
		}
		// That what may be a dispute is unread says that nothing is known of either.
		if got := strings.Join(outcome, ", "); got != c.outcome && got != strings.TrimSuffix(c.outcome, ", not disputed?") {
			t.Errorf("%s: %q, want %q", name, got, c.outcome)
		}
	}
	for _, e := range Evaluate([]Registered{endorsed}, []Anomaly{unread(9, "A", aboutTwo)}, gateEntry, at(noon)) {
		if e.Standing != Unknown || !slices.Equal(e.By, []EntryRef{gateRef(9)}) {
			t.Errorf("an endorsement that may be withdrawn is %s by %v", e.Standing, e.By)
		}
	}
}
