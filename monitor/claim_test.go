package monitor

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"testing"
)

func TestParseClaim(t *testing.T) {
	p := goldenPair(t)
	m := must(Measure(p.compare(hour), measureOptions(Inventory)))(t)
	c := must(ParseClaim(m.Payload))(t)
	if c.Impact != 25 || c.Coverage != "0.668539" || !c.Data || c.Severity != "Medium" || !slices.Equal(c.Missing, []string{"hidden"}) ||
		!reflect.DeepEqual(c.Metrics, *p.compare(hour).Metrics[Inventory]) || c.ReportedAnomalies != 2 || !c.EvidenceComplete || !reflect.DeepEqual(c.Interval, hour) {
		t.Errorf("%+v", c)
	}
	for name, edit := range map[string][2]string{
		"score of the event": {`"impact_score":25,"is_`, `"impact_score":5,"is_`},
		"score":              {`"impact_score":25,"inf`, `"impact_score":5,"inf`},
		"severity":           {`"severity_id":3`, `"severity_id":1`},
		"coverage":           {`"coverage":"0.668539"`, `"coverage":"0.968539"`},
		"more than all":      {`"covered_ms":"7140000"`, `"covered_ms":"97140000"`},
		"no number":          {`"covered_ms":"7140000"`, `"covered_ms":"-7140000"`},
		"huge number":        {`"covered_ms":"7140000"`, `"covered_ms":"` + string(bytes.Repeat([]byte("7"), 500)) + `"`},
		"missing":            {`"missing":1`, `"missing":5`},
		"parts":              {`"coverage_by_type":[`, `"coverage_by_type":[{"covered_ms":"0","missing":0,"observed":1,"observed_ms":"0","reported":0,"type":"x"},`},
		"negative":           {`"drift":0`, `"drift":-1`},
		"lag":                {`"lag_median_ms":2640000`, `"lag_median_ms":3540001`},
		"no data":            {`"data":true`, `"data":false`},
		"resource":           {`"uid":"hidden"`, `"uid":""`},
		"interval":           {`"start_time":1767268800000`, `"start_time":1767268800001`},
		"kind":               {`"what":"inventory"`, `"what":"weather"`},
		"algorithm":          {`"id":"conmotion-mutual-monitoring"`, `"id":"mine"`},
	} {
		payload := bytes.Replace(m.Payload, []byte(edit[0]), []byte(edit[1]), 1)
		if bytes.Equal(payload, m.Payload) {
			t.Errorf("%s: nothing to edit", name)
		}
		if _, err := ParseClaim(payload); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	empty := newPair(t)
	empty.provider.add(testStatement(t, "keys"))
	empty.auditor.add(testStatement(t, "keys"))
	m = must(Measure(empty.compare(hour), measureOptions(Configuration)))(t)
	if c := must(ParseClaim(m.Payload))(t); c.Data || c.Coverage != "" || c.Severity != "Informational" {
		t.Errorf("%+v", c)
	}
}

func FuzzParseClaim(f *testing.F) {
	p := goldenPair(f)
	m, err := Measure(p.compare(hour), measureOptions(Inventory))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.Payload)
	f.Add([]byte(`{"unmapped":{"conmotion":{"what":"inventory"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseClaim(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Error(err)
			}
			return
		}
		if c.Impact < 0 || c.Impact > 100 || c.Metrics.Missing > c.Metrics.Union || len(c.Missing) > c.Metrics.Missing {
			t.Errorf("%+v", c)
		}
		if c.Coverage != "" {
			if v, err := strconv.ParseFloat(c.Coverage, 64); err != nil || v < 0 || v > 1 {
				t.Errorf("coverage %s", c.Coverage)
			}
		}
	})
}
