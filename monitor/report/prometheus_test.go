package report

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// TestPrometheus: what is written is what Prometheus reads, with labels whole.
func TestPrometheus(t *testing.T) {
	for _, name := range []string{"report", "empty", "hostile"} {
		data := must(os.ReadFile(filepath.Join("testdata", name+".prom")))(t)
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		samples := 0
		for _, f := range families {
			samples += len(f.Metric)
		}
		if lines := bytes.Count(data, []byte("\n")) - bytes.Count(data, []byte("# ")); samples != lines {
			t.Errorf("%s: %d samples on %d lines", name, samples, lines)
		}
		problems, err := promlint.New(bytes.NewReader(data)).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s: %s", name, p.Metric, p.Text)
		}
		if name != "hostile" {
			continue
		}
		found := false
		for _, m := range families["conmotion_log_state"].Metric {
			for _, l := range m.Label {
				found = found || l.GetName() == "log" && l.GetValue() == hostile[1]
			}
		}
		if !found {
			t.Error("the hostile location is not the label that it was")
		}
	}
	e := &exposition{}
	e.gauge("x", "X.", []sample{{[]string{"a", "\\\"\n\xff"}, "1"}, {[]string{"a", "\\\"\n\xff"}, "2"}, {nil, "3"}})
	if want := "# HELP x X.\n# TYPE x gauge\nx{a=\"\\\\\\\"\\n\ufffd\"} 1\nx 3\n"; e.String() != want {
		t.Errorf("%q", e.String())
	}
	if !strings.HasPrefix(seconds("never"), "NaN") || milli(1500) != "1.5" || milli(2000) != "2" || milli(0) != "0" {
		t.Error(seconds("never"), milli(1500), milli(2000), milli(0))
	}
}
