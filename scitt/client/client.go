// Package client speaks SCRAPI (draft-ietf-scitt-scrapi-11) to a Transparency
// Service: it registers Signed Statements and fetches Receipts and keys. A
// service that still answers as older drafts did, 303 to a registration and
// 302 while it runs, is understood too.
//
// It returns what the service sent and verifies nothing: that is what
// [scitt.Verifier] is for; but for [Client.Registered], which takes one. A
// refusal is a [*scitt.Problem] in the error.
package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// ErrRunning says that the waiting ended before the registration did. The
// statement may be registered; sending it again is safe.
var ErrRunning = errors.New("the registration is still running")

// ErrStatus is wrapped when a server answers neither with a file nor that it
// has none.
var ErrStatus = errors.New("the server refuses")

// Options configure a Client. The zero value is fit for use.
type Options struct {
	// HTTP makes the requests; when nil, a client with a timeout of one
	// minute. Its CheckRedirect is not used.
	HTTP *http.Client
	// Retries is how often in a row a request is repeated that met 408, 429,
	// 500 or above, or no answer; none when negative. When zero it is 6, and for a
	// minute at least where the service says when to come back: a log whose
	// writer ended has another one by then.
	Retries int
	// Async asks a service that is slow for an answer at once, and polls for the
	// Receipt (RFC 7240 section 4.1).
	Async bool
	// Token is the bearer token (RFC 6750) for GET /search, "" for none.
	Token string
	// Waiting, when not nil, is told of every wait before it begins.
	Waiting func(wait time.Duration, why error)
}

// Client is a client of one Transparency Service. It is safe for concurrent use.
type Client struct {
	service *url.URL
	http    http.Client
	retries int
	patient time.Duration // how long a service is asked that says when to come back
	prefer  string
	token   string
	waiting func(time.Duration, error)
}

// New makes a client of the service at a URL such as https://transparency.example.
func New(service string, o Options) (*Client, error) {
	u, err := url.Parse(service)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%q is not the URL of a service, such as https://transparency.example", service)
	}
	c := &Client{service: u, retries: o.Retries, token: o.Token, waiting: o.Waiting}
	c.http = http.Client{Timeout: time.Minute}
	if o.HTTP != nil {
		c.http = *o.HTTP
	}
	// A redirect means more here than elsewhere: see exchange.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if c.retries == 0 {
		c.retries, c.patient = 6, time.Minute
	}
	if o.Async {
		c.prefer = "respond-async"
	}
	if c.waiting == nil {
		c.waiting = func(time.Duration, error) {}
	}
	return c, nil
}

const (
	mediaCOSE    = "application/cose"
	mediaCBOR    = "application/cbor"
	mediaCBORSeq = "application/cbor-seq"
)

// Registration is what the service answered to a Signed Statement.
type Registration struct {
	// Location is the URL of the Receipt, where fresh ones can be had.
	Location string
	Receipt  []byte
}

// Register registers a Signed Statement and waits for its Receipt as long as
// the context lasts. Sending the same statement again is no error: the
// service answers with the same Location.
func (c *Client) Register(ctx context.Context, statement []byte) (*Registration, error) {
	a, err := c.exchange(ctx, request{
		method: http.MethodPost, url: c.service.JoinPath("entries"),
		accept: mediaCOSE, prefer: c.prefer, body: statement,
	})
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	location, err := a.location()
	switch {
	case err != nil:
		return nil, fmt.Errorf("register: %w", err)
	case (a.status == http.StatusCreated || a.status == http.StatusOK) && len(a.body) > 0:
		r := &Registration{Receipt: a.body}
		if location != nil {
			r.Location = location.String()
		}
		return r, nil
	case location == nil:
		return nil, fmt.Errorf("register: status %d has neither a Receipt nor a Location", a.status)
	}
	switch a.status {
	case http.StatusCreated, http.StatusAccepted, // SCRAPI section 2.3
		http.StatusFound, http.StatusSeeOther: // older drafts
	default:
		return nil, fmt.Errorf("register: unexpected status %d", a.status)
	}
	if a.status != http.StatusCreated {
		if err := c.pause(ctx, 0, a.retryAfter(), ErrRunning); err != nil {
			return nil, fmt.Errorf("register: %w", err)
		}
	}
	receipt, err := c.await(ctx, location)
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	return &Registration{location.String(), receipt}, nil
}

// ErrOther says that what a service holds under a statement's id is not its
// content, signed by its issuer.
var ErrOther = errors.New("the service does not hold the statement's content as its issuer signed it")

// Registered fetches the Transparent Statement of a statement's content from a
// service that holds it with another signature: after an error of Register that
// wraps scitt.ErrRegistered, or when a Receipt does not fit the statement. The
// location is the URL of its Receipt; when it is empty, that of the
// statement's id.
//
// The result has the statement's id, its signature verifies, with IssuerKey of
// v or as a self-certified one, and so does a Receipt, with LogKeys of v. The
// error wraps ErrOther when that is not so. A Receipt in it is for these bytes
// alone: keep the result as a file of its own, and never attach its Receipts
// to the statement (docs/formats.md, "Registration").
func (c *Client) Registered(ctx context.Context, st *scitt.Statement, location string, v scitt.Verifier) (*scitt.Statement, error) {
	u := c.service.JoinPath("entries", st.ID().String())
	if location != "" {
		var err error
		if u, err = url.Parse(location); err != nil {
			return nil, fmt.Errorf("registered statement: Location: %w", err)
		}
	}
	data, err := c.await(ctx, u.JoinPath("statement"))
	if err != nil {
		return nil, fmt.Errorf("registered statement: %w", err)
	}
	out, err := v.Verify(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOther, err)
	}
	if id := out.Statement.ID(); id != st.ID() {
		return nil, fmt.Errorf("%w: it sent entry %v for %v", ErrOther, id, st.ID())
	}
	out.TimeErr = nil // what is registered stays so when it expires
	if err := out.Err(); err != nil {
		return nil, fmt.Errorf("%w: entry %v: %w", ErrOther, st.ID(), err)
	}
	return out.Statement, nil
}

// Receipt fetches the Receipt of an entry by its id, and waits while the
// registration runs (SCRAPI section 2.4).
func (c *Client) Receipt(ctx context.Context, id string) ([]byte, error) {
	receipt, err := c.await(ctx, c.service.JoinPath("entries", url.PathEscape(id)))
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	return receipt, nil
}

// TransparentStatement fetches an entry with its Receipt by its id. SCRAPI
// has no such resource; a service of this project does.
func (c *Client) TransparentStatement(ctx context.Context, id string) ([]byte, error) {
	statement, err := c.await(ctx, c.service.JoinPath("entries", url.PathEscape(id), "statement"))
	if err != nil {
		return nil, fmt.Errorf("transparent statement: %w", err)
	}
	return statement, nil
}

// await polls until the resource is there.
func (c *Client) await(ctx context.Context, u *url.URL) ([]byte, error) {
	for attempt := 0; ; attempt++ {
		a, err := c.exchange(ctx, request{method: http.MethodGet, url: u, accept: mediaCOSE})
		if err != nil {
			return nil, err
		}
		switch {
		case a.ok() && a.status != http.StatusAccepted:
			return a.body, nil
		case a.status == http.StatusNoContent: // SCRAPI section 2.4.2
		case a.status == http.StatusFound, a.status == http.StatusSeeOther: // older drafts: still running, ask there
			next, err := a.location()
			if err != nil {
				return nil, err
			}
			if next != nil {
				u = next
			}
		default:
			return nil, fmt.Errorf("get %s: unexpected status %d", u, a.status)
		}
		if err := c.pause(ctx, attempt, a.retryAfter(), ErrRunning); err != nil {
			return nil, err
		}
	}
}

// Keys fetches the keys that sign the service's Receipts (SCRAPI section 2.1).
func (c *Client) Keys(ctx context.Context) (scitt.KeySet, error) {
	body, err := c.read(ctx, "scitt-keys")
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return scitt.ParseKeySet(body)
}

// Configuration fetches what the service says about itself.
func (c *Client) Configuration(ctx context.Context) (*scitt.Configuration, error) {
	body, err := c.read(ctx, "transparency-configuration")
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return scitt.ParseConfiguration(body)
}

func (c *Client) read(ctx context.Context, wellKnown string) ([]byte, error) {
	a, err := c.exchange(ctx, request{method: http.MethodGet, url: c.service.JoinPath(".well-known", wellKnown), accept: mediaCBOR})
	if err != nil {
		return nil, err
	}
	if !a.ok() {
		return nil, fmt.Errorf("get %s: unexpected status %d", a.url, a.status)
	}
	return a.body, nil
}

// File fetches a file below the client's URL, such as a file of a static log on
// any file server, of at most limit bytes. For one that is not there the error
// wraps [fs.ErrNotExist]: object stores answer 403 in place of 404 to a reader
// who may not list them. Any other refusal wraps ErrStatus.
func (c *Client) File(ctx context.Context, path string, limit int64) ([]byte, error) {
	u := c.service.JoinPath(path)
	a, err := c.exchange(ctx, request{method: http.MethodGet, url: u, accept: "*/*", limit: limit})
	if p, ok := errors.AsType[*scitt.Problem](err); ok {
		switch p.Status {
		case http.StatusForbidden, http.StatusNotFound, http.StatusGone:
			return nil, fmt.Errorf("get %s: %w (status %d)", u, fs.ErrNotExist, p.Status)
		}
		return nil, fmt.Errorf("get %s: %w: %s", u, ErrStatus, err.Error())
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", u, err)
	}
	if !a.ok() {
		return nil, fmt.Errorf("get %s: %w: unexpected status %d", u, ErrStatus, a.status)
	}
	return a.body, nil
}

// transient reports whether it makes sense to send the same request again.
func transient(err error) bool {
	if p, ok := errors.AsType[*scitt.Problem](err); ok {
		switch p.Status {
		case http.StatusRequestTimeout, http.StatusTooManyRequests:
			return true
		}
		return p.Status >= http.StatusInternalServerError
	}
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return false
	}
	return errors.Is(err, errNoAnswer)
}
