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

func (d *doubtful) Append(context.Context, []byte) (func(context.Context) (uint64, bool, error), error) {
	return func(context.Context) (uint64, bool, error) { return 0, false, scitt.ErrUnavailable }, nil
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
