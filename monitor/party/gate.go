package party

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/witness"
)

// Gate judges, before somebody relies on a record, whether what is asked for is there.
type Gate struct {
	monitor.Requirements
	Open    Options    // how the logs were opened
	At      time.Time  // to judge at
	Issuers []string   // of the records that count for an asset; anybody's when there are none
	Until   *time.Time // of the events that count for an asset; nil for all
	// Recompute has the measurement that counts computed again.
	Recompute bool
	// Logs are looked in for statements. The first is the one that the entry is in.
	Logs []*Log

	// Entry is what is judged, and Checks what was found about it.
	Entry  *Entry
	Checks []witness.Finding
}

// Asset has the newest inventory record of an asset judged, if it is alive. Disputes of
// the newest records of its configurations count too.
func (g *Gate) Asset(ctx context.Context, uid string, progress func(done, size uint64)) error {
	l := g.Logs[0]
	r := monitor.NewReplay(monitor.Filter{Issuers: g.Issuers}, g.Until)
	// In steps, so that a long replay shows that it goes on.
	for size := l.View.Checkpoint.Size; r.Next() < size; {
		if err := r.Advance(ctx, l.Monitor(), min(size, r.Next()+replayStep)); err != nil {
			return fmt.Errorf("replay %s: %w", l.Location, err)
		}
		progress(r.Next(), size)
	}
	uid, err := r.Identify(uid)
	if err != nil {
		g.found("asset", witness.NotChecked, "%v", err)
		return nil
	}
	asset, alive := r.Asset(uid)
	switch unread := r.Unread(); {
	case unread.Any():
		g.found("asset", witness.NotChecked, "whether %q is in the inventory, and which is its newest record, cannot be told: %s. --issuer selects whose records count", uid, unread)
	case alive:
		g.found("asset", witness.OK, "%q is in the inventory of %s", uid, l.View.Checkpoint.Origin)
	default:
		g.found("asset", witness.Failed, "%q is not in the inventory of %s: it was never there, or was deleted", uid, l.View.Checkpoint.Origin)
	}
	if !alive {
		return nil
	}
	if g.Entry, err = l.FindSigned(ctx, EntryName{Location: l.Location, Index: asset.Last.Index}, progress); err != nil {
		return err
	}
	for _, c := range r.ConfigurationsOf(uid) {
		if c.Last.Index == asset.Last.Index {
			continue
		}
		e, err := l.FindSigned(ctx, EntryName{Location: l.Location, Index: c.Last.Index}, progress)
		if err != nil {
			return err
		}
		g.Beside = append(g.Beside, e.Statement.ID())
	}
	return nil
}

// replayStep is how many entries are replayed between two words about progress.
const replayStep = 1 << 14

func (g *Gate) found(check, result, format string, args ...any) {
	g.Checks = append(g.Checks, witness.Finding{Check: check, Result: result, Detail: fmt.Sprintf(format, args...)})
}

// Judge gathers what is said about the entry, and about its log.
func (g *Gate) Judge(ctx context.Context) error {
	if g.What == "" {
		g.What = monitor.Inventory
		if strings.HasPrefix(g.Entry.Statement.Subject, string(monitor.Configuration)+"/") {
			g.What = monitor.Configuration
		}
	}
	if err := g.inScope(ctx); err != nil {
		return err
	}
	said, err := gatherSaid(ctx, g.Logs, g.Named(), g.MaxImpact != nil || g.MaxAge > 0, g.Open.notice)
	if err != nil {
		return err
	}
	var measured []monitor.Measured
	for _, m := range said.measured {
		if m.Reported.Origin != g.Logs[0].View.Checkpoint.Origin {
			continue
		}
		switch result, why, err := g.pinned(ctx, m); {
		case err != nil:
			return err
		case result != witness.OK:
			g.found("measurement", result, "%s does not count: %s", m.Self, why)
		default:
			measured = append(measured, m)
		}
	}
	for _, j := range g.Requirements.Judge(g.Entry.Statement.ID(), g.Logs[0].Origin(), said.statements, measured, said.unread, g.At) {
		result := witness.OK
		switch {
		case len(j.Unread) > 0:
			result = witness.NotChecked
		case !j.OK:
			result = witness.Failed
		}
		g.found(j.Requirement, result, "%s", j.Detail)
	}
	if n := monitor.CountUnread(said.flaws).NoStatement; n > 0 {
		g.found("entries", witness.NotChecked, "%s nobody's statement in these logs: a dispute or a withdrawal could be among them; conmotion audit names them", plural.Verb(n, "entry", "is", "are"))
	}
	if newest := g.Requirements.Newest(said.statements, measured, g.At); g.Recompute && newest != nil {
		return g.again(ctx, newest)
	}
	return nil
}

// Verdict is what the checks come to: why the entry is refused, and what cannot be told; both
// are "" where everything that is asked for is there.
func (g *Gate) Verdict() (refused, unknown string) {
	reasons := map[string][]string{}
	for _, c := range g.Checks {
		reasons[c.Result] = append(reasons[c.Result], c.Check+": "+c.Detail)
	}
	return strings.Join(reasons[witness.Failed], "; "), strings.Join(reasons[witness.NotChecked], "; ")
}

// inScope holds the entry to the scope of the measurements that count: others say nothing of it.
func (g *Gate) inScope(ctx context.Context) error {
	if len(g.Objects) == 0 {
		return nil
	}
	content, err := g.Logs[0].Content(ctx, g.Entry.Statement)
	switch event, parsed := monitor.ParseEvent(content); {
	case monitor.Withheld(err), monitor.Private(err), errors.Is(err, reader.ErrUnread):
		g.found("scope", witness.NotChecked, "whether the record is of something in %s cannot be told: %v", g.Objects, err)
	case err != nil:
		return err
	case parsed != nil:
		g.found("scope", witness.Failed, "whether it is in %s it does not say: %v", g.Objects, parsed)
	case !event.In(g.Objects):
		g.found("scope", witness.Failed, "the record is of nothing in %s, so measurements of that do not speak of it", g.Objects)
	default:
		g.found("scope", witness.OK, "the record is of something in %s", g.Objects)
	}
	return nil
}

// pinned reports whether a measurement is of this log's history, and why not.
func (g *Gate) pinned(ctx context.Context, m monitor.Measured) (result, why string, err error) {
	l := g.Logs[0]
	if m.Reported.Size > l.View.Checkpoint.Size { // it grew meanwhile
		if err := l.Refresh(ctx, g.Open); err != nil {
			return "", "", err
		}
		if m.Reported.Size > l.View.Checkpoint.Size {
			return witness.NotChecked, fmt.Sprintf("it is of %s, and the log shows %d", plural.Of(m.Reported.Size, "entry"), l.View.Checkpoint.Size), nil
		}
	}
	err = l.View.Consistency(ctx, m.Reported)
	if errors.Is(err, scitt.ErrProof) {
		return "left out", "the log does not extend the checkpoint that it pins: one of the two is not true", nil
	}
	return witness.OK, "", err
}

// again computes the measurement that counts once more.
func (g *Gate) again(ctx context.Context, m *monitor.Measured) error {
	found := func(result, format string, args ...any) error {
		g.found("recomputed", result, format, args...)
		return nil
	}
	reported, err := g.Logs[0].At(ctx, m.Reported)
	if err != nil {
		return err // that it extends what is pinned has been checked
	}
	var observed *monitor.Log
	for _, l := range g.Logs {
		if l.View.Checkpoint.Origin != m.Observed.Origin {
			continue
		}
		switch at, err := l.At(ctx, m.Observed); {
		case errors.Is(err, scitt.ErrProof):
			return found(witness.Failed, "the log %s does not extend the checkpoint that the measurement pins", m.Observed.Origin)
		case err != nil:
			return err
		default:
			observed = &at
		}
	}
	if observed == nil {
		return found(witness.NotChecked, "the log %s is needed for that: give it with --in", m.Observed.Origin)
	}
	r, err := monitor.Recompute(ctx, m.Payload, reported, *observed)
	if unchecked(err) {
		return found(witness.NotChecked, "%s: %v", m.Self, err)
	}
	if err != nil {
		return err
	}
	if !r.Same() {
		return found(witness.Failed, "%s differs at %s", m.Self, strings.Join(r.Paths, ", "))
	}
	return found(witness.OK, "%s, bit for bit", m.Self)
}
