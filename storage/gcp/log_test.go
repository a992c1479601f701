package gcp_test

import (
	"context"
	"testing"
	"time"

	"cloud.google.com/go/spanner"
	"github.com/transparency-dev/tessera"
	tessera_gcp "github.com/transparency-dev/tessera/storage/gcp"

	"github.com/conmotion/conmotion/internal/cloudtest/parts"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/gcp"
	"github.com/conmotion/conmotion/storage/internal/cloud"
	"github.com/conmotion/conmotion/storage/internal/drivertest"
)

// newPlace makes a bucket and a database.
func newPlace(t testing.TB) (drivertest.Place, parts.Bucket, gcp.Database) {
	t.Helper()
	p := tests.GCP(t)
	b := testlog.Must(p.NewBucket(t.Context(), true))(t)
	bucket := testlog.Must(gcp.ParseBucket(b.Location))(t)
	location := testlog.Must(p.NewDatabase(t.Context()))(t)
	database := testlog.Must(gcp.ParseDatabase(location))(t)
	return drivertest.Place{
		Endpoint: p.Endpoint, URL: b.URL,
		Connect: func(ctx context.Context, endpoint string, o storage.WriterOptions) (*cloud.Driver, error) {
			t.Setenv("STORAGE_EMULATOR_HOST", endpoint)
			return gcp.New(ctx, gcp.Config{Bucket: bucket, Database: database, Writer: o})
		},
		Objects: b.Objects,
		Tables:  func(ctx context.Context) (int, error) { return p.Tables(ctx, location) },
		SetFormat: func(ctx context.Context, format int) error {
			client, err := spanner.NewClient(ctx, string(database))
			if err != nil {
				return err
			}
			defer client.Close()
			change := spanner.Delete("conmotion_format", spanner.AllKeys())
			if format > 0 {
				change = spanner.Update("conmotion_format", []string{"id", "format"}, []any{0, format})
			}
			_, err = client.Apply(ctx, []*spanner.Mutation{change})
			return err
		},
	}, b, database
}

func TestDriver(t *testing.T) {
	drivertest.Run(t, false, func(t testing.TB) drivertest.Place {
		p, _, _ := newPlace(t)
		return p
	})
}

func BenchmarkLog(b *testing.B) {
	drivertest.BenchmarkLog(b, func(t testing.TB) drivertest.Place { p, _, _ := newPlace(t); return p })
}

func BenchmarkBare(b *testing.B) {
	drivertest.BenchmarkBare(b, func(b *testing.B) tessera.Driver {
		_, bucket, database := newPlace(b)
		return testlog.Must(tessera_gcp.New(b.Context(), tessera_gcp.Config{Bucket: bucket.Name, Spanner: string(database)}))(b)
	}, 1200*time.Millisecond)
}
