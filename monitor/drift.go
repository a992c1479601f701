package monitor

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/monitor/disclosure"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// piece is a time in which a configuration stayed as one version.
type piece struct {
	start, end int64
	version    version
}

// pieces cuts a configuration's story into what it was when, in the interval.
func (s *story) pieces(from, to int64) []piece {
	var out []piece
	for _, life := range s.within(from, to) {
		for i, v := range s.versions {
			end := life.end
			if i+1 < len(s.versions) {
				end = min(end, s.versions[i+1].start)
			}
			if start := max(life.start, v.start); start < end {
				out = append(out, piece{start, end, v})
			}
		}
	}
	return out
}

// meeting is a time in which both sides have a configuration, and the records that say how.
type meeting struct {
	start, end int64
	by         [2]uint64
}

// drift finds the last run of time, longer than the grace, in which both sides
// have a configuration and its contents differ.
func (p *comparing) drift(uid string, reported, observed *story) {
	type drifting struct {
		start, end int64
		pairs      []meeting
	}
	var run, found drifting
	theirs, ours := reported.pieces(p.from, p.to), observed.pieces(p.from, p.to)
	for i, j := 0, 0; i < len(theirs) && j < len(ours); {
		a, b := theirs[i], ours[j]
		start, end := max(a.start, b.start), min(a.end, b.end)
		if start < end {
			now := meeting{start, end, [2]uint64{a.version.by, b.version.by}}
			switch {
			case a.version.digest == b.version.digest:
				run = drifting{}
			case run.end == start && run.end != 0:
				run.end, run.pairs = end, append(run.pairs, now)
			default:
				run = drifting{start, end, []meeting{now}}
			}
			if run.end-run.start > p.grace {
				found = run
			}
		}
		if a.end <= b.end {
			i++
		} else {
			j++
		}
	}
	if found.end-found.start <= p.grace {
		return
	}
	p.metrics.Drift++
	p.find(Finding{Kind: Drift, UID: uid, drift: found.pairs}, found.start, found.end, nil, nil)
}

// maxContents is how many drifting configurations are explained at a time:
// their contents are held in memory.
const maxContents = 1 << 16

// Bounds of the values of drifting configurations that are kept.
const (
	maxValued = 10_000 // findings
	maxValue  = 80     // bytes of one
)

// explain reads the contents of drifting configurations again and lists where
// they differ, and puts the findings in order.
func (c *Comparison) explain(ctx context.Context, reported, observed Log) error {
	defer func() {
		slices.SortFunc(c.Findings, func(a, b Finding) int {
			return cmp.Or(cmp.Compare(a.What, b.What), cmp.Compare(a.UID, b.UID), cmp.Compare(a.Kind, b.Kind))
		})
	}()
	var drifting []*Finding
	for i := range c.Findings {
		if c.Findings[i].drift != nil {
			drifting = append(drifting, &c.Findings[i])
		}
	}
	valued := 0
	for some := range slices.Chunk(drifting, maxContents) {
		var contents [2]map[contentKey]content
		for side, log := range []Log{reported, observed} {
			wanted := map[uint64][]string{}
			for _, f := range some {
				for _, p := range f.drift {
					wanted[p.by[side]] = append(wanted[p.by[side]], f.UID)
				}
			}
			var err error
			if contents[side], err = readContents(ctx, log, wanted); err != nil {
				return err
			}
		}
		for _, f := range some {
			c.judge(f, contents)
			if valued++; valued > maxValued {
				f.Values = nil
			}
		}
	}
	return nil
}

// judge finds the last run of time, longer than the grace, in which what both sides show
// differs. Where there is none, what differs is hidden on one side or both: it is
// Undisclosed, and no drift.
func (c *Comparison) judge(f *Finding, contents [2]map[contentKey]content) {
	pairs, start, drifts := f.drift, int64(0), false
	for i, p := range pairs {
		a, b := contents[0][contentKey{p.by[0], f.UID}], contents[1][contentKey{p.by[1], f.UID}]
		d := jsonx.DiffBut(a.json, b.json, maxPaths, disclosure.Stands)
		shown := len(d.Paths) > 0
		switch {
		case !shown:
			start = p.end
		case i == 0:
			start = p.start
		}
		switch long := shown && p.end-start > c.Interval.Grace.Milliseconds(); {
		case long:
			drifts = true
			f.Kind, f.From, f.To = Drift, timestamp(start), timestamp(p.end)
		case drifts || i < len(pairs)-1:
			continue
		default:
			f.Kind, d = Undisclosed, jsonx.Difference{Paths: d.Unknown}
			c.Metrics[f.What].Drift--
			c.Metrics[f.What].Undisclosed++
		}
		f.Reported, f.Observed, f.Paths, f.PathsMore, f.Values = a.entry, b.entry, d.Paths, d.More, nil
		for _, v := range d.Values {
			f.Values = append(f.Values, around(v[0], v[1]))
		}
	}
}

// around cuts two values that differ to at most maxValue bytes each, and "..." where something is left out: what both
// begin with and end in goes first, but for a few characters.
func around(a, b string) [2]string {
	const near = maxValue / 4
	start, end := 0, 0
	for start < min(len(a), len(b)) && a[start] == b[start] {
		start++
	}
	for end < min(len(a), len(b))-start && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	cut := func(s string) string {
		if max(len(a), len(b)) <= maxValue {
			return strings.Clone(s)
		}
		from, to := max(0, start-near), min(len(s), len(s)-end+near)
		out := jsonx.Cut(strings.ToValidUTF8(s[from:to], ""), maxValue)
		if from > 0 {
			out = "..." + out
		}
		if to < len(s) && !strings.HasSuffix(out, "...") {
			out += "..."
		}
		return out
	}
	return [2]string{cut(a), cut(b)}
}

// contentKey is a configuration in the record at an index.
type contentKey struct {
	index uint64
	uid   string
}

// content is what the record says of the configuration.
type content struct {
	entry *EntryRef
	json  []byte
}

// readContents reads configurations again from the records that have them.
func readContents(ctx context.Context, log Log, wanted map[uint64][]string) (map[contentKey]content, error) {
	var bundles [][]uint64 // the indices in each
	for _, index := range slices.Sorted(maps.Keys(wanted)) {
		if n := len(bundles); n > 0 && bundles[n-1][0]/batch == index/batch {
			bundles[n-1] = append(bundles[n-1], index)
		} else {
			bundles = append(bundles, []uint64{index})
		}
	}
	read := func(ctx context.Context, n uint64) (map[contentKey]content, error) {
		out, here := map[contentKey]content{}, bundles[n]
		for e, err := range log.Source.Entries(ctx, here[0], here[len(here)-1]+1) {
			if err != nil {
				return nil, err
			}
			uids := wanted[e.Index]
			if uids == nil {
				continue
			}
			event, err := log.event(ctx, e)
			if reader.Withheld(err) { // of the storage and not of the log's files
				return nil, fmt.Errorf("entry %d: its content was there and is not any more: %v", e.Index, err)
			}
			if err != nil {
				return nil, fmt.Errorf("entry %d: %w", e.Index, err)
			}
			id, _ := scitt.EntryIDOf(e.Data) // it has an event, so it is a statement
			entry := Ref{Index: e.Index, ID: id}.entry(log.Checkpoint.Origin)
			for _, f := range event.Configurations {
				if slices.Contains(uids, f.UID) {
					out[contentKey{e.Index, f.UID}] = content{&entry, f.Content}
				}
			}
		}
		return out, nil
	}
	out := map[contentKey]content{}
	for _, bundle := range parallel.Ordered(ctx, 0, uint64(len(bundles)), ahead*parallel.CPUs(), read) {
		if bundle.Err != nil {
			return nil, bundle.Err
		}
		maps.Copy(out, bundle.Value)
	}
	return out, nil
}
