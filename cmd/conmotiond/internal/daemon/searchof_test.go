package daemon_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/monitor/party"
)

// gauge reads one metric.
func gauge(t testing.TB, r *prometheus.Registry, name string) float64 {
	t.Helper()
	for _, family := range testlog.Must(r.Gather())(t) {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

func openSearchOf(t testing.TB, c daemon.SearchOfConfig) (*daemon.SearchOf, *daemon.Telemetry, error) {
	t.Helper()
	c.Interval, c.Logger = time.Millisecond, slog.New(slog.DiscardHandler)
	telemetry := testlog.Must(daemon.NewTelemetry())(t)
	s, err := daemon.OpenSearchOf(context.Background(), c, telemetry)
	return s, telemetry, err
}

func fetch(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// keysOf are the files that make a log the one it is.
func keysOf(dir string) fs.FS {
	files := fstest.MapFS{}
	for _, name := range []string{"receipt-key.pem", "checkpoint-key.pem", "service.json"} {
		if data, err := os.ReadFile(filepath.Join(dir, "private", name)); err == nil {
			files[name] = &fstest.MapFile{Data: data, Mode: 0o600}
		}
	}
	return files
}

// TestSearchOf: the search over a log sees that the log forks, and keeps what
// it has.
func TestSearchOf(t *testing.T) {
	t.Parallel()
	first := newService(t, func(c *daemon.Config) { c.Origin = "log.example" })
	first.register(testlog.Statement(t, testlog.Key(t, "ES256"), "asset 1", []byte("content")))
	// Another log of the same keys.
	forked := t.TempDir()
	if err := os.CopyFS(filepath.Join(forked, "private"), keysOf(first.config.Dir)); err != nil {
		t.Fatal(err)
	}
	second := newService(t, func(c *daemon.Config) { c.Dir = forked })
	for _, subject := range []string{"a", "b", "c"} {
		second.register(testlog.Statement(t, testlog.Key(t, "ES256"), subject, []byte("content")))
	}
	// The place of the log shows the one and later the other.
	place := filepath.Join(t.TempDir(), "log")
	if err := os.Symlink(first.Place(), place); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s, telemetry, err := openSearchOf(t, daemon.SearchOfConfig{Dir: dir, Log: place, Rate: 0.001, Burst: 3})
	if err != nil {
		t.Fatal(err)
	}
	testwait.Until(t, func() bool { return strings.HasPrefix(s.Health.String(), "3 of 3") }, "3 entries are read")
	if err := s.Health.Check(time.Now()); err != nil {
		t.Error(err)
	}
	if lag, up := gauge(t, telemetry.Registry, "conmotion_search_lag"), gauge(t, telemetry.Registry, "conmotion_search_up"); lag != 0 || up != 1 {
		t.Errorf("lag %v, up %v", lag, up)
	}
	a := fetch(s.Handler(), "/search?sub=asset+1")
	if a.Code != http.StatusOK || !strings.Contains(a.Body.String(), `"receipt":"http://transparency.example/entries/`) || a.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	if a := fetch(s.Handler(), "/"); a.Code != http.StatusOK || !strings.Contains(a.Body.String(), "log.example") {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	for path, status := range map[string]int{"/entries": 404, "/checkpoint": 404, "/search/stats": 200, "/search?x=1": 400} {
		if a := fetch(s.Handler(), path); a.Code != status {
			t.Errorf("%s: %d %s", path, a.Code, a.Body)
		}
	}
	if a := fetch(s.Handler(), "/search"); a.Code != http.StatusTooManyRequests || a.Header().Get("Retry-After") == "" {
		t.Errorf("beyond the rate: %d", a.Code)
	}
	next := place + ".next"
	if err := errors.Join(os.Symlink(second.Place(), next), os.Rename(next, place)); err != nil {
		t.Fatal(err)
	}
	testwait.Until(t, func() bool { return errors.Is(s.Health.Check(time.Now()), party.ErrForked) }, "the fork is seen")
	if up := gauge(t, telemetry.Registry, "conmotion_search_up"); up != 0 {
		t.Errorf("up %v", up)
	}
	if !strings.HasPrefix(s.Health.String(), "3 of 3") {
		t.Errorf("after a fork: %s", s.Health)
	}
	if files := testlog.Must(filepath.Glob(filepath.Join(string(s.Home), "proofs", "*.json")))(t); len(files) == 0 {
		t.Error("there is no proof of the fork")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// It is remembered which log this is the search over, and what it was.
	if err := os.Remove(filepath.Join(dir, "private", "search.db")); err != nil {
		t.Fatal(err)
	}
	if s, _, err = openSearchOf(t, daemon.SearchOfConfig{Dir: dir, Log: place, Burst: 1}); err != nil {
		t.Fatal(err)
	}
	testwait.Until(t, func() bool { return errors.Is(s.Health.Check(time.Now()), party.ErrForked) }, "the fork is seen without an index")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	elsewhere := newService(t, func(c *daemon.Config) { c.Origin = "elsewhere.example" })
	if s, telemetry, err = openSearchOf(t, daemon.SearchOfConfig{Dir: dir, Log: elsewhere.Place(), Burst: 1}); err != nil {
		t.Fatal(err)
	}
	testwait.Until(t, func() bool { return gauge(t, telemetry.Registry, "conmotion_search_up") == 0 }, "another log is refused")
	if logs := testlog.Must(s.Home.Logs())(t); len(logs) != 1 || logs[0].Origin != "log.example" || s.Origin != "log.example" {
		t.Errorf("%+v", logs)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, _, err = openSearchOf(t, daemon.SearchOfConfig{Dir: dir, Log: first.Place(), Burst: 1}); err != nil {
		t.Fatal(err)
	}
	testwait.Until(t, func() bool { return strings.HasPrefix(s.Health.String(), "3 of 3") }, "3 entries are read again")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// What was indexed is answered after a start, with the log out of reach.
	if err := os.Remove(place); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openSearchOf(t, daemon.SearchOfConfig{Dir: dir, Log: place}); err == nil {
		t.Error("a directory that is not there was followed")
	}
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()
	s, telemetry, err = openSearchOf(t, daemon.SearchOfConfig{Dir: dir, Log: away.URL, Burst: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	testwait.Until(t, func() bool { return gauge(t, telemetry.Registry, "conmotion_search_up") == 0 }, "the log is missed")
	if err := s.Health.Check(time.Now()); err != nil {
		t.Errorf("missed for a moment: %v", err)
	}
	if err := s.Health.Check(time.Now().Add(time.Hour)); err == nil {
		t.Error("missed for an hour")
	}
	if a := fetch(s.Handler(), "/search?sub=asset+1"); a.Code != http.StatusOK || !strings.Contains(a.Body.String(), `"subject":"asset 1"`) {
		t.Errorf("%d %s", a.Code, a.Body)
	}
}

// TestSearchOfKeys: the keys of the first start count from then on.
func TestSearchOfKeys(t *testing.T) {
	t.Parallel()
	log := newService(t, nil)
	other := newService(t, func(c *daemon.Config) { c.DefaultIssuer = "http://other.example" })
	dir := t.TempDir()
	var telemetry *daemon.Telemetry
	open := func(c daemon.SearchOfConfig) (s *daemon.SearchOf, err error) {
		t.Helper()
		c.Dir, c.Burst = dir, 1
		s, telemetry, err = openSearchOf(t, c)
		if err == nil {
			t.Cleanup(func() { _ = s.Close() }) // some are closed before
		}
		return s, err
	}
	s, err := open(daemon.SearchOfConfig{Log: log.Place()})
	if err != nil || !s.FirstUse || s.Origin != "transparency.example" || s.Service != "http://transparency.example" {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := open(daemon.SearchOfConfig{Log: log.Place()}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second one on the directory: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// At the same place another log: its keys are not those of the first start.
	if s, err = open(daemon.SearchOfConfig{Log: other.Place()}); err != nil || s.Origin != "transparency.example" {
		t.Fatalf("%+v, %v", s, err)
	}
	testwait.Until(t, func() bool { return gauge(t, telemetry.Registry, "conmotion_search_up") == 0 }, "the other log is refused")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := open(daemon.SearchOfConfig{Log: other.Place(), VKeys: other.configuration().CheckpointKeys}); err == nil || !strings.Contains(err.Error(), "use another --dir") {
		t.Errorf("keys of another log: %v", err)
	}
	// Given keys are no longer the log's own word.
	if s, err = open(daemon.SearchOfConfig{Log: log.Place(), VKeys: log.configuration().CheckpointKeys}); err != nil || s.FirstUse {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = open(daemon.SearchOfConfig{Log: log.Place()}); err != nil || s.FirstUse {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files := testlog.Must(filepath.Glob(filepath.Join(string(s.Home), "logs", "*.json")))(t)
	if len(files) != 1 {
		t.Fatalf("it remembers %q", files)
	}
	if err := os.WriteFile(files[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(daemon.SearchOfConfig{Log: log.Place()}); !errors.Is(err, party.ErrDamaged) {
		t.Errorf("a damaged file of keys: %v", err)
	}
	// A directory has one purpose.
	telemetry = testlog.Must(daemon.NewTelemetry())(t)
	if d, err := daemon.Open(t.Context(), daemon.Config{Dir: dir, DefaultIssuer: "http://x.example", Logger: slog.New(slog.DiscardHandler)}, telemetry); err == nil {
		t.Error("a log was made in the directory of a search")
		_ = d.Close()
	}
	if _, _, err := openSearchOf(t, daemon.SearchOfConfig{Dir: log.config.Dir, Log: other.Place()}); err == nil {
		t.Error("a search was made in the directory of a log that is served")
	}
	log.stop()
	if _, _, err := openSearchOf(t, daemon.SearchOfConfig{Dir: log.config.Dir, Log: other.Place()}); err == nil || !strings.Contains(err.Error(), "searches its own log") {
		t.Errorf("a search in the directory of a log: %v", err)
	}
}

// TestSearchLag: the index of your log shows how far it is, and readiness
// to register does not depend on it.
func TestSearchLag(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *daemon.Config) { c.Search = true })
	s.register(testlog.Statement(t, testlog.Key(t, "ES256"), "asset 1", []byte("content")))
	testwait.Until(t, func() bool { return s.Search.String() == "3 of 3 entries are read" }, "3 entries are read")
	if err := errors.Join(s.Search.Check(time.Now()), s.Readiness.Check(t.Context(), time.Now())); err != nil {
		t.Error(err)
	}
	if lag := gauge(t, s.telemetry.Registry, "conmotion_search_lag"); lag != 0 {
		t.Errorf("lag %v", lag)
	}
	if s := newService(t, nil); s.Search != nil {
		t.Error("there is a search that nobody asked for")
	}
}

// TestSearchOfRepaired: files that were damaged on the way are read again.
func TestSearchOfRepaired(t *testing.T) {
	t.Parallel()
	log := newService(t, nil)
	log.register(testlog.Statement(t, testlog.Key(t, "ES256"), "asset 1", []byte("content")))
	files := http.FileServer(http.Dir(log.Place()))
	var damaged atomic.Bool
	damaged.Store(true)
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		files.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		if damaged.Load() && strings.HasPrefix(r.URL.Path, "/tile/") {
			body[len(body)-1] ^= 1
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body)
	}))
	defer mirror.Close()
	s, telemetry, err := openSearchOf(t, daemon.SearchOfConfig{Dir: t.TempDir(), Log: mirror.URL, Burst: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	testwait.Until(t, func() bool { return gauge(t, telemetry.Registry, "conmotion_search_up") == 0 }, "the damage is seen")
	if read := s.Health.String(); !strings.HasPrefix(read, "0 of ") {
		t.Errorf("of a damaged log %s", read)
	}
	damaged.Store(false)
	testwait.Until(t, func() bool {
		return s.Health.String() == "3 of 3 entries are read" && s.Health.Check(time.Now()) == nil
	}, "3 entries are read")
}
