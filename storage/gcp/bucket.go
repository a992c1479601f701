package gcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"time"

	"cloud.google.com/go/storage"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	htransport "google.golang.org/api/transport/http"

	"github.com/conmotion/conmotion/storage/internal/cloud"
	"github.com/conmotion/conmotion/tiles"
)

// bucket reads and writes small objects. It implements [cloud.Bucket]; a tag is a
// generation.
type bucket struct {
	Bucket
	client *storage.Client
}

func openBucket(ctx context.Context, b Bucket) (*bucket, error) {
	client, err := newClient(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b, err)
	}
	return &bucket{b, client}, nil
}

// newClient makes a client with what is around its transport; nil for nothing.
// Every write of ours can be done again: it is conditional, or of the same bytes.
func newClient(ctx context.Context, around func(http.RoundTripper) http.RoundTripper) (*storage.Client, error) {
	options := []option.ClientOption{storage.WithJSONReads()}
	if around != nil {
		auth := option.WithScopes(storage.ScopeReadWrite)
		if os.Getenv("STORAGE_EMULATOR_HOST") != "" { // where the SDK looks for it
			auth = option.WithoutAuthentication()
		}
		transport, err := htransport.NewTransport(ctx, http.DefaultTransport, auth)
		if err != nil {
			return nil, err
		}
		options = append(options, option.WithHTTPClient(&http.Client{Transport: around(transport)}))
	}
	client, err := storage.NewClient(ctx, options...)
	if err == nil {
		// The pauses are shorter than the lease of a writer, which must reach the bucket in it.
		client.SetRetry(storage.WithPolicy(storage.RetryAlways), storage.WithBackoff(gax.Backoff{Initial: 100 * time.Millisecond, Max: time.Second}))
	}
	return client, err
}

// object is an object under a condition.
func (b *bucket) object(key, match string, absent bool) (*storage.ObjectHandle, error) {
	o := b.client.Bucket(string(b.Bucket)).Object(key)
	switch {
	case absent:
		o = o.If(storage.Conditions{DoesNotExist: true})
	case match != "":
		generation, err := strconv.ParseInt(match, 10, 64)
		if err != nil {
			return nil, err
		}
		o = o.If(storage.Conditions{GenerationMatch: generation})
	}
	return o, nil
}

// Get implements [cloud.Bucket].
func (b *bucket) Get(ctx context.Context, key string) (o cloud.Object, err error) {
	ctx, cancel := context.WithTimeout(ctx, cloud.ObjectTimeout)
	defer cancel()
	r, err := b.client.Bucket(string(b.Bucket)).Object(key).NewReader(ctx)
	if err != nil {
		return o, b.failed("read", key, err)
	}
	defer r.Close()
	o.Data, err = io.ReadAll(io.LimitReader(r, cloud.MaxObject+1))
	if err == nil && len(o.Data) > cloud.MaxObject {
		err = fmt.Errorf("it is larger than %d bytes", cloud.MaxObject)
	}
	o.Tag = tag(r.Attrs.Generation)
	return o, b.failed("read", key, err)
}

func tag(generation int64) string { return strconv.FormatInt(generation, 10) }

// Put implements [cloud.Bucket].
func (b *bucket) Put(ctx context.Context, key string, data []byte, when cloud.Condition) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, cloud.ObjectTimeout)
	defer cancel()
	o, err := b.object(key, when.Match, when.Absent)
	if err != nil {
		return "", b.failed("write", key, err)
	}
	w := o.NewWriter(ctx)
	w.ContentType, w.CacheControl = tiles.Headers(key)
	w.ChunkSize = 0 // one request
	_, err = w.Write(data)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", b.failed("write", key, err)
	}
	return tag(w.Attrs().Generation), nil
}

// Holds implements [cloud.Bucket].
func (b *bucket) Holds(ctx context.Context, prefix string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, cloud.ObjectTimeout)
	defer cancel()
	_, err := b.client.Bucket(string(b.Bucket)).Objects(ctx, &storage.Query{Prefix: prefix}).Next()
	if errors.Is(err, iterator.Done) {
		return false, nil
	}
	return err == nil, b.failed("list", prefix, err)
}

// Remove implements [cloud.Bucket].
func (b *bucket) Remove(ctx context.Context, key string) error {
	err := b.client.Bucket(string(b.Bucket)).Object(key).Delete(ctx)
	if errors.Is(err, storage.ErrObjectNotExist) {
		return nil
	}
	return b.failed("remove", key, err)
}

func (b *bucket) failed(what, key string, err error) error {
	if err == nil {
		return nil
	}
	api, _ := errors.AsType[*googleapi.Error](err)
	switch {
	case errors.Is(err, storage.ErrObjectNotExist):
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	case errors.Is(err, storage.ErrBucketNotExist):
		err = fmt.Errorf("%w; make the bucket, or correct its name", err)
	case api != nil && api.Code == http.StatusPreconditionFailed:
		err = fmt.Errorf("%w: %w", cloud.ErrCondition, err)
	case api != nil && api.Code == http.StatusForbidden:
		err = fmt.Errorf("%w; the credentials need roles/storage.objectUser on the bucket", err)
	}
	return fmt.Errorf("%s %s/%s: %w", what, b, key, err)
}
