package main

import (
	"context"
	"fmt"

	"github.com/conmotion/conmotion/cmd/internal/cli"
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
func readKeys(ctx context.Context, path string) (witness.Keys, error) {
	data, err := cli.ReadFileFlag(ctx, "keys", path)
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

// findStatement gives the newest index of a statement.
func (a *app) findStatement(ctx context.Context, view *tiles.View, st *scitt.Statement) (index uint64, found bool, err error) {
	p := a.Progress()
	defer p.Done()
	return view.Find(ctx, scitt.LeafHash(st.Entry()), cli.Readers, searched(p))
}

// searched shows how many entries of a log were searched.
func searched(p *cli.Progress) func(done, size uint64) {
	return func(done, size uint64) {
		p.Show(func() string { return fmt.Sprintf("searched %d of %d entries", done, size) })
	}
}
