package gcp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"time"

	"github.com/transparency-dev/tessera"
	tessera_gcp "github.com/transparency-dev/tessera/storage/gcp"

	"github.com/conmotion/conmotion/storage/internal/cloud"
	"github.com/conmotion/conmotion/tiles"
)

// engine makes Tessera's driver, whose commits carry the term. It connects to
// nothing.
func engine(ctx context.Context, b *bucket, db *database, term uint64, signed func(ctx context.Context, note []byte) error) (cloud.Engine, error) {
	objects, err := newClient(ctx, func(next http.RoundTripper) http.RoundTripper { return intercept{next, signed} })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b, err)
	}
	rows, err := db.fenced(ctx, term)
	if err != nil {
		return nil, err
	}
	driver, err := tessera_gcp.New(ctx, tessera_gcp.Config{GCSClient: objects, SpannerClient: rows, Bucket: string(b.Bucket), Spanner: string(db.Database)})
	if err != nil {
		return nil, err
	}
	s, ok := driver.(*tessera_gcp.Storage)
	if !ok {
		return nil, fmt.Errorf("the GCP driver of Tessera is a %T", driver)
	}
	return patient{s}, nil
}

// patient is Tessera's driver, whose tables wait for their turn.
type patient struct{ *tessera_gcp.Storage }

// Appender implements [cloud.Engine].
func (p patient) Appender(ctx context.Context, o *tessera.AppendOptions) (a *tessera.Appender, r tessera.LogReader, err error) {
	err = inTurn(ctx, func() error {
		a, r, err = p.Storage.Appender(ctx, o)
		return err
	})
	return a, r, err
}

// inTurn changes the schema, again where somebody else's change or transaction is in the way, at
// the emulator: that of a writer before, or of an instance that starts at the same time.
func inTurn(ctx context.Context, change func() error) (err error) {
	const inTheWay = "concurrent schema change operation or read-write transaction"
	for range 100 {
		if err = change(); err == nil || !strings.Contains(err.Error(), inTheWay) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return err
}

// intercept changes two requests of Tessera's:
//   - The checkpoint that it writes goes to signed and not to the bucket: the
//     publisher writes there. Its reads are not changed. An error of signed is
//     one of writing: Tessera does not note the tree as published.
//   - Tiles and bundles get the Cache-Control that our own server gives them.
type intercept struct {
	next   http.RoundTripper
	signed func(ctx context.Context, note []byte) error
}

// RoundTrip implements [http.RoundTripper].
func (i intercept) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost || r.URL.Query().Get("uploadType") != "multipart" {
		return i.next.RoundTrip(r)
	}
	defer r.Body.Close()
	u, err := readUpload(r)
	if err != nil {
		return nil, fmt.Errorf("a request of Tessera's driver: %w", err)
	}
	if u.name == tiles.CheckpointPath {
		if err := i.signed(apart{r.Context()}, u.content); err != nil {
			return nil, err
		}
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
			Body: io.NopCloser(strings.NewReader(`{"name": "` + tiles.CheckpointPath + `"}`)), Request: r}, nil
	}
	if strings.HasPrefix(u.name, "tile/") {
		_, u.attributes["cacheControl"] = tiles.Headers(u.name)
	}
	return u.send(i.next, r)
}

// apart is a context without the transaction that Tessera signs in: the SDK refuses to
// read anything else in it.
type apart struct{ context.Context }

// Value implements [context.Context].
func (apart) Value(any) any { return nil }

// upload is an object on its way: RFC 2387, as the JSON API of GCS has it ("Multipart
// upload"): its attributes and its content.
type upload struct {
	name        string
	attributes  map[string]any
	contentType string
	content     []byte
}

func readUpload(r *http.Request) (u upload, err error) {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return u, err
	}
	parts := multipart.NewReader(r.Body, params["boundary"])
	part, err := parts.NextPart()
	if err == nil {
		err = json.NewDecoder(part).Decode(&u.attributes)
	}
	if err == nil {
		part, err = parts.NextPart()
	}
	if err == nil {
		u.name, _ = u.attributes["name"].(string)
		u.contentType = part.Header.Get("Content-Type")
		u.content, err = io.ReadAll(part)
	}
	return u, err
}

// send sends an upload in the place of the request that it was read from.
func (u upload) send(next http.RoundTripper, r *http.Request) (*http.Response, error) {
	attributes, err := json.Marshal(u.attributes)
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, p := range []struct {
		contentType string
		data        []byte
	}{{"application/json", attributes}, {u.contentType, u.content}} {
		part, err := w.CreatePart(map[string][]string{"Content-Type": {p.contentType}})
		if err == nil {
			_, err = part.Write(p.data)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Content-Type", "multipart/related; boundary="+w.Boundary())
	r.ContentLength, r.GetBody = int64(body.Len()), nil
	r.Body = io.NopCloser(&body)
	return next.RoundTrip(r)
}
