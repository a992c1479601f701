package gcp

import (
	"cmp"
	"fmt"
	"os"
	"regexp"

	"github.com/conmotion/conmotion/storage/internal/cloud"
)

// Bucket is the name of a bucket.
type Bucket string

// A name may have dots, and 222 characters then (Cloud Storage, "Bucket names").
var bucketName = regexp.MustCompile(`^gs://([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])/?$`)

// ParseBucket reads gs://BUCKET.
func ParseBucket(location string) (Bucket, error) {
	if m := bucketName.FindStringSubmatch(location); m != nil {
		return Bucket(m[1]), nil
	}
	return "", fmt.Errorf("%q is not gs://BUCKET; each log has a bucket of its own, without a prefix, and credentials come from where the SDK looks for them", cloud.Shown(location))
}

// String names the bucket.
func (b Bucket) String() string { return "gs://" + string(b) }

// Database is a database's resource name, projects/P/instances/I/databases/D.
type Database string

var databaseName = regexp.MustCompile(`^spanner://(projects/[a-z0-9.:-]+/instances/[a-z0-9-]+/databases/[a-z0-9_-]+)$`)

// ParseDatabase reads spanner://projects/P/instances/I/databases/D.
func ParseDatabase(location string) (Database, error) {
	if m := databaseName.FindStringSubmatch(location); m != nil {
		return Database(m[1]), nil
	}
	return "", fmt.Errorf("%q is not spanner://projects/P/instances/I/databases/D", cloud.Shown(location))
}

// String names the database.
func (d Database) String() string { return "spanner://" + string(d) }

// Server is HOST:PORT of Spanner, or of its emulator where the SDK looks for one.
func Server() string {
	return cmp.Or(os.Getenv("SPANNER_EMULATOR_HOST"), "spanner.googleapis.com:443")
}
