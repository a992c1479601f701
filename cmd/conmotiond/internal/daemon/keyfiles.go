package daemon

import (
	"context"
	"crypto"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/conmotion/conmotion/cmd/internal/serving"
	"github.com/conmotion/conmotion/internal/durable"
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
func keysOf(ctx context.Context, c *Config, dir *storage.Dir, s *serving.Signatures) (keyDir, error) {
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
func newKeyDir(ctx context.Context, path string, openers KeyOpeners, s *serving.Signatures) keyDir {
	k := keyDir{path: path}
	ctx = context.WithoutCancel(ctx)
	var mu sync.Mutex
	opened := map[string]crypto.Signer{} // by URI
	k.open = func(uri, label string) (crypto.Signer, error) {
		o := keyring.Options{Openers: openers}
		if s != nil {
			o.Signed = s.Of(label)
		}
		if keyring.Scheme(uri) == "file" {
			if data, err := durable.ReadFile(uri); err == nil && keyring.Reference(data) != "" {
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

// warnShared warns of keys that others on the machine may read, whichever are in use.
func (k keyDir) warnShared(logger *slog.Logger) error {
	names, err := fs.Glob(os.DirFS(k.path), "*.pem")
	for _, name := range names {
		serving.WarnShared(logger, k.file(name))
	}
	return err
}

func (k keyDir) file(name string) string { return filepath.Join(k.path, name) }

// String is for people.
func (k keyDir) String() string { return k.path }
