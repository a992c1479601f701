package serving

import (
	"context"
	"log/slog"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// sameMessages is how often a warning or an error with the same message is
	// logged in rateWindow: a disk that fails refuses thousands of requests a second.
	sameMessages = 5
	rateWindow   = 10 * time.Second
	// differentMessages are counted at a time; the one seen longest ago starts anew.
	differentMessages = 256
)

// rated limits how often warnings and errors are logged. The next one that is
// says how many like it were left out.
type rated struct {
	slog.Handler
	*rates
}

type rates struct {
	mu   sync.Mutex
	seen *lru.Cache[string, *window]
}

type window struct {
	began        time.Time
	logged, left int
}

func newRated(h slog.Handler) slog.Handler {
	seen, err := lru.New[string, *window](differentMessages)
	if err != nil {
		panic(err) // only a size below one fails
	}
	return rated{h, &rates{seen: seen}}
}

// Handle logs a record, unless too many like it were.
func (h rated) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		left, ok := h.take(r.Level.String()+r.Message, r.Time)
		if !ok {
			return nil
		}
		if left > 0 {
			r = r.Clone()
			r.AddAttrs(slog.Int("like_it_left_out", left))
		}
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h rated) WithAttrs(attrs []slog.Attr) slog.Handler {
	return rated{h.Handler.WithAttrs(attrs), h.rates}
}

// WithGroup implements slog.Handler.
func (h rated) WithGroup(name string) slog.Handler { return rated{h.Handler.WithGroup(name), h.rates} }

// take counts a message; left are those before it that were not logged.
func (r *rates) take(message string, now time.Time) (left int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, found := r.seen.Get(message)
	if !found {
		w = &window{began: now}
		r.seen.Add(message, w)
	}
	if now.Sub(w.began) >= rateWindow {
		w.began, w.logged = now, 0
	}
	if w.logged == sameMessages {
		w.left++
		return 0, false
	}
	left, w.left = w.left, 0
	w.logged++
	return left, true
}
