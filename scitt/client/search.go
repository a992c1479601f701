package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

const mediaJSON = "application/json"

// Search asks the Adjacent Service for Search beside a Transparency Service,
// or over somebody else's log: GET /search with these parameters, which the
// documentation of package storage/search describes. The answer is its JSON.
func (c *Client) Search(ctx context.Context, query url.Values) ([]byte, error) {
	u := c.service.JoinPath("search")
	u.RawQuery = query.Encode()
	return c.searched(ctx, u)
}

// SearchStats asks for GET /search/stats: JSON.
func (c *Client) SearchStats(ctx context.Context) ([]byte, error) {
	return c.searched(ctx, c.service.JoinPath("search", "stats"))
}

func (c *Client) searched(ctx context.Context, u *url.URL) ([]byte, error) {
	a, err := c.exchange(ctx, request{method: http.MethodGet, url: u, accept: mediaJSON, token: c.token})
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	if !a.ok() {
		return nil, fmt.Errorf("search: get %s: unexpected status %d", a.url, a.status)
	}
	return a.body, nil
}
