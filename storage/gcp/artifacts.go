package gcp

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"

	"cloud.google.com/go/storage"
	"google.golang.org/api/iterator"

	"github.com/conmotion/conmotion/storage/artifact"
	"github.com/conmotion/conmotion/storage/internal/cloud"
)

// OpenArtifacts opens a store of artifacts in a bucket, which nobody else may read.
func OpenArtifacts(ctx context.Context, b Bucket, o artifact.Options) (artifact.Storage, error) {
	bucket, err := openBucket(ctx, b)
	if err != nil {
		return nil, err
	}
	return artifact.OpenBucket(ctx, objects{bucket}, o)
}

// OpenStore opens a bucket that nobody else may read. It sends nothing there.
func OpenStore(ctx context.Context, b Bucket) (*cloud.Store, error) {
	bucket, err := openBucket(ctx, b)
	return &cloud.Store{Bucket: bucket}, err
}

// objects are those of a bucket.
type objects struct{ *bucket }

// Read implements [artifact.Objects].
func (o objects) Read(ctx context.Context, key string) (io.ReadCloser, artifact.Object, error) {
	r, err := o.client.Bucket(string(o.Bucket)).Object(key).NewReader(ctx)
	if err != nil {
		return nil, artifact.Object{}, o.failed("read", key, err)
	}
	return r, artifact.Object{Size: r.Attrs.Size, Tag: tag(r.Attrs.Generation)}, nil
}

// Stat implements [artifact.Objects].
func (o objects) Stat(ctx context.Context, key string) (artifact.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, cloud.ObjectTimeout)
	defer cancel()
	a, err := o.client.Bucket(string(o.Bucket)).Object(key).Attrs(ctx)
	if err != nil {
		return artifact.Object{}, o.failed("look for", key, err)
	}
	return artifact.Object{Size: a.Size, Tag: tag(a.Generation)}, nil
}

// Write implements [artifact.Objects]. GCS knows no SHA-256; it compares a CRC-32C,
// of the bytes that are sent.
func (o objects) Write(ctx context.Context, key string, r io.ReadSeeker, _ int64, _ artifact.Digest, replaces string) error {
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	_, err := io.Copy(sum, r)
	if err == nil {
		_, err = r.Seek(0, io.SeekStart)
	}
	var object *storage.ObjectHandle
	if err == nil {
		object, err = o.object(key, replaces, replaces == "")
	}
	if err != nil {
		return o.failed("write", key, err)
	}
	// An object whose writing ends with its context is not stored.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := object.NewWriter(ctx)
	w.ContentType, w.CRC32C, w.SendCRC32C = "application/octet-stream", sum.Sum32(), true
	if _, err = io.Copy(w, r); err == nil {
		err = w.Close()
	}
	if err = o.failed("write", key, err); errors.Is(err, cloud.ErrCondition) {
		err = fmt.Errorf("%w: %w", fs.ErrExist, err)
	}
	return err
}

// List implements [artifact.Objects].
func (o objects) List(ctx context.Context, f func(key string, size int64) error) error {
	for all := o.client.Bucket(string(o.Bucket)).Objects(ctx, nil); ; {
		a, err := all.Next()
		if errors.Is(err, iterator.Done) {
			return nil
		}
		if err != nil {
			return o.failed("list", "", err)
		}
		if err := f(a.Name, a.Size); err != nil {
			return err
		}
	}
}
