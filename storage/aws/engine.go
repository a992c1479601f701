package aws

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	"github.com/transparency-dev/tessera"
	tessera_aws "github.com/transparency-dev/tessera/storage/aws"

	"github.com/conmotion/conmotion/tiles"
)

const (
	// minCheckpointInterval is that of Tessera's driver.
	minCheckpointInterval = time.Second
	// queueAge is the age at which Tessera's queue closes a batch. Integrating is
	// done once a second, so it does not matter to who waits; if handing over takes
	// longer, the batch is divided.
	queueAge = 10 * time.Millisecond
	// outstanding is how many entries may be sequenced and not integrated: at 4096,
	// with a second between two integrations, the log is held to 4,800 a second.
	outstanding = 40960
	// Connections of one appender, whose pool is never closed.
	connections = 16
)

// engine is Tessera's driver with what the log needs of it beside.
type engine struct {
	*tessera_aws.Storage
	// opened is called with each appender, before anybody else has it.
	opened func(context.Context, *tessera.Appender) error
}

// newEngine makes Tessera's driver. It connects to nothing.
func newEngine(ctx context.Context, b *bucket, dsn string, signed func(ctx context.Context, note []byte) error, opened func(context.Context, *tessera.Appender) error) (*engine, error) {
	driver, err := tessera_aws.New(ctx, tessera_aws.Config{
		SDKConfig: &b.sdk, Bucket: b.Name, DSN: dsn, MaxOpenConns: connections, MaxIdleConns: connections,
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
	return &engine{s, opened}, nil
}

// Appender has the settings that are those of this driver.
func (e *engine) Appender(ctx context.Context, o *tessera.AppendOptions) (*tessera.Appender, tessera.LogReader, error) {
	interval := max(o.CheckpointInterval(), minCheckpointInterval)
	o.WithBatching(o.BatchMaxSize(), queueAge).WithPushback(outstanding).WithCheckpointInterval(interval).
		WithCheckpointRepublishInterval(max(interval, o.CheckpointRepublishInterval()))
	a, r, err := e.Storage.Appender(ctx, o)
	if err == nil {
		err = e.opened(ctx, a)
	}
	return a, r, err
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
