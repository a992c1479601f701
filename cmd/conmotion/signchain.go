package main

import (
	"context"
	"crypto"
	"fmt"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// chainFlags say how a statement continues a chain of its issuer.
type chainFlags struct{ name, after string }

// link is the statement's place in its chain, or nil when it is in none.
func (a *app) link(ctx context.Context, f chainFlags, issuer string, key crypto.PublicKey) (*scitt.ChainLink, error) {
	if f.after == "" {
		if f.name == "" {
			return nil, nil
		}
		return &scitt.ChainLink{Name: f.name}, nil
	}
	before, err := a.readStatement(ctx, f.after)
	if err != nil {
		return nil, cli.Usage(fmt.Errorf("--after: %w", err))
	}
	if issuer == "" {
		if issuer, err = did.NewJWK(key); err != nil {
			return nil, err
		}
	}
	switch {
	case before.Chain == nil:
		return nil, cli.Usage(fmt.Errorf("--after %s: it is not part of a chain; --chain NAME alone begins one", f.after))
	case f.name != "" && f.name != before.Chain.Name:
		return nil, cli.Usage(fmt.Errorf("--after %s: it is part of the chain %q, not %q", f.after, before.Chain.Name, f.name))
	case before.Issuer != issuer:
		return nil, cli.Usage(fmt.Errorf("--after %s: its issuer is %s, and every issuer has chains of its own", f.after, before.Issuer))
	}
	head := scitt.NewHead(before, 0)
	return head.Next(before.Chain.Name), nil
}
