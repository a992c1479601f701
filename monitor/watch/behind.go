package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/conmotion/conmotion/monitor/party"
)

// behind notes that the location shows fewer entries than before. That is no
// fault by itself: a mirror lags, and the edges of a CDN differ. So the state
// stays as it is, the next look tries again, and it is told when it lasts.
func (f *follower) behind(err error) {
	l, now := f.look, f.now()
	if l.Behind.IsZero() {
		l.Behind = now
	}
	check, other := checkRolledBack, checkBehind
	if h, ok := errors.AsType[*party.HistoryError](err); ok && h.OneHistory {
		check, other = checkBehind, checkRolledBack
	} else if ok {
		l.Doubt = string(h.Newer.Raw) // which is the smaller one, shown now
	}
	f.resolve(keyReach, "the log answers, with fewer entries than before")
	if now.Sub(l.Behind) <= time.Duration(f.c.MaxBehind) {
		return
	}
	f.resolve(string(other), "see the alert about %s", check)
	f.fire(string(check), &Alert{Check: check, Severity: severityOf(check),
		Message: fmt.Sprintf("since %s the location shows fewer entries than before: %v", stamp(l.Behind), err)})
}

// settleDoubt holds a smaller checkpoint that the location showed, and of which
// nothing could be told then, to the log as it is now. A fork is so found as soon
// as one address shows both histories in turn.
func (f *follower) settleDoubt(ctx context.Context, log *party.Log) error {
	if f.look.Doubt == "" {
		return nil
	}
	cp, err := log.Files.Verifiers.Open([]byte(f.look.Doubt))
	if err == nil {
		if err = log.Extends(ctx, cp, f.options); err != nil && !errors.Is(err, party.ErrForked) {
			return err
		}
	} else {
		err = nil // the log has other keys since
	}
	f.look.Doubt = ""
	return err
}
