package personality

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/conmotion/conmotion/internal/vectors"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// uncertain is a log that says of everything that it could not store it, and
// stored the first one, which its index knows when it was synchronised.
type uncertain struct {
	*doubtful
	first    []byte // entry
	appended int
	silent   atomic.Bool // Sync fails
}

func (u *uncertain) Run() func(context.Context, []byte) (wait, error) {
	return func(_ context.Context, entry []byte) (wait, error) {
		if u.appended++; u.first == nil {
			u.first = entry
		}
		return func(context.Context) (uint64, bool, error) { return 0, false, scitt.ErrUnavailable }, nil
	}
}

func (u *uncertain) Lookup(_ context.Context, id scitt.EntryID) (tiles.Place, bool, error) {
	if first, _ := scitt.EntryIDOf(u.first); !u.stored || id != first {
		return tiles.Place{}, false, nil
	}
	return tiles.NewPlace(7, scitt.LeafHash(u.first)), true, nil
}

func (u *uncertain) Await(context.Context, uint64) (*tiles.View, error) {
	return nil, context.DeadlineExceeded
}

func (u *uncertain) Sync(ctx context.Context) error {
	if u.silent.Load() {
		return errors.New("the log is gone")
	}
	return u.doubtful.Sync(ctx)
}

// anybody is a policy that admits everything.
type anybody struct{ Policy }

func (anybody) Admit(context.Context, *scitt.Statement, Heads) error { return nil }
func (anybody) VerifySignature(s *scitt.Statement) error {
	return scitt.SelfCertifying(nil, nil).Verifier(nil)(s)
}

func newUncertain(t *testing.T) (*uncertain, *Service, *scitt.Statement, *scitt.Statement) {
	t.Helper()
	log := &uncertain{doubtful: &doubtful{entered: make(chan struct{}), leave: make(chan struct{})}}
	metrics, err := NewMetrics(noop.Meter{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Policy: InForce{Policy: anybody{}}, Wait: time.Second, Log: log, Index: log, Metrics: metrics, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	key, err := scitt.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	data, err := scitt.SignStatement(key, scitt.SignOptions{Subject: "asset"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := vectors.Twin(key, data)
	if err != nil {
		t.Fatal(err)
	}
	first, err := scitt.ParseStatement(data)
	if err != nil {
		t.Fatal(err)
	}
	twin, err := scitt.ParseStatement(other)
	if err != nil {
		t.Fatal(err)
	}
	return log, s, first, twin
}

// TestDoubtfulID: after an error whose outcome is not known nothing of that id
// is appended before the log has said what it holds; then it is found.
func TestDoubtfulID(t *testing.T) {
	log, s, first, twin := newUncertain(t)
	if _, err := s.Register(t.Context(), first); !errors.Is(err, scitt.ErrUnavailable) {
		t.Fatalf("the first: %v", err)
	}
	<-log.entered
	// Meanwhile its registration runs.
	if _, _, _, err := s.place(t.Context(), first.ID()); !errors.Is(err, errRunning) {
		t.Errorf("the place of what may be in the log: %v", err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		r, err := s.Register(t.Context(), first)
		if err != nil || !r.Duplicate || r.Index != 7 {
			t.Errorf("the same bytes: %+v, %v", r, err)
		}
	})
	group.Go(func() {
		_, err := s.Register(t.Context(), twin)
		if p := scitt.ProblemOf(err); !errors.Is(err, scitt.ErrRegistered) || p.Status != 409 {
			t.Errorf("the other signature: %v", err)
		}
	})
	group.Go(func() {
		done, err := s.register(t.Context(), []*scitt.Statement{first, twin}, nil)
		if len(done) != 1 || !errors.Is(err, scitt.ErrRegistered) {
			t.Errorf("both: %d, %v", len(done), err)
		}
	})
	close(log.leave)
	group.Wait()
	if log.appended != 1 {
		t.Errorf("%d entries were appended", log.appended)
	}
}

// TestSilentID: while the log does not say what it holds, nothing of the id is
// appended, and the client is told to come back.
func TestSilentID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, s, first, twin := newUncertain(t)
		log.silent.Store(true)
		if _, err := s.Register(t.Context(), first); !errors.Is(err, scitt.ErrUnavailable) {
			t.Fatalf("the first: %v", err)
		}
		for _, st := range []*scitt.Statement{first, twin} {
			if _, err := s.Register(t.Context(), st); !errors.Is(err, scitt.ErrBusy) {
				t.Errorf("another with that id: %v", err)
			}
		}
		if log.appended != 1 {
			t.Errorf("%d entries were appended", log.appended)
		}
		log.silent.Store(false)
		close(log.leave)
		if r, err := s.Register(t.Context(), first); err != nil || !r.Duplicate {
			t.Errorf("the log is back: %v, %v", r, err)
		}
	})
}

// TestLocks: of those who want locks in whatever combination, one at a time has
// each, nobody waits for ever, whoever gives up leaves nothing behind.
func TestLocks(t *testing.T) {
	var k keyedLocks
	var group sync.WaitGroup
	holders := map[string]*int{"a": new(int), "b": new(int), "c": new(int)}
	for w := range 16 {
		random := rand.New(rand.NewPCG(uint64(w), 1))
		group.Go(func() {
			for range 500 {
				var names []string
				for _, name := range []string{"a", "b", "c"} {
					if random.IntN(2) == 0 {
						names = append(names, name)
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				if random.IntN(4) == 0 {
					cancel()
				}
				held := 0
				for _, name := range names {
					if k.lock(ctx, name) != nil {
						break
					}
					held++
					if *holders[name]++; *holders[name] != 1 {
						t.Errorf("%d hold %s", *holders[name], name)
					}
				}
				for _, name := range names[:held] {
					*holders[name]--
				}
				k.unlock(names[:held])
				cancel()
			}
		})
	}
	group.Wait()
	if len(k.locks) != 0 {
		t.Errorf("%d locks are left", len(k.locks))
	}
}
