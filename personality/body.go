package personality

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/conmotion/conmotion/scitt"
)

const (
	// maxBody bounds a submitted statement with its unprotected header, in bytes.
	maxBody = 1 << 20
	// likelyBody is how many bytes of a body every request has room for. What is
	// larger shares Config.BodyMemory with all others, byte by byte as it comes: a
	// client that announces much and sends nothing takes nothing.
	likelyBody = 16 << 10
)

// body is what a request sent. Whoever has it gives its room back by done.
type body struct {
	data  []byte
	taken int64 // of room
	room  *semaphore.Weighted
}

func (b *body) done() { b.room.Release(b.taken) }

// grow makes room for more, at most for limit bytes in all.
func (b *body) grow(limit int64) error {
	more := min(int64(cap(b.data)), limit-int64(cap(b.data)))
	if !b.room.TryAcquire(more) {
		return &scitt.Problem{Status: http.StatusServiceUnavailable, Title: "Service Busy", RetryAfter: time.Second,
			Detail: "the memory for large requests is taken; send fewer statements at a time, or try again soon"}
	}
	b.taken += more
	b.data = slices.Grow(b.data, int(more))
	return nil
}

// readBody reads a body of at most limit bytes, more than likelyBody.
func (s *Service) readBody(r *http.Request, limit int64) (_ *body, err error) {
	// Of a body that is somewhat too large all is read: a client that is still
	// writing when the connection closes does not see why.
	drain := func() { _, _ = io.CopyN(io.Discard, r.Body, 2*limit) }
	if r.ContentLength > limit {
		drain()
		return nil, &http.MaxBytesError{Limit: limit}
	}
	b := &body{room: s.bodies}
	defer func() {
		if err != nil {
			b.done()
		}
	}()
	likely := int64(likelyBody)
	if r.ContentLength >= 0 {
		likely = min(likely, r.ContentLength+1) // one more to see its end
	}
	b.data = make([]byte, 0, likely)
	for {
		n, err := r.Body.Read(b.data[len(b.data):cap(b.data)])
		b.data = b.data[:len(b.data)+n]
		switch {
		case int64(len(b.data)) > limit:
			drain()
			return nil, &http.MaxBytesError{Limit: limit}
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return nil, unread(err)
		case len(b.data) == cap(b.data):
			if err := b.grow(limit + 1); err != nil {
				return nil, err
			}
		}
	}
}

// unread is the answer where a body did not come.
func unread(err error) error {
	if timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && timeout.Timeout() {
		return &scitt.Problem{Status: http.StatusRequestTimeout, Title: "Request Timeout", Detail: "the request body came too slowly"}
	}
	return fmt.Errorf("%w: the request body: %w", scitt.ErrMalformed, err)
}
