package main

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// statsCount is how many entries have a key.
type statsCount struct {
	Key     string `json:"key"`
	Entries int64  `json:"entries"`
}

// shownCounts is how many of each kind are shown to people.
const shownCounts = 20

// printStats prints the answer of GET /search/stats.
func (a *app) printStats(body []byte) error {
	var s struct {
		foundPage
		Issuers    []statsCount `json:"issuers"`
		Classes    []statsCount `json:"class_uids"`
		EventCodes []statsCount `json:"event_codes"`
		Days       []statsCount `json:"days"`
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return bad(fmt.Errorf("the service does not answer as a search does: %w", err))
	}
	if a.json {
		return a.printJSON(json.RawMessage(body))
	}
	rows := [][]string{
		{"log", s.Checkpoint.Origin}, {"entries", strconv.FormatUint(s.Checkpoint.Size, 10)}, {"root", fmt.Sprintf("%x", s.Checkpoint.Root)},
	}
	// The most frequent first; of days the last ones.
	for _, list := range []struct {
		name   string
		counts []statsCount
		last   bool
	}{{"issuer", s.Issuers, false}, {"class", s.Classes, false}, {"event", s.EventCodes, false}, {"day", s.Days, true}} {
		counts := list.counts
		hidden := max(0, len(counts)-shownCounts)
		if list.last {
			counts = counts[hidden:]
		}
		for _, c := range counts[:min(len(counts), shownCounts)] {
			key := c.Key
			if key == "" {
				key = "(none)"
			}
			rows = append(rows, []string{list.name, fmt.Sprintf("%8d  %s", c.Entries, key)})
		}
		if hidden > 0 {
			rows = append(rows, []string{list.name, fmt.Sprintf("and %d more; --json has them", hidden)})
		}
	}
	return a.printRows(rows)
}
