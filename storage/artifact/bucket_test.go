package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
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

// mute takes and gives bytes so slowly, or says nothing at all.
type mute struct {
	Objects
	every time.Duration // 0: never
}

func (m *mute) Read(ctx context.Context, _ string) (io.ReadCloser, Object, error) {
	if m.every == 0 {
		<-ctx.Done()
		return nil, Object{}, fmt.Errorf("canceled, %w", ctx.Err())
	}
	return nil, Object{}, fs.ErrNotExist
}

func (m *mute) Write(ctx context.Context, _ string, r io.ReadSeeker, size int64, _ Digest, _ string) error {
	for range size {
		if m.every == 0 {
			<-ctx.Done()
			return fmt.Errorf("canceled, %w", ctx.Err())
		}
		time.Sleep(m.every)
		if _, err := r.Read(make([]byte, 1)); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (m *mute) Stat(context.Context, string) (Object, error) { return Object{}, errReset }

// TestSilentBucket: a bucket that says nothing is not waited for, and one that is slow is.
func TestSilentBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for every, want := range map[time.Duration]error{0: errSilent, 20 * time.Second: nil} {
			b, err := OpenBucket(t.Context(), &mute{every: every}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if _, created, err := b.Put(t.Context(), bytes.NewReader([]byte("content")), Want{}); !errors.Is(err, want) || created != (want == nil) {
				t.Errorf("stored %t, %v", created, err)
			}
			if f := putFailure(errSilent); f.status != http.StatusServiceUnavailable {
				t.Errorf("%+v", f)
			}
			if every > 0 {
				continue
			}
			if _, _, err := b.Open(t.Context(), Digest{}); !errors.Is(err, errSilent) {
				t.Errorf("opened: %v", err)
			}
		}
	})
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
