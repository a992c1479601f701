package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// print shows the entries of one page.
func (r *searchRun) print(p *foundPage) error {
	var rows [][]string
	var not []string // what does not count
	if !r.json && r.first == p && len(p.Entries) > 0 {
		rows = append(rows, []string{"INDEX", "TIME", "ISSUER", "SUBJECT", "CLASS", "EVENT", "ENTRY"})
	}
	for _, raw := range p.Entries {
		var e foundEntry
		if err := json.Unmarshal(raw, &e); err != nil {
			return bad(fmt.Errorf("the service does not answer as a search does: %w", err))
		}
		if r.json {
			line, err := typed("entry", raw)
			if err != nil {
				return err
			}
			if _, err := r.stdout.Write(line); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, e.row())
		if why := e.why(); why != "" {
			not = append(not, fmt.Sprintf("entry %d does not count: %s", e.Index, why))
		}
	}
	if err := r.printRows(rows); err != nil {
		return err
	}
	for _, line := range not {
		fmt.Fprintln(r.stdout, line)
	}
	return nil
}

// why is why a verified entry does not count, or may not; "" when it does.
func (e *foundEntry) why() string {
	switch {
	case e.Standing == "signature":
		return "its issuer did not sign it"
	case e.Standing == "duplicate" && e.DuplicateOf != nil:
		return fmt.Sprintf("entry %d has the same content", *e.DuplicateOf)
	case e.Standing == "unchecked":
		return "unless its issuer signed it, whose key is not known here"
	}
	return ""
}

// typed puts a member "type" before those of a JSON object, on one line.
func typed(kind string, object []byte) ([]byte, error) {
	var line bytes.Buffer
	if err := json.Compact(&line, object); err != nil {
		return nil, err
	}
	rest, ok := bytes.CutPrefix(line.Bytes(), []byte("{"))
	if !ok {
		return nil, bad(errors.New("the service does not answer as a search does: an entry is no object"))
	}
	if rest[0] != '}' {
		kind += `",`
	} else {
		kind += `"`
	}
	return append(append([]byte(`{"type":"`+kind), rest...), '\n'), nil
}

func (e *foundEntry) row() []string {
	at, class := timeOf(e.IssuedAt), ""
	if e.Time != nil {
		at = time.UnixMilli(*e.Time).UTC().Format(time.RFC3339)
	}
	if e.ClassUID != nil {
		class = strconv.FormatInt(*e.ClassUID, 10)
	}
	row := []string{strconv.FormatUint(e.Index, 10), at, shorten(e.Issuer), shorten(e.Subject), class, shorten(e.EventCode), e.Entry}
	for i, cell := range row {
		if cell == "" {
			row[i] = "-"
		}
		row[i] = strings.ReplaceAll(row[i], "\n", " ")
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

// searchSummary is the last line of an answer in JSON.
type searchSummary struct {
	Type    string `json:"type"` // summary
	Entries int    `json:"entries"`
	Next    string `json:"next,omitempty"`
	// Checkpoint is the state of the log for which the answer says to be complete.
	Checkpoint any    `json:"checkpoint"`
	Indexed    uint64 `json:"indexed"`
	searchVerified
}

func (r *searchRun) summary(v searchVerified) error {
	cp := r.first.Checkpoint
	if r.json {
		return r.printJSONLine(searchSummary{"summary", r.shown, r.next, cp, r.first.Indexed, v})
	}
	if r.shown > 0 {
		fmt.Fprintln(r.stdout)
	}
	claim := "said to be complete up to"
	if v.Complete {
		claim = "complete up to"
	}
	complete := "nothing: the index has not read the log yet"
	if cp.Size > 0 {
		complete = fmt.Sprintf("checkpoint of %s with %d entries, root %x", cp.Origin, cp.Size, cp.Root)
	}
	behind := ""
	if r.first.Indexed > cp.Size {
		behind = fmt.Sprintf("catching up: %d entries are read", r.first.Indexed)
	}
	return r.printRows([][]string{
		{"entries", strconv.Itoa(r.shown)}, {"more", more(r.next)}, {claim, complete}, {"index", behind}, {"verified", v.Detail},
	})
}

func more(next string) string {
	if next == "" {
		return ""
	}
	return "--after " + next
}
