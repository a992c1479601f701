package aws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/conmotion/conmotion/tiles"
)

// bucket reads and writes small objects. Errors name the bucket and the key.
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

const (
	objectTimeout = 10 * time.Second
	// maxObject is more than the largest entry bundle.
	maxObject = 256 * (2 + 1<<16)
)

// get reads an object and its ETag. The error wraps fs.ErrNotExist when there is
// none.
func (b *bucket) get(ctx context.Context, key string) (data []byte, etag string, err error) {
	ctx, cancel := context.WithTimeout(ctx, objectTimeout)
	defer cancel()
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.Name, Key: &key})
	if err != nil {
		return nil, "", b.failed("read", key, err)
	}
	defer out.Body.Close()
	data, err = io.ReadAll(io.LimitReader(out.Body, maxObject+1))
	if err == nil && len(data) > maxObject {
		err = fmt.Errorf("it is larger than %d bytes", maxObject)
	}
	if err == nil && out.ContentLength != nil && int64(len(data)) != *out.ContentLength {
		err = fmt.Errorf("%d of %d bytes: %w", len(data), *out.ContentLength, io.ErrUnexpectedEOF)
	}
	return data, aws.ToString(out.ETag), b.failed("read", key, err)
}

// put writes an object under a condition: that its ETag is match, or that there is
// none when absent. It returns the new ETag. The error wraps errCondition when the
// condition is known not to hold.
func (b *bucket) put(ctx context.Context, key string, data []byte, match string, absent bool) (etag string, err error) {
	ctx, cancel := context.WithTimeout(ctx, objectTimeout)
	defer cancel()
	mediaType, cacheControl := tiles.Headers(key)
	in := &s3.PutObjectInput{Bucket: &b.Name, Key: &key, Body: bytes.NewReader(data), ContentType: &mediaType, CacheControl: &cacheControl}
	if match != "" {
		in.IfMatch = &match
	}
	if absent {
		in.IfNoneMatch = aws.String("*")
	}
	out, err := b.client.PutObject(ctx, in)
	if err != nil {
		return "", b.failed("write", key, err)
	}
	return aws.ToString(out.ETag), nil
}

// holds reports whether there is an object with this prefix.
func (b *bucket) holds(ctx context.Context, prefix string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, objectTimeout)
	defer cancel()
	out, err := b.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &b.Name, Prefix: &prefix, MaxKeys: aws.Int32(1)})
	if err != nil {
		return false, b.failed("list", prefix, err)
	}
	return len(out.Contents) > 0, nil
}

// errCondition says that a conditional write found another object, or one at all.
var errCondition = errors.New("the object is not as it was")

func (b *bucket) failed(what, key string, err error) error {
	if err == nil {
		return nil
	}
	if code, status := codeOf(err); code == "NoSuchKey" || code == "NotFound" && status == http.StatusNotFound {
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	} else if status == http.StatusPreconditionFailed || status == http.StatusConflict {
		err = fmt.Errorf("%w: %w", errCondition, err)
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

// probeKey is an object that a start writes to see what the store does. It is
// removed; a crash may leave it.
const probeKey = ".conmotion-probe"

// probe fails where the store ignores If-None-Match or If-Match.
func (b *bucket) probe(ctx context.Context) (err error) {
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), objectTimeout)
		defer cancel()
		key := probeKey
		if _, rerr := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.Name, Key: &key}); rerr != nil {
			err = errors.Join(err, b.failed("remove", key, rerr))
		}
	}()
	if _, err := b.put(ctx, probeKey, []byte("1"), "", true); err != nil && !errors.Is(err, errCondition) {
		return err
	}
	for _, condition := range []struct {
		name, match string
		absent      bool
	}{{"If-None-Match", "", true}, {"If-Match", `"00000000000000000000000000000000"`, false}} {
		switch _, err := b.put(ctx, probeKey, []byte("2"), condition.match, condition.absent); {
		case err == nil:
			return fmt.Errorf("%s ignores %s, so two writers would overwrite each other's checkpoint; use a store that has conditional writes", b, condition.name)
		case !errors.Is(err, errCondition):
			return err
		}
	}
	return nil
}
