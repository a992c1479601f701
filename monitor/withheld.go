package monitor

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// withheld are the artifacts that the logs of a comparison asked for and did not
// get. What was not there once is not there for the rest of the comparison, so that
// a measurement can say what it rests on.
type withheld struct {
	mu     sync.Mutex
	now    map[reader.Digest]string // the origin of the log that names it
	before map[reader.Digest]bool   // by the word of a measurement: whether it is there now
}

// newWithheld begins with what a measurement says was not there.
func newWithheld(before []reader.Digest) *withheld {
	w := &withheld{now: map[reader.Digest]string{}, before: map[reader.Digest]bool{}}
	for _, d := range before {
		w.before[d] = false
	}
	return w
}

// from returns the log without the artifacts that are withheld.
func (w *withheld) from(l Log) Log {
	l.Artifacts = remaining{l.Artifacts, w, l.Checkpoint.Origin}
	return l
}

// list returns the digests of what was or is not there, in order.
func (w *withheld) list() []reader.Digest {
	out := []reader.Digest{}
	for d := range w.now {
		out = append(out, d)
	}
	for d := range w.before {
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b reader.Digest) int { return slices.Compare(a[:], b[:]) })
	return out
}

// served counts what was not there before and is now.
func (w *withheld) served() (n int) {
	for _, there := range w.before {
		if there {
			n++
		}
	}
	return n
}

// check returns a WithheldError where something is not there that was.
func (w *withheld) check() error {
	for _, d := range w.list() {
		if origin, ok := w.now[d]; ok {
			return &WithheldError{len(w.now), origin, d}
		}
	}
	return nil
}

// WithheldError says that a measurement cannot be checked: contents that were
// there when it was made are not there now. That is the fault of who should serve
// them, and not of who measured.
type WithheldError struct {
	contents int
	Origin   string // of the log with the record that names the first of them
	Digest   reader.Digest
}

func (e *WithheldError) Error() string {
	return fmt.Sprintf("cannot be checked: %s withheld by the provider: artifact %s, which a record in the log %s names, is not there now",
		plural.Verb(e.contents, "content that it rests on", "is", "are"), e.Digest, e.Origin)
}

type remaining struct {
	reader.Artifacts // nil when there are none
	*withheld
	origin string
}

// Artifact implements [reader.Artifacts].
func (r remaining) Artifact(ctx context.Context, digest reader.Digest, limit int64) ([]byte, error) {
	missing := fmt.Errorf("it was not there before: %w", fs.ErrNotExist)
	r.mu.Lock()
	_, before := r.before[digest]
	_, now := r.now[digest]
	r.mu.Unlock()
	if now {
		return nil, missing
	}
	var content []byte
	err := fmt.Errorf("there is no artifact storage: %w", fs.ErrNotExist)
	if r.Artifacts != nil {
		content, err = r.Artifacts.Artifact(ctx, digest, limit)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case before:
		r.before[digest] = r.before[digest] || err == nil
		return nil, missing
	case reader.Withheld(err):
		r.now[digest] = r.origin
	}
	return content, err
}
