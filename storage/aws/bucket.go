package aws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/conmotion/conmotion/storage/internal/cloud"
	"github.com/conmotion/conmotion/tiles"
)

// bucket reads and writes small objects. It implements [cloud.Bucket].
type bucket struct {
	Bucket
	sdk    aws.Config
	client *s3.Client
}

// openBucket takes credentials from where the SDK finds them. It sends nothing to
// the bucket.
func openBucket(ctx context.Context, b Bucket) (*bucket, error) {
	sdk, err := config.LoadDefaultConfig(ctx, func(o *config.LoadOptions) error {
		if b.Region != "" {
			o.Region = b.Region
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b, err)
	}
	if sdk.Region == "" {
		return nil, fmt.Errorf("%s: no region is known; give ?region= or AWS_REGION", b)
	}
	out := &bucket{Bucket: b, sdk: sdk}
	out.client = s3.NewFromConfig(sdk, out.options)
	return out, nil
}

func (b *bucket) options(o *s3.Options) {
	o.UsePathStyle = b.PathStyle
	o.DisableLogOutputChecksumValidationSkipped = true // other stores than AWS's send none
	if b.Endpoint != "" {
		o.BaseEndpoint = &b.Endpoint
	}
}

// Get implements [cloud.Bucket]. The tag is the ETag.
func (b *bucket) Get(ctx context.Context, key string) (o cloud.Object, err error) {
	ctx, cancel := context.WithTimeout(ctx, cloud.ObjectTimeout)
	defer cancel()
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.Name, Key: &key})
	if err != nil {
		return o, b.failed("read", key, err)
	}
	defer out.Body.Close()
	o.Data, err = io.ReadAll(io.LimitReader(out.Body, cloud.MaxObject+1))
	if err == nil && len(o.Data) > cloud.MaxObject {
		err = fmt.Errorf("it is larger than %d bytes", cloud.MaxObject)
	}
	if err == nil && out.ContentLength != nil && int64(len(o.Data)) != *out.ContentLength {
		err = fmt.Errorf("%d of %d bytes: %w", len(o.Data), *out.ContentLength, io.ErrUnexpectedEOF)
	}
	o.Tag = aws.ToString(out.ETag)
	return o, b.failed("read", key, err)
}

// Put implements [cloud.Bucket].
func (b *bucket) Put(ctx context.Context, key string, data []byte, when cloud.Condition) (etag string, err error) {
	ctx, cancel := context.WithTimeout(ctx, cloud.ObjectTimeout)
	defer cancel()
	mediaType, cacheControl := tiles.Headers(key)
	in := &s3.PutObjectInput{Bucket: &b.Name, Key: &key, Body: bytes.NewReader(data), ContentType: &mediaType, CacheControl: &cacheControl}
	if when.Match != "" {
		in.IfMatch = &when.Match
	}
	if when.Absent {
		in.IfNoneMatch = aws.String("*")
	}
	out, err := b.client.PutObject(ctx, in)
	if err != nil {
		return "", b.failed("write", key, err)
	}
	return aws.ToString(out.ETag), nil
}

// Holds implements [cloud.Bucket].
func (b *bucket) Holds(ctx context.Context, prefix string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, cloud.ObjectTimeout)
	defer cancel()
	out, err := b.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &b.Name, Prefix: &prefix, MaxKeys: aws.Int32(1)})
	if err != nil {
		return false, b.failed("list", prefix, err)
	}
	return len(out.Contents) > 0, nil
}

// Remove implements [cloud.Bucket].
func (b *bucket) Remove(ctx context.Context, key string) error {
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.Name, Key: &key})
	return b.failed("remove", key, err)
}

func (b *bucket) failed(what, key string, err error) error {
	if err == nil {
		return nil
	}
	switch code, status := codeOf(err); {
	case code == "NoSuchKey", code == "NotFound" && status == http.StatusNotFound:
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	case status == http.StatusPreconditionFailed, status == http.StatusConflict:
		err = fmt.Errorf("%w: %w", cloud.ErrCondition, err)
	case code == "NoSuchBucket":
		err = fmt.Errorf("%w; make the bucket, or correct its name", err)
	case code == "AuthorizationHeaderMalformed", status == http.StatusMovedPermanently:
		err = fmt.Errorf("%w; give the bucket's own region, as ?region=", err)
	case status == http.StatusForbidden:
		err = fmt.Errorf("%w; the credentials need s3:ListBucket on the bucket and s3:GetObject, s3:PutObject and, where a log is, s3:DeleteObject on its objects", err)
	}
	return fmt.Errorf("%s %s/%s: %w", what, b, key, err)
}

// codeOf is S3's code of an error and its HTTP status, or what there is of them.
func codeOf(err error) (code string, status int) {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code = api.ErrorCode()
	}
	if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		status = answer.HTTPStatusCode()
	}
	return code, status
}
