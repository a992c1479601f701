package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
)

// inProcess answers requests without a network, so that time in a synctest
// bubble stands still while they run.
type inProcess struct{ http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w.Result(), nil
}

// step is one answer of a scripted service.
type step struct {
	want   string // method, path and Prefer of the request
	status int
	header map[string]string
	body   string
	fail   error         // no answer at all
	after  time.Duration // least time since the previous request
}

// script plays answers in order and holds the requests to them.
type script struct {
	t     *testing.T
	steps []step
	n     int
	last  time.Time
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.n == len(s.steps) {
		s.t.Fatalf("request %d: %s %s was not expected", s.n+1, r.Method, r.URL)
	}
	st := s.steps[s.n]
	s.n++
	got := strings.TrimSpace(r.Method + " " + r.URL.String() + " " + r.Header.Get("Prefer"))
	if got != st.want {
		s.t.Errorf("request %d is %q, want %q", s.n, got, st.want)
	}
	if since := time.Since(s.last); s.n > 1 && (since < st.after || since > st.after+st.after/2+time.Second) {
		s.t.Errorf("request %d came %v after the one before, want at least %v and not much more", s.n, since, st.after)
	}
	s.last = time.Now()
	if st.fail != nil {
		return nil, st.fail
	}
	w := httptest.NewRecorder()
	for k, v := range st.header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(st.status)
	_, _ = w.WriteString(st.body)
	return w.Result(), nil
}

const (
	post  = "POST https://ts.example/entries"
	get   = "GET https://ts.example/entries/e1"
	entry = "https://ts.example/entries/e1"
)

func location(retryAfter ...string) map[string]string {
	h := map[string]string{"Location": entry}
	if len(retryAfter) > 0 {
		h["Retry-After"] = retryAfter[0]
	}
	return h
}

var problem = string((&scitt.Problem{Title: "Rejected", Detail: "no such issuer"}).Marshal())

func TestRegister(t *testing.T) {
	// The clock of a synctest bubble begins here.
	begin := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name  string
		async bool
		steps []step
		err   string // "" for a receipt
	}{
		{name: "201", steps: []step{{want: post, status: 201, header: location(), body: "receipt"}}},
		{name: "202, 204, 200", async: true, steps: []step{
			{want: post + " respond-async", status: 202, header: location("3")},
			{want: get, status: 204, header: map[string]string{"Retry-After": "5"}, after: 3 * time.Second},
			{want: get, status: 204, after: 5 * time.Second},
			{want: get, status: 200, body: "receipt"},
		}},
		{name: "a relative Location", steps: []step{
			{want: post, status: 202, header: map[string]string{"Location": "/entries/e1"}},
			{want: get, status: 200, body: "receipt"},
		}},
		{name: "201 without the receipt", steps: []step{
			{want: post, status: 201, header: location()},
			{want: get, status: 200, body: "receipt"},
		}},
		{name: "older drafts: 303, 302, 200", steps: []step{
			{want: post, status: 303, header: location("2")},
			{want: get, status: 302, header: location("4"), after: 2 * time.Second},
			{want: get, status: 302, header: location(), after: 4 * time.Second},
			{want: get, status: 200, body: "receipt"},
		}},
		{name: "303 to the receipt", steps: []step{
			{want: post, status: 303, header: location()},
			{want: get, status: 303, header: map[string]string{"Location": "https://ts.example/receipts/e1"}},
			{want: "GET https://ts.example/receipts/e1", status: 200, body: "receipt"},
		}},
		{name: "Retry-After is a date", steps: []step{
			{want: post, status: 503, header: map[string]string{"Retry-After": begin.Add(7 * time.Second).Format(http.TimeFormat)}},
			{want: post, status: 201, header: location(), body: "receipt", after: 7 * time.Second},
		}},
		{name: "Retry-After is a date of a clock that is wrong", steps: []step{
			{want: post, status: 429, header: map[string]string{
				"Date": "Mon, 01 Jan 2024 00:00:00 GMT", "Retry-After": "Mon, 01 Jan 2024 00:00:09 GMT"}},
			{want: post, status: 201, header: location(), body: "receipt", after: 9 * time.Second},
		}},
		{name: "nobody answers at first", steps: []step{
			{want: post, fail: errors.New("connection refused")},
			{want: post, status: 502},
			{want: post, status: 201, header: location(), body: "receipt"},
		}},
		{name: "429 while polling", steps: []step{
			{want: post, status: 202, header: location()},
			{want: get, status: 429, header: map[string]string{"Retry-After": "2"}},
			{want: get, status: 200, body: "receipt", after: 2 * time.Second},
		}},
		{name: "the service moved", steps: []step{
			{want: post, status: 308, header: map[string]string{"Location": "https://new.example/entries"}},
			{want: "POST https://new.example/entries", status: 201, header: location(), body: "receipt"},
		}},
		{name: "refused", err: "Rejected: no such issuer", steps: []step{{want: post, status: 400, body: problem}}},
		{name: "failed later", err: "Rejected: no such issuer", steps: []step{
			{want: post, status: 202, header: location()},
			{want: get, status: 404, body: problem},
		}},
		{name: "never answers", err: "connection refused", steps: []step{
			{want: post, fail: errors.New("connection refused")}, {want: post, fail: errors.New("connection refused")},
			{want: post, fail: errors.New("connection refused")}, {want: post, fail: errors.New("connection refused")},
		}},
		{name: "busy for too long", err: "come back in 1h", steps: []step{
			{want: post, status: 503, header: map[string]string{"Retry-After": "3600"}},
		}},
		{name: "busy for ever", err: "come back in 596523h", steps: []step{
			{want: post, status: 503, header: map[string]string{"Retry-After": "99999999999999999999"}},
		}},
		{name: "202 without a Location", err: "neither a Receipt nor a Location", steps: []step{{want: post, status: 202}}},
		{name: "leaves https", err: "leaves https", steps: []step{
			{want: post, status: 202, header: map[string]string{"Location": "http://ts.example/entries/e1"}},
		}},
		{name: "leaves https by a redirect", err: "leaves https", steps: []step{
			{want: post, status: 202, header: location()},
			{want: get, status: 307, header: map[string]string{"Location": "http://ts.example/entries/e1"}},
		}},
		{name: "leads to a file", err: "no plain http", steps: []step{
			{want: post, status: 202, header: map[string]string{"Location": "file:///etc/passwd"}},
		}},
		{name: "an endless answer", err: "larger than", steps: []step{
			{want: post, status: 201, header: location(), body: strings.Repeat("x", 5<<20)},
		}},
		{name: "an endless refusal", err: "Not Found (status 404)", steps: []step{{want: post, status: 404, body: strings.Repeat("x", 5<<20)}}},
		{name: "an unknown status", err: "unexpected status 206", steps: []step{{want: post, status: 206, header: location()}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{t: t, steps: tc.steps}
				c, err := client.New("https://ts.example", client.Options{HTTP: &http.Client{Transport: s}, Retries: 3, Async: tc.async})
				if err != nil {
					t.Fatal(err)
				}
				reg, err := c.Register(t.Context(), []byte("statement"))
				if s.n != len(tc.steps) {
					t.Errorf("%d requests, want %d", s.n, len(tc.steps))
				}
				if tc.err != "" {
					if err == nil || !strings.Contains(err.Error(), tc.err) {
						t.Fatalf("error %v, want one that says %q", err, tc.err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if string(reg.Receipt) != "receipt" || reg.Location != entry {
					t.Errorf("got %q from %s", reg.Receipt, reg.Location)
				}
			})
		})
	}
}

// A service that never gets done holds nobody longer than the context.
func TestContextBoundsPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		polls := 0
		c := newClient(t, inProcess{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			polls++
			w.WriteHeader(http.StatusNoContent)
		})})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := c.Receipt(ctx, "e1")
		if !errors.Is(err, client.ErrRunning) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		// Not longer than the deadline, and not given up long before it.
		if d := time.Since(start); d < 45*time.Second || d > time.Minute {
			t.Errorf("gave up after %v", d)
		}
		// The waits grow from 100 ms to 10 s.
		if polls < 8 || polls > 30 {
			t.Errorf("%d polls in a minute", polls)
		}
	})
}

func TestCancelEndsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c, err := client.New("https://ts.example", client.Options{
			HTTP: &http.Client{Transport: inProcess{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "60")
				w.WriteHeader(http.StatusServiceUnavailable)
			})}},
			Waiting: func(wait time.Duration, why error) {
				if p, ok := errors.AsType[*scitt.Problem](why); !ok || p.Status != 503 || wait < time.Minute {
					t.Errorf("waiting %v for %v", wait, why)
				}
				cancel()
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := c.Register(ctx, []byte("statement")); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if time.Since(start) != 0 {
			t.Errorf("waited %v after the end", time.Since(start))
		}
	})
}

func newClient(t *testing.T, rt http.RoundTripper) *client.Client {
	t.Helper()
	c, err := client.New("https://ts.example", client.Options{HTTP: &http.Client{Transport: rt}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Problems arrive as they were sent, or as far as a stranger's answer goes.
func TestProblems(t *testing.T) {
	for _, tc := range []struct {
		name, mediaType, body string
		status                int
		want                  scitt.Problem
	}{
		{"SCRAPI", scitt.ProblemMediaType, problem, 400, scitt.Problem{Status: 400, Title: "Rejected", Detail: "no such issuer"}},
		{"plain text of a proxy", "text/plain", "go away\n", 403, scitt.Problem{Status: 403, Title: "Forbidden", Detail: "go away"}},
		{"a page of a proxy", "text/html", "<html>", 404, scitt.Problem{Status: 404, Title: "Not Found"}},
		{"nothing", "", "", 410, scitt.Problem{Status: 410, Title: "Gone"}},
		{"a number of its own", "", "", 499, scitt.Problem{Status: 499, Title: "Unknown Error"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newClient(t, inProcess{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", tc.mediaType)
				w.WriteHeader(tc.status)
				fmt.Fprint(w, tc.body)
			})})
			_, err := c.Register(t.Context(), []byte("statement"))
			p, ok := errors.AsType[*scitt.Problem](err)
			if !ok || *p != tc.want {
				t.Errorf("got %+v from %v, want %+v", p, err, tc.want)
			}
		})
	}
}

// oldService speaks SCRAPI as its older drafts had it, over a real connection.
type oldService struct {
	mu    sync.Mutex
	polls int
}

func (s *oldService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/entries" && r.Header.Get("Content-Type") == "application/cose":
		w.Header().Set("Location", "/entries/67ed")
		w.WriteHeader(http.StatusSeeOther)
	case r.Method == http.MethodGet && r.URL.Path == "/entries/67ed" && r.Header.Get("Accept") == "application/cose":
		s.polls++
		if s.polls < 3 {
			w.Header().Set("Location", "/entries/67ed")
			w.WriteHeader(http.StatusFound)
			return
		}
		fmt.Fprint(w, "receipt")
	default:
		http.NotFound(w, r)
	}
}

func TestOldService(t *testing.T) {
	old := &oldService{}
	server := httptest.NewServer(old)
	defer server.Close()
	c, err := client.New(server.URL, client.Options{HTTP: server.Client()})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := c.Register(t.Context(), []byte("statement"))
	if err != nil {
		t.Fatal(err)
	}
	if string(reg.Receipt) != "receipt" || reg.Location != server.URL+"/entries/67ed" || old.polls != 3 {
		t.Errorf("got %q from %s after %d polls", reg.Receipt, reg.Location, old.polls)
	}
}

func TestWellKnown(t *testing.T) {
	signer, err := scitt.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	key, err := scitt.NewKey(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	set, err := scitt.KeySet{key}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	configuration, err := (&scitt.Configuration{
		Origin: "ts.example", CheckpointKeys: []string{"k"}, Policy: scitt.ConfigurationPolicy{Document: []byte("{}")},
	}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	serve := func(path, accept string, body []byte) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept") != accept {
				t.Errorf("%s: Accept is %q", path, r.Header.Get("Accept"))
			}
			_, _ = w.Write(body)
		})
	}
	serve("/.well-known/scitt-keys", "application/cbor", set)
	serve("/.well-known/transparency-configuration", "application/cbor", configuration)
	serve("/entries/e1/statement", "application/cose", []byte("transparent"))
	c := newClient(t, inProcess{mux})
	if keys, err := c.Keys(t.Context()); err != nil || len(keys) != 1 || string(keys[0].ID) != string(key.ID) {
		t.Errorf("keys %v, error %v", keys, err)
	}
	if got, err := c.Configuration(t.Context()); err != nil || got.Origin != "ts.example" {
		t.Errorf("configuration %+v, error %v", got, err)
	}
	if got, err := c.TransparentStatement(t.Context(), "e1"); err != nil || string(got) != "transparent" {
		t.Errorf("transparent statement %q, error %v", got, err)
	}
	if _, err := c.Receipt(t.Context(), "e2"); err == nil {
		t.Error("a receipt that is not there")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, service := range []string{"", "ts.example", "ftp://ts.example", "https://", "://"} {
		if _, err := client.New(service, client.Options{}); err == nil {
			t.Errorf("%q is taken for a URL of a service", service)
		}
	}
}

// TestFileBusy: who reads files is told how long a server asks to stay away.
func TestFileBusy(t *testing.T) {
	c, err := client.New("https://log.example", client.Options{HTTP: &http.Client{Transport: inProcess{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	})}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.File(t.Context(), "checkpoint", 100); !errors.Is(err, client.ErrStatus) || !strings.Contains(err.Error(), "come back in 1h") {
		t.Error(err)
	}
}
