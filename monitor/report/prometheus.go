package report

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/conmotion/conmotion/monitor"
)

// exposition is the Prometheus text format 0.0.4.
type exposition struct{ bytes.Buffer }

// sample is one value with its labels: name, value, name, value...
type sample struct {
	labels []string
	value  string
}

// gauge writes one metric family, if it has samples. Of samples with the same
// labels the first one counts.
func (e *exposition) gauge(name, help string, samples []sample) {
	seen := map[string]bool{}
	for _, s := range samples {
		var b strings.Builder
		for i := 0; i < len(s.labels); i += 2 {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(s.labels[i] + `="` + labelValue.Replace(strings.ToValidUTF8(s.labels[i+1], "\ufffd")) + `"`)
		}
		if labels := b.String(); !seen[labels] {
			if len(seen) == 0 {
				fmt.Fprintf(e, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name)
			}
			seen[labels] = true
			if labels != "" {
				labels = "{" + labels + "}"
			}
			fmt.Fprintf(e, "%s%s %s\n", name, labels, s.value)
		}
	}
}

// labelValue escapes what the format gives a meaning.
var labelValue = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func number[T int | uint64](n T) string { return fmt.Sprint(n) }

func truth(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// seconds writes a time of the report as a Unix time.
func seconds(text string) string {
	t, err := time.Parse(timeLayout, text)
	if err != nil {
		return "NaN"
	}
	return milli(t.UnixMilli())
}

// milli writes milliseconds as seconds.
func milli(ms int64) string {
	s := strconv.FormatFloat(float64(ms)/1000, 'f', 3, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// Prometheus is the report as gauges in the Prometheus text format, for a
// textfile collector or a push gateway. There are no timestamps: times are
// values.
func (r *Report) Prometheus() []byte {
	e := &exposition{}
	e.gauge("conmotion_report_time_seconds", "The time that the report was made for.", []sample{{nil, seconds(r.At)}})
	var level []sample
	for _, l := range levels {
		level = append(level, sample{[]string{"level", string(l)}, truth(r.Level == l)})
	}
	e.gauge("conmotion_report_level", "1 for the worst level of what needs attention.", level)
	var attention []sample
	for _, l := range levels[:len(levels)-1] {
		n := 0
		for _, a := range r.Attention {
			if a.Level == l {
				n++
			}
		}
		attention = append(attention, sample{[]string{"level", string(l)}, number(n)})
	}
	e.gauge("conmotion_report_attention", "How many things need attention, by level.", attention)
	r.exposeAssessments(e)
	r.exposeComparisons(e)
	r.exposeLogs(e)
	r.exposeStatements(e)
	return e.Bytes()
}

func (r *Report) exposeAssessments(e *exposition) {
	for _, f := range []struct {
		name, help string
		value      func(series) string // "" for no sample
	}{
		{"impact_score", "Impact score of the newest measurement, 0 to 100.", func(s series) string { return known(s.Newest().Data, number(s.Newest().Impact)) }},
		{"coverage_ratio", "Part of the observed time that was reported, in the newest measurement.", func(s series) string { return s.Newest().Coverage }},
		{"data", "Whether the newest measurement had anything to measure.", func(s series) string { return truth(s.Newest().Data) }},
		{"missing_objects", "Objects that were observed and not reported, in the newest measurement.", func(s series) string { return number(s.Newest().Missing) }},
		{"drifting_objects", "Configurations that differed for longer than the grace, in the newest measurement.", func(s series) string { return number(s.Newest().Drift) }},
		{"late_objects", "Objects that were reported after the grace, in the newest measurement.", func(s series) string { return number(s.Newest().Late) }},
		{"phantom_objects", "Objects that were reported and not observed, in the newest measurement.", func(s series) string { return number(s.Newest().Phantom) }},
		{"objects", "Objects that were observed or reported, in the newest measurement.", func(s series) string { return number(s.Newest().Union) }},
		{"lag_longest_seconds", "Longest time to a report, in the newest measurement.", func(s series) string { return known(s.Newest().LagCount > 0, milli(s.Newest().LagLongest)) }},
		{"lag_median_seconds", "Median time to a report, in the newest measurement.", func(s series) string { return known(s.Newest().LagCount > 0, milli(s.Newest().LagMedian)) }},
		{"measurement_end_seconds", "End of the newest measurement's interval, as a Unix time.", func(s series) string { return seconds(s.Newest().To) }},
		{"measurements", "Measurements in the report's interval.", func(s series) string { return number(len(s.Points) + s.PointsMore) }},
		{"recomputed_same", "1 when the newest measurement was computed again bit for bit, 0 when it differs.", func(s series) string {
			return known(s.Recomputed.State == recomputedSame || s.Recomputed.State == recomputedDiffers, truth(s.Recomputed.State == recomputedSame))
		}},
	} {
		var samples []sample
		for _, a := range r.Assessments {
			for _, s := range a.Series {
				if v := f.value(s); v != "" {
					samples = append(samples, sample{[]string{"provider", a.Origin, "kind", string(s.What), "measured_by", a.Issuer}, v})
				}
			}
		}
		e.gauge("conmotion_"+f.name, f.help, samples)
	}
}

func known(ok bool, value string) string {
	if ok {
		return value
	}
	return ""
}

func (r *Report) exposeComparisons(e *exposition) {
	var found, objects, done []sample
	for _, c := range r.Comparisons {
		pair := []string{"provider", c.Reported.Checkpoint.Origin, "auditor", c.Observed.Checkpoint.Origin}
		done = append(done, sample{pair, truth(c.State == stateDone)})
		for _, what := range kinds {
			n := c.Metrics[what]
			if n == nil {
				continue
			}
			labels := append(slices.Clone(pair), "kind", string(what))
			objects = append(objects, sample{labels, number(n.Union)})
			for _, f := range []struct {
				kind monitor.FindingKind
				n    int
			}{{monitor.Missing, n.Missing}, {monitor.Phantom, n.Phantom}, {monitor.Drift, n.Drift}, {monitor.Late, n.Late}} {
				found = append(found, sample{append(slices.Clone(labels), "finding", string(f.kind)), number(f.n)})
			}
		}
	}
	e.gauge("conmotion_comparison_done", "Whether the logs could be compared.", done)
	e.gauge("conmotion_comparison_objects", "Objects that were observed or reported in the report's interval, by the reader's own comparison.", objects)
	e.gauge("conmotion_comparison_findings", "Objects with a difference in the report's interval, by the reader's own comparison.", found)
}

func (r *Report) exposeLogs(e *exposition) {
	var good, state, size, signed, grown, pins, proofs []sample
	for _, l := range r.Logs {
		name := []string{"log", l.Location, "origin", l.Origin}
		with := func(more ...string) []string { return append(slices.Clone(name), more...) }
		good = append(good, sample{name, truth(l.State == stateGood)})
		state = append(state, sample{with("state", string(l.State)), "1"})
		proofs = append(proofs, sample{name, number(len(l.Proofs))})
		if l.State != stateGood {
			continue
		}
		size = append(size, sample{name, number(l.Checkpoint.Size)})
		grown = append(grown, sample{name, number(l.Grown)})
		if l.Signed != "" {
			signed = append(signed, sample{name, seconds(l.Signed)})
		}
		for _, p := range []struct {
			pin logPin
			n   int
		}{{pinConsistent, l.Pins.Consistent}, {pinAhead, l.Pins.Ahead}, {pinConflict, l.Pins.Conflict}} {
			pins = append(pins, sample{with("pin", string(p.pin)), number(p.n)})
		}
	}
	e.gauge("conmotion_log_good", "Whether the log could be read and verified.", good)
	e.gauge("conmotion_log_state", "1 for the state that the log is in.", state)
	e.gauge("conmotion_log_entries", "Entries under the log's checkpoint.", size)
	e.gauge("conmotion_log_entries_in_interval", "Entries that were signed in the report's interval.", grown)
	e.gauge("conmotion_log_checkpoint_time_seconds", "When the log's checkpoint was signed, as a Unix time.", signed)
	e.gauge("conmotion_log_pinned_checkpoints", "Checkpoints of the log that measurements pin, by whether the log extends them.", pins)
	e.gauge("conmotion_log_equivocation_proofs", "Proofs that the log signed two histories.", proofs)
}

func (r *Report) exposeStatements(e *exposition) {
	var standings, left []sample
	for _, c := range r.Endorsements.Standings {
		standings = append(standings, sample{[]string{"verdict", string(c.Verdict), "standing", string(c.Standing)}, number(c.Count)})
	}
	for _, c := range r.LeftOut.Counts {
		left = append(left, sample{[]string{"type", c.Type, "reason", string(c.Reason)}, number(c.Count)})
	}
	e.gauge("conmotion_endorsements", "Endorsements and disputes by those whose word counts, by standing.", standings)
	e.gauge("conmotion_left_out_statements", "Statements that do not count, by reason.", left)
}
