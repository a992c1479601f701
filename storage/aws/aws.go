// Package aws keeps a log in an S3 bucket and a MySQL database, with Tessera's
// driver for them. docs/architecture.md says how: "Where the log lies".
package aws

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/internal/cloud"
)

// Config says where the log is.
type Config struct {
	Bucket   Bucket
	Database *mysql.Config // see [ParseDatabase]
	Writer   storage.WriterOptions
}

// New makes the driver of a bucket and a database, and writes nothing.
func New(ctx context.Context, c Config) (*cloud.Driver, error) {
	b, err := openBucket(ctx, c.Bucket)
	if err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(c.Database)
	if err != nil {
		return nil, fmt.Errorf("mysql://%s/%s: %w", c.Database.Addr, c.Database.DBName, err)
	}
	db := &database{sql.OpenDB(connector), c.Database}
	db.SetMaxOpenConns(4)
	db.SetConnMaxIdleTime(time.Minute)
	return cloud.New(cloud.Place{Bucket: b, Database: db, Interval: time.Second,
		Engine: func(ctx context.Context, term uint64, signed func(ctx context.Context, note []byte) error) (cloud.Engine, error) {
			return engine(ctx, b, db, term, signed)
		}}, c.Writer), nil
}
