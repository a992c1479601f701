// Package gcp keeps a log in a GCS bucket and a Spanner database, with Tessera's
// driver for them. docs/architecture.md says how: "Where the log lies".
package gcp

import (
	"context"
	"time"

	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/internal/cloud"
)

// Config says where the log is.
type Config struct {
	Bucket   Bucket
	Database Database
	Writer   storage.WriterOptions
}

// New makes the driver of a bucket and a database, and writes nothing. Credentials
// are those that the SDK finds.
func New(ctx context.Context, c Config) (*cloud.Driver, error) {
	b, err := openBucket(ctx, c.Bucket)
	if err != nil {
		return nil, err
	}
	db, err := openDatabase(ctx, c.Database)
	if err != nil {
		return nil, err
	}
	return cloud.New(cloud.Place{Bucket: b, Database: db, InTurn: inTurn, Interval: 1200 * time.Millisecond,
		Engine: func(ctx context.Context, term uint64, signed func(ctx context.Context, note []byte) error) (cloud.Engine, error) {
			return engine(ctx, b, db, term, signed)
		}}, c.Writer), nil
}
