package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/conmotion/conmotion/scitt"
)

// ErrNoSearch says that a service has no search.
var ErrNoSearch = errors.New("the service offers no search")

// SearchAnswer is what a service's search found (GET /search).
type SearchAnswer struct {
	// Checkpoint: the answer is said to be complete for the entries under it.
	Checkpoint struct {
		Origin string `json:"origin"`
		Size   uint64 `json:"size"`
		Root   []byte `json:"root"`
	} `json:"checkpoint"`
	Indexed uint64      `json:"indexed"` // entries that the index has read
	Entries []SearchHit `json:"entries"`
	Next    string      `json:"next"` // the parameter after of the query for what follows; "" for nothing
}

// SearchHit is an entry in an answer: what the search says of it. The log has
// to confirm it.
type SearchHit struct {
	Entry     string `json:"entry"` // entry id, hexadecimal
	Index     uint64 `json:"index"`
	Issuer    string `json:"issuer"`
	Subject   string `json:"subject"`
	Type      string `json:"typ"`
	IssuedAt  int64  `json:"iat"` // seconds since 1970
	ClassUID  *int64 `json:"class_uid"`
	EventCode string `json:"event_code"`
	Time      *int64 `json:"time"` // of the event, milliseconds since 1970
}

// Search asks the service's search for the entries that meet all conditions,
// which are URL parameters such as f.device.uid=i-0a1. Errors wrap ErrNoSearch
// where the service has none, and a [*scitt.Problem] for a query that it does
// not take.
func (c *Client) Search(ctx context.Context, conditions url.Values) (*SearchAnswer, error) {
	u := c.service.JoinPath("search")
	u.RawQuery = conditions.Encode()
	a, err := c.exchange(ctx, request{method: http.MethodGet, url: u, accept: "application/json"})
	if p, ok := errors.AsType[*scitt.Problem](err); ok && p.Status == http.StatusNotFound {
		return nil, fmt.Errorf("%w: %w", ErrNoSearch, err)
	}
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	if a.status != http.StatusOK {
		return nil, fmt.Errorf("search: get %s: unexpected status %d", a.url, a.status)
	}
	var out SearchAnswer
	if err := json.Unmarshal(a.body, &out); err != nil {
		return nil, fmt.Errorf("search: %s gave something else than an answer of a search: %w", a.url, err)
	}
	return &out, nil
}
