package audit

import (
	"context"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// configuration holds what the log shows about itself to the entries, when all of
// them were looked at. It is about the files as they are now, so it is not in the
// state, and it does not end the audit.
func (a *Auditor) configuration(ctx context.Context) error {
	before := a.shown
	a.shown = nil
	message, err := a.misshown(ctx)
	if err != nil || message == "" {
		return err
	}
	a.shown = &Violation{Check: CheckConfiguration, Message: message}
	if before == nil || before.Message != message {
		a.pending = append(a.pending, *a.shown)
	}
	return nil
}

// Misshown is what is wrong with the log's transparency configuration, as it was at
// the last pass that looked at all entries; "" when nothing is.
func (a *Auditor) Misshown() string {
	if a.shown == nil {
		return ""
	}
	return a.shown.Message
}

// misshown returns what is wrong with the configuration; "" when nothing is, or
// when there is none. It is read after the checkpoint, and a service shows a policy
// when it has stored it: so one that is older than the last one under the checkpoint
// is not in force, and what the checkpoint does not cover yet is for the next pass.
func (a *Auditor) misshown(ctx context.Context) (string, error) {
	data, err := a.log.Source.Get(ctx, tiles.ConfigurationPath)
	if damaged(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	c, err := scitt.ParseConfiguration(data)
	if err != nil {
		return err.Error(), nil
	}
	cp, err := a.state.checkpoint(a.log.Verifiers)
	if err != nil || cp == nil {
		return "", err
	}
	view, err := a.log.At(ctx, cp)
	if err == nil {
		err = view.CheckConfiguration(ctx, c)
	}
	switch n := len(a.state.Policies); {
	case errors.Is(err, tiles.ErrConfiguration), errors.Is(err, scitt.ErrMalformed):
		return err.Error(), nil
	case errors.Is(err, tiles.ErrAhead), damaged(err):
		return "", nil // damage was told
	case err != nil:
		return "", err
	case n > 0 && c.Policy.EntryID != "" && c.Policy.Index != a.state.Policies[n-1].Index:
		return fmt.Sprintf("%v: the policy at entry %d, and that at entry %d is in force", tiles.ErrConfiguration, c.Policy.Index, a.state.Policies[n-1].Index), nil
	}
	return "", nil
}
