package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"testing"
)

// hasty has one object, and ends the connection of whoever would store it again.
type hasty struct {
	Objects
	content []byte
	tag     string
}

var errReset = errors.New("connection reset by peer")

func (h *hasty) Read(context.Context, string) (io.ReadCloser, Object, error) {
	o, err := h.Stat(context.Background(), "")
	return io.NopCloser(bytes.NewReader(h.content)), o, err
}

func (h *hasty) Stat(context.Context, string) (Object, error) {
	if h.content == nil {
		return Object{}, fs.ErrNotExist
	}
	return Object{Size: int64(len(h.content)), Tag: h.tag}, nil
}

func (h *hasty) Write(_ context.Context, _ string, r io.ReadSeeker, _ int64, _ Digest, replaces string) (err error) {
	if h.tag == "" || replaces != h.tag {
		return errReset
	}
	h.content, err = io.ReadAll(r)
	h.tag = "new"
	return err
}

// TestConnectionEnds: a server that has an object need not read the rest of a request
// that it refuses. What is there is read, and damaged bytes are replaced.
func TestConnectionEnds(t *testing.T) {
	content := []byte("content")
	for _, c := range []struct {
		there, tag string
		created    bool
		want       error
	}{
		{"content", "old", false, nil},
		{"c0ntent", "old", true, nil},
		{"", "", false, errReset},
	} {
		h := &hasty{content: []byte(c.there), tag: c.tag}
		if c.there == "" {
			h.content = nil
		}
		b, err := OpenBucket(t.Context(), h, Options{})
		if err != nil {
			t.Fatal(err)
		}
		info, created, err := b.Put(t.Context(), bytes.NewReader(content), Want{})
		if created != c.created || !errors.Is(err, c.want) || err == nil && info.Digest != sha256.Sum256(content) {
			t.Errorf("%q: created %v, %v", c.there, created, err)
		}
		if c.want == nil && !bytes.Equal(h.content, content) {
			t.Errorf("%q: it has %q", c.there, h.content)
		}
	}
}
