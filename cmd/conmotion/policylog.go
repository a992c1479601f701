package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/audit"
)

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
