package main

import (
	"context"
	"fmt"
)

// storePayload stores what is to be signed, and gives it. The location that is
// signed is where it is stored, unless another one was asked for.
func (a *app) storePayload(ctx context.Context, f *signFlags, path string) (payload []byte, result string, err error) {
	store, err := a.Store(ctx, f.store, 1)
	if err != nil {
		return nil, "", err
	}
	p := a.Progress()
	defer p.Done()
	c, err := a.openContent(ctx, p, path)
	if err != nil {
		return nil, "", err
	}
	defer c.Close()
	created, err := c.Store(ctx, store)
	if err != nil {
		return nil, "", fmt.Errorf("nothing was signed: %w", err)
	}
	if payload, err = c.Bytes(); err != nil {
		return nil, "", fmt.Errorf("nothing was signed: %w", err)
	}
	if f.Location == "" {
		f.Location = store.URL(c.Digest)
	}
	if !created {
		return payload, resultThere, nil
	}
	return payload, resultStored, nil
}
