package aws

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	tessera_aws "github.com/transparency-dev/tessera/storage/aws"

	"github.com/conmotion/conmotion/storage/internal/cloud"
	"github.com/conmotion/conmotion/tiles"
)

// connections are those of one appender, whose pool is never closed.
const connections = 16

// engine makes Tessera's driver, whose connections carry the term. It connects to
// nothing.
func engine(ctx context.Context, b *bucket, db *database, term uint64, signed func(ctx context.Context, note []byte) error) (cloud.Engine, error) {
	c := db.config.Clone()
	c.Params["@conmotion_term"] = strconv.FormatUint(term, 10)
	driver, err := tessera_aws.New(ctx, tessera_aws.Config{
		SDKConfig: &b.sdk, Bucket: b.Name, DSN: c.FormatDSN(), MaxOpenConns: connections, MaxIdleConns: connections,
		S3Options: func(o *s3.Options) {
			b.options(o)
			o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
				return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("conmotion", intercept(signed)), middleware.Before)
			})
		},
	})
	if err != nil {
		return nil, err
	}
	s, ok := driver.(*tessera_aws.Storage)
	if !ok {
		return nil, fmt.Errorf("the AWS driver of Tessera is a %T", driver)
	}
	return s, nil
}

// intercept changes three requests of Tessera's:
//   - The checkpoint that it writes goes to signed and not to the bucket: the
//     publisher writes there. Its reads are not changed. An error of signed is
//     one of writing: Tessera does not note the tree as published.
//   - Tiles and bundles get the Cache-Control that our own server gives them.
//   - Removing no objects, which S3 answers with MalformedXML, is not sent.
func intercept(signed func(ctx context.Context, note []byte) error) func(context.Context, middleware.InitializeInput, middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	return func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (out middleware.InitializeOutput, _ middleware.Metadata, err error) {
		switch p := in.Parameters.(type) {
		case *s3.PutObjectInput:
			if *p.Key == tiles.CheckpointPath {
				note, err := io.ReadAll(p.Body)
				if err == nil {
					err = signed(ctx, note)
				}
				out.Result = &s3.PutObjectOutput{}
				return out, middleware.Metadata{}, err
			}
			if strings.HasPrefix(*p.Key, "tile/") {
				_, cacheControl := tiles.Headers(*p.Key)
				p.CacheControl = &cacheControl
			}
		case *s3.DeleteObjectsInput:
			if len(p.Delete.Objects) == 0 {
				out.Result = &s3.DeleteObjectsOutput{}
				return out, middleware.Metadata{}, nil
			}
		}
		return next.HandleInitialize(ctx, in)
	}
}
