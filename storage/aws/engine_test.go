package aws

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/conmotion/conmotion/tiles"
)

// TestIntercept: what Tessera asks for is sent, or is not, or is changed.
func TestIntercept(t *testing.T) {
	refused := errors.New("not the writer")
	put := func(key string) *s3.PutObjectInput {
		return &s3.PutObjectInput{Key: &key, Body: strings.NewReader("content"), CacheControl: aws.String("as Tessera says")}
	}
	for name, c := range map[string]struct {
		in           any
		signed       error
		sent, signs  bool
		cacheControl string
	}{
		"checkpoint":         {in: put(tiles.CheckpointPath), signs: true},
		"checkpoint refused": {in: put(tiles.CheckpointPath), signs: true, signed: refused},
		"tile":               {in: put(tiles.TilePath(0, 0, 0)), sent: true, cacheControl: "public, max-age=31536000, immutable"},
		"reads checkpoint":   {in: &s3.GetObjectInput{Key: aws.String(tiles.CheckpointPath)}, sent: true},
		"removes nothing":    {in: &s3.DeleteObjectsInput{Delete: &types.Delete{}}},
		"removes":            {in: &s3.DeleteObjectsInput{Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("k")}}}}, sent: true},
	} {
		signs, sent := false, false
		f := intercept(func(_ context.Context, note []byte) error { signs = string(note) == "content"; return c.signed })
		out, _, err := f(t.Context(), middleware.InitializeInput{Parameters: c.in}, next(func(in middleware.InitializeInput) {
			sent = in.Parameters == c.in
		}))
		if sent != c.sent || signs != c.signs || !errors.Is(err, c.signed) || !sent && out.Result == nil {
			t.Errorf("%s: sent %v, signed %v, %T, %v", name, sent, signs, out.Result, err)
		}
		if p, ok := c.in.(*s3.PutObjectInput); ok && sent && *p.CacheControl != c.cacheControl {
			t.Errorf("%s: Cache-Control %q", name, *p.CacheControl)
		}
	}
}

type next func(middleware.InitializeInput)

// HandleInitialize implements middleware.InitializeHandler.
func (n next) HandleInitialize(_ context.Context, in middleware.InitializeInput) (out middleware.InitializeOutput, _ middleware.Metadata, _ error) {
	n(in)
	return out, middleware.Metadata{}, nil
}
