package party

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
)

// uidFields are where an event of each class has the uid of its object.
var uidFields = []string{"f.resources.uid", "f.device.uid", "f.entity.uid", "f.unmapped.conmotion.configuration.uid"}

// mostConfirmed is how many entries about one object are looked at.
const mostConfirmed = 50

// Confirmation is what the provider's search says of an object that is missing.
type Confirmation struct {
	What monitor.Kind `json:"what"`
	UID  string       `json:"uid"`
	// Search is known, unknown, or not offered.
	Search  string           `json:"search"`
	Detail  string           `json:"detail,omitempty"` // why nothing was learned
	Size    uint64           `json:"size,omitempty"`   // of the log as the search knows it
	Entries []ConfirmedEntry `json:"entries"`
	More    bool             `json:"more,omitempty"` // there are more entries about it
}

// ConfirmedEntry is an entry about a missing object.
type ConfirmedEntry struct {
	Index   uint64 `json:"index"`
	EntryID string `json:"entry_id"`
	// Why it does not count; "" when the comparison does not show why.
	Why string `json:"why"`
}

// What a search says of an object.
const (
	SearchKnows    = "known"
	SearchUnknown  = "unknown"
	SearchNotThere = "not offered"
)

// searchAnswer is what is used of an answer of GET /search. What it says is
// only where to look: the log confirms it.
type searchAnswer struct {
	Checkpoint struct {
		Origin string `json:"origin"`
		Size   uint64 `json:"size"`
	} `json:"checkpoint"`
	Entries []searchEntry `json:"entries"`
	Next    string        `json:"next"` // there is more
}

type searchEntry struct {
	ID    string `json:"entry"` // hexadecimal
	Index uint64 `json:"index"`
}

// ask asks for the newest entries that have a uid in a field.
func (c *Confirmer) ask(ctx context.Context, field, uid string) (*searchAnswer, error) {
	// The operator keeps a uid that begins with one from being read as one.
	body, err := c.Search.Search(ctx, url.Values{field: {"=" + uid}, "limit": {strconv.Itoa(mostConfirmed)}, "order": {"desc"}})
	if err != nil {
		return nil, err
	}
	var a searchAnswer
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fmt.Errorf("it gave something else than an answer of a search: %w", err)
	}
	return &a, nil
}

// Confirmer asks the search of the service that reported about the objects of a
// comparison that are missing. A comparison has read the whole log: what the search
// knows is looked up in it, and it is said why it does not count.
type Confirmer struct {
	Comparison *monitor.Comparison
	Log        *Log           // that reported, of the comparison
	Search     *client.Client // nil when there is none
	Why        string         // there is none
}

// Confirm confirms the missing objects, at most so many. Progress, when not nil,
// gets how many were.
func (c *Confirmer) Confirm(ctx context.Context, most int, progress func(done int)) ([]Confirmation, error) {
	out := []Confirmation{}
	for _, f := range c.Comparison.Findings {
		if f.Kind != monitor.Missing {
			continue
		}
		if len(out) == most {
			break
		}
		one, err := c.one(ctx, f)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
		if progress != nil {
			progress(len(out))
		}
	}
	return out, nil
}

// one asks for one object. That the search does not answer is no error: the
// log itself was read.
func (c *Confirmer) one(ctx context.Context, f monitor.Finding) (Confirmation, error) {
	out := Confirmation{What: f.What, UID: f.UID, Search: SearchNotThere, Detail: c.Why, Entries: []ConfirmedEntry{}}
	if c.Search == nil {
		return out, nil
	}
	seen := map[uint64]bool{}
	for _, field := range uidFields {
		answer, err := c.ask(ctx, field, f.UID)
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		if p, ok := errors.AsType[*scitt.Problem](err); ok && p.Status == http.StatusNotFound {
			c.Search, c.Why = nil, "the provider's service offers no search"
			out.Detail = c.Why
			return out, nil
		}
		if err != nil {
			out.Detail = err.Error()
			return out, nil
		}
		if origin := answer.Checkpoint.Origin; origin != "" && origin != c.Log.View.Checkpoint.Origin {
			out.Detail = fmt.Sprintf("the search is over the log %q, not over %q", origin, c.Log.View.Checkpoint.Origin)
			return out, nil
		}
		out.Size, out.More = answer.Checkpoint.Size, out.More || answer.Next != ""
		for _, hit := range answer.Entries {
			if seen[hit.Index] {
				continue
			}
			seen[hit.Index] = true
			why, err := c.reason(ctx, f, hit)
			if err != nil {
				return out, err
			}
			out.Entries = append(out.Entries, ConfirmedEntry{hit.Index, hit.ID, why})
		}
	}
	slices.SortFunc(out.Entries, func(a, b ConfirmedEntry) int { return cmp.Compare(a.Index, b.Index) })
	if out.Search = SearchUnknown; len(out.Entries) > 0 {
		out.Search = SearchKnows
	}
	return out, nil
}

// reason says why an entry that the search knows does not count. What the search
// says is only where to look.
func (c *Confirmer) reason(ctx context.Context, f monitor.Finding, hit searchEntry) (string, error) {
	side := c.Comparison.Reported
	if size := side.Checkpoint.Size; hit.Index >= size {
		return fmt.Sprintf("it came after the checkpoint that was compared, of %d entries", size), nil
	}
	data, err := c.Log.View.Entry(ctx, hit.Index)
	if err != nil {
		return "", err
	}
	s, err := scitt.DecodeStatement(data)
	if err != nil || s.ID().String() != hit.ID {
		return "the log has another entry there: the search is wrong", nil
	}
	switch {
	case len(side.Issuers) > 0 && !slices.Contains(side.Issuers, s.Issuer):
		return "it is by an issuer who was not selected: " + s.Issuer, nil
	case !slices.Contains(side.Types, s.Type):
		return "its type was not selected: " + cmp.Or(s.Type, "-"), nil
	}
	if err := c.Log.VerifyStatement(s); errors.Is(err, scitt.ErrUnchecked) {
		return err.Error(), nil
	} else if err != nil {
		return "its issuer did not sign it: " + err.Error(), nil
	}
	for _, a := range side.Anomalies {
		if a.Kind == monitor.AnomalyDuplicate && a.Entry.Index == hit.Index {
			return fmt.Sprintf("entry %d has the same content and is what counts", a.Previous.Index), nil
		}
	}
	content, err := c.Log.Content(ctx, s)
	if err != nil {
		return "its content cannot be read: " + err.Error(), nil
	}
	e, err := monitor.ParseEvent(content)
	if err != nil {
		return err.Error(), nil
	}
	switch at := e.Time; {
	case e.Kind != f.What:
		return "it is about the " + string(e.Kind), nil
	case at > c.Comparison.Interval.To.UnixMilli():
		return "its event is of " + printable.Moment(at) + ", after the interval", nil
	case e.Action == monitor.Delete:
		return "it is a deletion, of " + printable.Moment(at), nil
	}
	return "it does not make the object alive when it was observed: its event is of " + printable.Moment(e.Time), nil
}
