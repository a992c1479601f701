package monitor

import (
	"time"
	"unicode/utf8"

	"github.com/conmotion/conmotion/scitt"
)

// formatEndorsement names the format.
const formatEndorsement = "conmotion-endorsement/1"

// Verdict is what an endorsement says.
type Verdict string

// The verdicts. A withdrawal speaks of an endorsement or a dispute by the same
// issuer, the others of any entry.
const (
	Endorse  Verdict = "endorse"
	Dispute  Verdict = "dispute"
	Withdraw Verdict = "withdraw"
)

// Endorsement is a counter-signature: a statement about an entry of a log.
type Endorsement struct {
	Entry   EntryRef
	Home    string // origin of the log in which it is to be registered
	Verdict Verdict
	// Scope is what about the entry is endorsed or disputed, as tokens in
	// order; none in a withdrawal.
	Scope []string
	From  time.Time // it holds from then on, in whole seconds
	Until time.Time // and until then, that moment not included; zero: without end, which an endorsement cannot be
	// Reason is text for people.
	Reason string
	// Transparent is the Transparent Statement of the entry; nil when left out.
	Transparent []byte
}

type endorsementDocument struct {
	Entry       EntryRef `json:"entry"`
	Format      string   `json:"format"`
	From        string   `json:"from"`
	Home        string   `json:"home"`
	Reason      string   `json:"reason,omitempty"`
	Scope       []string `json:"scope,omitempty"`
	Transparent []byte   `json:"transparent_statement,omitempty"`
	Until       string   `json:"until,omitempty"`
	Verdict     Verdict  `json:"verdict"`
}

// secondLayout is RFC 3339 in UTC with whole seconds, in one spelling.
const secondLayout = "2006-01-02T15:04:05Z"

// maxScope bounds how many tokens a scope has, maxToken how long they are.
const (
	maxScope = 32
	maxToken = 128
)

func (e *Endorsement) check() error {
	if _, err := e.Entry.check(); err != nil {
		return err
	}
	if err := checkHome(e.Home); err != nil {
		return err
	}
	if !utf8.ValidString(e.Reason) {
		return malformed("the reason is not UTF-8")
	}
	switch e.Verdict {
	case Endorse, Dispute:
		if len(e.Scope) == 0 {
			return malformed("it has no scope")
		}
	case Withdraw:
		if len(e.Scope) > 0 || !e.Until.IsZero() {
			return malformed("a withdrawal has neither scope nor end")
		}
	default:
		return malformed("the verdict is %.20q: endorse, dispute or withdraw", e.Verdict)
	}
	if e.Verdict == Endorse && e.Until.IsZero() {
		return malformed("an endorsement needs an end (until)")
	}
	for _, t := range []time.Time{e.From, e.Until} {
		if !t.IsZero() && (t.Nanosecond() != 0 || t.Unix() < 0 || t.Unix() > maxSeconds) {
			return malformed("from and until are whole seconds between 1970 and 9999")
		}
	}
	if e.From.IsZero() || !e.Until.IsZero() && !e.From.Before(e.Until) {
		return malformed("from is missing, or not before until")
	}
	if len(e.Scope) > maxScope || !ascending(e.Scope) {
		return malformed("the scope has more than %d tokens, or they are not in order, or one stands twice", maxScope)
	}
	for _, token := range e.Scope {
		if !isToken(token) {
			return malformed("the scope's %.40q is not a token: a-z, 0-9 and . _ : / - up to %d", token, maxToken)
		}
	}
	return nil
}

// checkHome holds the member "home" to being the origin of a log.
func checkHome(home string) error {
	if home == "" || !utf8.ValidString(home) {
		return malformed("home is not the origin of the log in which the statement is to be registered")
	}
	return nil
}

func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != ':' && c != '/' && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= maxToken
}

// Payload is the JSON in JCS form. Errors wrap ErrMalformed.
func (e *Endorsement) Payload() ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	d := endorsementDocument{e.Entry, formatEndorsement, e.From.UTC().Format(secondLayout), e.Home, e.Reason, e.Scope, e.Transparent, "", e.Verdict}
	if !e.Until.IsZero() {
		d.Until = e.Until.UTC().Format(secondLayout)
	}
	return marshal(d)
}

// ParseEndorsement reads a payload. It verifies nothing: see Verify. Errors
// wrap ErrMalformed.
func ParseEndorsement(payload []byte) (*Endorsement, error) {
	var d endorsementDocument
	if err := unmarshal(payload, &d); err != nil {
		return nil, err
	}
	if d.Format != formatEndorsement {
		return nil, malformed("the format is %.80q, not %s", d.Format, formatEndorsement)
	}
	e := &Endorsement{Entry: d.Entry, Home: d.Home, Verdict: d.Verdict, Scope: d.Scope, Reason: d.Reason, Transparent: d.Transparent}
	for _, t := range []struct {
		text string
		time *time.Time
	}{{d.From, &e.From}, {d.Until, &e.Until}} {
		if t.text == "" {
			continue
		}
		var err error
		if *t.time, err = time.Parse(secondLayout, t.text); err != nil {
			return nil, malformed("%.40q is not a time of the form %s", t.text, secondLayout)
		}
		// Go reads a fraction that the layout has not, and writes it not.
		if t.time.Format(secondLayout) != t.text {
			return nil, malformed("%.40q is not in whole seconds", t.text)
		}
	}
	return e, e.check()
}

// Verify verifies the embedded Transparent Statement, if there is one, with
// the given keys, and that it is the entry that is named.
func (e *Endorsement) Verify(v *scitt.Verifier) error {
	if e.Transparent == nil {
		return nil
	}
	return verifyEmbedded(v, e.Transparent, e.Entry)
}

// Subject is the sub of the endorsement's statement.
func (e *Endorsement) Subject() string { return "endorsement/" + e.Entry.EntryID }

// ToSign is the payload, and what it is signed with but for the time and the issuer.
func (e *Endorsement) ToSign() ([]byte, scitt.SignOptions, error) {
	payload, err := e.Payload()
	return payload, toSign(scitt.TypeEndorsement, e.Subject()), err
}
