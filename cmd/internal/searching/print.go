package searching

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/storage/search"
)

// Entry is an entry of an answer as --json prints it.
type Entry struct {
	Type string `json:"type"` // entry
	search.Hit
}

// Summary is the last line of an answer as --json prints it.
type Summary struct {
	Type    string `json:"type"` // summary
	Entries int    `json:"entries"`
	Next    string `json:"next,omitempty"`
	// Checkpoint is the state of the log for which the answer says to be complete.
	Checkpoint search.Checkpoint `json:"checkpoint"`
	Indexed    uint64            `json:"indexed"`
	verified
}

// print shows the entries of one page.
func (l *list) print(p *search.Answer, first bool) error {
	for _, h := range p.Entries {
		if err := l.Document(Entry{"entry", h}); err != nil {
			return err
		}
	}
	return l.Show(func(page *cli.Page) {
		var rows [][]string
		if first && len(p.Entries) > 0 {
			rows = append(rows, []string{"INDEX", "TIME", "ISSUER", "SUBJECT", "CLASS", "EVENT", "ENTRY"})
		}
		for _, h := range p.Entries {
			rows = append(rows, l.row(&h))
		}
		page.Rows(rows)
		for _, h := range p.Entries {
			if why := why(&h); why != "" { // it does not count
				page.Line("entry %d does not count: %s", h.Index, why)
			}
		}
	})
}

// why is why a verified entry does not count, or may not; "" when it does.
func why(h *search.Hit) string {
	switch {
	case h.Standing == search.BadSignature:
		return "its issuer did not sign it"
	case h.Standing == search.Duplicate && h.DuplicateOf != nil:
		return fmt.Sprintf("entry %d has the same content", *h.DuplicateOf)
	case h.Standing == search.Unchecked:
		return "unless its issuer signed it, whose key is not known here"
	}
	return ""
}

func (l *list) row(h *search.Hit) []string {
	issuer := h.Issuer
	if l.Names[issuer] == "" {
		issuer = shorten(issuer)
	}
	at, class := printable.Time(h.IssuedAt), ""
	if h.Time != nil {
		at = time.UnixMilli(*h.Time).UTC().Format(time.RFC3339)
	}
	if h.ClassUID != nil {
		class = strconv.FormatInt(*h.ClassUID, 10)
	}
	row := []string{strconv.FormatUint(h.Index, 10), at, issuer, shorten(h.Subject), class, shorten(h.EventCode), h.Entry}
	for i := range row {
		row[i] = cmp.Or(row[i], "-")
	}
	return row
}

// shorten keeps a table readable: a did:jwk is long, and its end tells it
// from others.
func shorten(s string) string {
	const most = 40
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:most/2]) + "..." + string(runes[len(runes)-most/2+3:])
}

func (l *list) summary(v verified) error {
	cp := l.first.Checkpoint
	claim := "said to be complete up to"
	if v.Complete {
		claim = "complete up to"
	}
	complete := "nothing: the index has not read the log yet"
	if cp.Size > 0 {
		complete = fmt.Sprintf("checkpoint of %s with %d entries, root %x", cp.Origin, cp.Size, cp.Root)
	}
	more, behind := "", ""
	if l.next != "" {
		more = "--after " + l.next
	}
	if l.first.Indexed > cp.Size {
		behind = fmt.Sprintf("catching up: %d entries are read", l.first.Indexed)
	}
	return l.PrintLine(Summary{"summary", l.shown, l.next, cp, l.first.Indexed, v}, func(p *cli.Page) {
		if l.shown > 0 {
			p.Line("")
		}
		p.Rows([][]string{
			{"entries", strconv.Itoa(l.shown)}, {"more", more}, {claim, complete}, {"index", behind}, {"verified", v.Detail},
		})
	})
}

// shownCounts is how many of each kind are shown to people.
const shownCounts = 20

func printStats(a *cli.App, s *search.Stats) error {
	rows := [][]string{
		{"log", s.Checkpoint.Origin}, {"entries", strconv.FormatUint(s.Checkpoint.Size, 10)}, {"root", fmt.Sprintf("%x", s.Checkpoint.Root)},
	}
	// The most frequent first; of days the last ones.
	for _, list := range []struct {
		name   string
		counts []search.Count
		last   bool
	}{{"issuer", s.Issuers, false}, {"class", s.Classes, false}, {"event", s.EventCodes, false}, {"day", s.Days, true}} {
		counts := list.counts
		hidden := max(0, len(counts)-shownCounts)
		if list.last {
			counts = counts[hidden:]
		}
		for _, c := range counts[:min(len(counts), shownCounts)] {
			rows = append(rows, []string{list.name, fmt.Sprintf("%8d  %s", c.Entries, cmp.Or(c.Key, "(none)"))})
		}
		if hidden > 0 {
			rows = append(rows, []string{list.name, fmt.Sprintf("and %d more; --json has them", hidden)})
		}
	}
	return a.Print(s, cli.Rows(rows))
}
