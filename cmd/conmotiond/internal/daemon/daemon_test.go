package daemon_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
)

// service is a whole service on a directory of its own, behind HTTP.
type service struct {
	t      testing.TB
	config daemon.Config
	*daemon.Daemon
	telemetry *daemon.Telemetry
	server    *httptest.Server
	url       string // of the public files; "" for those in Place
}

// public is where everybody reads the log's files.
func (s *service) public() string { return cmp.Or(s.url, s.Place()) }

func newService(t testing.TB, change func(*daemon.Config)) *service {
	t.Helper()
	s := &service{t: t, config: daemon.Config{
		Dir: testwait.Dir(t), DefaultIssuer: "http://transparency.example", Wait: time.Minute,
		BatchMaxAge: 5 * time.Millisecond, Burst: 1, Logger: slog.New(slog.DiscardHandler), ArtifactReaders: daemon.Readers{Public: true},
	}}
	if change != nil {
		change(&s.config)
	}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *service) start() {
	s.t.Helper()
	s.telemetry = testlog.Must(daemon.NewTelemetry())(s.t)
	s.Daemon = testlog.Must(daemon.Open(context.Background(), s.config, s.telemetry))(s.t)
	// The service's handler sees its issuer's URLs, whatever the port is.
	s.server = httptest.NewServer(s.Handler())
}

func (s *service) stop() {
	if s.server == nil {
		return
	}
	s.server.Close()
	if err := s.Close(); err != nil {
		s.t.Error(err)
	}
	s.server = nil
}

// answer is what came back.
type answer struct {
	*http.Response
	body []byte
}

func (s *service) do(method, path string, body []byte, headers ...string) answer {
	s.t.Helper()
	req := testlog.Must(http.NewRequestWithContext(s.t.Context(), method, s.server.URL+path, bytes.NewReader(body)))(s.t)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	// A transport of its own neither asks for gzip nor follows redirects.
	resp := testlog.Must((&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(req))(s.t)
	defer resp.Body.Close()
	return answer{resp, testlog.Must(io.ReadAll(resp.Body))(s.t)}
}

func (s *service) get(path string, headers ...string) answer {
	s.t.Helper()
	return s.do(http.MethodGet, path, nil, headers...)
}

// register sends a statement that must be registered, and gives its Receipt.
func (s *service) register(statement []byte) []byte {
	s.t.Helper()
	a := s.do(http.MethodPost, "/entries", statement, "Content-Type", "application/cose")
	if a.StatusCode != http.StatusCreated {
		s.t.Fatalf("register: %s: %s", a.Status, a.problem(s.t))
	}
	return a.body
}

// problem reads the answer as problem details, or is nil.
func (a answer) problem(t testing.TB) *scitt.Problem {
	t.Helper()
	if a.Header.Get("Content-Type") != scitt.ProblemMediaType {
		return nil
	}
	return testlog.Must(scitt.ParseProblem(a.StatusCode, a.body))(t)
}

func (s *service) keys() scitt.KeySet {
	s.t.Helper()
	return testlog.Must(scitt.ParseKeySet(s.get("/.well-known/scitt-keys").body))(s.t)
}

func (s *service) configuration() *scitt.Configuration {
	s.t.Helper()
	return testlog.Must(scitt.ParseConfiguration(s.get("/.well-known/transparency-configuration").body))(s.t)
}

func (s *service) checker() *testlog.Checker {
	s.t.Helper()
	return testlog.NewChecker(s.t, s.public(), s.configuration().CheckpointKeys, s.keys())
}

func (s *service) size() uint64 {
	s.t.Helper()
	view := s.checker().Check(s.t, nil)
	return view.Checkpoint.Size
}

// verify holds a Receipt to a statement, by the published keys alone.
func (s *service) verify(statement, receipt []byte) error {
	st := testlog.Must(scitt.ParseStatement(statement))(s.t)
	v := scitt.Verifier{LogKeys: s.keys(), Leaf: []scitt.LeafMode{scitt.LeafEntry}}
	out := testlog.Must(v.Verify(scitt.AttachReceipts(st, receipt)))(s.t)
	return out.Err()
}

func TestRegister(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	key := testlog.Key(t, "ES256")
	keys := map[string]crypto.Signer{"PS256": testlog.Must(rsa.GenerateKey(rand.Reader, 2048))(t)}
	for _, alg := range []string{"ES256", "ES384", "EdDSA"} {
		keys[alg] = testlog.Key(t, alg)
	}
	for alg, key := range keys {
		statement := testlog.Statement(t, key, "asset", []byte(alg))
		a := s.do(http.MethodPost, "/entries", statement)
		id := testlog.Must(scitt.ParseStatement(statement))(t).ID()
		url := s.Issuer + "/entries/" + id.String()
		if a.StatusCode != http.StatusCreated || a.Header.Get("Location") != url || a.Header.Get("Content-Type") != "application/cose" {
			t.Fatalf("%s: %s, Location %q: %s", alg, a.Status, a.Header.Get("Location"), a.problem(t))
		}
		if err := s.verify(statement, a.body); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		// Again: the same Location and a Receipt.
		again := s.do(http.MethodPost, "/entries", statement)
		if again.StatusCode != http.StatusCreated || again.Header.Get("Location") != url {
			t.Errorf("%s: again: %s, Location %q", alg, again.Status, again.Header.Get("Location"))
		}
		got := s.get("/entries/" + id.String())
		if got.StatusCode != http.StatusOK || got.Header.Get("Location") != url || s.verify(statement, got.body) != nil {
			t.Errorf("%s: GET: %s", alg, got.Status)
		}
	}
	if got := s.size(); got != 2+4 {
		t.Errorf("the log has %d entries, want the two of the service and four", got)
	}
	// Receipts of one tree share its one signature.
	other := testlog.Statement(t, key, "asset", []byte("other"))
	s.register(other)
	first, second := s.get("/entries/2").body, s.get("/entries/3").body
	a, b := testlog.Must(scitt.ParseReceipt(first))(t), testlog.Must(scitt.ParseReceipt(second))(t)
	if a.IssuedAt != b.IssuedAt || !bytes.Equal(first[len(first)-64:], second[len(second)-64:]) {
		t.Error("two receipts of one tree have different signatures")
	}
	if !bytes.Equal(first, s.get("/entries/2").body) {
		t.Error("one tree gave two receipts for one entry")
	}
}

// TestUnprotectedHeader: what a client puts there is not logged and does not
// change the entry's id.
func TestUnprotectedHeader(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	statement := testlog.Statement(t, testlog.Key(t, "ES256"), "asset", []byte("x"))
	st := testlog.Must(scitt.ParseStatement(statement))(t)
	s.register(testlog.Statement(t, testlog.Key(t, "ES256"), "other", nil))
	foreign := s.get("/entries/0").body
	a := s.do(http.MethodPost, "/entries", scitt.AttachReceipts(st, foreign))
	if a.StatusCode != http.StatusCreated || a.Header.Get("Location") != s.Issuer+"/entries/"+st.ID().String() {
		t.Fatalf("%s, Location %q", a.Status, a.Header.Get("Location"))
	}
	if err := s.verify(statement, a.body); err != nil {
		t.Error(err)
	}
	bare := s.do(http.MethodPost, "/entries", statement)
	if bare.Header.Get("Location") != a.Header.Get("Location") {
		t.Error("the unprotected header changes the entry's URL")
	}
	if got := s.size(); got != 4 {
		t.Errorf("the log has %d entries, want 4", got)
	}
	view := s.checker().Check(t, nil)
	entry := testlog.Must(view.Entry(t.Context(), 3))(t)
	if !bytes.Equal(entry, st.Entry()) || bytes.Contains(entry, foreign) {
		t.Error("the entry is not the statement with an empty unprotected header")
	}
}

// accepted sends statements until one is accepted and not published yet: when
// the next checkpoint comes is not for the test to say.
func (s *service) accepted(prefer ...string) (statement []byte, a, running answer) {
	s.t.Helper()
	key := testlog.Key(s.t, "ES256")
	for i := range 500 {
		statement = testlog.Statement(s.t, key, "asset", fmt.Append(nil, i))
		if a = s.do(http.MethodPost, "/entries", statement, prefer...); a.StatusCode != http.StatusAccepted {
			continue
		}
		if running = s.get(strings.TrimPrefix(a.Header.Get("Location"), s.Issuer)); running.StatusCode == http.StatusNoContent {
			return statement, a, running
		}
	}
	s.t.Fatalf("none of many statements was accepted and still running: %s, then %v", a.Status, running.Response)
	return nil, a, running
}

func TestAsynchronous(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *daemon.Config) { c.CheckpointInterval = time.Second })
	statement, a, running := s.accepted("Prefer", "respond-async")
	location := a.Header.Get("Location")
	if len(a.body) != 0 || location == "" || a.Header.Get("Retry-After") == "" {
		t.Fatalf("%s, body of %d bytes, Location %q, Retry-After %q", a.Status, len(a.body), location, a.Header.Get("Retry-After"))
	}
	path := strings.TrimPrefix(location, s.Issuer)
	if len(running.body) != 0 || running.Header.Get("Cache-Control") != "no-store" || running.Header.Get("Retry-After") == "" {
		t.Errorf("while it runs: %s %v", running.Status, running.Header)
	}
	// The same statement, synchronously: the same URL, and the Receipt.
	sync := s.do(http.MethodPost, "/entries", statement)
	if sync.StatusCode != http.StatusCreated || sync.Header.Get("Location") != location {
		t.Errorf("synchronously: %s, Location %q", sync.Status, sync.Header.Get("Location"))
	}
	if got := s.get(path); got.StatusCode != http.StatusOK || s.verify(statement, got.body) != nil {
		t.Errorf("when it is done: %s", got.Status)
	}
	// The wait runs out.
	s.accepted("Prefer", "wait=0")
}

func TestWaitRunsOut(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *daemon.Config) { c.CheckpointInterval = time.Second; c.Wait = time.Millisecond })
	s.accepted()
}

// TestIssuerIsAnAddress: a service that listens everywhere does not guess the
// name that its Receipts have for ever.
func TestIssuerIsAnAddress(t *testing.T) {
	t.Parallel()
	for _, everywhere := range []string{"http://[::]:8080", "http://0.0.0.0:8080", "https://[::]:443"} {
		c := daemon.Config{Dir: testwait.Dir(t), DefaultIssuer: everywhere, Logger: slog.New(slog.DiscardHandler)}
		if _, err := daemon.Open(t.Context(), c, testlog.Must(daemon.NewTelemetry())(t)); err == nil || !strings.Contains(err.Error(), "--issuer: give the URL") {
			t.Errorf("%s: %v", everywhere, err)
		}
	}
	// With a name, and when it is made already, any address will do.
	s := newService(t, func(c *daemon.Config) { c.DefaultIssuer, c.Issuer = "http://[::]:8080", "https://named.example" })
	s.stop()
	s.config.Issuer = ""
	s.start()
	if s.Issuer != "https://named.example" || s.Origin != "named.example" {
		t.Errorf("issuer %s, origin %s", s.Issuer, s.Origin)
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	statement := testlog.Statement(t, testlog.Key(t, "ES256"), "asset", nil)
	receipts := map[string][]byte{string(statement): s.register(statement)}
	before, root := s.configuration(), s.get("/checkpoint").body
	checker := s.checker()
	checker.Check(t, receipts)
	s.stop()
	s.start()
	if after := s.configuration(); after.Policy.EntryID != before.Policy.EntryID || after.Issuer != before.Issuer || after.Origin != before.Origin {
		t.Errorf("a restart changed the service: %+v, then %+v", before, after)
	}
	if now := s.get("/checkpoint").body; !bytes.Equal(now, root) {
		t.Error("a restart signed the same tree again")
	}
	if a := s.do(http.MethodPost, "/entries", statement); a.StatusCode != http.StatusCreated || s.size() != 3 {
		t.Errorf("the same statement after a restart: %s, %d entries", a.Status, s.size())
	}
	checker.Check(t, receipts)

	s.stop()
	for _, c := range []struct {
		change func(*daemon.Config)
		want   string
	}{
		{func(c *daemon.Config) { c.Origin = "another.example" }, "is named transparency.example"},
		{func(c *daemon.Config) { c.Issuer = "https://another.example" }, "was made for http://transparency.example"},
	} {
		config := s.config
		c.change(&config)
		_, err := daemon.Open(t.Context(), config, testlog.Must(daemon.NewTelemetry())(t))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want an error about %q, got %v", c.want, err)
		}
	}
	s.start()
}

// TestLost: what a log cannot go on without is not made anew, and what is
// there stays as it is.
func TestLost(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"service.json":             "has a log already",
		"receipt-key.pem":          "put it back",
		"checkpoint-key.pem":       "put it back",
		"service-key.pem":          "put it back",
		"tessera":                  storage.ErrFork.Error(),
		"tessera/.state/treeState": storage.ErrFork.Error(),
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, nil)
			statement := testlog.Statement(t, testlog.Key(t, "ES256"), "asset", nil)
			s.register(statement)
			before := s.get("/checkpoint").body
			s.stop()
			path := filepath.Join(s.config.Dir, "private", name)
			if err := os.Rename(path, path+".kept"); err != nil {
				t.Fatal(err)
			}
			s.config.DefaultIssuer = "http://another.example"
			for range 2 {
				_, err := daemon.Open(t.Context(), s.config, testlog.Must(daemon.NewTelemetry())(t))
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("got %v, want an error with %q", err, want)
				}
			}
			if err := os.RemoveAll(path); err != nil { // what Tessera made
				t.Fatal(err)
			}
			if err := os.Rename(path+".kept", path); err != nil {
				t.Fatal(err)
			}
			s.start()
			if now := s.get("/checkpoint").body; !bytes.Equal(now, before) {
				t.Errorf("the checkpoint was %q and is %q", before, now)
			}
			s.register(testlog.Statement(t, testlog.Key(t, "ES256"), "asset", nil))
			if got := s.size(); got != 4 {
				t.Errorf("the log has %d entries", got)
			}
		})
	}
}

// TestDamagedFiles: an index that has to read files which are gone says so, and
// does not wait for them.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *daemon.Config) { c.Burst = 1000 })
	if _, receipts, problem := s.bulk(chain(t, testlog.Key(t, "ES256"), "c", nil, 300)); len(receipts) != 300 {
		t.Fatal(problem)
	}
	s.stop()
	bundle := filepath.Join(s.config.Dir, "public", "tile", "entries", "000")
	for _, name := range append(testlog.Must(filepath.Glob(filepath.Join(s.config.Dir, "private", "index.db*")))(t), bundle) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := daemon.Open(t.Context(), s.config, testlog.Must(daemon.NewTelemetry())(t)); err == nil || !strings.Contains(err.Error(), "the log's files are damaged") {
		t.Errorf("without %s: %v", bundle, err)
	}
}
