package store_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/conmotion/conmotion/witness/conformance"
)

func newLogs(t testing.TB, n int) (logs []*conformance.Log) {
	t.Helper()
	for i := range n {
		l, err := conformance.NewLog(fmt.Sprintf("log%d.example", i), []byte("seed"))
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, l)
	}
	return logs
}

// TestConformance: the witness does all that the specification says.
func TestConformance(t *testing.T) {
	logs := newLogs(t, conformance.LogsNeeded)
	r := start(t, logs...)
	target := r.target()
	target.Restart = func(context.Context) error {
		r.restart()
		return nil
	}
	results, err := conformance.Run(t.Context(), target, logs)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range results {
		if got.Deviates != "" || got.Skipped != "" {
			t.Errorf("%s: %s %s", got.Check, got.Deviates, got.Skipped)
		}
	}
}
