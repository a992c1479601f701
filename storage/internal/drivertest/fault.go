package drivertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// store is a proxy before the server of the bucket, which may have a fault.
type store struct {
	server http.Handler
	fault  atomic.Pointer[fault]
}

// fault answers a request in its own way, in the place of the server or with it.
type fault func(server http.Handler, w http.ResponseWriter, r *http.Request)

// ServeHTTP implements [http.Handler].
func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f := s.fault.Load(); f != nil {
		(*f)(s.server, w, r)
		return
	}
	s.server.ServeHTTP(w, r)
}

// faulty puts a proxy before the server of the bucket.
func faulty(t testing.TB, s *Service) *store {
	t.Helper()
	target := testlog.Must(url.Parse(s.Endpoint))(t)
	proxy := &store{server: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host // which is signed
	}}}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	t.Cleanup(s.Close)
	s.endpoint = server.URL
	return proxy
}

func answers(status int, code string) fault {
	return func(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
	}
}

// faultLost does what was asked for, and loses the answer.
var faultLost fault = func(server http.Handler, w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		server.ServeHTTP(httptest.NewRecorder(), r)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	server.ServeHTTP(w, r)
}

// faults are what a bucket was seen to do.
var faults = []fault{
	answers(http.StatusInternalServerError, "InternalError"), answers(http.StatusServiceUnavailable, "SlowDown"),
	answers(http.StatusForbidden, "AccessDenied"), answers(http.StatusPreconditionFailed, "PreconditionFailed"), faultLost,
	func(http.Handler, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, // the connection ends
	func(_ http.Handler, _ http.ResponseWriter, r *http.Request) { // no answer
		select {
		case <-r.Context().Done():
		case <-time.After(2 * time.Second):
		}
		panic(http.ErrAbortHandler)
	},
	func(server http.Handler, w http.ResponseWriter, r *http.Request) { // half an answer
		whole := httptest.NewRecorder()
		server.ServeHTTP(whole, r)
		w.Header().Set("Content-Length", fmt.Sprint(whole.Body.Len()))
		w.WriteHeader(whole.Code)
		_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
		panic(http.ErrAbortHandler)
	},
}

// Under registers statements while something goes wrong, and says which are in the
// log for certain.
func (s *Service) Under(trouble func()) (stored []string) {
	s.t.Helper()
	var mu sync.Mutex
	var group sync.WaitGroup
	over := make(chan struct{})
	for c := range 8 {
		group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				default:
				}
				content := fmt.Sprintf("%d %d", c, i)
				switch err := s.Try(content); {
				case err == nil:
					mu.Lock()
					stored = append(stored, content)
					mu.Unlock()
				case !errors.Is(err, scitt.ErrUnavailable) && !errors.Is(err, scitt.ErrBusy):
					s.t.Errorf("%s: %v", content, err)
				}
			}
		})
	}
	trouble()
	close(over)
	group.Wait()
	return stored
}

// Holds checks the log from outside: it has each that was stored, and goes on.
func (s *Service) Holds(stored []string) {
	s.t.Helper()
	receipts := map[string][]byte{}
	s.addMany(5, "afterwards", receipts)
	view := s.checker().Check(s.t, receipts)
	there := map[string]int{}
	for e, err := range view.Entries(s.t.Context(), 0, view.Checkpoint.Size) {
		if err != nil {
			s.t.Fatal(err)
		}
		there[string(testlog.Must(scitt.ParseStatement(e.Data))(s.t).Payload)]++
	}
	for _, content := range stored {
		if there[content]--; there[content] < 0 {
			s.t.Errorf("%s was stored, and the log does not have it", content)
		}
	}
	s.t.Logf("%d stored", len(stored))
}

// bucketFails: whatever the bucket does, nothing that was acknowledged is lost
// or twice in the log, and the log goes on when the bucket is well again.
func bucketFails(t *testing.T, newService func(testing.TB) *Service) {
	s := newService(t)
	s.Lease = time.Minute // a bucket that is not reached for as long as it lasts is bucketGone's
	proxy := faulty(t, s)
	s.Open()
	requests := make(chan struct{}, 120)
	some := fault(func(server http.Handler, w http.ResponseWriter, r *http.Request) {
		select {
		case requests <- struct{}{}:
		default:
		}
		if n := rand.IntN(3 * len(faults)); n < len(faults) {
			faults[n](server, w, r)
			return
		}
		server.ServeHTTP(w, r)
	})
	stored := s.Under(func() {
		proxy.fault.Store(&some)
		for range cap(requests) {
			<-requests
		}
		proxy.fault.Store(nil)
	})
	s.Holds(stored)
}

// bucketGone: a writer that cannot reach the bucket gives the lease up, so that
// another instance can have it.
func bucketGone(t *testing.T, newService func(testing.TB) *Service) {
	s := newService(t)
	s.Lease = time.Second
	proxy := faulty(t, s)
	s.Open()
	gone := answers(http.StatusServiceUnavailable, "SlowDown")
	proxy.fault.Store(&gone)
	<-s.Driver.Lost()
	if err := s.Driver.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "the bucket was not reached") {
		t.Errorf("ready: %v", err)
	}
	if err := s.Try("late"); !errors.Is(err, scitt.ErrUnavailable) {
		t.Errorf("an entry: %v", err)
	}
	proxy.fault.Store(nil)
	next := *s
	next.file, next.Lease = t.TempDir()+"/index.db", time.Minute // which a slow machine does not lose
	next.Open()
	next.Holds(nil)
	next.Close()
	// It may have seen what the next one published, and cannot publish its own.
	_ = errors.Join(s.log.Close(t.Context()), s.index.Close(), s.Driver.Close())
	s.log = nil
}

// Restarts tests that a database that is killed and comes back keeps what it
// acknowledged, and that the log goes on.
func Restarts(t *testing.T, p Place, restart func(context.Context) error) {
	s := NewService(t, p)
	s.Lease = time.Minute // which is renewed when it is there again
	s.Open()
	stored := s.Under(func() {
		for i := range 2 {
			for s.Try(fmt.Sprint("before ", i)) != nil { // until it is there again
			}
			if err := restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
	s.Holds(stored)
}
