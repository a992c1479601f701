package gcp_test

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/conmotion/conmotion/internal/cloudtest/parts"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/internal/drivertest"
)

// refuser stands before Spanner, and answers some requests with an error.
type refuser struct {
	refuses atomic.Pointer[func(method string) error] // nil for none
	n       atomic.Int64                              // that were refused
}

func newRefuser(t *testing.T) *refuser {
	t.Helper()
	r := &refuser{}
	t.Setenv("SPANNER_EMULATOR_HOST", parts.Gate(t, tests.GCP(t).Spanner, func(method string, _ []byte) error {
		refuses := r.refuses.Load()
		if refuses == nil {
			return nil
		}
		err := (*refuses)(method)
		if err != nil {
			r.n.Add(1)
		}
		return err
	}))
	return r
}

// TestDatabaseRefuses: whatever Spanner answers, again and again, stops the log, which loses
// nothing, and goes on when Spanner is well again.
func TestDatabaseRefuses(t *testing.T) {
	for what, refuses := range map[string]func(method string) error{
		"deadlocks": func(method string) error {
			if method != "Commit" {
				return nil
			}
			return status.Error(codes.Aborted, "Transaction aborted due to deadlock")
		},
		"no more sessions": func(method string) error {
			if strings.HasSuffix(method, "CreateSessions") || method == "CreateSession" {
				return status.Error(codes.ResourceExhausted, "too many sessions")
			}
			return status.Error(codes.NotFound, "Session not found: it was deleted")
		},
		"fails over": func(string) error { return status.Error(codes.Unavailable, "try again later") },
	} {
		t.Run(what, func(t *testing.T) {
			r := newRefuser(t)
			p, _, _ := newPlace(t)
			s := drivertest.NewService(t, p)
			s.Lease = time.Minute // which is renewed when it is well again
			s.Open()
			stored := s.Under(func() {
				for s.Try("before") != nil {
				}
				r.refuses.Store(&refuses)
				testwait.Until(t, func() bool { return r.n.Load() >= 40 }, "so much is refused")
				r.refuses.Store(nil)
			})
			s.Holds(stored)
		})
	}
}

// TestNoDDL: who may not make tables, those of the writer or those of Tessera's driver, is
// told so, and the lease is not kept.
func TestNoDDL(t *testing.T) {
	for last := range int64(2) {
		r := newRefuser(t)
		p, _, database := newPlace(t)
		var changes atomic.Int64
		refuses := func(method string) error {
			if method == "UpdateDatabaseDdl" && changes.Add(1) > last {
				return status.Error(codes.PermissionDenied, "no access")
			}
			return nil
		}
		r.refuses.Store(&refuses)
		drivertest.Says(t, "no DDL", drivertest.NewService(t, p).TryOpen(), nil, []string{database.String(), "no access", "roles/spanner.databaseUser"})
		r.refuses.Store(nil)
		d := testlog.Must(p.Connect(t.Context(), p.Endpoint, storage.WriterOptions{Logger: slog.New(slog.DiscardHandler)}))(t)
		if w, err := d.Writer(t.Context()); err != nil || w.Held || w.Term != uint64(last) {
			t.Errorf("after %d changes of the schema the writer is %+v, %v", last, w, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
