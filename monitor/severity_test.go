package monitor

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestSeverity: the one scale, as the table in docs/monitoring.md has it.
func TestSeverity(t *testing.T) {
	doc := string(must(os.ReadFile("../docs/monitoring.md"))(t))
	from := 100
	for _, c := range []struct {
		least    int // the lowest score
		severity Severity
	}{{70, Critical}, {40, High}, {10, Medium}, {1, Low}, {0, Informational}} {
		for score := c.least; score <= from; score++ {
			m := &Metrics{Missing: score, Union: 100}
			if scoreSeverity(score) != c.severity || m.Severity() != c.severity {
				t.Errorf("%d is %s, and %s of metrics; want %s", score, scoreSeverity(score), m.Severity(), c.severity)
			}
		}
		text := fmt.Sprintf("%d to %d", c.least, from)
		switch c.severity {
		case Critical:
			text = fmt.Sprintf("%d and more", c.least)
		case Informational:
			text = "0"
		}
		if row := fmt.Sprintf("| %s | %d | %s |", c.severity, c.severity.ID(), text); !strings.Contains(doc, row) {
			t.Errorf("docs/monitoring.md does not have %s", row)
		}
		from = c.least - 1
	}
	for _, c := range []struct {
		m    Metrics
		want Severity
	}{
		{Metrics{Union: 100, Drift: 1}, Medium}, {Metrics{Union: 100, Drift: 1, Missing: 9}, Medium}, {Metrics{Union: 100, Drift: 1, Missing: 40}, High},
		{Metrics{Union: 1000, Missing: 1}, Low}, {Metrics{Union: 100, Late: 1}, Low}, {Metrics{Union: 100, Phantom: 1}, Low},
		{Metrics{Union: 100, Undisclosed: 1}, Low}, {Metrics{Union: 100, Late: 1, Missing: 10}, Medium}, {Metrics{Union: 100, Pending: 1, Inferred: 1}, Informational},
	} {
		if got := c.m.Severity(); got != c.want {
			t.Errorf("%+v is %s, want %s", c.m, got, c.want)
		}
	}
}
