package aws_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/cloudtest/parts"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/internal/drivertest"
)

// TestFailover: the server of the database is killed under load, and its replica takes its
// address. Where a commit was acknowledged when the replica had it, the log goes on, with all
// that was acknowledged and nothing twice. A replica that lacks commits is older than the bucket:
// then the writer adds nothing, a start is refused, and nothing changes in the bucket, until the
// database is there that has them.
func TestFailover(t *testing.T) {
	t.Parallel()
	serve := func(id int) *parts.AWS {
		t.Helper()
		p := testlog.Must(tests.AWS(t).StartMySQL(t.Context(), id))(t)
		t.Cleanup(p.Stop)
		return p
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	server, replica := serve(1), serve(2)
	must(replica.Replicate(t.Context(), server))
	place, _, database := newPlaceOf(t, server)
	s := drivertest.NewService(t, place).Open()
	stored := s.Under(func() {
		for s.Try("both have it") != nil {
		}
	})

	// From here on the replica lacks what is acknowledged.
	must(server.Root(t.Context(), `SET GLOBAL rpl_semi_sync_master_enabled = 0`))
	must(replica.Root(t.Context(), `STOP SLAVE IO_THREAD`))
	s.Holds(stored)
	before := testlog.Must(place.Objects(t.Context()))(t)
	must(replica.TakeOver(t.Context(), server))
	testwait.Until(t, func() bool {
		err := s.Try("late")
		if !errors.Is(err, scitt.ErrUnavailable) {
			t.Fatalf("with a database that lacks commits: %v", err)
		}
		return strings.Contains(err.Error(), storage.ErrFork.Error())
	}, "the writer sees a database that lacks commits")
	s.Close()
	if err := s.TryOpen(); !errors.Is(err, storage.ErrFork) {
		t.Errorf("a start: %v", err)
	}
	if after := testlog.Must(place.Objects(t.Context()))(t); !maps.Equal(after, before) {
		t.Errorf("the bucket had %s, and has %s", before, after)
	}

	// The server that has all of it is there again.
	must(server.Exchange(t.Context(), replica))
	s.Open().Holds(stored)
	must(replica.RestartMySQL(t.Context()))
	must(replica.Root(t.Context(), `DROP DATABASE `+database.DBName))
	must(replica.Replicate(t.Context(), server))
	stored = append(stored, s.Under(func() {
		for i := range 2 {
			for s.Try("before") != nil {
			}
			if i == 0 {
				must(replica.TakeOver(t.Context(), server))
			}
		}
	})...)
	s.Holds(stored)
}
