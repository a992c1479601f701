package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/artifact"
	"github.com/conmotion/conmotion/storage/aws"
	"github.com/conmotion/conmotion/storage/gcp"
	"github.com/conmotion/conmotion/storage/posix"
	"github.com/conmotion/conmotion/tiles"
)

// DatabasePassword is the environment variable with the password of Config.Database.
const DatabasePassword = "CONMOTION_DATABASE_PASSWORD"

// place is where the log lies.
type place struct {
	storage.Driver
	name   string          // for people: a directory or the URL of a bucket
	files  http.FileSystem // the public files
	shared shared          // the same driver; nil when one process has the place
	// openArtifacts opens the store of artifacts.
	openArtifacts func(ctx context.Context, o artifact.Options) (artifact.Storage, error)
	snapshots     *snapshots // nil for none
}

// openPlace opens the place that the configuration names. It writes nothing there.
func openPlace(ctx context.Context, c *Config, dir *storage.Dir) (*place, error) {
	if err := checkMoved(c, dir); err != nil {
		return nil, err
	}
	p, err := openLogPlace(ctx, c, dir)
	if err != nil {
		return nil, err
	}
	if p.openArtifacts, err = artifactPlace(ctx, c.Artifacts, p.name, dir); err != nil {
		return nil, errors.Join(fmt.Errorf("--artifacts: %w", err), p.close())
	}
	if c.Snapshots == "" {
		return p, nil
	}
	p.snapshots = &snapshots{entries: c.SnapshotEntries}
	bucket, err := openPrivate(ctx, c.Snapshots, p.name)
	p.snapshots.store = bucket.objects
	if p.shared == nil {
		err = errors.New("snapshots are for a log in a bucket: see --storage")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--snapshots: %w", err), p.close())
	}
	return p, nil
}

func openLogPlace(ctx context.Context, c *Config, dir *storage.Dir) (*place, error) {
	if c.Storage == "" {
		if c.Database != "" {
			return nil, errors.New("--database is for a log in a bucket: see --storage")
		}
		return &place{Driver: posix.New(dir, c.Logger), name: dir.Public(), files: http.Dir(dir.Public())}, nil
	}
	driver, err := openCloud(ctx, c)
	if err != nil {
		return nil, err
	}
	return &place{Driver: driver, name: driver.String(), files: sourceFiles{driver}, shared: driver}, nil
}

// close lets another process have the log.
func (p *place) close() error {
	if p.shared == nil {
		return nil
	}
	return p.shared.Close()
}

// openCloud opens the driver of Storage and Database.
func openCloud(ctx context.Context, c *Config) (shared, error) {
	if strings.HasPrefix(c.Storage, "gs://") {
		bucket, err := gcp.ParseBucket(c.Storage)
		if err != nil {
			return nil, fmt.Errorf("--storage: %w", err)
		}
		database, err := gcp.ParseDatabase(c.Database)
		if err != nil {
			return nil, fmt.Errorf("--storage gs://BUCKET needs --database: %w", err)
		}
		address, err := c.address(gcp.Server())
		if err != nil {
			return nil, err
		}
		driver, err := gcp.New(ctx, gcp.Config{Bucket: bucket, Database: database, Writer: storage.WriterOptions{Lease: c.Lease, Address: address, Logger: c.Logger}})
		if err != nil {
			return nil, fmt.Errorf("--storage: %w", err)
		}
		return driver, nil
	}
	bucket, err := aws.ParseBucket(c.Storage)
	if err != nil {
		return nil, fmt.Errorf("--storage: %w", err)
	}
	if c.Database == "" {
		return nil, errors.New("--storage s3://BUCKET needs --database mysql://USER@HOST/NAME")
	}
	password := os.Getenv(DatabasePassword)
	if c.DatabasePasswordFile != "" {
		data, err := plain.ReadInput(ctx, c.DatabasePasswordFile, mostInput)
		if err != nil {
			return nil, fmt.Errorf("--database-password-file: %w", err)
		}
		password = strings.TrimRight(string(data), "\r\n")
	}
	database, err := aws.ParseDatabase(c.Database, password)
	if err != nil {
		return nil, fmt.Errorf("--database: %w", err)
	}
	address, err := c.address(database.Addr)
	if err != nil {
		return nil, err
	}
	driver, err := aws.New(ctx, aws.Config{Bucket: bucket, Database: database, Writer: storage.WriterOptions{Lease: c.Lease, Address: address, Logger: c.Logger}})
	if err != nil {
		return nil, fmt.Errorf("--storage: %w", err)
	}
	return driver, nil
}

// address is where other instances reach this one; database is HOST:PORT of the
// database.
func (c *Config) address(database string) (string, error) {
	if c.Advertise != "" {
		return c.Advertise, nil
	}
	return advertised(c.DefaultIssuer, database)
}

// artifactPlace says how the store of artifacts is opened: in the directory, or in a
// bucket.
func artifactPlace(ctx context.Context, location, log string, dir *storage.Dir) (func(context.Context, artifact.Options) (artifact.Storage, error), error) {
	if location == "" {
		return func(_ context.Context, o artifact.Options) (artifact.Storage, error) {
			return artifact.OpenDir(dir.Private("artifacts"), o)
		}, nil
	}
	b, err := openPrivate(ctx, location, log)
	return b.artifacts, err
}

// private is a bucket for what is not public: artifacts, when it is opened for them, or objects.
type private struct {
	artifacts func(context.Context, artifact.Options) (artifact.Storage, error)
	objects   objectStore
}

// objectStore keeps objects by their keys. A write replaces what is there.
type objectStore interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Put(ctx context.Context, key string, data []byte) error
}

// openPrivate opens a bucket, unless it is the log's or has another log. It writes nothing there.
func openPrivate(ctx context.Context, location, log string) (p private, err error) {
	var name string
	hasLog := true
	if strings.HasPrefix(location, "gs://") {
		bucket, perr := gcp.ParseBucket(location)
		if perr != nil {
			return p, perr
		}
		name = bucket.String()
		p.artifacts = func(ctx context.Context, o artifact.Options) (artifact.Storage, error) {
			return gcp.OpenArtifacts(ctx, bucket, o)
		}
		p.objects, err = gcp.OpenStore(ctx, bucket)
	} else {
		bucket, perr := aws.ParseBucket(location)
		if perr != nil {
			return p, perr
		}
		name = bucket.String()
		p.artifacts = func(ctx context.Context, o artifact.Options) (artifact.Storage, error) {
			return aws.OpenArtifacts(ctx, bucket, o)
		}
		p.objects, err = aws.OpenStore(ctx, bucket)
	}
	if err == nil && name != log {
		_, rerr := p.objects.Get(ctx, tiles.CheckpointPath)
		hasLog = rerr == nil // or it is found out later what is wrong
	}
	if err == nil && hasLog {
		err = fmt.Errorf("%s is the bucket of a log, which everybody may read; what is not public needs one of its own", name)
	}
	return p, err
}

// hasLog reports whether a log was published here. Whatever that needs is made before
// it, and never again.
func (p *place) hasLog(ctx context.Context) (bool, error) {
	_, err := p.Get(ctx, tiles.CheckpointPath)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// sourceFiles are the files of a source for a file server. What it serves of them
// never changes, so they have no time.
type sourceFiles struct{ tiles.Source }

// Open implements [http.FileSystem].
func (s sourceFiles) Open(name string) (http.File, error) {
	name = strings.TrimPrefix(name, "/")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	data, err := s.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	return &sourceFile{bytes.NewReader(data), name}, nil
}

// sourceFile is an open file and its own [fs.FileInfo].
type sourceFile struct {
	*bytes.Reader
	path string
}

// Close implements [http.File].
func (f *sourceFile) Close() error { return nil }

// Readdir implements [http.File].
func (f *sourceFile) Readdir(int) ([]fs.FileInfo, error) { return nil, io.EOF }

// Stat implements [http.File].
func (f *sourceFile) Stat() (fs.FileInfo, error) { return sourceInfo{f}, nil }

type sourceInfo struct{ *sourceFile }

// Name implements [fs.FileInfo].
func (i sourceInfo) Name() string { return path.Base(i.path) }

// Mode implements [fs.FileInfo].
func (i sourceInfo) Mode() fs.FileMode { return 0o444 }

// ModTime implements [fs.FileInfo].
func (i sourceInfo) ModTime() time.Time { return time.Time{} }

// IsDir implements [fs.FileInfo].
func (i sourceInfo) IsDir() bool { return false }

// Sys implements [fs.FileInfo].
func (i sourceInfo) Sys() any { return nil }
