package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/cloudtest/parts"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/storage"
)

// TestMigrateRefused: a log is not moved to a place that has something of another log, or
// of itself. Then nothing is written there, and the log goes on where it was.
func TestMigrateRefused(t *testing.T) { cloud.Each(t, migrateRefused) }

func migrateRefused(t *testing.T, servers parts.Cloud) {
	type at struct {
		bucket   parts.Bucket
		database string
	}
	empty := func() at {
		t.Helper()
		return at{testlog.Must(servers.NewBucket(t.Context(), true))(t), testlog.Must(servers.NewDatabase(t.Context()))(t)}
	}
	in := func(p at) *service {
		t.Helper()
		s := newService(t, func(c *daemon.Config) { c.Storage, c.Database = p.bucket.Location, p.database })
		s.stop()
		return s
	}
	own, others, nothing := empty(), empty(), empty()
	source := in(own)
	in(others)
	from := source.config
	there := func() (all []string) {
		t.Helper()
		for _, p := range []at{own, others, nothing} {
			all = append(all, fmt.Sprintf("%d tables, %v", testlog.Must(servers.Tables(t.Context(), p.database))(t), testlog.Must(p.bucket.Objects(t.Context()))(t)))
		}
		return all
	}
	before := there()
	for name, to := range map[string]at{
		"its own place":               own,
		"another log's place":         others,
		"an empty database":           {others.bucket, nothing.database},
		"an empty bucket":             {nothing.bucket, others.database},
		"an empty bucket and its own": {nothing.bucket, own.database},
	} {
		_, err := daemon.Migrate(t.Context(), from, daemon.Config{Storage: to.bucket.Location, Database: to.database, Logger: from.Logger}, func(string, uint64, uint64) {})
		if !errors.Is(err, storage.ErrForeign) || !strings.Contains(err.Error(), to.bucket.Name) && !strings.Contains(err.Error(), to.database[strings.LastIndexByte(to.database, '/')+1:]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := there(); !slices.Equal(after, before) {
		t.Errorf("there was\n%s\nand is\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	source.start()
	source.register(testlog.Statement(t, testlog.Key(t, "ES256"), "asset", []byte("on")))
}

// TestMigrateInterrupted: between a move's closing of the old place and its first entry in
// the new one no service makes a log there, whatever directory it starts with. The same
// move goes on from there.
func TestMigrateInterrupted(t *testing.T) { cloud.Each(t, migrateInterrupted) }

func migrateInterrupted(t *testing.T, servers parts.Cloud) {
	source := newService(t, nil)
	source.register(testlog.Statement(t, testlog.Key(t, "ES256"), "asset", []byte("first")))
	if a := source.do(http.MethodPost, "/artifacts", []byte("artifact")); a.StatusCode != http.StatusCreated {
		t.Fatal(a.Status)
	}
	source.stop()
	bucket, database := testlog.Must(servers.NewBucket(t.Context(), true))(t), testlog.Must(servers.NewDatabase(t.Context()))(t)
	to := daemon.Config{Storage: bucket.Location, Database: database, Artifacts: testlog.Must(servers.NewBucket(t.Context(), false))(t).Location, Logger: source.config.Logger}
	ctx, interrupt := context.WithCancel(t.Context())
	_, err := daemon.Migrate(ctx, source.config, to, func(what string, _, _ uint64) {
		if what == "artifacts" { // the old place is closed, and nothing is in the new one
			interrupt()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("the move: %v", err)
	}
	there := testlog.Must(bucket.Objects(t.Context()))(t)
	other := source.config
	other.Dir, other.Keys, other.Storage, other.Database = testwait.Dir(t), filepath.Join(source.config.Dir, "private"), to.Storage, to.Database
	_, err = daemon.Open(t.Context(), other, testlog.Must(daemon.NewTelemetry())(t))
	if !errors.Is(err, storage.ErrMovedAway) || !strings.Contains(err.Error(), bucket.Name) || !strings.Contains(err.Error(), "run the same conmotiond migrate again") {
		t.Errorf("a start in the new place: %v", err)
	}
	if now := testlog.Must(bucket.Objects(t.Context()))(t); !maps.Equal(now, there) {
		t.Errorf("there was %v and is %v", there, now)
	}
	m, err := daemon.Migrate(t.Context(), source.config, to, func(string, uint64, uint64) {})
	if err != nil || m.Size != 3 {
		t.Fatalf("the same move again: %+v %v", m, err)
	}
	moved := source.config
	source.config.Storage, source.config.Database = to.Storage, to.Database
	source.start()
	source.register(testlog.Statement(t, testlog.Key(t, "ES256"), "asset", []byte("on")))
	source.stop()
	// Artifacts may follow later.
	to.Artifacts = testlog.Must(servers.NewBucket(t.Context(), false))(t).Location
	if m, err := daemon.Migrate(t.Context(), moved, to, func(string, uint64, uint64) {}); err != nil || m.Copied.Artifacts != 1 {
		t.Errorf("the same move when the log went on: %+v %v", m, err)
	}
	// A move that was killed has the lease for a while.
	other.Advertise = "http://migrating.invalid"
	d := testlog.Must(daemon.Open(t.Context(), other, testlog.Must(daemon.NewTelemetry())(t)))(t)
	closed := make(chan error)
	go func() {
		time.Sleep(300 * time.Millisecond)
		closed <- d.Close()
	}()
	next := daemon.Config{Storage: testlog.Must(servers.NewBucket(t.Context(), true))(t).Location, Database: testlog.Must(servers.NewDatabase(t.Context()))(t),
		Artifacts: testlog.Must(servers.NewBucket(t.Context(), false))(t).Location, Logger: source.config.Logger}
	if m, err := daemon.Migrate(t.Context(), source.config, next, func(string, uint64, uint64) {}); err != nil || m.Size != 4 {
		t.Errorf("a move after one that was killed: %+v %v", m, err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
