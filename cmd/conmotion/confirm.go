package main

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

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
)

// uidFields are where an event of each class has the uid of its object.
var uidFields = []string{"f.resources.uid", "f.device.uid", "f.entity.uid", "f.unmapped.conmotion.configuration.uid"}

// mostConfirmed is how many entries about one object are looked at.
const mostConfirmed = 50

// confirmation is what the provider's search says of an object that is missing.
type confirmation struct {
	What monitor.Kind `json:"what"`
	UID  string       `json:"uid"`
	// Search is known, unknown, or not offered.
	Search  string           `json:"search"`
	Detail  string           `json:"detail,omitempty"` // why nothing was learned
	Size    uint64           `json:"size,omitempty"`   // of the log as the search knows it
	Entries []confirmedEntry `json:"entries"`
	More    bool             `json:"more,omitempty"` // there are more entries about it
}

// confirmedEntry is an entry about a missing object.
type confirmedEntry struct {
	Index   uint64 `json:"index"`
	EntryID string `json:"entry_id"`
	// Why it does not count; "" when the comparison does not show why.
	Why string `json:"why"`
}

const (
	searchKnows    = "known"
	searchUnknown  = "unknown"
	searchNotThere = "not offered"
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
func (c *confirmer) ask(ctx context.Context, field, uid string) (*searchAnswer, error) {
	// The operator keeps a uid that begins with one from being read as one.
	body, err := c.search.Search(ctx, url.Values{field: {"=" + uid}, "limit": {strconv.Itoa(mostConfirmed)}, "order": {"desc"}})
	if err != nil {
		return nil, err
	}
	var a searchAnswer
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fmt.Errorf("it gave something else than an answer of a search: %w", err)
	}
	return &a, nil
}

// confirmer asks the search of the service that reported.
type confirmer struct {
	comparison *monitor.Comparison
	log        *party.Log
	search     *client.Client // nil when there is none
	why        string         // there is none
	progress   *cli.Progress
}

func (a *app) confirmer(f compareFlags, c *monitor.Comparison, log *party.Log) (*confirmer, error) {
	out := &confirmer{comparison: c, log: log, progress: a.Progress()}
	service := f.search
	if service == "" {
		if !party.IsURL(f.reported.location) {
			out.why = "the log was read from a directory; --search names a service"
			return out, nil
		}
		service = f.reported.location
	}
	// A search that is busy is asked again, and not for long: it only confirms.
	o := a.ClientOptions(cli.Readers)
	o.Retries = 2
	var err error
	if out.search, err = client.New(service, o); err != nil {
		return nil, cli.Usage(fmt.Errorf("--search: %w", err))
	}
	return out, nil
}

// all confirms the missing objects, at most so many.
func (c *confirmer) all(ctx context.Context, most int) ([]confirmation, error) {
	defer c.progress.Done()
	out := []confirmation{}
	for _, f := range c.comparison.Findings {
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
		c.progress.Show(func() string { return fmt.Sprintf("asked the search for %d missing objects", len(out)) })
	}
	return out, nil
}

// one asks for one object. That the search does not answer is no error: the
// log itself was read.
func (c *confirmer) one(ctx context.Context, f monitor.Finding) (confirmation, error) {
	out := confirmation{What: f.What, UID: f.UID, Search: searchNotThere, Detail: c.why, Entries: []confirmedEntry{}}
	if c.search == nil {
		return out, nil
	}
	seen := map[uint64]bool{}
	for _, field := range uidFields {
		answer, err := c.ask(ctx, field, f.UID)
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		if p, ok := errors.AsType[*scitt.Problem](err); ok && p.Status == http.StatusNotFound {
			c.search, c.why = nil, "the provider's service offers no search"
			out.Detail = c.why
			return out, nil
		}
		if err != nil {
			out.Detail = err.Error()
			return out, nil
		}
		if origin := answer.Checkpoint.Origin; origin != "" && origin != c.log.View.Checkpoint.Origin {
			out.Detail = fmt.Sprintf("the search is over the log %q, not over %q", origin, c.log.View.Checkpoint.Origin)
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
			out.Entries = append(out.Entries, confirmedEntry{hit.Index, hit.ID, why})
		}
	}
	slices.SortFunc(out.Entries, func(a, b confirmedEntry) int { return cmp.Compare(a.Index, b.Index) })
	if out.Search = searchUnknown; len(out.Entries) > 0 {
		out.Search = searchKnows
	}
	return out, nil
}

// reason says why an entry that the search knows does not count. What the search
// says is only where to look.
func (c *confirmer) reason(ctx context.Context, f monitor.Finding, hit searchEntry) (string, error) {
	side := c.comparison.Reported
	if size := side.Checkpoint.Size; hit.Index >= size {
		return fmt.Sprintf("it came after the checkpoint that was compared, of %d entries", size), nil
	}
	data, err := c.log.View.Entry(ctx, hit.Index)
	if err != nil {
		return "", cli.OfLog(err)
	}
	s, err := scitt.DecodeStatement(data)
	if err != nil || s.ID().String() != hit.ID {
		return "the log has another entry there: the search is wrong", nil
	}
	switch {
	case len(side.Issuers) > 0 && !slices.Contains(side.Issuers, s.Issuer):
		return "it is by an issuer who was not selected: " + s.Issuer, nil
	case !slices.Contains(side.Types, s.Type):
		return "its type was not selected: " + orDash(s.Type), nil
	}
	if err := c.log.VerifyStatement(s); errors.Is(err, scitt.ErrUnchecked) {
		return err.Error(), nil
	} else if err != nil {
		return "its issuer did not sign it: " + err.Error(), nil
	}
	for _, a := range side.Anomalies {
		if a.Kind == monitor.AnomalyDuplicate && a.Entry.Index == hit.Index {
			return fmt.Sprintf("entry %d has the same content and is what counts", a.Previous.Index), nil
		}
	}
	content, err := c.log.Content(ctx, s)
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
	case at > c.comparison.Interval.To.UnixMilli():
		return "its event is of " + moment(at) + ", after the interval", nil
	case e.Action == monitor.Delete:
		return "it is a deletion, of " + moment(at), nil
	}
	return "it does not make the object alive when it was observed: its event is of " + moment(e.Time), nil
}
