package drivertest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/tiles"
)

// cache is a shared cache before a file server, as a CDN is: what it has it serves
// for max-age (RFC 9111 section 5.2.2.1), and what it has not it asks for.
type cache struct {
	origin string
	mu     sync.Mutex
	stored map[string]*cached
	hits   int
}

type cached struct {
	body  []byte
	until time.Time
}

// ServeHTTP implements [http.Handler].
func (c *cache) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if have := c.stored[r.URL.Path]; have != nil && time.Now().Before(have.until) {
		c.hits++
		_, _ = w.Write(have.body)
		return
	}
	answer, err := http.Get(c.origin + r.URL.Path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	for directive := range strings.SplitSeq(answer.Header.Get("Cache-Control"), ",") {
		if age, ok := strings.CutPrefix(strings.TrimSpace(directive), "max-age="); ok && answer.StatusCode == http.StatusOK {
			if seconds, err := strconv.Atoi(age); err == nil {
				c.stored[r.URL.Path] = &cached{body, time.Now().Add(time.Duration(seconds) * time.Second)}
			}
		}
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write(body)
}

// throughCache: who reads the bucket through a cache finds a whole log at any
// time, and with the service off.
func throughCache(t *testing.T, newService func(testing.TB) *Service) {
	s := newService(t)
	c := &cache{origin: s.URL, stored: map[string]*cached{}}
	server := httptest.NewServer(c)
	defer server.Close()
	checker := testlog.NewChecker(t, server.URL, s.keys.VKeys, s.keys.KeySet(t))
	s.Open()
	receipts := map[string][]byte{}
	for _, n := range []int{3, 300, 5} {
		s.addMany(n, strconv.Itoa(n), receipts)
		checker.Check(t, nil)
	}
	s.Close()
	size := checker.Check(t, nil).Checkpoint.Size
	for size < uint64(len(receipts)) { // the cached checkpoint lasts a second
		size = checker.Check(t, nil).Checkpoint.Size
	}
	checker.Check(t, receipts)
	if c.hits == 0 {
		t.Error("the cache served nothing: this was no test")
	}
}

// copied: a copy of the bucket that anybody's tool makes, the checkpoint first and
// put in place last, is a whole log, also when the log grows meanwhile.
func copied(t *testing.T, newService func(testing.TB) *Service) {
	s := newService(t).Open()
	receipts := map[string][]byte{}
	s.addMany(200, "before", receipts)
	dir := t.TempDir()
	get := func(key string) []byte {
		t.Helper()
		answer := testlog.Must(http.Get(s.URL + "/" + key))(t)
		defer answer.Body.Close()
		return testlog.Must(io.ReadAll(answer.Body))(t)
	}
	put := func(key string, data []byte) {
		t.Helper()
		file := filepath.Join(dir, filepath.FromSlash(key))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	checkpoint := get(tiles.CheckpointPath)
	s.addMany(200, "meanwhile", map[string][]byte{})
	for key := range testlog.Must(s.Objects(t.Context()))(t) {
		if key != tiles.CheckpointPath {
			put(key, get(key))
		}
	}
	put(tiles.CheckpointPath, checkpoint)
	if size := testlog.NewChecker(t, dir, s.keys.VKeys, s.keys.KeySet(t)).Check(t, receipts).Checkpoint.Size; size != 200 {
		t.Errorf("the copy has %d entries", size)
	}
}
