package party

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/conmotion/conmotion/internal/durable"
)

// turn waits until no other command of this Home registers for the same
// issuer in the log with this key. So two commands that record the same events
// do not record them twice, whatever the log's policy allows. The lock goes with
// the process, however it ends.
func (h Home) turn(ctx context.Context, vkey, issuer string) (done func(), err error) {
	done, err = h.lock(ctx, vkey+"\x00"+issuer)
	if err != nil {
		return nil, fmt.Errorf("wait for the registrations of this issuer: %w", err)
	}
	return done, nil
}

// lock waits until no other process, and nobody else in this one, holds a name.
func (h Home) lock(ctx context.Context, name string) (done func(), err error) {
	if h == "" {
		return func() {}, nil
	}
	path := filepath.Join(string(h), "locks", hashName(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		switch err := durable.Lock(f); {
		case err == nil, errors.Is(err, errors.ErrUnsupported):
			// Where files cannot be locked, a policy that holds records to their
			// chain keeps two commands apart, and of two that remember a log at
			// once the last one is remembered.
			return func() { f.Close() }, nil
		case !errors.Is(err, durable.ErrLocked):
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("another command holds %s: %w", path, context.Cause(ctx))
		}
	}
}
