package client

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/conmotion/conmotion/scitt"
)

const (
	maxBody      = 4 << 20 // bytes of an answer that are read
	maxRedirects = 10
	maxRefusal   = 64 << 10 // bytes of a refusal that are read
	maxDetail    = 300      // bytes of an error page that are shown
)

var errNoAnswer = errors.New("no answer")

type request struct {
	method, accept, prefer string
	url                    *url.URL
	body                   []byte
	media                  string // of the body; COSE when it is empty
	token                  string // sent to the service's own host only
	limit                  int64  // bytes of the answer that are read; maxBody when 0
}

type answer struct {
	status int
	header http.Header
	body   []byte
	url    *url.URL // that gave it
}

// ok reports whether the answer has what was asked for.
func (a *answer) ok() bool { return isWhole(a.status) }

// isWhole reports whether a status says that what was asked for is in the answer.
//
// RFC 9110 section 15: "a client MUST understand the class of any status code,
// as indicated by the first digit, and treat an unrecognized status code as
// being equivalent to the x00 status code of that class".
func isWhole(status int) bool {
	switch status {
	case http.StatusNoContent, http.StatusResetContent, http.StatusPartialContent: // nothing, or not all of it
		return false
	}
	return status/100 == 2
}

// exchange sends a request until it has an answer that is neither an error
// nor a redirect to another place.
func (c *Client) exchange(ctx context.Context, r request) (*answer, error) {
	for range maxRedirects {
		a, err := c.persist(ctx, r)
		if err != nil {
			return nil, err
		}
		next, err := a.moved(r)
		if err != nil {
			return nil, err
		}
		if next == nil {
			return a, nil
		}
		r.url = next
	}
	return nil, fmt.Errorf("%s %s: more than %d redirects", r.method, r.url, maxRedirects)
}

// moved gives the URL where the request is to be sent instead.
//
// In older drafts of SCRAPI a 303 to a registration, and a 302 to a poll,
// mean that the registration runs. A 302 to another place and without
// Retry-After is what it is everywhere else.
func (a *answer) moved(r request) (*url.URL, error) {
	switch a.status {
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	case http.StatusFound, http.StatusSeeOther:
		if r.method != http.MethodGet || a.header.Get("Retry-After") != "" {
			return nil, nil
		}
	default:
		return nil, nil
	}
	next, err := a.location()
	if err != nil {
		return nil, err
	}
	if next == nil {
		return nil, fmt.Errorf("%s %s: status %d without a Location", r.method, r.url, a.status)
	}
	if a.status == http.StatusFound && *next == *r.url {
		return nil, nil
	}
	return next, nil
}

// location is the URL in the Location header, or nil when there is none.
func (a *answer) location() (*url.URL, error) {
	value := a.header.Get("Location")
	if value == "" {
		return nil, nil
	}
	u, err := a.url.Parse(value)
	if err != nil {
		return nil, fmt.Errorf("%s: Location: %w", a.url, err)
	}
	switch {
	case u.Host == "" || u.User != nil || (u.Scheme != "http" && u.Scheme != "https"):
		return nil, fmt.Errorf("%s: the Location %q is not followed: it is no plain http or https URL", a.url, value)
	case a.url.Scheme == "https" && u.Scheme != "https":
		return nil, fmt.Errorf("%s: the Location %q is not followed: it leaves https", a.url, value)
	}
	return u, nil
}

// persist repeats a request while it meets errors that may pass.
func (c *Client) persist(ctx context.Context, r request) (*answer, error) {
	began, until := time.Now(), time.Duration(0)
	for attempt := 0; ; attempt++ {
		a, err := c.once(ctx, r)
		if err == nil {
			return a, nil
		}
		p, ok := errors.AsType[*scitt.Problem](err)
		if !ok {
			p = &scitt.Problem{}
		}
		if p.RetryAfter > 0 {
			until = c.patient
		}
		if ctx.Err() != nil || !transient(err) || attempt >= c.retries && time.Since(began) >= until {
			return nil, err
		}
		if err := c.pause(ctx, attempt, p.RetryAfter, err); err != nil {
			return nil, err
		}
	}
}

// once sends a request once. Status 400 and above is a *scitt.Problem.
func (c *Client) once(ctx context.Context, r request) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, r.url.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.method, r.url, err)
	}
	req.Header.Set("Accept", r.accept)
	if r.body != nil {
		req.Header.Set("Content-Type", cmp.Or(r.media, mediaCOSE))
	}
	if r.token != "" && r.url.Host == c.service.Host {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	if r.prefer != "" {
		req.Header.Set("Prefer", r.prefer)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	defer resp.Body.Close()
	a := &answer{status: resp.StatusCode, header: resp.Header, url: r.url}
	limit := cmp.Or(r.limit, maxBody)
	if a.status >= 400 {
		limit = maxRefusal
	}
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1)); err != nil {
		return nil, fmt.Errorf("%w: %s %s: %w", errNoAnswer, r.method, r.url, err)
	}
	switch {
	case a.status >= 400: // however much a server has to say of it
		return nil, a.problem()
	case int64(len(a.body)) > limit:
		return nil, fmt.Errorf("%s %s: the answer is larger than %d bytes", r.method, r.url, limit)
	}
	return a, nil
}

// problem reads an error: SCRAPI's concise problem details, or what a proxy
// on the way has to say.
func (a *answer) problem() *scitt.Problem {
	p, err := scitt.ParseProblem(a.status, a.body)
	if err != nil || p.Title == "" {
		p = &scitt.Problem{Status: a.status, Title: http.StatusText(a.status)}
		if p.Title == "" {
			p.Title = "Unknown Error"
		}
		media, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
		if media == "text/plain" && utf8.Valid(a.body) {
			p.Detail = strings.TrimSpace(strings.ToValidUTF8(string(a.body[:min(len(a.body), maxDetail)]), ""))
		}
	}
	p.RetryAfter = a.retryAfter()
	if u, err := a.location(); err == nil && u != nil {
		p.Location = u.String()
	}
	return p
}
