package personality

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// TestGate: at any multiple of what can be judged nearly as much is judged as
// ever, nobody who is let in waits long, and afterwards nobody is refused.
func TestGate(t *testing.T) {
	const (
		longest = 300 * time.Millisecond
		each    = 5 * time.Millisecond // of a judge
		lasts   = 5 * time.Second
	)
	for _, n := range []int{1, 100} { // statements in a request
		synctest.Test(t, func(t *testing.T) {
			g := newGate(longest, func() time.Duration { return 0 })
			capacity := float64(cap(g.judges)) / each.Seconds()
			for _, times := range []float64{0.5, 1, 2, 4, 0.5} {
				offered := int(times * capacity * lasts.Seconds() / float64(n))
				var judged, refused atomic.Int64
				var waited time.Duration
				for i := range offered {
					go func() {
						time.Sleep(time.Duration(float64(i) / float64(offered) * float64(lasts)))
						came := time.Now()
						turn, err := g.enter(n)
						if err != nil {
							if !errors.Is(err, scitt.ErrBusy) {
								t.Error(err)
							}
							refused.Add(1)
							return
						}
						g.mu.Lock()
						waited = max(waited, time.Since(came))
						g.mu.Unlock()
						time.Sleep(each * time.Duration(n))
						turn.leave()
						judged.Add(1)
					}()
				}
				began := time.Now()
				time.Sleep(lasts)
				for g.refusal() != nil || len(g.judges) > 0 {
					time.Sleep(time.Millisecond)
				}
				goodput := float64(judged.Load()) * float64(n) / time.Since(began).Seconds() / capacity
				t.Logf("%d in a request, %.1f times: %.0f %% of what is possible, %d refused, longest wait %v", n, times, 100*goodput, refused.Load(), waited)
				if goodput < 0.9*min(times, 1) || waited > 2*longest+each*time.Duration(n) {
					t.Errorf("%.1f times: %.0f %%, waited %v", times, 100*goodput, waited)
				}
				if times < 1 && refused.Load() > 0 {
					t.Errorf("%.1f times: %d refused", times, refused.Load())
				}
			}
		})
	}
}

// unreadable is a body that nobody may read.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// TestBusy: what would wait too long is refused before its body is read, with a
// time to come again, whether the judging is behind or the storing; and is not
// in the log.
func TestBusy(t *testing.T) {
	var backlog atomic.Int64
	s := newTested(t, func(c *Config) {
		c.Queue = 300 * time.Millisecond
		c.Log = slowLog{c.Log, &backlog}
	})
	refused := func() {
		t.Helper()
		for _, media := range []string{mediaCOSE, mediaCBORSeq} {
			w := s.do(http.MethodPost, "/entries", unreadable{t}, "Content-Type", media)
			wants(t, w, http.StatusServiceUnavailable, "Log Busy", "300ms")
			if w.Header().Get("Retry-After") != "1" {
				t.Errorf("Retry-After: %s", w.Header().Get("Retry-After"))
			}
		}
	}
	statement := s.statement("asset")
	s.gate.wait(1e6)
	refused()
	// One that came before is refused when its body is there.
	if _, err := s.Register(t.Context(), parsed(t, statement)); !errors.Is(err, scitt.ErrBusy) {
		t.Error(err)
	}
	s.gate.wait(-1e6)
	backlog.Store(int64(time.Second))
	refused()
	backlog.Store(0)
	if size := s.log.PublishedSize(); size != 2 {
		t.Errorf("the log has %d entries", size)
	}
	wants(t, s.post(statement), http.StatusCreated, "", "")
}

// slowLog says how far behind it is.
type slowLog struct {
	Log
	backlog *atomic.Int64
}

func (l slowLog) Backlog() time.Duration { return time.Duration(l.backlog.Load()) }

// TestBodies: bodies above 16 KiB share their memory, give it back, and leave
// small ones alone.
func TestBodies(t *testing.T) {
	s := newTested(t, func(c *Config) { c.BodyMemory = 64 << 10 })
	large := []byte(strings.Repeat("x", 60<<10)) // no statement
	held, send := io.Pipe()
	answered := make(chan int)
	go func() { answered <- s.do(http.MethodPost, "/entries", held).Code }()
	if _, err := send.Write(large); err != nil {
		t.Fatal(err)
	}
	wants(t, s.post(large), http.StatusServiceUnavailable, "Service Busy", "memory")
	wants(t, s.post(large, "Content-Type", mediaCBORSeq), http.StatusServiceUnavailable, "Service Busy", "memory")
	wants(t, s.post(s.statement("a")), http.StatusCreated, "", "")
	send.CloseWithError(errTimeout{})
	if status := <-answered; status != http.StatusRequestTimeout {
		t.Errorf("a body that comes too slowly: status %d", status)
	}
	wants(t, s.post(large), http.StatusBadRequest, "Malformed request", "")
	if !s.bodies.TryAcquire(64 << 10) {
		t.Error("not all memory was given back")
	}
	wants(t, s.post(make([]byte, maxBody+1)), http.StatusRequestEntityTooLarge, "Statement Too Large", "hash envelope")
	// Without a Content-Length the size is seen when it comes.
	s.bodies.Release(64 << 10)
	wants(t, s.do(http.MethodPost, "/entries", io.MultiReader(strings.NewReader("x"), unending{})), http.StatusServiceUnavailable, "Service Busy", "memory")
}

type errTimeout struct{}

func (errTimeout) Error() string { return "timeout" }
func (errTimeout) Timeout() bool { return true }

// unending is a body without an end.
type unending struct{}

func (unending) Read(p []byte) (int, error) { return len(p), nil }
