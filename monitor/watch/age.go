package watch

import (
	"fmt"
	"time"
)

// overdue tells what time alone brings about.
func (f *follower) overdue() {
	l, now := f.look, f.now()
	if l.Origin == "" {
		return
	}
	if f.c.MaxAge > 0 {
		why := l.stale(now, f.c.MaxAge)
		f.hold(string(checkStale), why != "", why)
	}
	if limit := time.Duration(f.c.MaxIdle); limit > 0 {
		f.hold(string(checkIdle), now.Sub(l.Grew) > limit, fmt.Sprintf("the log has %d entries, and no new one was seen since %s, more than %v ago", l.Size, stamp(l.Grew), f.c.MaxIdle))
	}
	f.hold(string(checkClock), l.Signed.Sub(now) > maxSkew, fmt.Sprintf("the newest checkpoint says that it was signed at %s, which is in the future", stamp(l.Signed)))
	for _, r := range f.rules {
		// What it waits for may be among the entries that it could not read yet.
		if st := l.Rules[r.key()]; st != nil && st.Next >= l.Size {
			r.overdue(f, st, now)
		}
	}
}

// maxSkew is how far a log's clock may be ahead.
const maxSkew = 5 * time.Minute

// stale is why the newest checkpoint is not known to be fresh; "" when it is. It
// was signed before it was seen, whatever it says.
func (l *lookState) stale(now time.Time, limit duration) string {
	signed := l.Signed
	if l.Grew.Before(signed) {
		signed = l.Grew
	}
	switch {
	case l.Signed.IsZero():
		return "the newest checkpoint that was seen does not say when it was signed, so its age is not known"
	case l.Signed.Sub(now) > maxSkew:
		return fmt.Sprintf("the newest checkpoint says that it was signed at %s, which is in the future, so its age is not known", stamp(l.Signed))
	case now.Sub(signed) > time.Duration(limit):
		return fmt.Sprintf("the newest tree that was seen was signed at %s, more than %v ago", stamp(signed), limit)
	}
	return ""
}

// hold begins or ends a condition of the log.
func (f *follower) hold(key string, holds bool, message string) {
	if holds {
		f.fire(key, &Alert{Check: Check(key), Severity: severityOf(Check(key)), Message: message})
	} else {
		signed := "at an unknown time"
		if !f.look.Signed.IsZero() {
			signed = "at " + stamp(f.look.Signed)
		}
		f.resolve(key, "the newest checkpoint was signed %s, with %d entries", signed, f.look.Size)
	}
}
