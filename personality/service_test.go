package personality

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/formats/proof"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/teststorage"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/index"
	"github.com/conmotion/conmotion/storage/posix"
)

// judge is a Registration Policy that everybody may replace.
type judge struct{ *policy.Policy }

func (j judge) Admit(_ context.Context, s *scitt.Statement, _ Heads) error {
	return j.Policy.Admit(s, policy.NoFacts{})
}
func (j judge) VerifySignature(s *scitt.Statement) error { return j.Policy.VerifySignature(s, nil) }
func (judge) Replace(s *scitt.Statement, _ scitt.EntryID) (Policy, error) {
	p, err := policy.FromStatement(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", scitt.ErrMalformed, err)
	}
	return judge{p}, nil
}
func (j judge) Document() []byte { return j.Canonical() }

// tested is a service over a log on a disk, with its index.
type tested struct {
	*Service
	t    *testing.T
	keys *testlog.Keys
	h    http.Handler
	key  crypto.Signer // of an issuer
	log  *storage.Log
}

func newTested(t *testing.T, change func(*Config)) *tested {
	t.Helper()
	dir := testlog.Must(storage.OpenDir(t.TempDir()))(t)
	entries := testlog.Must(index.Open(t.Context(), dir.Private("index.db"), nil, nil))(t)
	keys := testlog.NewKeys(t)
	options := teststorage.Options(keys)
	options.Antispam = entries
	l := testlog.Must(storage.Open(t.Context(), posix.New(dir, options.Logger), options))(t)
	t.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
		entries.Close()
		dir.Close()
	})
	founder := Founder{Issuer: testlog.Issuer, Origin: testlog.Origin, Key: keys.Service, Now: time.Now}
	announced := testlog.Must(founder.Announce(t.Context(), l, func() (*scitt.Keys, error) { return keys.Announced, nil }))(t)
	first := testlog.Must(founder.Bootstrap(t.Context(), l, entries.Policies, policy.Default().Canonical()))(t)
	if err := entries.Await(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	// The next start finds both.
	again := testlog.Must(founder.Announce(t.Context(), l, nil))(t)
	found := testlog.Must(founder.Bootstrap(t.Context(), l, entries.Policies, nil))(t)
	if again.ID != announced.ID || found.Index != 1 || found.New || !first.New || found.Statement.ID() != first.Statement.ID() {
		t.Fatalf("founded as %+v, and found as %+v", first, found)
	}
	c := Config{
		Issuer: testlog.Issuer, Origin: testlog.Origin, Keys: Keys{Receipt: announced.Receipt, VKeys: keys.VKeys},
		Policy: InForce{judge{policy.Default()}, found.Index, found.Statement.ID()}, Wait: time.Minute,
		Log: l, Index: entries, Files: http.Dir(dir.Public()), Metrics: testlog.Must(NewMetrics(noop.Meter{}))(t), Logger: slog.New(slog.DiscardHandler),
	}
	if err := c.Metrics.Observe(noop.Meter{}, func() (uint64, time.Time) { return l.PublishedSize(), l.PublishedAt() }, entries.Next); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&c)
	}
	s := &tested{Service: testlog.Must(New(c))(t), t: t, keys: keys, key: testlog.Key(t, "ES256"), log: l}
	s.h = s.Handler()
	return s
}

// do sends a request whose header has these names and values.
func (s *tested) do(method, path string, body io.Reader, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, body)
	for pair := range slices.Chunk(header, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	w := httptest.NewRecorder()
	s.h.ServeHTTP(w, r)
	return w
}

func (s *tested) post(body []byte, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.do(http.MethodPost, "/entries", bytes.NewReader(body), header...)
}

// statement is a new one about a subject.
func (s *tested) statement(subject string) []byte {
	s.t.Helper()
	return testlog.Statement(s.t, s.key, subject, []byte("content"))
}

func parsed(t *testing.T, statement []byte) *scitt.Statement {
	t.Helper()
	return testlog.Must(scitt.ParseStatement(statement))(t)
}

// wants holds an answer to its status, and a refusal to its title and to a part of
// its detail.
func wants(t *testing.T, w *httptest.ResponseRecorder, status int, title, detail string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("status %d, want %d: %s", w.Code, status, w.Body)
		return
	}
	if status < 400 {
		return
	}
	p, err := scitt.ParseProblem(w.Code, w.Body.Bytes())
	if err != nil || p.Title != title || !strings.Contains(p.Detail, detail) {
		t.Errorf("%v, %v, want %q and %q", p, err, title, detail)
	}
}

// verify holds a Receipt to its statement.
func (s *tested) verify(statement, receipt []byte) {
	s.t.Helper()
	v := scitt.Verifier{LogKeys: s.Keys.Receipt, Leaf: []scitt.LeafMode{scitt.LeafEntry}}
	out := testlog.Must(v.Verify(scitt.AttachReceipts(parsed(s.t, statement), receipt)))(s.t)
	if err := out.Err(); err != nil {
		s.t.Error(err)
	}
}

// TestWalk: a statement gets its Receipt, and is found in every form.
func TestWalk(t *testing.T) {
	s := newTested(t, nil)
	statement := s.statement("asset")
	id := parsed(t, statement).ID().String()
	first := s.post(statement)
	wants(t, first, http.StatusCreated, "", "")
	location := testlog.Issuer + "/entries/" + id
	if got := first.Header().Get("Location"); got != location {
		t.Errorf("Location %s", got)
	}
	s.verify(statement, first.Body.Bytes())
	wants(t, s.post(statement), http.StatusCreated, "", "") // a duplicate
	wants(t, s.post(testlog.Twin(t, statement)), http.StatusConflict, "Already Registered", location)
	wants(t, s.post(testlog.Garbage(statement)), http.StatusBadRequest, "Rejected", "signature")
	if size := s.log.PublishedSize(); size != 3 {
		t.Errorf("the log has %d entries, want 3", size)
	}
	for _, name := range []string{id, "2"} {
		receipt := s.do(http.MethodGet, "/entries/"+name, nil)
		s.verify(statement, receipt.Body.Bytes())
		whole := s.do(http.MethodGet, "/entries/"+name+"/statement", nil)
		if out, err := (&scitt.Verifier{LogKeys: s.Keys.Receipt}).Verify(whole.Body.Bytes()); err != nil || out.Err() != nil {
			t.Errorf("%s: %v, %v", name, err, out)
		}
		var p proof.TLogProof
		inclusion := s.do(http.MethodGet, "/entries/"+name+"/proof", nil)
		if err := p.Unmarshal(inclusion.Body.Bytes()); err != nil || p.Index != 2 {
			t.Errorf("%s: proof of entry %d: %v", name, p.Index, err)
		}
		for _, w := range []*httptest.ResponseRecorder{receipt, whole, inclusion} {
			if got := w.Header().Get("Location"); w.Code != http.StatusOK || got != location {
				t.Errorf("%s: status %d, Location %s", name, w.Code, got)
			}
		}
	}
	for path, want := range map[string]struct {
		status int
		title  string
	}{
		"/entries/" + strings.Repeat("0", 64):        {404, "Not Found"},
		"/entries/3":                                 {404, "Not Found"},
		"/entries/007":                               {400, "Invalid locator"},
		"/entries/" + id + "/nothing":                {404, "Not Found"},
		"/entries?limit=0":                           {400, "Malformed request"},
		"/entries?from=x":                            {400, "Malformed request"},
		"/nothing":                                   {404, "Not Found"},
		"/tile/0/001":                                {404, "Not Found"},
		"/tile/0/000.p/9":                            {404, "Not Found"},
		"/tile/x":                                    {404, "Not Found"},
		"/.well-known/scitt-keys/x":                  {404, "No such key"},
		"/entries/" + strings.Repeat("9", 19):        {404, "Not Found"},
		"/entries/" + strings.Repeat("9", 20) + "/x": {404, "Not Found"},
	} {
		t.Run(path, func(t *testing.T) { wants(t, s.do(http.MethodGet, path, nil), want.status, want.title, "") })
	}
	wants(t, s.do(http.MethodPut, "/entries", nil), http.StatusMethodNotAllowed, "Method Not Allowed", "GET, HEAD, POST")
	wants(t, s.do(http.MethodOptions, "/entries", nil), http.StatusNoContent, "", "")
	if w := s.do(http.MethodGet, "/tile//0/./000", nil); w.Code != http.StatusPermanentRedirect || w.Header().Get("Location") != testlog.Issuer+"/tile/0/000" {
		t.Errorf("an unclean path: status %d, Location %s", w.Code, w.Header().Get("Location"))
	}
	if w := s.do(http.MethodGet, "/", nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "entries  3\n") {
		t.Errorf("the home page: status %d: %s", w.Code, w.Body)
	}
}

// TestPages: the log in pages, each of which says where the next one begins.
func TestPages(t *testing.T) {
	s := newTested(t, nil)
	wants(t, s.post(slices.Concat(s.statement("a"), s.statement("b"), s.statement("c")), "Content-Type", mediaCBORSeq), http.StatusOK, "", "")
	var ids []scitt.EntryID
	path, pages := "/entries?from=2&limit=2", 0
	for ; path != ""; pages++ {
		w := s.do(http.MethodGet, path, nil)
		wants(t, w, http.StatusOK, "", "")
		for _, item := range testlog.Must(scitt.SplitSequence(w.Body.Bytes()))(t) {
			out := testlog.Must((&scitt.Verifier{LogKeys: s.Keys.Receipt}).Verify(item))(t)
			if err := out.Err(); err != nil {
				t.Error(err)
			}
			ids = append(ids, out.Statement.ID())
		}
		link, _, _ := strings.Cut(w.Header().Get("Link"), ">")
		path = strings.TrimPrefix(link, "<"+testlog.Issuer)
	}
	if pages != 2 || len(ids) != 3 {
		t.Errorf("%d statements on %d pages", len(ids), pages)
	}
	for range mostPages {
		s.pages <- struct{}{}
	}
	wants(t, s.do(http.MethodGet, "/entries", nil), http.StatusServiceUnavailable, "Service Busy", "static files")
}

// TestSequence: statements in one request, up to the first that is refused.
func TestSequence(t *testing.T) {
	s := newTested(t, func(c *Config) { c.RatePerSecond, c.Burst = 1000, 4 })
	a, b := s.statement("a"), s.statement("b")
	send := func(parts ...[]byte) *httptest.ResponseRecorder {
		s.limits.clients.Purge()
		return s.post(bytes.Join(parts, nil), "Content-Type", mediaCBORSeq)
	}
	wants(t, send(a, b), http.StatusOK, "", "")
	for name, c := range map[string]struct {
		body     [][]byte
		receipts int
		title    string // of the problem behind them
	}{
		"all":                {[][]byte{a, b}, 2, ""},
		"one twice":          {[][]byte{a, b, a}, 3, ""},
		"another signature":  {[][]byte{a, testlog.Twin(t, b)}, 1, "Already Registered"},
		"garbage":            {[][]byte{a, testlog.Garbage(s.statement("c")), b}, 1, "Rejected"},
		"malformed":          {[][]byte{a, {0x01}, b}, 1, "Malformed request"},
		"a policy behind it": {[][]byte{a, s.policy(policy.Default().Canonical())}, 1, "Rejected"},
	} {
		t.Run(name, func(t *testing.T) {
			w := send(c.body...)
			wants(t, w, http.StatusOK, "", "")
			items := testlog.Must(scitt.SplitSequence(w.Body.Bytes()))(t)
			if c.title != "" {
				p, err := scitt.ParseProblemItem(items[len(items)-1])
				if err != nil || p.Title != c.title {
					t.Errorf("%v, %v, want %s", p, err, c.title)
				}
				items = items[:len(items)-1]
			}
			if len(items) != c.receipts {
				t.Fatalf("%d Receipts", len(items))
			}
			for i, receipt := range items {
				s.verify(c.body[i], receipt)
			}
		})
	}
	wants(t, send(), http.StatusBadRequest, "Malformed request", "empty")
	wants(t, send([]byte{0x01}, a), http.StatusBadRequest, "Malformed request", "")
	wants(t, send(testlog.Garbage(s.statement("d"))), http.StatusBadRequest, "Rejected", "")
	wants(t, send(a, a, a, a, a), http.StatusRequestEntityTooLarge, "Too Many Statements", "at most 4")
	wants(t, send(bytes.Repeat([]byte{0x01}, scitt.MaxSequence+1)), http.StatusRequestEntityTooLarge, "Too Many Statements", "1000")
	wants(t, s.post(make([]byte, scitt.MaxSequenceBytes+1), "Content-Type", mediaCBORSeq), http.StatusRequestEntityTooLarge, "Too Many Statements", "in parts")
}

// policy signs a document as an administrator.
func (s *tested) policy(document []byte) []byte {
	s.t.Helper()
	return testlog.Must(scitt.SignStatement(s.key, scitt.SignOptions{Type: scitt.TypePolicy, Subject: scitt.PolicySubject(testlog.Origin), ContentType: mediaPolicy}, document))(s.t)
}

// TestChange: a policy comes into force where it is in the log, and is published.
func TestChange(t *testing.T) {
	var published []*scitt.Configuration
	var s *tested
	s = newTested(t, func(c *Config) {
		c.Changed = func() error {
			published = append(published, s.Configuration())
			return fmt.Errorf("the disk is full") // which does not undo it
		}
	})
	wants(t, s.post(s.statement("a")), http.StatusCreated, "", "")
	next := s.policy([]byte(`{"version":1,"trust_anchors":{"self_certifying":["did:key"]}}`))
	wants(t, s.post(next), http.StatusCreated, "", "")
	wants(t, s.post(next), http.StatusCreated, "", "") // it is not changed again
	wants(t, s.post(s.statement("b")), http.StatusBadRequest, "Rejected", "did:jwk")
	wants(t, s.post(s.policy([]byte("{}"))), http.StatusBadRequest, "Malformed request", "")
	if len(published) != 1 || published[0].Policy.Index != 3 || s.InForce().Index != 3 {
		t.Errorf("entry %d is in force, and %d policies were published", s.InForce().Index, len(published))
	}
	for accept, media := range map[string]string{"application/json": "application/json", "": mediaCBOR} {
		w := s.do(http.MethodGet, "/.well-known/transparency-configuration", nil, "Accept", accept)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != media || !strings.Contains(w.Body.String(), "did:key") {
			t.Errorf("Accept: %s: status %d: %s", accept, w.Code, w.Body)
		}
	}
}

// TestLate: who does not wait long enough gets a Location, and finds the Receipt there.
func TestLate(t *testing.T) {
	s := newTested(t, nil)
	var a []byte
	tries := 0
	for name, send := range map[string]func() *httptest.ResponseRecorder{
		"respond-async": func() *httptest.ResponseRecorder { return s.post(a, "Prefer", "return=minimal, respond-async") },
		"wait":          func() *httptest.ResponseRecorder { return s.post(a, "Prefer", `wait="0"; x`) },
		"many": func() *httptest.ResponseRecorder {
			return s.post(slices.Concat(a, s.statement(fmt.Sprint("d", tries))), "Prefer", "wait=0", "Content-Type", mediaCBORSeq)
		},
	} {
		var w *httptest.ResponseRecorder
		testwait.Until(t, func() bool { // until the checkpoint does not come just then
			tries++
			a = s.statement(fmt.Sprint("a", tries))
			w = send()
			return w.Code != http.StatusCreated && w.Code != http.StatusOK
		}, name, " is late")
		if w.Code != http.StatusAccepted || w.Body.Len() != 0 || w.Header().Get("Retry-After") != "1" {
			t.Errorf("%s: status %d, %v", name, w.Code, w.Header())
		}
	}
	id := parsed(t, a).ID()
	testwait.Until(t, func() bool { return s.do(http.MethodGet, "/entries/"+id.String(), nil).Code == http.StatusOK }, "the Receipt is there")
	s.verify(a, s.do(http.MethodGet, "/entries/"+id.String(), nil).Body.Bytes())
	// What is on its way is neither there nor unknown.
	c := parsed(t, s.statement("e")).ID()
	s.mu.Lock()
	s.running[c] = true
	s.mu.Unlock()
	if w := s.do(http.MethodGet, "/entries/"+c.String(), nil); w.Code != http.StatusNoContent || w.Header().Get("Retry-After") != "1" {
		t.Errorf("running: status %d, %v", w.Code, w.Header())
	}
}

// TestRates: each client has its rate, here and in front of another handler.
func TestRates(t *testing.T) {
	s := newTested(t, func(c *Config) {
		c.RatePerSecond, c.Burst = 1e-9, 1
		c.Adjacent = map[string]http.Handler{"/echo": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) })}
	})
	if w := s.do(http.MethodGet, "/echo/x", nil); w.Body.String() != "/echo/x" {
		t.Errorf("an Adjacent Service: status %d: %s", w.Code, w.Body)
	}
	w := s.do(http.MethodGet, "/echo", nil)
	wants(t, w, http.StatusTooManyRequests, "Too Many Requests", "at once")
	if w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	h := testlog.Must(RateLimit(1e-9, 1, http.NotFoundHandler()))(t)
	for i, status := range []int{http.StatusNotFound, http.StatusTooManyRequests} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		if w.Code != status {
			t.Errorf("request %d: status %d", i, w.Code)
		}
	}
}
