package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/tiles"
)

// readers is how many files of a log are fetched at a time.
const readers = 8

// connect makes a client of a service. Waits of a second and more are told.
func (a *app) connect(service string, concurrency int) (*client.Client, error) {
	return client.New(service, a.clientOptions(concurrency))
}

func (a *app) clientOptions(concurrency int) client.Options {
	return client.Options{
		HTTP: httpClient(concurrency),
		Waiting: func(wait time.Duration, why error) {
			if wait >= time.Second && !errors.Is(why, client.ErrRunning) {
				a.notice("waiting %v: %v", wait.Round(100*time.Millisecond), why)
			}
		},
	}
}

// trust is whose Receipts count.
type trust struct {
	keys scitt.KeySet
	// unnamed keys were given without an identifier, as PEM. They have their
	// thumbprint for a name, and a single Receipt's own kid as well.
	unnamed []scitt.Key
}

// readKeys reads a COSE Key Set, a COSE_Key, or a public key as PEM, JWK or did:jwk.
func readKeys(path string) (trust, error) {
	data, err := readFileFlag("keys", path)
	if err != nil {
		return trust{}, err
	}
	if set, err := scitt.ParseKeySet(data); err == nil {
		return trust{keys: set}, nil
	}
	if key, err := scitt.ParseKey(data); err == nil {
		return trust{keys: scitt.KeySet{key}}, nil
	}
	public, err := scitt.ParsePublicKey(data)
	if err != nil {
		return trust{}, usage(fmt.Errorf("--keys %s is neither a COSE Key Set, a COSE_Key nor a public key in PEM: %w", path, err))
	}
	key, err := scitt.NewKey(public)
	if err != nil {
		return trust{}, usage(fmt.Errorf("--keys %s: %w", path, err))
	}
	return trust{unnamed: []scitt.Key{key}}, nil
}

// forReceipts gives the keys under the names that these Receipts use. Among
// several Receipts an unnamed key cannot know its own by a foreign kid.
func (t trust) forReceipts(receipts [][]byte) scitt.KeySet {
	keys := slices.Clone(t.keys)
	for _, key := range t.unnamed {
		keys = append(keys, key)
		if len(receipts) == 1 {
			if r, err := scitt.ParseReceipt(receipts[0]); err == nil && r.KeyID != nil {
				keys = append(keys, scitt.Key{ID: r.KeyID, Public: key.Public})
			}
		}
	}
	return keys
}

// check verifies Receipts for a statement.
func (t trust) check(st *scitt.Statement, receipts [][]byte) ([]scitt.ReceiptVerification, error) {
	if len(receipts) == 0 {
		return nil, nil
	}
	v := scitt.Verifier{LogKeys: t.forReceipts(receipts)}
	out, err := v.Verify(scitt.AttachReceipts(st, receipts...))
	if err != nil {
		return nil, err
	}
	return out.Receipts, nil
}

// staticLog is a log in files, read with keys that are trusted.
type staticLog struct {
	*tiles.Log
	vkeys []string
	given bool // the vkeys are the user's own
}

// openStatic opens the log at a URL or in a directory. Without vkeys, the
// log's own word is taken for its keys, and the user is told.
func (a *app) openStatic(ctx context.Context, location string, vkeys []string) (*staticLog, error) {
	src, err := tiles.Open(location, httpClient(readers))
	if err != nil {
		return nil, err
	}
	l := &staticLog{vkeys: vkeys, given: len(vkeys) > 0}
	if !l.given {
		data, err := src.Get(ctx, tiles.ConfigurationPath)
		if err != nil {
			return nil, fmt.Errorf("no keys for the log at %s%s: give --vkey: %w", location, hint(location), err)
		}
		c, err := scitt.ParseConfiguration(data)
		if err != nil {
			return nil, fmt.Errorf("%s of %s: %w", tiles.ConfigurationPath, location, err)
		}
		l.vkeys = c.CheckpointKeys
		a.notice("notice: keys read from the same place as the log; whoever can change one can change both. Give --vkey to trust keys that you know.")
	}
	verifiers, err := scitt.NewCheckpointVerifiers(l.vkeys)
	if err != nil {
		if l.given {
			err = usage(fmt.Errorf("--vkey: %w", err))
		}
		return nil, err
	}
	l.Log = tiles.NewLog(src, verifiers)
	return l, nil
}

// hint helps who named the service's directory and not the public one in it.
func hint(location string) string {
	public := filepath.Join(location, "public")
	if _, err := os.Stat(filepath.Join(public, tiles.CheckpointPath)); err == nil {
		return fmt.Sprintf(" (did you mean %s?)", public)
	}
	return ""
}

// trust gives the log's receipt keys. When the user named the vkeys, the keys
// that the log publishes count only as far as they are among those.
func (l *staticLog) trust(ctx context.Context) (trust, error) {
	data, err := l.Source.Get(ctx, tiles.KeysPath)
	if err != nil {
		return trust{}, fmt.Errorf("receipt keys: %w", err)
	}
	set, err := scitt.ParseKeySet(data)
	if err != nil {
		return trust{}, fmt.Errorf("%s: %w", tiles.KeysPath, err)
	}
	if l.given {
		set = slices.DeleteFunc(set, func(k scitt.Key) bool {
			vkey, err := scitt.TreeVKey(l.Verifiers.Note.Name(), k.Public)
			return err != nil || !slices.Contains(l.vkeys, vkey)
		})
	}
	return trust{keys: set}, nil
}

// findStatement gives the newest index of a statement. It compares leaf
// hashes, so it reads the tiles only and not the entries; a proof has to
// confirm what it finds.
func (a *app) findStatement(ctx context.Context, view *tiles.View, st *scitt.Statement) (index uint64, found bool, err error) {
	want := scitt.LeafHash(st.Entry())
	size := view.Checkpoint.Size
	count := (size + tiles.Width - 1) / tiles.Width
	p := a.progress()
	defer p.done()
	// The tiles from the newest to the oldest.
	scan := func(ctx context.Context, n uint64) (match []uint64, err error) {
		first := (count - 1 - n) * tiles.Width
		for i := min(size, first+tiles.Width); i > first; i-- {
			leaf, err := view.LeafHash(ctx, i-1)
			if err != nil {
				return nil, err
			}
			if bytes.Equal(leaf, want) {
				return []uint64{i - 1}, nil
			}
		}
		return nil, nil
	}
	for n, r := range parallel.Ordered(ctx, 0, count, readers, scan) {
		if r.Err != nil {
			return 0, false, r.Err
		}
		if len(r.Value) > 0 {
			return r.Value[0], true, nil
		}
		p.show(func() string { return fmt.Sprintf("searched %d of %d entries", min(size, (n+1)*tiles.Width), size) })
	}
	return 0, false, nil
}
