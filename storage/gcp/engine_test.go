package gcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"cloud.google.com/go/spanner/apiv1/spannerpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/conmotion/conmotion/tiles"
)

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements [http.RoundTripper].
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// uploadOf is an upload as the SDK sends it.
func uploadOf(name, content string) *http.Request {
	body := "--b\r\nContent-Type: application/json\r\n\r\n" + `{"bucket":"log","cacheControl":"as Tessera says","crc32c":"AA==","name":"` + name + `"}` +
		"\n\r\n--b\r\nContent-Type: application/octet-stream\r\n\r\n" + content + "\r\n--b--\r\n"
	r, err := http.NewRequest(http.MethodPost, "http://gcs.example/upload/storage/v1/b/log/o?uploadType=multipart", bytes.NewBufferString(body))
	if err != nil {
		panic(err) // only with a bad URL
	}
	r.Header.Set("Content-Type", "multipart/related; boundary=b")
	return r
}

// TestIntercept: what Tessera asks for is sent, or is not, or is changed.
func TestIntercept(t *testing.T) {
	refused := errors.New("not the writer")
	get, err := http.NewRequest(http.MethodGet, "http://gcs.example/storage/v1/b/log/o/checkpoint?alt=media", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		in           *http.Request
		signed       error
		sent, signs  bool
		cacheControl string
	}{
		"checkpoint":         {in: uploadOf(tiles.CheckpointPath, "content"), signs: true},
		"checkpoint refused": {in: uploadOf(tiles.CheckpointPath, "content"), signs: true, signed: refused},
		"tile":               {in: uploadOf(tiles.TilePath(0, 0, 0), "content"), sent: true, cacheControl: "public, max-age=31536000, immutable"},
		"reads checkpoint":   {in: get, sent: true},
	} {
		signs, sent := false, false
		answer, err := intercept{roundTrip(func(r *http.Request) (*http.Response, error) {
			sent = true
			if r.Method == http.MethodPost {
				length := r.ContentLength
				whole, err := io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(whole))
				u, rerr := readUpload(r)
				if err != nil || rerr != nil || string(u.content) != "content" || u.attributes["cacheControl"] != c.cacheControl || u.attributes["crc32c"] != "AA==" || length != int64(len(whole)) {
					t.Errorf("%s: %+v, %d of %d bytes: %v, %v", name, u, len(whole), length, err, rerr)
				}
			}
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
		}), func(_ context.Context, note []byte) error { signs = string(note) == "content"; return c.signed }}.RoundTrip(c.in)
		if sent != c.sent || signs != c.signs || !errors.Is(err, c.signed) || err == nil && answer.StatusCode != http.StatusOK {
			t.Errorf("%s: sent %v, signed %v, %v", name, sent, signs, err)
		}
	}
}

// sequencing is what Tessera commits when it sequences entries.
func sequencing(first, next int) *spannerpb.CommitRequest {
	write := func(table, column string, n int) *spannerpb.Mutation_Write {
		return &spannerpb.Mutation_Write{Table: table, Columns: []string{"id", column},
			Values: []*structpb.ListValue{{Values: []*structpb.Value{structpb.NewStringValue("0"), structpb.NewStringValue(fmt.Sprint(n))}}}}
	}
	return &spannerpb.CommitRequest{Mutations: []*spannerpb.Mutation{
		{Operation: &spannerpb.Mutation_Insert{Insert: write("Seq", "seq", first)}},
		{Operation: &spannerpb.Mutation_Update{Update: write("SeqCoord", "next", next)}},
	}}
}

// TestFence: a commit that sequences entries carries the term, and has the size that
// was announced. The request of the caller stays as it was, since it may be sent again.
func TestFence(t *testing.T) {
	in := sequencing(5, 8)
	for batch, ok := range map[uint64]bool{0: true, 3: true, 2: false, 4: false} {
		out, err := fence(in, 7, batch)
		if (err == nil) != ok || !proto.Equal(in, sequencing(5, 8)) {
			t.Errorf("a batch of 3 where %d are announced: %v", batch, err)
		}
		if ok && (len(out.Mutations) != 3 || out.Mutations[2].GetUpdate().GetTable() != table || number(out.Mutations[2].GetUpdate(), "term") != 7) {
			t.Errorf("sent: %v", out)
		}
	}
	other := &spannerpb.CommitRequest{Mutations: sequencing(5, 8).Mutations[:1]}
	if out, err := fence(other, 7, 2); err != nil || out != other {
		t.Errorf("a commit of something else: %v, %v", out, err)
	}
}
