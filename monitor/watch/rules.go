package watch

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// fromNow and fromStart are the values of logConfig.From.
const (
	fromNow   = "now"
	fromStart = "start"
)

// rule is one rule of a log.
type rule interface {
	key() string  // kind and name
	hash() string // changes when the rule does
	// history says that the rule needs to know the entries of the past.
	history() bool
	// take takes an entry. With an error it has changed nothing and is called
	// again.
	take(ctx context.Context, f *follower, st *ruleState, e *entry) error
	// overdue tells what time brings about.
	overdue(f *follower, st *ruleState, now time.Time)
}

// ruleState is where a rule is.
type ruleState struct {
	Hash  string    `json:"hash"`
	Since time.Time `json:"since"`
	Next  uint64    `json:"next"`            // the first entry that it has not taken
	Tries int       `json:"tries,omitempty"` // how often that could not be read
	Quiet uint64    `json:"quiet"`           // entries before are history
	// Hold are conditions that would hold if history ended here.
	Hold map[string]*Alert `json:"hold,omitempty"`
	// Last is when the newest expected record was signed.
	Last time.Time `json:"last,omitzero"`
	// Endorsed are the endorsements that have not ended.
	Endorsed []endorsed `json:"endorsed,omitempty"`
}

// rulesOf are the rules of a log.
func rulesOf(c *logConfig) []rule {
	var out []rule
	for i := range c.Records {
		out = append(out, &c.Records[i])
	}
	for i := range c.Expected {
		out = append(out, &c.Expected[i])
	}
	for i := range c.Measurements {
		out = append(out, &c.Measurements[i])
	}
	for i := range c.Endorsements {
		out = append(out, &c.Endorsements[i])
	}
	return out
}

func hashOf(r any) string {
	data, err := json.Marshal(r)
	if err != nil {
		panic(err) // it has nothing that cannot be written
	}
	return idOf(string(data))
}

func (r *recordRule) key() string   { return "records/" + r.Name }
func (r *recordRule) hash() string  { return hashOf(r) }
func (r *recordRule) history() bool { return false }

func (r *recordRule) overdue(*follower, *ruleState, time.Time) {}

// take tells an entry that the filter selects.
func (r *recordRule) take(ctx context.Context, f *follower, st *ruleState, e *entry) error {
	if e.index < st.Quiet {
		return nil
	}
	ok, err := f.wanted(ctx, st, r.ruleHead, r.entryFilter, e)
	if err != nil || !ok {
		return err
	}
	what := shortType(e.s.Type)
	if what == "" || what == "." {
		what = "statement"
	}
	if e.facts != nil && e.facts.code != "" {
		what += " " + e.facts.code
	}
	if err := e.signature(); err == nil {
		if ok, err := f.counts(ctx, st, r.ruleHead, e); !ok || err != nil {
			return err
		}
	}
	a := e.alert(checkRecord, r.ruleHead, "new %s, entry %d: %s", what, e.index, e.s.Subject)
	if err := e.signature(); err != nil {
		_, text := signatureCheck(err)
		a.Message += fmt.Sprintf("; %s: %v", text, err)
	}
	f.tell(st, e, a)
	return nil
}

func (r *expectedRule) key() string   { return "expected/" + r.Name }
func (r *expectedRule) hash() string  { return hashOf(r) }
func (r *expectedRule) history() bool { return true }

// due is when the next record is overdue.
func (r *expectedRule) due(st *ruleState) time.Time {
	last := st.Last
	if last.IsZero() {
		last = st.Since
	}
	return last.Add(time.Duration(r.Every) + time.Duration(r.Grace))
}

// take notes when a record was signed. The issuer says so himself; what he
// claims to be in the future counts as now.
func (r *expectedRule) take(ctx context.Context, f *follower, st *ruleState, e *entry) error {
	ok, err := f.wanted(ctx, st, r.ruleHead, r.entryFilter, e)
	if err != nil || !ok {
		return err
	}
	if ok, err := f.counts(ctx, st, r.ruleHead, e); !ok || err != nil {
		return err
	}
	at := f.now()
	if signed := e.s.IssuedTime(); e.s.IssuedAt > 0 && signed.Before(at) {
		at = signed
	}
	if e.index >= st.Quiet {
		if at.After(r.due(st)) {
			f.late(r, st) // unless a look has told it already
		}
		f.resolve(r.key(), "entry %d came, signed at %s", e.index, stamp(at))
	}
	if at.After(st.Last) {
		st.Last = at
	}
	return nil
}

func (r *expectedRule) overdue(f *follower, st *ruleState, now time.Time) {
	if now.After(r.due(st)) {
		f.late(r, st)
	}
}

// late tells that a record did not come.
func (f *follower) late(r *expectedRule, st *ruleState) {
	last := "none was seen since the rule began, at " + stamp(st.Since)
	if !st.Last.IsZero() {
		last = "the last one was signed at " + stamp(st.Last)
	}
	f.fire(r.key(), &Alert{Check: checkExpected, Rule: r.Name, Severity: r.Severity,
		Message: fmt.Sprintf("no record that counts came for %s by %s: one is expected every %v, and %s", r.Name, stamp(r.due(st)), r.Every, last)})
}

func (r *measurementRule) key() string   { return "measurements/" + r.Name }
func (r *measurementRule) hash() string  { return hashOf(r) }
func (r *measurementRule) history() bool { return true }

func (r *measurementRule) overdue(*follower, *ruleState, time.Time) {}

// take holds a measurement to the threshold. The newest one of an issuer, a log
// and a kind counts.
func (r *measurementRule) take(ctx context.Context, f *follower, st *ruleState, e *entry) error {
	if e.s.Type != scitt.TypeMeasurement || !slices.Contains(r.By, e.s.Issuer) {
		return nil
	}
	content, ok, err := f.trusted(ctx, st, r.ruleHead, e)
	if err != nil || !ok {
		return err
	}
	in, err := monitor.ParseMeasurement(content)
	if err == nil && e.s.Subject != in.Subject() {
		err = fmt.Errorf("its subject is %q, and it is about the %s of %s", e.s.Subject, in.Options.What, in.Reported.Origin)
	}
	if err != nil {
		f.invalid(st, r.ruleHead, e, err)
		return nil
	}
	if in.Options.Home != e.log.Origin() {
		f.carried(st, r.ruleHead, e, in.Options.Home)
		return nil
	}
	what := string(in.Options.What)
	if !oneOf(r.About, in.Reported.Origin) || !oneOf(r.What, what) {
		return nil
	}
	scope := in.Interval.Scope
	if len(r.Scope) > 0 && !slices.Equal(scope, r.Scope) {
		return nil
	}
	if r.Over != nil || r.Drift != nil || r.Below != nil {
		var a *Alert
		// One whose numbers cannot be true counts as well: as bad news.
		claim, err := monitor.ParseClaim(content)
		severity, why, within := monitor.Critical, []string{fmt.Sprint(err)}, []string(nil)
		if err == nil {
			severity = claim.Metrics.Severity()
			why, within = r.hold(claim)
		}
		if len(why) > 0 {
			h := r.ruleHead
			h.Severity = cmp.Or(h.Severity, severity)
			about := ""
			if len(scope) > 0 {
				about = "within " + strings.Join(scope, " ") + ", "
			}
			a = e.alert(checkMeasurement, h, "%s%s (%s to %s)", about, strings.Join(why, "; "), stamp(in.Interval.From), stamp(in.Interval.To))
		}
		// What is measured of another scope says nothing of this one.
		key := r.key() + "|" + idOf(append([]string{e.s.Issuer, what, in.Reported.Origin}, scope...)...)
		f.lasting(st, e, key, a, fmt.Sprintf("%s, by entry %d", strings.Join(within, "; "), e.index))
	}
	if r.Recompute && e.index >= st.Quiet {
		f.look.Recompute = append(f.look.Recompute, pending{Rule: r.Name, Index: e.index})
	}
	return nil
}

// hold holds a measurement to the thresholds. It says what its numbers are: those that are beyond a threshold, and all. A
// coverage that is not known is not a good one, and a configuration that may drift counts as one that does.
func (r *measurementRule) hold(in *monitor.Claim) (beyond, all []string) {
	what, origin := in.Options.What, in.Reported.Origin
	add := func(bad bool, limit, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		if all = append(all, text); bad {
			beyond = append(beyond, text+limit)
		}
	}
	if r.Over != nil {
		add(in.Impact > *r.Over, fmt.Sprintf(", more than %d", *r.Over), "%d percent of the %s are missing from the reports in %s", in.Impact, what, origin)
	}
	if r.Drift != nil {
		hidden := ""
		if n := in.Metrics.Undisclosed; n > 0 {
			hidden = fmt.Sprintf(", and %d more may be in fields that are hidden", n)
		}
		add(in.Metrics.Drift+in.Metrics.Undisclosed > *r.Drift, fmt.Sprintf(", more than %d", *r.Drift), "%s drifting from what was observed%s, by the reports in %s",
			plural.Verb(in.Metrics.Drift, "configuration", "is", "are"), hidden, origin)
	}
	if r.Below == nil {
		return beyond, all
	}
	if part, err := strconv.ParseFloat(in.Coverage, 64); err != nil {
		add(true, "", "the coverage of the %s by the reports in %s is not known: nothing was observed", what, origin)
	} else {
		add(part*100 < *r.Below, fmt.Sprintf(", less than %v %%", *r.Below), "the reports in %s cover %s of the observed time of the %s", origin, monitor.Percent(in.Coverage), what)
	}
	return beyond, all
}
