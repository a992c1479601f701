// Package testwitness runs witnesses for tests: real ones, with faults in front.
package testwitness

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness/cosigner"
	"github.com/conmotion/conmotion/witness/cosigner/store"
)

// Witness is a running witness with an Ed25519 key.
type Witness struct {
	URL    string
	Key    *scitt.Cosigner
	honest http.Handler                 // what it does without a fault
	fault  atomic.Pointer[http.Handler] // in its place
}

// Start runs a witness that knows the logs with these verifier keys.
func Start(t testing.TB, name string, logs ...string) *Witness {
	t.Helper()
	dir := t.TempDir()
	s := testlog.Must(store.Open(t.Context(), filepath.Join(dir, "witness.db"), filepath.Join(dir, "guard"), true))(t)
	w := &Witness{Key: testlog.NewCosigner(t, name, "Ed25519")}
	c := testlog.Must(cosigner.New([]*scitt.Cosigner{w.Key}, s, time.Now, slog.New(slog.DiscardHandler)))(t)
	list := cosigner.List{}
	for _, vkey := range logs {
		if err := list.Add(testlog.Must(cosigner.NewLog(vkey, "", 1<<30, "a test"))(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.SetLogs(list); err != nil {
		t.Fatal(err)
	}
	w.honest = testlog.Must(cosigner.NewHandler(c, noop.Meter{}))(t)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if fault := w.fault.Load(); fault != nil {
			(*fault).ServeHTTP(rw, r)
			return
		}
		w.honest.ServeHTTP(rw, r)
	}))
	w.URL = server.URL
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// Fail has a fault in front of the witness; nil for none.
func (w *Witness) Fail(fault http.HandlerFunc) {
	if fault == nil {
		w.fault.Store(nil)
		return
	}
	h := http.Handler(fault)
	w.fault.Store(&h)
}

// Policy names witnesses w0, w1 and so on, with the quorum of so many of them.
func Policy(needed int, all ...*Witness) string {
	var b, names strings.Builder
	for i, w := range all {
		fmt.Fprintf(&b, "witness w%d %s %s\n", i, w.Key, w.URL)
		fmt.Fprintf(&names, " w%d", i)
	}
	return fmt.Sprintf("%sgroup all-of-them %d%s\nquorum all-of-them\n", &b, needed, &names)
}
