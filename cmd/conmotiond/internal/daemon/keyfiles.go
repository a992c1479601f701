package daemon

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	keyring "github.com/conmotion/conmotion/keys"
	"github.com/conmotion/conmotion/storage"
)

// KeyOpeners open keys that are not in files, by the scheme of their URI.
type KeyOpeners = map[string]keyring.Opener

// keyDir is the directory of the service's keys and of who it is. The file of a key has
// the key, which may be encrypted, or in its place one line with the URI of where it is.
type keyDir struct {
	path string
	open func(uri, label string) (crypto.Signer, error) // the label is for metrics
}

// keysOf is the directory of a service's keys. One of its own has all of them, and
// nothing is written there.
func keysOf(ctx context.Context, c *Config, dir *storage.Dir, s *signatures) (keyDir, error) {
	if c.Keys == "" {
		return newKeyDir(ctx, dir.Private(), c.KeyOpeners, s), nil
	}
	k := newKeyDir(ctx, c.Keys, c.KeyOpeners, s)
	if _, err := os.Stat(k.file(identityFile)); err != nil {
		return k, fmt.Errorf("--keys: conmotiond keys makes them, before there is a log: %w", err)
	}
	return k, nil
}

// newKeyDir opens each key that is somewhere else once. It signs as long as the process
// runs: a service that ends publishes what it has. It is tried once each time, since
// what signs checkpoints comes back when the next one is due.
func newKeyDir(ctx context.Context, path string, openers KeyOpeners, s *signatures) keyDir {
	k := keyDir{path: path}
	ctx = context.WithoutCancel(ctx)
	var mu sync.Mutex
	opened := map[string]crypto.Signer{} // by URI
	k.open = func(uri, label string) (crypto.Signer, error) {
		o := keyring.Options{Openers: openers}
		if s != nil {
			o.Signed = s.of(label)
		}
		if keyring.Scheme(uri) == "file" {
			if data, err := os.ReadFile(uri); err == nil && keyring.Reference(data) != "" {
				uri = keyring.Reference(data)
			}
		}
		if keyring.Scheme(uri) == "file" {
			return o.Open(ctx, uri)
		}
		mu.Lock()
		defer mu.Unlock()
		if key := opened[uri]; key != nil {
			return key, nil
		}
		key, err := o.Open(ctx, uri)
		if err == nil {
			opened[uri] = key
		}
		return key, err
	}
	return k
}

func (k keyDir) file(name string) string { return filepath.Join(k.path, name) }

// String is for people.
func (k keyDir) String() string { return k.path }

// signatures counts what the service's keys sign, and remembers which of them do not.
type signatures struct {
	made, failed metric.Int64Counter
	took         metric.Float64Histogram

	mu  sync.Mutex
	why map[string]error // by key
}

func newSignatures(m metric.Meter) (*signatures, error) {
	s := &signatures{why: map[string]error{}}
	var err1, err2, err3 error
	s.made, err1 = m.Int64Counter("conmotion.signatures",
		metric.WithDescription("Signatures made by a key of the service: checkpoint and receipt sign each checkpoint once"))
	s.failed, err2 = m.Int64Counter("conmotion.signature.errors",
		metric.WithDescription("Signatures that a key was asked for and did not make"))
	s.took, err3 = m.Float64Histogram("conmotion.signature.duration", metric.WithUnit("s"),
		metric.WithDescription("Time that a key took to sign, or to fail"),
		metric.WithExplicitBucketBoundaries(.0001, .001, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5))
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return s, nil
}

// of is what a key tells of its signatures.
func (s *signatures) of(key string) func(took time.Duration, err error) {
	attributes := metric.WithAttributeSet(attribute.NewSet(attribute.String("key", key)))
	return func(took time.Duration, err error) {
		counter := s.made
		if err != nil {
			counter = s.failed
		}
		counter.Add(context.Background(), 1, attributes)
		s.took.Record(context.Background(), took.Seconds(), attributes)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.why[key] = err
	}
}

// failing says which keys did not sign when they were asked last, or is nil.
func (s *signatures) failing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for key, err := range s.why {
		if err != nil {
			errs = append(errs, fmt.Errorf("the %s key does not sign: %w", key, err))
		}
	}
	return errors.Join(errs...)
}
