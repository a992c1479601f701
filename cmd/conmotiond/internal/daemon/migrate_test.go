package daemon_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/cloudtest/parts"
	"github.com/conmotion/conmotion/internal/testlog"
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
