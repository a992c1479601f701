package monitor

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// gateEntry is the record that the tests judge.
var gateEntry = scitt.EntryID{1}

func gateRef(n byte) EntryRef { return EntryRef{scitt.EntryID{n}.String(), uint64(n), "log"} }

// said is a statement about the entry by an issuer, from noon on.
func said(n byte, issuer string, v Verdict, scope string, hours int) Registered {
	e := Endorsement{Entry: EntryRef{gateEntry.String(), 1, "log"}, Home: "log", Verdict: v, From: at(noon)}
	if scope != "" {
		e.Scope = strings.Split(scope, ",")
	}
	if hours > 0 {
		e.Until = at(noon).Add(time.Duration(hours) * time.Hour)
	}
	return Registered{e, gateRef(n), issuer, noon / 1000}
}

// took is a measurement of the inventory up to some hours after noon, made then.
func took(n byte, issuer string, impact, hours int) Measured {
	to := at(noon).Add(time.Duration(hours) * time.Hour)
	return Measured{Claim: &Claim{
		MeasurementInputs: &MeasurementInputs{Impact: impact, Interval: Interval{From: at(noon), To: to}, Options: MeasureOptions{What: Inventory, At: to, Home: "log"}}, Data: true,
	}, Self: gateRef(n), Issuer: issuer}
}

func TestJudge(t *testing.T) {
	ten := 10
	endorsed := said(2, "A", Endorse, "existence,owner", 24)
	later := took(5, "A", 5, 2)
	later.Options.At = at(noon).Add(30 * time.Hour) // made the next day about today
	noData := took(6, "A", 0, 3)
	noData.Data = false
	configuration := took(7, "A", 0, 3)
	configuration.Options.What = Configuration
	withdrawn := Registered{Endorsement{Entry: gateRef(3), Home: "log", Verdict: Withdraw, From: at(noon).Add(time.Hour)}, gateRef(4), "B", 0}
	disputeOfMeasurement := said(8, "A", Dispute, "x", 0)
	disputeOfMeasurement.Entry = gateRef(5)
	besideEntry := must(scitt.ParseEntryID(gateRef(9).EntryID))(t)
	besideDisputed := said(3, "A", Dispute, "owner", 0)
	besideDisputed.Entry = gateRef(9)
	measure := Requirements{MeasuredBy: []string{"A"}, MaxImpact: &ten, MaxAge: 3 * time.Hour}
	ofPart, part := measure, took(5, "A", 10, 1)
	ofPart.Objects, part.Interval.Scope = Scope{"account=1"}, Scope{"account=1"}
	by := func(issuers ...string) Requirements { return Requirements{EndorsedBy: issuers} }
	scoped := func(scope string) Requirements {
		return Requirements{EndorsedBy: []string{"A"}, Scope: strings.Split(scope, ",")}
	}
	for name, c := range map[string]struct {
		q        Requirements
		said     []Registered
		measured []Measured
		hours    int // after noon
		fails    string
	}{
		"endorsed":                    {by("A"), []Registered{endorsed}, nil, 1, ""},
		"by nobody":                   {by("A"), nil, nil, 1, "endorsed"},
		"by somebody else":            {by("B"), []Registered{endorsed}, nil, 1, "endorsed"},
		"by one of two":               {by("A", "B"), []Registered{endorsed}, nil, 1, "endorsed"},
		"by both":                     {by("A", "B"), []Registered{endorsed, said(3, "B", Endorse, "x", 5)}, nil, 1, ""},
		"not yet":                     {by("A"), []Registered{endorsed}, nil, -1, "endorsed"},
		"first moment":                {by("A"), []Registered{endorsed}, nil, 0, ""},
		"last moment is not included": {by("A"), []Registered{endorsed}, nil, 24, "endorsed"},
		"scope":                       {scoped("existence"), []Registered{endorsed}, nil, 1, ""},
		"scope of two statements":     {scoped("sc-28,existence"), []Registered{endorsed, said(3, "A", Endorse, "sc-28", 5)}, nil, 1, ""},
		"scope, one has ended":        {scoped("sc-28,existence"), []Registered{endorsed, said(3, "A", Endorse, "sc-28", 5)}, nil, 6, "endorsed"},
		"scope of somebody else":      {scoped("sc-28,existence"), []Registered{endorsed, said(3, "B", Endorse, "sc-28", 5)}, nil, 1, "endorsed"},
		"disputed":                    {by("A"), []Registered{endorsed, said(3, "A", Dispute, "owner", 0)}, nil, 1, "endorsed, not disputed"},
		"disputed by nobody named":    {by("A"), []Registered{endorsed, said(3, "B", Dispute, "owner", 0)}, nil, 1, ""},
		"disputed elsewhere":          {scoped("existence"), []Registered{said(2, "A", Endorse, "existence", 5), said(3, "A", Dispute, "owner", 0)}, nil, 1, ""},
		"dispute has ended":           {by("A"), []Registered{endorsed, said(3, "A", Dispute, "owner", 1)}, nil, 1, ""},
		"withdrawn":                   {by("B"), []Registered{said(3, "B", Endorse, "x", 5), withdrawn}, nil, 1, "endorsed"},
		"withdrawn later":             {by("B"), []Registered{said(3, "B", Endorse, "x", 5), withdrawn}, nil, 0, ""},
		"twice the same":              {by("A"), []Registered{endorsed, endorsed}, nil, 1, ""},
		"measured":                    {measure, nil, []Measured{took(5, "A", 10, 1)}, 4, ""},
		"impact":                      {measure, nil, []Measured{took(5, "A", 11, 1)}, 4, "impact"},
		"age":                         {measure, nil, []Measured{took(5, "A", 10, 1)}, 5, "age"},
		"both":                        {measure, nil, []Measured{took(5, "A", 11, 1)}, 5, "impact, age"},
		"of a part":                   {measure, nil, []Measured{part}, 4, "measured"},
		"of the part that is asked":   {ofPart, nil, []Measured{part, took(6, "A", 99, 2)}, 4, ""},
		"of the whole, and not of it": {ofPart, nil, []Measured{took(6, "A", 1, 2)}, 4, "measured"},
		"newest is better":            {measure, nil, []Measured{took(6, "A", 1, 3), took(5, "A", 99, 1)}, 4, ""},
		"newest is worse":             {measure, nil, []Measured{took(6, "A", 99, 3), took(5, "A", 1, 1)}, 4, "impact"},
		"newest is of the future":     {measure, nil, []Measured{took(6, "A", 99, 5), took(5, "A", 1, 1)}, 4, ""},
		"newest is by somebody else":  {measure, nil, []Measured{took(6, "B", 1, 3), took(5, "A", 99, 3)}, 4, "impact"},
		"made later about before":     {measure, nil, []Measured{later}, 31, "age"},
		"no data":                     {measure, nil, []Measured{noData, took(5, "A", 1, 1)}, 4, "measured"},
		"nothing":                     {measure, nil, nil, 4, "measured"},
		"of something else":           {measure, nil, []Measured{configuration}, 4, "measured"},
		"measurement disputed":        {measure, []Registered{disputeOfMeasurement}, []Measured{took(5, "A", 1, 1)}, 4, "measured"},
		"endorsers measure":           {Requirements{EndorsedBy: []string{"A"}, MaxImpact: &ten}, []Registered{endorsed}, []Measured{took(5, "A", 10, 1)}, 4, ""},
		"measurers need not endorse":  {Requirements{EndorsedBy: []string{"A"}, MeasuredBy: []string{"B"}, MaxImpact: &ten}, []Registered{endorsed}, []Measured{took(5, "B", 10, 1)}, 4, ""},
		"a dispute of what is beside": {Requirements{EndorsedBy: []string{"A"}, Beside: []scitt.EntryID{besideEntry}}, []Registered{endorsed, besideDisputed}, nil, 1, "not disputed"},
		"and of something else":       {by("A"), []Registered{endorsed, besideDisputed}, nil, 1, ""},
		"measurers may dispute":       {Requirements{EndorsedBy: []string{"A"}, MeasuredBy: []string{"B"}, MaxImpact: &ten}, []Registered{endorsed, said(3, "B", Dispute, "owner", 0)}, []Measured{took(5, "B", 10, 1)}, 4, "endorsed, not disputed"},
	} {
		c.q.What = Inventory
		if err := c.q.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var fails []string
		for _, j := range c.q.Judge(gateEntry, "log", c.said, c.measured, nil, at(noon).Add(time.Duration(c.hours)*time.Hour)) {
			if !j.OK {
				fails = append(fails, j.Requirement)
			}
			if j.Detail == "" {
				t.Errorf("%s: no word about %s", name, j.Requirement)
			}
		}
		if got := strings.Join(fails, ", "); got != c.fails {
			t.Errorf("%s: %q fails, not %q", name, got, c.fails)
		}
	}
	large := 101
	for name, q := range map[string]Requirements{
		"nothing": {}, "scope alone": {Scope: []string{"a"}}, "by whom": {MaxImpact: &ten}, "too large": {MeasuredBy: []string{"A"}, MaxImpact: &large},
		"negative age": {EndorsedBy: []string{"A"}, MaxAge: -1}, "no token": {EndorsedBy: []string{"A"}, Scope: []string{"A b"}},
	} {
		if q.Check() == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// TestDemand: tokens are for endorsements, and terms for measurements.
func TestDemand(t *testing.T) {
	var q Requirements
	if err := q.Demand([]string{"existence", "type=AWS::EC2::*", "sc-28", "project=1"}); err != nil || strings.Join(q.Scope, " ") != "existence sc-28" || strings.Join(q.Objects, " ") != "account=1 type=AWS::EC2::*" {
		t.Errorf("%q, %q, %v", q.Scope, q.Objects, err)
	}
	if err := q.Demand([]string{"color=red"}); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}
