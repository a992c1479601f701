package party

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// Endorsements is what logs say about an entry at a time.
type Endorsements struct {
	EntryID      string            `json:"entry_id"`
	Entry        *monitor.EntryRef `json:"entry,omitempty"` // where it was found
	At           string            `json:"at"`
	Endorsements []endorsement     `json:"endorsements"`
	Unreadable   []monitor.Anomaly `json:"unreadable,omitempty"`

	// Unread are statements about the entry, or about one of the Endorsements, of which it is
	// not known what they say.
	Unread []monitor.Anomaly `json:"-"`
	// Wrong is why Evidence is not that of the entry; nil when all is.
	Wrong error `json:"-"`
}

// endorsement is an endorsement or a dispute, and how it stands.
type endorsement struct {
	Verdict  monitor.Verdict    `json:"verdict"`
	Standing monitor.Standing   `json:"standing"`
	Scope    []string           `json:"scope"`
	From     string             `json:"from"`
	Until    string             `json:"until,omitempty"`
	Issuer   string             `json:"issuer"`
	Issued   string             `json:"issued_at"`
	Reason   string             `json:"reason,omitempty"`
	Entry    monitor.EntryRef   `json:"entry"`
	By       []monitor.EntryRef `json:"by,omitempty"` // the withdrawals or the disputes
	Home     string             `json:"home"`         // origin of the log in which it can be withdrawn
	// Evidence reports whether the embedded Transparent Statement verifies: ok,
	// why not, or not checked when its log is not among those that are open.
	Evidence string `json:"evidence,omitempty"`
}

// EndorsementsOf evaluates the endorsements and disputes of an entry in logs, by these
// issuers or by anybody when there are none. Notice is told what does not count.
func EndorsementsOf(ctx context.Context, id scitt.EntryID, logs []*Log, issuers []string, at time.Time, notice func(format string, args ...any)) (*Endorsements, error) {
	g, err := gatherSaid(ctx, logs, issuers, false, notice)
	if err != nil {
		return nil, err
	}
	out := &Endorsements{EntryID: id.String(), At: at.Format(time.RFC3339), Endorsements: []endorsement{}, Unreadable: g.flaws, Unread: monitor.About(g.unread, id.String())}
	for _, s := range monitor.Evaluate(g.statements, g.unread, id, at) {
		e := endorsement{s.Verdict, s.Standing, s.Scope, s.From.Format(time.RFC3339), "", s.Issuer, printable.Time(s.Issued), s.Reason, s.Self, s.By, s.Home, ""}
		if s.Transparent != nil {
			if e.Evidence, err = evidence(ctx, logs, s.Registered); err != nil {
				out.Wrong = errors.Join(out.Wrong, fmt.Errorf("what %s embeds: %w", &s.Self, err))
			}
		}
		if !s.Until.IsZero() {
			e.Until = s.Until.Format(time.RFC3339)
		}
		out.Endorsements = append(out.Endorsements, e)
		out.Unread = append(out.Unread, monitor.About(g.unread, e.Entry.EntryID)...)
	}
	return out, nil
}

// evidence verifies an embedded Transparent Statement with the keys of its log, and
// says what came of it. It is held to the time at which the endorsement was signed.
func evidence(ctx context.Context, logs []*Log, e monitor.Registered) (string, error) {
	for _, l := range logs {
		if l.View.Checkpoint.Origin != e.Entry.Origin {
			continue
		}
		s, err := scitt.DecodeStatement(e.Transparent)
		if err != nil {
			return err.Error(), err
		}
		v, err := l.verifier(ctx, s.Issuer, time.Unix(e.Issued, 0))
		if err == nil {
			err = e.Verify(v)
		}
		if err != nil {
			return err.Error(), err
		}
		return witness.OK, nil
	}
	return witness.NotChecked, nil
}

// errNotOwn is wrapped when an issuer cannot withdraw an entry.
var errNotOwn = errors.New("it cannot be withdrawn")

// Withdrawable returns the home of an endorsement or a dispute of this log that an issuer
// can withdraw. The error says why it cannot be.
func (l *Log) Withdrawable(ctx context.Context, e *Entry, issuer string) (home string, err error) {
	refuse := func(format string, args ...any) (string, error) {
		return "", fmt.Errorf("entry %d of %s: %w: %s", e.Index, l.Location, errNotOwn, fmt.Sprintf(format, args...))
	}
	s := e.Statement
	if s.Type != scitt.TypeEndorsement {
		return refuse("its type is %q, so it is neither an endorsement nor a dispute", s.Type)
	}
	if s.Issuer != issuer {
		return refuse("it is by another issuer, %s, who alone can withdraw it", s.Issuer)
	}
	content, err := l.ContentOf(ctx, e)
	if err != nil {
		return "", err
	}
	said, err := monitor.ParseEndorsement(content)
	if err != nil {
		return "", err
	}
	if said.Verdict == monitor.Withdraw {
		return refuse("it is a withdrawal itself: endorse or dispute again")
	}
	return said.Home, nil
}
