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
	"github.com/transparency-dev/tessera"

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

// TestWholeBatch: a batch that was divided is handed over again; another error is not.
func TestWholeBatch(t *testing.T) {
	for name, failures := range map[string][]string{"divided twice": {divided, divided}, "at once": nil, "fails": {"disk full", "never read"}} {
		handed := 0
		add := wholeBatch(func(context.Context, *tessera.Entry) tessera.IndexFuture {
			attempt, place := handed/3, handed%3
			handed++
			return func() (tessera.Index, error) {
				if attempt < len(failures) {
					return tessera.Index{}, errors.New("update seqcoord: " + failures[attempt])
				}
				return tessera.Index{Index: uint64(place)}, nil
			}
		}, 3)
		var futures []tessera.IndexFuture
		for range 3 {
			futures = append(futures, add(t.Context(), tessera.NewEntry(nil)))
		}
		for i, future := range futures {
			index, err := future()
			if fails := name == "fails"; (err != nil) != fails || !fails && index.Index != uint64(i) || fails && handed != 3 {
				t.Errorf("%s: entry %d is at %d after %d: %v", name, i, index.Index, handed, err)
			}
		}
	}
}
