package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/policy/ocsf"
	"github.com/conmotion/conmotion/scitt"
)

func TestImpact(t *testing.T) {
	for _, c := range [][3]int{{0, 0, 0}, {0, 9, 0}, {1, 2, 50}, {1, 3, 33}, {2, 3, 67}, {1, 200, 1}, {1, 201, 0}, {199, 200, 100}, {9, 9, 100}, {1, 8, 13}, {3, 8, 38}} {
		if got := impact(c[0], c[1]); got != c[2] {
			t.Errorf("%d of %d is %d, not %d", c[0], c[1], got, c[2])
		}
	}
	for _, c := range [][3]string{{"0", "0", ""}, {"0", "1", "0.000000"}, {"1", "3", "0.333333"}, {"2", "3", "0.666667"}, {"7", "7", "1.000000"}, {"1", "2000000", "0.000001"}, {"1", "2000001", "0.000000"}} {
		if got, err := ratio(c[0], c[1]); err != nil || got != c[2] {
			t.Errorf("%s / %s is %s, not %s", c[0], c[1], got, c[2])
		}
	}
}

func measureOptions(what Kind) MeasureOptions {
	return MeasureOptions{What: what, At: at(noon + 61*minute), Home: "log.auditor.example", ReportedURL: "https://log.provider.example"}
}

func valid(t *testing.T, payload []byte) {
	t.Helper()
	report, err := ocsf.Default().Check(payload)
	if err != nil || !report.OK() {
		t.Errorf("%v, errors %v", err, report.Errors)
	}
	for _, w := range report.Warnings {
		if w.Code != ocsf.CodeRecommendedMissing {
			t.Errorf("warning %s", w)
		}
	}
}

func TestMeasure(t *testing.T) {
	p := goldenPair(t)
	for what, impact := range map[Kind]int{Inventory: 25, Configuration: 0} {
		m := must(Measure(p.compare(hour), measureOptions(what)))(t)
		golden(t, "measurement-"+string(what)+".json", m.Payload)
		valid(t, m.Payload)
		if m.Impact != impact {
			t.Errorf("%s: impact %d", what, m.Impact)
		}
		r := must(Recompute(t.Context(), m.Payload, p.provider.log(), p.auditor.log()))(t)
		if !r.Same() || !bytes.Equal(r.Measurement.Payload, m.Payload) {
			t.Errorf("differs at %v", r.Paths)
		}
		s := must(scitt.ParseStatement(must(testlog.SignAs(testKey("auditor"), m, scitt.SignOptions{IssuedAt: at(noon + 61*minute)}))(t)))(t)
		if s.Type != scitt.TypeMeasurement || s.Subject != "measurement/"+string(what)+"/log.provider.example" || s.ContentType != ContentType {
			t.Errorf("%+v", s)
		}
	}
}

// TestMeasureVersion2: what was measured by version 2 comes out by version 2, to the byte.
func TestMeasureVersion2(t *testing.T) {
	p := goldenPair(t)
	payload := must(Canonical(must(os.ReadFile("testdata/measurement-2-inventory.json"))(t)))(t)
	r := must(Recompute(t.Context(), payload, p.provider.log(), p.auditor.log()))(t)
	if !r.Same() {
		t.Errorf("differs at %v", r.Paths)
	}
}

// TestMeasureArchitecture: of two instances the auditor observes one that the
// provider did not report: 50. The events are the architecture's own where
// they are at hand.
func TestMeasureArchitecture(t *testing.T) {
	p := newPair(t)
	when := int64(1752469463715)
	for _, side := range []struct {
		party *party
		name  string
	}{{p.provider, "csp"}, {p.auditor, "auditor"}} {
		event := encode(inventory(Create, when, side.name))
		if data, err := os.ReadFile(filepath.Join("..", "..", "shared", "ocsf", "conmotion-example_inventory_"+side.name+".json")); err == nil {
			event = data
		}
		r := must(NewRecord(event, Inventory, Create))(t)
		s := side.party.add(must(testlog.SignAs(side.party.key, r, scitt.SignOptions{Type: side.party.typ, IssuedAt: at(when), Chain: (*scitt.Head)(nil).Next("inventory")}))(t))
		if side.party == p.provider { // it registers at the auditor's log too
			p.auditor.entries = append(p.auditor.entries, s.Entry())
		}
	}
	in := Interval{at(when - 60*minute), at(when + 60*minute), 15 * time.Minute, nil}
	m := must(Measure(p.compare(in), MeasureOptions{What: Inventory, At: in.To, Home: "log.auditor.example"}))(t)
	if m.Impact != 50 {
		t.Errorf("impact %d: %s", m.Impact, m.Payload)
	}
	valid(t, m.Payload)
}

func TestMeasureNothing(t *testing.T) {
	p := newPair(t)
	p.provider.add(testStatement(t, "keys"))
	p.auditor.add(testStatement(t, "keys"))
	m := must(Measure(p.compare(hour), measureOptions(Inventory)))(t)
	if m.Impact != 0 || !bytes.Contains(m.Payload, []byte(`"status_detail":"no data"`)) {
		t.Errorf("%s", m.Payload)
	}
	valid(t, m.Payload)
	if r := must(Recompute(t.Context(), m.Payload, p.provider.log(), p.auditor.log()))(t); !r.Same() {
		t.Errorf("differs at %v", r.Paths)
	}
	unverified := p.auditor.side()
	unverified.Log.Verify = nil
	if _, err := Measure(must(Compare(t.Context(), p.provider.side(), unverified, hour))(t), measureOptions(Inventory)); !errors.Is(err, ErrUnverified) {
		t.Error(err)
	}
	for name, o := range map[string]MeasureOptions{
		"no kind": {At: hour.To, Home: "h"}, "early": {What: Inventory, Home: "h", At: hour.To.Add(-time.Millisecond)},
		"micro": {What: Inventory, Home: "h", At: hour.To.Add(time.Microsecond)}, "late": {What: Inventory, Home: "h", At: time.Unix(maxSeconds+1, 0)},
		"no home": {What: Inventory, At: hour.To},
	} {
		if _, err := Measure(p.compare(hour), o); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMeasureMany: what is listed is bounded and fits into an entry.
func TestMeasureMany(t *testing.T) {
	p := newPair(t)
	for i := range 70 {
		p.auditor.record(inventory(Create, noon, fmt.Sprintf("arn:aws:ec2:eu-central-1:340287110954:instance/i-0a52c1f3e8d97b%03d-a", i), fmt.Sprint(i)))
		p.provider.record(inventory(Create, noon, fmt.Sprintf("p%d", i)))
	}
	m := must(Measure(p.compare(hour), measureOptions(Inventory)))(t)
	if m.Impact != 67 || len(m.Payload) > 50_000 || !bytes.Contains(m.Payload, []byte(`"evidence_complete":false`)) {
		t.Errorf("impact %d, %d bytes", m.Impact, len(m.Payload))
	}
	valid(t, m.Payload)
}

func TestRecomputeFindsLies(t *testing.T) {
	p := goldenPair(t)
	m := must(Measure(p.compare(hour), measureOptions(Inventory)))(t)
	recompute := func(payload []byte) (*Recomputation, error) {
		return Recompute(t.Context(), payload, p.provider.log(), p.auditor.log())
	}
	for name, c := range map[string]struct{ old, new, path string }{
		"score":         {`"impact_score":25,`, `"impact_score":5,`, "$.impact_score"},
		"result":        {`"late":1,"missing":1`, `"late":1,"missing":0`, "$.unmapped.conmotion.result.missing"},
		"coverage":      {`"coverage":"0.`, `"coverage":"1.`, "$.unmapped.conmotion.result.coverage"},
		"resource":      {`"uid":"hidden"`, `"uid":"other"`, "$.resources[0].uid"},
		"comparison":    {`"comparison_sha256":"`, `"comparison_sha256":"0`, "$.unmapped.conmotion.comparison_sha256"},
		"added":         {`{"activity_id":1`, `{"a":1,"activity_id":1`, "$.a"},
		"another grace": {`"grace_ms":900000`, `"grace_ms":0`, "$.unmapped.conmotion.comparison_sha256"},
		"spelling":      {`{"activity_id":1`, `{ "activity_id":1`, "$"},
	} {
		payload := bytes.Replace(m.Payload, []byte(c.old), []byte(c.new), 1)
		r, err := recompute(payload)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if r.Same() || !slices.Contains(r.Paths, c.path) {
			t.Errorf("%s: differs at %v, not at %s", name, r.Paths, c.path)
		}
	}
	for name, c := range map[string]struct {
		payload string
		err     error
	}{
		"no JSON":           {"{", ErrMalformed},
		"no measurement":    {"{}", ErrMalformed},
		"another algorithm": {string(bytes.Replace(m.Payload, []byte(`{"id":"`+measurementAlgorithm), []byte(`{"id":"x`), 1)), ErrMalformed},
		"another kind":      {string(bytes.Replace(m.Payload, []byte(`"what":"inventory"`), []byte(`"what":"x"`), 1)), ErrMalformed},
		"bad time":          {string(bytes.Replace(m.Payload, []byte(`"from":"2026`), []byte(`"from":"26`), 1)), ErrMalformed},
		"bad root":          {string(bytes.Replace(m.Payload, []byte(`"root":"`), []byte(`"root":"g`), 1)), ErrMalformed},
		"huge grace":        {string(bytes.Replace(m.Payload, []byte(`"grace_ms":900000`), []byte(`"grace_ms":9223372036854775807`), 1)), ErrMalformed},
		"another size":      {string(bytes.Replace(m.Payload, []byte(`"size":3`), []byte(`"size":4`), 1)), ErrPinned},
		"another origin":    {string(bytes.Replace(m.Payload, []byte(`"origin":"log.provider.example","root"`), []byte(`"origin":"x","root"`), 1)), ErrPinned},
	} {
		if _, err := recompute([]byte(c.payload)); !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The logs grew: what is pinned counts.
	in := must(ParseMeasurement(m.Payload))(t)
	p.provider.record(inventory(Create, noon+minute, "hidden"))
	if _, err := recompute(m.Payload); !errors.Is(err, ErrPinned) {
		t.Errorf("a log that grew: %v", err)
	}
	if in.Reported.Size != uint64(len(p.provider.entries)-1) || in.Impact != 25 || !reflect.DeepEqual(in.Interval, hour) {
		t.Errorf("%+v", in)
	}
}

func FuzzParseMeasurement(f *testing.F) {
	p := goldenPair(f)
	m, err := Measure(p.compare(hour), measureOptions(Inventory))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.Payload)
	f.Add([]byte(`{"unmapped":{"conmotion":{}}}`))
	reported, observed := p.provider.log(), p.auditor.log()
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := ParseMeasurement(data); err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Error(err)
			}
			return
		}
		r, err := Recompute(t.Context(), data, reported, observed)
		if err != nil {
			return
		}
		if r.Same() != bytes.Equal(data, r.Measurement.Payload) {
			t.Error("same and yet not")
		}
	})
}

func FuzzDifferences(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":null}]}`), []byte(`{"a":[1,{"b":0}],"c d":""}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		x, errA := canonical(a)
		y, errB := canonical(b)
		if errA != nil || errB != nil || !json.Valid(x) || !json.Valid(y) {
			return
		}
		paths, _ := differences(x, y)
		if bytes.Equal(x, y) != (len(paths) == 0) {
			t.Errorf("%s and %s: %q", x, y, paths)
		}
	})
}
