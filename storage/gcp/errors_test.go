package gcp_test

import (
	"context"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/conmotion/conmotion/internal/cloudtest/parts"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/gcp"
	"github.com/conmotion/conmotion/storage/internal/cloud"
	"github.com/conmotion/conmotion/storage/internal/drivertest"
)

// TestErrors: an error says which bucket, object or database it is about, and what to do
// where something can be done.
func TestErrors(t *testing.T) {
	p := tests.GCP(t)
	b := testlog.Must(p.NewBucket(t.Context(), true))(t)
	location := testlog.Must(p.NewDatabase(t.Context()))(t)
	denies := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error": {"code": 403, "message": "no access"}}`, http.StatusForbidden)
	}))
	defer denies.Close()
	nobody := httptest.NewServer(http.NotFoundHandler())
	nobody.Close()
	exhausted := parts.Gate(t, p.Spanner, func(string, []byte) error { return status.Error(codes.ResourceExhausted, "too many sessions") })
	instance, _, _ := strings.Cut(location, "/databases/")
	for what, c := range map[string]struct {
		bucket, database, storage, spanner string // other ones
		do                                 func(context.Context, *cloud.Driver) error
		is                                 error
		says                               []string
		patience                           time.Duration
	}{
		"no bucket": {bucket: "nowhere", says: []string{"gs://nowhere/tile/", "make the bucket"}},
		"403":       {storage: denies.URL, do: drivertest.ReadTile, says: []string{"gs://" + b.Name + "/tile/0/000", "no access", "roles/storage.objectUser"}},
		"no object": {do: drivertest.ReadTile, is: fs.ErrNotExist, says: []string{"gs://" + b.Name + "/tile/0/000"}},
		"a condition": {do: func(ctx context.Context, d *cloud.Driver) error {
			_, err := d.Bucket.Put(ctx, "a/b", nil, cloud.Condition{Match: "1"})
			return err
		}, is: cloud.ErrCondition, says: []string{"gs://" + b.Name + "/a/b"}},
		"no database": {database: instance + "/databases/nowhere", says: []string{instance + "/databases/nowhere", "not found", "make the instance and the database"}},
		"no instance": {database: instance + "1/databases/nowhere", says: []string{instance + "1/databases/nowhere", "not found", "make the instance and the database"}},
		"no table":    {do: func(ctx context.Context, d *cloud.Driver) error { _, err := d.Database.Term(ctx); return err }, says: []string{location, "conmotion_writer"}},
		"no sessions": {spanner: exhausted, patience: time.Second, says: []string{location, "within its quotas"}},
		"no emulator": {spanner: nobody.Listener.Addr().String(), patience: time.Second, says: []string{location, "a way from here to "}},
	} {
		set := func(name, value string) {
			if value != "" {
				t.Setenv(name, value)
			}
		}
		set("STORAGE_EMULATOR_HOST", p.Endpoint)
		set("SPANNER_EMULATOR_HOST", p.Spanner)
		set("STORAGE_EMULATOR_HOST", c.storage)
		set("SPANNER_EMULATOR_HOST", c.spanner)
		config := gcp.Config{Bucket: gcp.Bucket(b.Name), Database: testlog.Must(gcp.ParseDatabase(location))(t), Writer: storage.WriterOptions{Logger: slog.New(slog.DiscardHandler)}}
		if c.bucket != "" {
			config.Bucket = gcp.Bucket(c.bucket)
		}
		if c.database != "" {
			config.Database = testlog.Must(gcp.ParseDatabase(c.database))(t)
		}
		if c.patience == 0 {
			c.patience = time.Minute
		}
		ctx, cancel := context.WithTimeout(t.Context(), c.patience)
		d, err := gcp.New(ctx, config)
		if err == nil {
			if c.do == nil {
				c.do = drivertest.OpenLog
			}
			err = c.do(ctx, d)
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
		cancel()
		drivertest.Says(t, what, err, c.is, c.says)
	}
}
