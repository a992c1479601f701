package artifact

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// sequence is a CBOR sequence of items.
func sequence(t testing.TB, items ...any) (out []byte) {
	t.Helper()
	for _, item := range items {
		data, err := cbor.Marshal(item)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, data...)
	}
	return out
}

// TestBatch: what a batch is answered with 200 for can be read, in the order of the digests; anything else is refused.
func TestBatch(t *testing.T) {
	var many, digests []any
	for i := range maxBatch {
		content := fmt.Appendf(nil, "%d", i%900) // some come twice
		digest := sha256.Sum256(content)
		many, digests = append(many, content), append(digests, digest[:])
	}
	for name, c := range map[string]struct {
		body    []byte
		media   string
		options Options
		status  int
		answer  []any
	}{
		"nothing":          {nil, batchMediaType, Options{}, 200, nil},
		"many":             {sequence(t, many...), batchMediaType, Options{}, 200, digests},
		"too many":         {sequence(t, append(many, []byte("one more"))...), batchMediaType, Options{}, 413, nil},
		"too large":        {sequence(t, make([]byte, maxBatchItem+1)), batchMediaType, Options{}, 413, nil},
		"for this store":   {sequence(t, make([]byte, 100)), batchMediaType, Options{MaxSize: 99}, 413, nil},
		"for the quota":    {sequence(t, make([]byte, 100)), batchMediaType, Options{Quota: 99}, 507, nil},
		"a text":           {sequence(t, []byte("a"), "b"), batchMediaType, Options{}, 400, nil},
		"it ends early":    {sequence(t, []byte("abc"))[:3], batchMediaType, Options{}, 400, nil},
		"without a length": {[]byte{0x5f, 0x41, 'a', 0xff}, batchMediaType, Options{}, 400, nil},
		"another type":     {sequence(t, []byte("a")), "application/cbor", Options{}, 415, nil},
	} {
		t.Run(name, func(t *testing.T) {
			store := mustOpenDir(t, t.TempDir(), c.options)
			resp := ask(t, mustHandler(t, Config{Store: store}), "POST /artifacts/batch", map[string]string{"Content-Type": c.media}, c.body)
			got := bodyOf(t, resp)
			if resp.StatusCode != c.status || c.status == 200 && !bytes.Equal(got, sequence(t, c.answer...)) {
				t.Fatalf("%d with %x, want %d", resp.StatusCode, got, c.status)
			}
			for i := range c.answer {
				if content, err := readAll(t, store, Digest(c.answer[i].([]byte))); err != nil || !bytes.Equal(content, many[i].([]byte)) {
					t.Fatalf("%d: %q, %v", i, content, err)
				}
			}
			if left := files(t, store.tmp()); len(left) > 0 {
				t.Errorf("left in tmp: %q", left)
			}
		})
	}
}

// TestBatchFaults: while the disk refuses one of many, nobody is told that all are stored.
func TestBatchFaults(t *testing.T) {
	store := mustOpenDir(t, t.TempDir(), Options{})
	create := store.create
	var n atomic.Int32
	store.create = func(dir string) (tempFile, error) {
		f, err := create(dir)
		if n.Add(1) == 5 {
			return &faultyFile{tempFile: f, close: errors.New("the disk is full of faults")}, err
		}
		return f, err
	}
	var few []any
	for i := range 9 {
		few = append(few, []byte{byte(i)})
	}
	body := sequence(t, few...)
	h := mustHandler(t, Config{Store: store})
	if resp := ask(t, h, "POST /artifacts/batch", map[string]string{"Content-Type": batchMediaType}, body); resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("%d", resp.StatusCode)
	}
	if resp := ask(t, h, "POST /artifacts/batch", map[string]string{"Content-Type": batchMediaType}, body); resp.StatusCode != http.StatusOK {
		t.Errorf("again: %d", resp.StatusCode)
	}
}

// FuzzBatch: what is read is what a CBOR decoder reads, within the limits.
func FuzzBatch(f *testing.F) {
	f.Add(sequence(f, []byte("a"), make([]byte, 30), make([]byte, 300), make([]byte, 1<<16)))
	f.Add([]byte{0x5a, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x5b, 0, 0, 0, 0, 0, 0, 0, 1, 'a'})
	f.Add([]byte{0x58, 1, 'a', 0x5f})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		for rest := data; ; {
			got, err := nextContent(r)
			if errors.Is(err, io.EOF) != (len(rest) == 0) {
				t.Fatalf("%v with %d bytes left", err, len(rest))
			}
			if err != nil {
				return
			}
			var want []byte
			if rest, err = cbor.UnmarshalFirst(rest, &want); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%x, want %x, %v", got, want, err)
			}
		}
	})
}
