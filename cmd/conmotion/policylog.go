package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/audit"
)

// logPolicy is a Registration Policy of a log as it is printed.
type logPolicy struct {
	EntryID     string       `json:"entry_id"`
	Index       uint64       `json:"index"`
	From        uint64       `json:"from"`
	To          *uint64      `json:"to,omitempty"`
	Signer      string       `json:"signer"` // the issuer
	SignedAs    audit.Signer `json:"signed_as"`
	Signed      string       `json:"issued_at,omitempty"`
	Previous    string       `json:"previous,omitempty"`
	Hash        string       `json:"hash"` // SHA-256 of the canonical form
	Description string       `json:"description,omitempty"`
}

func newLogPolicy(p *audit.PolicyInForce) logPolicy {
	hash := p.Policy.Hash()
	out := logPolicy{
		EntryID: p.EntryID, Index: p.Index, From: p.From, To: p.To, Signer: p.Statement.Issuer, SignedAs: p.SignedBy,
		Signed: printable.Time(p.Statement.IssuedAt), Hash: hex.EncodeToString(hash[:]), Description: p.Policy.Description(),
	}
	if id, ok := p.Policy.Previous(); ok {
		out.Previous = id.String()
	}
	return out
}

// judges names the entries that the policy is for.
func (p logPolicy) judges() string {
	switch {
	case p.To == nil:
		return fmt.Sprintf("entry %d and what follows", p.From)
	case *p.To == p.From:
		return fmt.Sprintf("entry %d", p.From)
	}
	return fmt.Sprintf("entries %d to %d", p.From, *p.To)
}

func (p logPolicy) signer() string {
	switch p.SignedAs {
	case audit.SignedByService:
		return p.Signer + " (the service)"
	case audit.SignedByAdministrator:
		return p.Signer + " (an administrator of the policy before)"
	}
	return p.Signer + " (the first statement of the log, which nothing vouches for)"
}

// policiesOf replays the policies of a log up to the index at, nil for all,
// and shows the progress. Each entry goes to visit too, unless it is nil.
func (a *app) policiesOf(ctx context.Context, l *party.Log, at *uint64, schema eventSchema, visit func(tiles.Entry) error) (*audit.History, error) {
	size := l.Checkpoint.Size
	if at != nil && *at > size {
		return nil, cli.Usage(fmt.Errorf("index %d: the log has %d entries, and the next one is judged at index %d", *at, size, size))
	}
	p := a.Progress()
	defer p.Done()
	h, err := audit.Policies(ctx, l.View, audit.PolicyOptions{
		VKeys: l.VKeys, Policy: schema.options, Schema: schema.digest, Size: at,
		Entry: func(e tiles.Entry) error {
			p.Show(func() string { return fmt.Sprintf("read %d of %d entries", e.Index+1, size) })
			if visit == nil {
				return nil
			}
			return visit(e)
		},
	})
	switch other, ok := errors.AsType[*audit.SchemaError](err); {
	case errors.Is(err, audit.ErrKeys):
		err = cli.Bad(err)
	case ok && other.Digest != "":
		err = fmt.Errorf("%w; give it with --ocsf-schema", err)
	case ok && other.Version == 0:
		err = fmt.Errorf("%w; leave out --ocsf-schema", err)
	}
	return h, err
}

// verdict is about what should not be in the log.
func verdict(h *audit.History) error {
	if len(h.Refused) == 0 {
		return nil
	}
	return cli.Bad(fmt.Errorf("the log holds %s that its policy in force did not allow; conmotion audit tells the rest", plural.Form(len(h.Refused),
		"1 statement of policy or keys, which is not in force,", "%d statements of policy or keys, which are not in force,")))
}

// named returns the policy in force after the last entry.
func (a *app) named(h *audit.History) (*namedPolicy, error) {
	for _, m := range h.Refused {
		a.Notice("warning: entry %d should not be in the log and is not in force: %s", m.Index, m.Reason)
	}
	p := h.Last()
	if p == nil {
		return nil, cli.Bad(fmt.Errorf("the log %s has no Registration Policy for entry %d", h.Origin, h.Size))
	}
	return &namedPolicy{p.Policy, fmt.Sprintf("%s@%d", h.Origin, h.Size), h}, nil
}
