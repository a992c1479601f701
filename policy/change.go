package policy

import (
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/scitt"
)

// InForce is what a log says about the policy that is in force.
type InForce struct {
	// Entry is the id of the policy statement.
	Entry scitt.EntryID
	// Subject is the sub of the log's policy statements. Any is good when it
	// is empty.
	Subject string
	// ServiceKeys are the service keys in force (scitt.KeysInForce). They may
	// sign a policy as an administrator may.
	ServiceKeys scitt.KeySet
}

// VerifyFirst verifies the signature of a log's first policy as far as that can
// be done without a policy, and reports whether the service signed it. Whoever
// says to be the service, by iss or kid, must be; an issuer that brings its own
// key must have signed. Of others nothing is known. service are the keys that
// entry 0 announces; nil where it announces none. Errors wrap
// scitt.ErrUnknownKey, scitt.ErrSignature, scitt.ErrAlgorithm or
// scitt.ErrMalformed.
func VerifyFirst(s *scitt.Statement, service *scitt.KeysInForce) (byService bool, err error) {
	if service != nil {
		_, err := service.Service.Find(s.KeyID)
		if err == nil || s.Issuer == service.Issuer {
			return true, service.Service.Verify(s)
		}
	}
	by, err := scitt.SelfCertifying(nil, nil).Verify(s, scitt.Known{})
	if by.Source == "" {
		return false, nil
	}
	return false, err
}

// AdmitPolicy judges a statement that is to replace p, the policy in force. It
// gives the new policy when
//
//   - typ is scitt.TypePolicy, sub is the log's, and the payload, inline, is a
//     policy document;
//   - an administrator of p, with an algorithm that p allows, or the service
//     signed it;
//   - its member "previous" is the entry id of the policy in force: so an older
//     policy cannot be replayed, nor another log's, and of two administrators
//     who change the same policy at once one must look at the other's first.
//
// The rules, issuers, chains, artifacts and sizes of p are not for policies: a
// policy that refuses everything can still be replaced. The
// error is a *Refusal; p stays in force. Like Admit it is a pure function.
func (p *Policy) AdmitPolicy(s *scitt.Statement, at InForce) (*Policy, error) {
	e := evaluation{p: p, s: s, facts: NoFacts{}}
	if s.Type != scitt.TypePolicy {
		e.fail(CheckType, nil, "put typ "+scitt.TypePolicy+" into the protected header", "the type %s is not that of a policy", quote(s.Type))
	}
	if at.Subject != "" && s.Subject != at.Subject {
		e.fail(CheckSubject, nil, "use the subject "+quote(at.Subject), "the subject %s is not that of this log's policy", quote(s.Subject))
	}
	e.administrator(at.ServiceKeys)
	var next *Policy
	if e.report.Signed {
		next = e.successor(at.Entry)
	}
	if err := e.refusal(); err != nil {
		return nil, err
	}
	return next, nil
}

// administrator verifies the signature with the key of whoever may change the
// policy.
func (e *evaluation) administrator(service scitt.KeySet) {
	if _, err := service.Find(e.s.KeyID); err == nil {
		e.serviceSignature(service)
		return
	}
	g, known := e.p.administrator(e.s.Issuer)
	if !known {
		e.fail(CheckIssuer, nil, "let an administrator of the policy in force sign it",
			"the issuer %s is no administrator of the policy in force", quote(e.s.Issuer))
		return
	}
	e.algorithm()
	e.signature(g)
}

func (e *evaluation) serviceSignature(service scitt.KeySet) {
	err := service.Verify(e.s)
	switch {
	case errors.Is(err, scitt.ErrUnknownKey):
		e.fail(CheckKey, err, "let the service sign it", "%v", err)
	case err != nil:
		e.fail(CheckSignature, err, "sign again with the service's key", "%v", err)
	default:
		e.report.Signed = true
	}
}

// successor reads the new policy and looks at what it replaces.
func (e *evaluation) successor(entry scitt.EntryID) *Policy {
	doc, err := document(e.s)
	if err != nil {
		e.fail(CheckPayload, err, "put the policy document itself into the payload", "%v", err)
		return nil
	}
	next, err := e.p.successor(doc)
	if err != nil {
		e.fail(CheckPayload, err, "put right what the error names; conmotion policy check FILE shows the same", "%v", err)
		return nil
	}
	previous, ok := next.Previous()
	switch {
	case !ok:
		e.fail(CheckPrevious, nil, `set "previous" to `+quote(entry.String()),
			"the document does not say which policy it replaces")
	case previous != entry:
		e.fail(CheckPrevious, nil, `look at the policy in force, then set "previous" to `+quote(entry.String()),
			"the document replaces the policy %v, which is not in force: it is a replay, or another change came first", previous)
	}
	return next
}

// FromStatement reads the policy in a policy statement without judging
// whether it may come into force: for the bootstraps, and for a policy that
// the log already has. Errors wrap ErrInvalid.
func FromStatement(s *scitt.Statement, options ...Option) (*Policy, error) {
	doc, err := document(s)
	if err != nil {
		return nil, err
	}
	return Parse(doc, options...)
}

// document is the policy document in a policy statement. It must be inline:
// whoever has the log must have the policy.
func document(s *scitt.Statement) ([]byte, error) {
	if s.Type != scitt.TypePolicy {
		return nil, fmt.Errorf("%w: a statement of type %s", ErrInvalid, quote(s.Type))
	}
	if s.Envelope != nil {
		return nil, fmt.Errorf("%w: the payload is a hash and not the document", ErrInvalid)
	}
	return s.Payload, nil
}
