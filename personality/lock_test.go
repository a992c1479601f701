package personality

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// doubtful is a log that says that it could not store an entry, and stored it.
// As its index it knows the entry once it was synchronised.
type doubtful struct {
	Log
	entered chan struct{} // Sync was called
	leave   chan struct{} // it may return
	stored  bool
}

func (d *doubtful) Run() func(context.Context, []byte) (wait, error) {
	return func(context.Context, []byte) (wait, error) {
		return func(context.Context) (uint64, bool, error) { return 0, false, scitt.ErrUnavailable }, nil
	}
}

func (d *doubtful) Lookup(context.Context, scitt.EntryID) (tiles.Place, bool, error) {
	return tiles.Place{}, false, nil
}

func (d *doubtful) Extend(*scitt.Statement, uint64) {}

func (d *doubtful) Sync(context.Context) error {
	close(d.entered)
	<-d.leave
	d.stored = true
	return nil
}

// oneHead is a policy under which a chain begins once.
type oneHead struct {
	Policy
	log *doubtful
}

var errTaken = errors.New("the chain has begun")

func (p oneHead) Admit(context.Context, *scitt.Statement, Heads) error {
	if p.log.stored {
		return errTaken
	}
	return nil
}

// TestChainAfterDoubt: an entry of a chain whose storing failed, but which is
// in the log, is the head before the next one is judged.
func TestChainAfterDoubt(t *testing.T) {
	log := &doubtful{entered: make(chan struct{}), leave: make(chan struct{})}
	metrics, err := NewMetrics(noop.Meter{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Policy: InForce{Policy: oneHead{log: log}}, Wait: time.Second, Log: log, Index: log, Metrics: metrics, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	key, err := scitt.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	register := func(content string) error {
		data, err := scitt.SignStatement(key, scitt.SignOptions{Subject: "asset", Chain: &scitt.ChainLink{Name: "c"}}, []byte(content))
		if err != nil {
			t.Error(err)
			return err
		}
		st, err := scitt.ParseStatement(data)
		if err != nil {
			t.Error(err)
			return err
		}
		_, err = s.Register(t.Context(), st)
		return err
	}
	if err := register("first"); !errors.Is(err, scitt.ErrUnavailable) {
		t.Fatalf("the first: %v", err)
	}
	<-log.entered
	second := make(chan error, 1)
	go func() { second <- register("second") }()
	close(log.leave)
	if err := <-second; !errors.Is(err, errTaken) {
		t.Errorf("the second was judged before the first was known: %v", err)
	}
}

// halting is a log whose runs store their first two entries, and say of the
// others that they could not.
type halting struct {
	*doubtful
	entries int
}

func (h *halting) Run() func(context.Context, []byte) (wait, error) {
	return func(context.Context, []byte) (wait, error) {
		h.entries++
		n := h.entries
		return func(context.Context) (uint64, bool, error) {
			if n > 2 {
				return 0, false, scitt.ErrUnavailable
			}
			return uint64(n), false, nil
		}, nil
	}
}

func (h *halting) Await(context.Context, uint64) (*tiles.View, error) {
	return nil, context.DeadlineExceeded
}

// TestBulkAfterDoubt: what is stored of a request is acknowledged, nothing
// else is, and its chains go on when the log has said what it holds.
func TestBulkAfterDoubt(t *testing.T) {
	log := &halting{doubtful: &doubtful{entered: make(chan struct{}), leave: make(chan struct{})}}
	metrics, err := NewMetrics(noop.Meter{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Policy: InForce{Policy: oneHead{log: log.doubtful}}, Wait: time.Second, Log: log, Index: log, Metrics: metrics, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	key, err := scitt.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	var all []*scitt.Statement
	for _, name := range []string{"a", "b", "a", "b", "c"} {
		data, err := scitt.SignStatement(key, scitt.SignOptions{Subject: "asset", Chain: &scitt.ChainLink{Name: name}}, []byte(name))
		if err != nil {
			t.Fatal(err)
		}
		st, err := scitt.ParseStatement(data)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, st)
	}
	done, err := s.register(t.Context(), all, nil)
	if len(done) != 2 || done[1].ID != all[1].ID() || done[1].Index != 2 || !errors.Is(err, scitt.ErrUnavailable) {
		t.Fatalf("%d registrations, %v", len(done), err)
	}
	<-log.entered
	next := make(chan error, 2)
	go func() { _, err := s.Register(t.Context(), all[4]); next <- err }()
	go func() { _, err := s.register(t.Context(), all[2:4], nil); next <- err }()
	close(log.leave)
	for range 2 {
		if err := <-next; !errors.Is(err, errTaken) {
			t.Errorf("a chain went on before the log had said what it holds: %v", err)
		}
	}
}
