package aws_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/go-sql-driver/mysql"
	"github.com/transparency-dev/tessera"
	tessera_aws "github.com/transparency-dev/tessera/storage/aws"

	"github.com/conmotion/conmotion/internal/cloudtest/parts"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/aws"
	"github.com/conmotion/conmotion/storage/internal/cloud"
	"github.com/conmotion/conmotion/storage/internal/drivertest"
)

// newPlace makes a bucket and a database.
func newPlace(t testing.TB) (drivertest.Place, parts.Bucket, *mysql.Config) {
	t.Helper()
	return newPlaceOf(t, tests.AWS(t))
}

// newPlaceOf is newPlace with a database of another server.
func newPlaceOf(t testing.TB, server *parts.AWS) (drivertest.Place, parts.Bucket, *mysql.Config) {
	t.Helper()
	p := tests.AWS(t)
	b := testlog.Must(p.NewBucket(t.Context(), true))(t)
	location := testlog.Must(server.NewDatabase(t.Context()))(t)
	database := testlog.Must(aws.ParseDatabase(location, p.Password))(t)
	return drivertest.Place{
		Endpoint: p.Endpoint, URL: b.URL,
		Connect: func(ctx context.Context, endpoint string, o storage.WriterOptions) (*cloud.Driver, error) {
			bucket := testlog.Must(aws.ParseBucket(b.Location))(t)
			bucket.Endpoint = endpoint
			return aws.New(ctx, aws.Config{Bucket: bucket, Database: database, Writer: o})
		},
		Objects: b.Objects,
		Tables:  func(ctx context.Context) (int, error) { return server.Tables(ctx, location) },
		SetFormat: func(ctx context.Context, format int) error {
			db := sql.OpenDB(testlog.Must(mysql.NewConnector(database))(t))
			defer db.Close()
			statement := `DROP TABLE conmotion_format`
			if format > 0 {
				statement = fmt.Sprintf(`UPDATE conmotion_format SET format = %d`, format)
			}
			_, err := db.ExecContext(ctx, statement)
			return err
		},
	}, b, database
}

func TestDriver(t *testing.T) {
	drivertest.Run(t, true, func(t testing.TB) drivertest.Place {
		p, _, _ := newPlace(t)
		return p
	})
}

func TestDatabaseRestarts(t *testing.T) {
	p, _, _ := newPlace(t)
	drivertest.Restarts(t, p, tests.AWS(t).RestartMySQL)
}

func BenchmarkLog(b *testing.B) {
	drivertest.BenchmarkLog(b, func(t testing.TB) drivertest.Place { p, _, _ := newPlace(t); return p })
}

func BenchmarkBare(b *testing.B) {
	drivertest.BenchmarkBare(b, func(b *testing.B) tessera.Driver {
		p, bucket, database := newPlace(b)
		sdk := testlog.Must(config.LoadDefaultConfig(b.Context(), config.WithRegion(parts.Region)))(b)
		return testlog.Must(tessera_aws.New(b.Context(), tessera_aws.Config{
			SDKConfig: &sdk, Bucket: bucket.Name, DSN: database.FormatDSN(), MaxOpenConns: 16, MaxIdleConns: 16,
			S3Options: func(o *s3.Options) { o.UsePathStyle, o.BaseEndpoint = true, awssdk.String(p.Endpoint) },
		}))(b)
	}, time.Second)
}
