package artifact

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"golang.org/x/sync/errgroup"
)

// The limits of a batch, many small artifacts in one request (docs/formats.md).
const (
	maxBatch     = 1000       // artifacts
	maxBatchItem = copyBuffer // bytes of one

	// batchAtOnce is how many artifacts of all batches are in memory at a time, waiting for the disk.
	batchAtOnce = 256

	batchMediaType = "application/cbor-seq"
)

var (
	errBatch      = errors.New("the body is not a CBOR sequence of byte strings")
	errBatchLarge = fmt.Errorf("a batch has at most %d artifacts of %d bytes", maxBatch, maxBatchItem)
)

// postBatch stores the contents of a batch side by side, as they come. After a failure or
// a crash some of them are stored, and nobody was told so.
func (h *handler) postBatch(w http.ResponseWriter, r *http.Request) *failure {
	holder, f := h.authorize(w, r, h.Write, h.Read, "write")
	if f != nil {
		return f
	}
	if r.Header.Get("Content-Type") != batchMediaType {
		return &failure{status: http.StatusUnsupportedMediaType, title: "Media Type Not Supported", detail: "Send " + batchMediaType + ": byte strings, each an artifact."}
	}
	if _, f := announced(r); f != nil { // it has no coding
		return f
	}
	body := bufio.NewReader(newUploadBody(w, r, h.idle))
	var answer []byte
	g, ctx := errgroup.WithContext(r.Context())
	g.Go(func() error {
		for n := 0; ; n++ {
			content, err := nextContent(body)
			switch {
			case errors.Is(err, io.EOF):
				return nil
			case err == nil && n == maxBatch:
				return errBatchLarge
			case err != nil:
				return err
			}
			digest := Digest(sha256.Sum256(content))
			answer = append(append(answer, 0x58, sha256.Size), digest[:]...)
			select {
			case h.batches <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			g.Go(func() error {
				defer func() { <-h.batches }()
				info, created, err := h.Store.Put(ctx, bytes.NewReader(content), Want{Digest: &digest, Size: int64(len(content))})
				if err == nil {
					h.stored(r, info, created, holder)
				}
				return err
			})
		}
	})
	switch err := g.Wait(); {
	case errors.Is(err, errBatch):
		return &failure{status: http.StatusBadRequest, title: "Bad Batch", detail: err.Error()}
	case errors.Is(err, errBatchLarge):
		return &failure{status: http.StatusRequestEntityTooLarge, title: "Batch Too Large", detail: err.Error()}
	case err != nil:
		return putFailure(err)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", batchMediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = w.Write(answer) // the client is gone: nobody to tell
	return nil
}

// nextContent reads the next byte string of a CBOR sequence; io.EOF at its end.
//
// RFC 8949 section 3.1: "Major type 2: A byte string. The number of bytes in the string is equal to the argument."
func nextContent(r *bufio.Reader) ([]byte, error) {
	first, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	size := uint32(first & 0x1f)
	switch {
	case first>>5 != 2 || size > 27:
		return nil, errBatch
	case size == 27:
		return nil, errBatchLarge
	case size > 23:
		var argument [4]byte
		if err := readItem(r, argument[4-1<<(size-24):]); err != nil {
			return nil, err
		}
		size = binary.BigEndian.Uint32(argument[:])
	}
	if size > maxBatchItem {
		return nil, errBatchLarge
	}
	content := make([]byte, size)
	return content, readItem(r, content)
}

// readItem reads a part of an item.
func readItem(r io.Reader, p []byte) error {
	_, err := io.ReadFull(r, p)
	if err == io.EOF || err == io.ErrUnexpectedEOF { // and not of a body that was cut
		return fmt.Errorf("%w: it ends in the middle of one", errBatch)
	}
	return err
}
