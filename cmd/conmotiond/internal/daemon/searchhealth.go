package daemon

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
)

// silentFor is how long a search index may not get on before it is not ready:
// its answers stay true meanwhile.
const silentFor = time.Minute

// SearchHealth says how a search index gets on with its log. A service's
// readiness to register does not depend on it.
type SearchHealth struct {
	index     laggingIndex
	published func() uint64 // entries that the log has

	mu   sync.Mutex
	good time.Time // when it got on last
}

// progress is how many entries are read, and how many the log has.
func (h *SearchHealth) progress() (read, published uint64) {
	published = h.published() // first, so that it is not the smaller one by time
	return h.index.Next(), published
}

// String says how far the index is.
func (h *SearchHealth) String() string {
	read, published := h.progress()
	return fmt.Sprintf("%d of %d entries are read", read, max(read, published))
}

// Check says why search is not ready, or nil.
func (h *SearchHealth) Check(now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	read, published := h.progress()
	err := h.index.Err()
	switch {
	case err == nil:
		h.good = now
	case errors.Is(err, scitt.ErrProof), errors.Is(err, party.ErrForked), now.Sub(h.good) > silentFor:
		return fmt.Errorf("the search index does not advance, %d entries are read: %w", read, err)
	}
	if max(read, published) == 0 {
		return errors.New("no entry of the log has been read yet")
	}
	if read+mostLag < published {
		return fmt.Errorf("the search index lags %d entries behind", published-read)
	}
	return nil
}
