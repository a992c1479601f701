package party

import (
	"context"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/monitor"
)

// Gathered is what logs say about entries.
type Gathered struct {
	Statements []monitor.Registered
	Measured   []monitor.Measured
	Flaws      []monitor.Anomaly // what does not count
	Unread     []monitor.Anomaly // those of them that no log let read
}

// Gather reads the endorsements, disputes and withdrawals in logs, and the
// measurements when they are wanted; by these issuers, or by anybody when there
// are none. Notice is told what does not count.
func Gather(ctx context.Context, logs []*Log, issuers []string, measurements bool, notice func(format string, args ...any)) (*Gathered, error) {
	g := &Gathered{}
	for _, l := range logs {
		found, flaws, err := monitor.Endorsements(ctx, l.Monitor(), issuers)
		if err != nil {
			return nil, fmt.Errorf("the log at %s: %w", l.Location, err)
		}
		g.Statements, g.Flaws = append(g.Statements, found...), append(g.Flaws, flaws...)
		if !measurements {
			continue
		}
		measured, flaws, err := monitor.Measurements(ctx, l.Monitor(), issuers)
		if err != nil {
			return nil, fmt.Errorf("the log at %s: %w", l.Location, err)
		}
		// What is nobody's statement was told above.
		flaws = slices.DeleteFunc(flaws, func(a monitor.Anomaly) bool { return a.Kind == monitor.AnomalyNoStatement })
		g.Measured, g.Flaws = append(g.Measured, measured...), append(g.Flaws, flaws...)
	}
	g.Statements = monitor.Distinct(g.Statements)
	read := map[string]bool{}
	for _, s := range g.Statements {
		read[s.Self.EntryID] = true
	}
	for _, m := range g.Measured {
		read[m.Self.EntryID] = true
	}
	for _, b := range g.Flaws {
		if b.Unread() && !read[b.Entry.EntryID] {
			g.Unread = append(g.Unread, b)
		}
	}
	noticeFlaws(g.Flaws, notice)
	return g, nil
}

// noticeFlaws tells which entries do not count.
func noticeFlaws(flaws []monitor.Anomaly, notice func(format string, args ...any)) {
	for _, f := range flaws {
		notice("notice: %s does not count: %s: %s", f.Entry, f.Kind, f.Detail)
	}
}
