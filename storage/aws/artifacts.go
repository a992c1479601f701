package aws

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

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
	out, err := o.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &o.Name, Key: &key})
	if err != nil {
		return nil, artifact.Object{}, o.failed("read", key, err)
	}
	return out.Body, artifact.Object{Size: aws.ToInt64(out.ContentLength), Tag: aws.ToString(out.ETag)}, nil
}

// Stat implements [artifact.Objects].
func (o objects) Stat(ctx context.Context, key string) (artifact.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, cloud.ObjectTimeout)
	defer cancel()
	out, err := o.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &o.Name, Key: &key})
	if err != nil {
		return artifact.Object{}, o.failed("look for", key, err)
	}
	return artifact.Object{Size: aws.ToInt64(out.ContentLength), Tag: aws.ToString(out.ETag)}, nil
}

// Write implements [artifact.Objects]. S3 compares the digest.
func (o objects) Write(ctx context.Context, key string, r io.ReadSeeker, size int64, digest artifact.Digest, replaces string) error {
	in := &s3.PutObjectInput{
		Bucket: &o.Name, Key: &key, Body: r, ContentLength: &size,
		ContentType: aws.String("application/octet-stream"), ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(digest[:])),
	}
	if replaces != "" {
		in.IfMatch = &replaces
	} else {
		in.IfNoneMatch = aws.String("*")
	}
	_, err := o.client.PutObject(ctx, in)
	if err = o.failed("write", key, err); errors.Is(err, cloud.ErrCondition) {
		err = fmt.Errorf("%w: %w", fs.ErrExist, err)
	}
	return err
}

// List implements [artifact.Objects].
func (o objects) List(ctx context.Context, f func(key string, size int64) error) error {
	pages := s3.NewListObjectsV2Paginator(o.client, &s3.ListObjectsV2Input{Bucket: &o.Name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return o.failed("list", "", err)
		}
		for _, object := range page.Contents {
			if err := f(aws.ToString(object.Key), aws.ToInt64(object.Size)); err != nil {
				return err
			}
		}
	}
	return nil
}
