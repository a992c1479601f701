package report

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// assess puts the measurements in order: by the log that they are about, who
// measured, the kind, and time.
func (m *maker) assess(ctx context.Context) error {
	slices.SortFunc(m.measurements, func(a, b measurement) int {
		x, y := a.claim, b.claim
		return cmp.Or(
			cmp.Compare(x.Reported.Origin, y.Reported.Origin), cmp.Compare(a.issuer, b.issuer),
			-cmp.Compare(x.Options.What, y.Options.What), // inventory first
			x.Interval.To.Compare(y.Interval.To), x.Options.At.Compare(y.Options.At), cmp.Compare(a.link.EntryID, b.link.EntryID))
	})
	for all := m.measurements; len(all) > 0; {
		c, who := all[0].claim, all[0].issuer
		n := slices.IndexFunc(all, func(o measurement) bool {
			return o.issuer != who || o.claim.Reported.Origin != c.Reported.Origin || o.claim.Options.What != c.Options.What
		})
		if n < 0 {
			n = len(all)
		}
		s, err := m.series(ctx, all[:n])
		if err != nil {
			return err
		}
		if k := len(m.r.Assessments); k == 0 || m.r.Assessments[k-1].Issuer != who || m.r.Assessments[k-1].Origin != c.Reported.Origin {
			m.r.Assessments = append(m.r.Assessments, assessment{who, c.Reported.Origin, nil})
		}
		a := &m.r.Assessments[len(m.r.Assessments)-1]
		a.Series = append(a.Series, s)
		all = all[n:]
	}
	return nil
}

// series are the measurements of one kind, of one log, by one issuer.
func (m *maker) series(ctx context.Context, all []measurement) (series, error) {
	newest := all[len(all)-1]
	more := max(0, len(all)-maxPoints)
	s := series{
		What: newest.claim.Options.What, Missing: list(newest.claim.Missing), PointsMore: more, newest: newest,
		Recomputed: recomputed{Paths: []string{}, State: recomputedNot},
	}
	for _, one := range all[more:] {
		p, err := m.point(ctx, one)
		if err != nil {
			return s, err
		}
		s.Points = append(s.Points, p)
	}
	s.Level = s.Newest().Level
	return s, nil
}

// point is a measurement as the report shows it.
func (m *maker) point(ctx context.Context, one measurement) (point, error) {
	c := one.claim
	n := &c.Metrics
	p := point{
		AlsoIn: list(slices.Sorted(slices.Values(one.alsoIn))), Coverage: c.Coverage, Data: c.Data, Drift: n.Drift, Entry: one.link,
		EvidenceComplete: c.EvidenceComplete, From: timestamp(c.Interval.From), GraceMS: c.Interval.Grace.Milliseconds(), Impact: c.Impact,
		LagCount: n.LagCount, LagLongest: n.LagLongest, LagMedian: n.LagMedian, Late: n.Late, Measured: timestamp(c.Options.At),
		Missing: n.Missing, Pending: n.Pending, Phantom: n.Phantom, To: timestamp(c.Interval.To), Undisclosed: n.Undisclosed, Union: n.Union,
		Level: levelUnknown,
	}
	if c.Data {
		p.Level = levelOf(n.Severity())
	}
	var err error
	if p.Reported, err = m.side(ctx, c.Reported, c.ReportedAnomalies, n.Reported); err != nil {
		return p, err
	}
	p.Observed, err = m.side(ctx, c.Observed, c.ObservedAnomalies, n.Observed)
	return p, err
}

func (m *maker) side(ctx context.Context, cp *scitt.Checkpoint, anomalies uint64, objects int) (measuredSide, error) {
	pin, err := m.pin(ctx, cp)
	return measuredSide{anomalies, *pinned(cp), objects, pin}, err
}

// pin holds the checkpoint that a measurement pins against the logs with its
// origin: the worst counts.
func (m *maker) pin(ctx context.Context, cp *scitt.Checkpoint) (logPin, error) {
	worst := pinUnknown
	for _, l := range m.logs {
		if !l.good() || l.health.Origin != cp.Origin {
			continue
		}
		pin, err := l.pin(ctx, cp)
		if err != nil {
			return pin, err
		}
		order := []logPin{pinUnknown, pinConsistent, pinAhead, pinConflict}
		if slices.Index(order, pin) > slices.Index(order, worst) {
			worst = pin
		}
	}
	return worst, nil
}

func (l *log) pin(ctx context.Context, cp *scitt.Checkpoint) (logPin, error) {
	key := fmt.Sprintf("%d %s", cp.Size, hex.EncodeToString(cp.Root))
	if pin, ok := l.pins[key]; ok {
		return pin, nil
	}
	pin := pinConsistent
	now := l.log.Checkpoint
	switch err := l.consistent(ctx, cp); {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case cp.Size > now.Size:
		pin = pinAhead
		l.health.Pins.Ahead++
	case errors.Is(err, scitt.ErrProof):
		pin = pinConflict
		l.health.Pins.Conflict++
	case err != nil:
		pin = pinUnknown
	default:
		l.health.Pins.Consistent++
	}
	l.pins[key] = pin
	return pin, nil
}

func (l *log) consistent(ctx context.Context, cp *scitt.Checkpoint) error {
	now := l.log.Checkpoint
	switch {
	case cp.Size > now.Size:
		return nil
	case cp.Size == now.Size && !bytes.Equal(cp.Root, now.Root):
		return scitt.ErrProof
	}
	return l.log.Source.Consistency(ctx, cp)
}

// recompute computes the newest measurements again, where both logs are there.
func (m *maker) recompute(ctx context.Context) error {
	if !m.Recompute {
		return nil
	}
	for i := range m.r.Assessments {
		for j := range m.r.Assessments[i].Series {
			s := &m.r.Assessments[i].Series[j]
			if err := m.recomputeOne(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *maker) recomputeOne(ctx context.Context, s *series) error {
	c, out := s.newest.claim, &s.Recomputed
	reported, why := m.pinnedLog(ctx, c.Reported)
	observed, whyToo := m.pinnedLog(ctx, c.Observed)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if out.Detail = cmp.Or(why, whyToo); out.Detail != "" {
		return nil
	}
	r, err := monitor.Recompute(ctx, s.newest.payload, *reported, *observed)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		out.State, out.Detail = recomputedFailed, shorten(err.Error(), maxDetail)
		out.withheld, _ = errors.AsType[*monitor.WithheldError](err)
	case r.Same():
		out.State = recomputedSame
	default:
		out.State, out.Paths, out.PathsMore = recomputedDiffers, list(r.Paths), r.PathsMore
	}
	return nil
}

// pinnedLog is a log at the checkpoint that a measurement pins, or why not.
func (m *maker) pinnedLog(ctx context.Context, cp *scitt.Checkpoint) (*monitor.Log, string) {
	l := m.byOrigin(cp.Origin)
	if l == nil || l.at == nil {
		return nil, fmt.Sprintf("the log %s was not given, or could not be used", cp.Origin)
	}
	if pin, err := l.pin(ctx, cp); err != nil || pin != pinConsistent {
		return nil, fmt.Sprintf("the log %s is not one that extends the checkpoint with %d entries", cp.Origin, cp.Size)
	}
	at, err := l.at(ctx, cp)
	if err != nil {
		return nil, shorten(err.Error(), maxDetail)
	}
	return &at, ""
}
