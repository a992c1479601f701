package watch

import (
	"cmp"
	"context"
	"errors"

	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/tiles"
)

// configuration holds what the log shows about itself to what is in it, and notes in
// f.shown what is wrong. A policy that no tree holds at two looks is not one.
func (f *follower) configuration(ctx context.Context, log *party.Log) error {
	f.shown = ""
	ahead := f.ahead
	f.ahead = 0
	if log.Configuration == nil {
		return nil
	}
	err := log.View.CheckConfiguration(ctx, log.Configuration)
	switch index := log.Configuration.Policy.Index; {
	case errors.Is(err, tiles.ErrAhead):
		if f.ahead = index; ahead == index {
			f.shown = err.Error()
		}
	case errors.Is(err, tiles.ErrConfiguration):
		f.shown = err.Error()
	default:
		return err
	}
	return nil
}

// misshown tells what is wrong with the configuration, here or by the audit, which
// knows the policy in force.
func (f *follower) misshown() {
	shown := f.shown
	if f.auditor != nil {
		shown = cmp.Or(shown, f.auditor.Misshown())
	}
	const key = string(checkConfiguration)
	if shown != "" {
		f.fire(key, &Alert{Check: checkConfiguration, Severity: severityOf(checkConfiguration), Message: shown})
	} else {
		f.resolve(key, "the log shows its own issuer and policy")
	}
}
