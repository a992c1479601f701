package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

// connect makes a client of a service. Waits of a second and more are told.
func (a *app) connect(service string, concurrency int) (*client.Client, error) {
	return client.New(service, a.ClientOptions(concurrency))
}

// readKeys reads a COSE Key Set, a COSE_Key, or a public key as PEM, JWK or did:jwk.
func readKeys(path string) (witness.Keys, error) {
	data, err := cli.ReadFileFlag("keys", path)
	if err != nil {
		return witness.Keys{}, err
	}
	if set, err := scitt.ParseKeySet(data); err == nil {
		return witness.Keys{Named: set}, nil
	}
	if key, err := scitt.ParseKey(data); err == nil {
		return witness.Keys{Named: scitt.KeySet{key}}, nil
	}
	key, err := scitt.ParsePublicKey(data)
	if err != nil {
		return witness.Keys{}, cli.Usage(fmt.Errorf("--keys %s is neither a COSE Key Set, a COSE_Key nor a public key in PEM: %w", path, err))
	}
	return witness.Keys{Unnamed: []scitt.Key{key}}, nil
}

// findStatement gives the newest index of a statement. It compares leaf
// hashes, so it reads the tiles only and not the entries; a proof has to
// confirm what it finds.
func (a *app) findStatement(ctx context.Context, view *tiles.View, st *scitt.Statement) (index uint64, found bool, err error) {
	want := scitt.LeafHash(st.Entry())
	size := view.Checkpoint.Size
	count := (size + tiles.Width - 1) / tiles.Width
	p := a.Progress()
	defer p.Done()
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
	for n, r := range parallel.Ordered(ctx, 0, count, cli.Readers, scan) {
		if r.Err != nil {
			return 0, false, r.Err
		}
		if len(r.Value) > 0 {
			return r.Value[0], true, nil
		}
		p.Show(func() string { return fmt.Sprintf("searched %d of %d entries", min(size, (n+1)*tiles.Width), size) })
	}
	return 0, false, nil
}
