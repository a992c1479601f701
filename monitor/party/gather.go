package party

import (
	"context"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/monitor"
)

// gathered is what logs say about entries.
type gathered struct {
	statements []monitor.Registered
	measured   []monitor.Measured
	flaws      []monitor.Anomaly // what does not count
	unread     []monitor.Anomaly // those of them that no log let read
}

// gatherSaid reads the endorsements, disputes and withdrawals in logs, and the
// measurements when they are wanted; by these issuers, or by anybody when there
// are none. Notice is told what does not count.
func gatherSaid(ctx context.Context, logs []*Log, issuers []string, measurements bool, notice func(format string, args ...any)) (*gathered, error) {
	g := &gathered{}
	for _, l := range logs {
		found, flaws, err := monitor.Endorsements(ctx, l.Monitor(), issuers)
		if err != nil {
			return nil, fmt.Errorf("the log at %s: %w", l.Location, err)
		}
		g.statements, g.flaws = append(g.statements, found...), append(g.flaws, flaws...)
		if !measurements {
			continue
		}
		measured, flaws, err := monitor.Measurements(ctx, l.Monitor(), issuers)
		if err != nil {
			return nil, fmt.Errorf("the log at %s: %w", l.Location, err)
		}
		// What is nobody's statement was told above.
		flaws = slices.DeleteFunc(flaws, func(a monitor.Anomaly) bool { return a.Kind == monitor.AnomalyNoStatement })
		g.measured, g.flaws = append(g.measured, measured...), append(g.flaws, flaws...)
	}
	g.statements = monitor.Distinct(g.statements)
	read := map[string]bool{}
	for _, s := range g.statements {
		read[s.Self.EntryID] = true
	}
	for _, m := range g.measured {
		read[m.Self.EntryID] = true
	}
	for _, b := range g.flaws {
		if b.Unread() && !read[b.Entry.EntryID] {
			g.unread = append(g.unread, b)
		}
	}
	noticeFlaws(g.flaws, notice)
	return g, nil
}

// noticeFlaws tells which entries do not count.
func noticeFlaws(flaws []monitor.Anomaly, notice func(format string, args ...any)) {
	for _, f := range flaws {
		notice("notice: %s does not count: %s: %s", f.Entry, f.Kind, f.Detail)
	}
}
