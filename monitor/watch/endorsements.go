package watch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// endorsed is an endorsement that has not ended.
type endorsed struct {
	Self   monitor.EntryRef `json:"self"` // its own entry
	Entry  monitor.EntryRef `json:"entry"`
	Issuer string           `json:"issuer"`
	Scope  string           `json:"scope"` // tokens and commas
	Until  time.Time        `json:"until"`
	// Withdrawn is when its issuer takes it back; zero when he does not.
	Withdrawn time.Time `json:"withdrawn,omitzero"`
}

// group is what a later endorsement renews.
func (e endorsed) group() string { return idOf(e.Issuer, e.Entry.EntryID, e.Scope) }

func (r *endorsementRule) key() string   { return "endorsements/" + r.Name }
func (r *endorsementRule) hash() string  { return hashOf(r) }
func (r *endorsementRule) history() bool { return true }

// take notes an endorsement, or that one is taken back.
func (r *endorsementRule) take(ctx context.Context, f *follower, st *ruleState, e *entry) error {
	if e.s.Type != scitt.TypeEndorsement || !slices.Contains(r.By, e.s.Issuer) {
		return nil
	}
	content, ok, err := f.trusted(ctx, st, r.ruleHead, e)
	if err != nil || !ok {
		return err
	}
	d, err := monitor.ParseEndorsement(content)
	if err == nil && e.s.Subject != d.Subject() {
		err = fmt.Errorf("its subject is %q, and it is about entry %s", e.s.Subject, d.Entry.EntryID)
	}
	if err != nil {
		f.invalid(st, r.ruleHead, e, err)
		return nil
	}
	switch d.Verdict {
	case monitor.Withdraw:
		for i := range st.Endorsed {
			w := &st.Endorsed[i]
			if w.Self.EntryID == d.Entry.EntryID && w.Issuer == e.s.Issuer && (w.Withdrawn.IsZero() || d.From.Before(w.Withdrawn)) {
				w.Withdrawn = d.From
			}
		}
	case monitor.Endorse:
		if d.Home != e.log.Origin() {
			f.carried(st, r.ruleHead, e, d.Home)
			return nil
		}
		if !oneOf(r.About, d.Entry.Origin) || len(r.Scope) > 0 && !slices.ContainsFunc(r.Scope, func(s string) bool { return slices.Contains(d.Scope, s) }) {
			return nil
		}
		if e.index < st.Quiet && !d.Until.After(f.now()) {
			return nil // it ended in history
		}
		st.Endorsed = append(st.Endorsed, endorsed{Self: *e.ref(), Entry: d.Entry, Issuer: e.s.Issuer, Scope: strings.Join(d.Scope, ","), Until: d.Until})
	}
	return nil
}

// overdue tells what ends soon, and what has ended. Of several endorsements of
// the same entry and scope by the same issuer the one that holds longest counts.
func (r *endorsementRule) overdue(f *follower, st *ruleState, now time.Time) {
	longest := map[string]endorsed{}
	var order []string
	for _, e := range st.Endorsed {
		g := e.group()
		if _, ok := longest[g]; !ok {
			order = append(order, g)
			longest[g] = endorsed{} // for one that was taken back
		}
		if (e.Withdrawn.IsZero() || e.Withdrawn.After(now)) && e.Until.After(longest[g].Until) {
			longest[g] = e
		}
	}
	for _, g := range order {
		key, e := r.key()+"|"+g, longest[g]
		alert := func(check Check, format string) *Alert {
			return &Alert{Check: check, Rule: r.Name, Severity: r.Severity, Entry: &e.Entry, Issuer: e.Issuer,
				Message: fmt.Sprintf(format, e.Entry.Index, e.Entry.Origin, e.Scope, stamp(e.Until), e.Self.Index)}
		}
		switch {
		case e.Until.IsZero():
			f.resolve(key, "the endorsement was withdrawn")
		case !e.Until.After(now):
			began := f.look.Conditions[key]
			delete(f.look.Conditions, key)
			a := alert(checkEndorsementExpired, "the endorsement of entry %d of %s (%s) ended at %s: entry %d is its last")
			if began != nil {
				a.Resolves = began.ID
			}
			f.event(a, e.Self.EntryID)
		case !e.Until.Add(-time.Duration(r.Before)).After(now):
			f.fire(key, alert(checkEndorsement, "the endorsement of entry %d of %s (%s) ends at %s: entry %d is its last"))
		default:
			f.resolve(key, "it was renewed until %s", stamp(e.Until))
		}
	}
	// What has ended, or was taken back, is told and over.
	st.Endorsed = slices.DeleteFunc(st.Endorsed, func(e endorsed) bool {
		return !e.Until.After(now) || !e.Withdrawn.IsZero() && !e.Withdrawn.After(now)
	})
}
