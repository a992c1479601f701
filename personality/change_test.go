package personality

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/conmotion/conmotion/scitt"
)

// silent is a log that cannot store anything, and then does not say what it
// holds.
type silent struct {
	doubtful
	gone bool
}

func (l *silent) Drain(context.Context) error {
	if l.gone {
		return errors.New("the log is gone")
	}
	l.gone = true
	return nil
}

// replaceable is a policy that admits and gives way.
type replaceable struct{ Policy }

func (replaceable) Admit(context.Context, *scitt.Statement, Heads) error { return nil }
func (replaceable) Replace(*scitt.Statement, scitt.EntryID) (Policy, error) {
	return replaceable{}, nil
}
func (replaceable) Algorithms() []string { return scitt.Algorithms() }
func (replaceable) Document() []byte     { return []byte("{}") }

// TestPolicyUnknown: when nobody can tell whether a new policy is in the log,
// nothing more is admitted, and what is known can still be read.
func TestPolicyUnknown(t *testing.T) {
	log := &silent{}
	metrics, err := NewMetrics(noop.Meter{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Policy: InForce{Policy: replaceable{}}, Wait: time.Second, Log: log, Index: log, Metrics: metrics, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	key, err := scitt.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range []string{scitt.TypePolicy, "", scitt.TypePolicy} {
		data, err := scitt.SignStatement(key, scitt.SignOptions{Subject: "policy", Type: typ}, []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		st, err := scitt.ParseStatement(data)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Register(t.Context(), st); !errors.Is(err, errChangeUnknown) {
			t.Errorf("a statement of type %q: %v", typ, err)
		}
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.well-known/transparency-configuration", nil))
	if w.Code != http.StatusOK {
		t.Errorf("the configuration: status %d", w.Code)
	}
}
