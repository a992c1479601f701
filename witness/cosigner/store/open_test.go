package store_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
	_ "modernc.org/sqlite"

	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness/conformance"
	"github.com/conmotion/conmotion/witness/cosigner"
	"github.com/conmotion/conmotion/witness/cosigner/store"
)

func TestMain(m *testing.M) {
	testwait.Quick()
	m.Run()
}

// running is a witness on a directory, with keys in memory.
type running struct {
	t         testing.TB
	dir       string
	cosigners []*scitt.Cosigner
	list      cosigner.List
	now       func() time.Time
	store     *store.Store
	witness   *cosigner.Witness
	handler   atomic.Pointer[http.Handler]
	server    *httptest.Server
}

func start(t testing.TB, logs ...*conformance.Log) *running {
	t.Helper()
	ed, pq, err := scitt.GenerateCosignerKeys("witness.example/w1")
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, dir: t.TempDir(), list: cosigner.List{}, now: time.Now}
	for _, skey := range []string{ed, pq} {
		c, err := scitt.ParseCosignerKey(skey)
		if err != nil {
			t.Fatal(err)
		}
		r.cosigners = append(r.cosigners, c)
	}
	for _, l := range logs {
		r.know(l.VKey, 1<<30)
	}
	r.open(true)
	t.Cleanup(func() { r.store.Close() })
	return r
}

func (r *running) know(vkey string, perDay uint64) {
	r.t.Helper()
	l, err := cosigner.NewLog(vkey, "", perDay, "a test")
	if err == nil {
		err = r.list.Add(l)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) open(isNew bool) {
	r.t.Helper()
	var err error
	if r.store, err = store.Open(r.t.Context(), filepath.Join(r.dir, "witness.db"), filepath.Join(r.dir, "guard"), isNew); err != nil {
		r.t.Fatal(err)
	}
	if r.witness, err = cosigner.New(r.cosigners, r.store, func() time.Time { return r.now() }, slog.New(slog.DiscardHandler)); err != nil {
		r.t.Fatal(err)
	}
	if err := r.witness.SetLogs(r.list); err != nil {
		r.t.Fatal(err)
	}
	h, err := cosigner.NewHandler(r.witness, noop.Meter{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.handler.Store(&h)
}

func (r *running) restart() {
	r.t.Helper()
	if err := r.store.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open(false)
}

// target is this witness for a check, over HTTP.
func (r *running) target() conformance.Target {
	if r.server == nil {
		r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { (*r.handler.Load()).ServeHTTP(w, req) }))
		r.t.Cleanup(r.server.Close)
	}
	target := conformance.Target{Submission: r.server.URL, Monitoring: r.server.URL, HTTP: r.server.Client()}
	for _, c := range r.cosigners {
		target.Keys = append(target.Keys, &c.CosignatureVerifier)
	}
	return target
}
