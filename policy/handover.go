package policy

import (
	"bytes"

	"github.com/conmotion/conmotion/scitt"
)

// mayHandOver reads what a statement of the type of handovers says, and reports whether
// the policy has such statements.
func (e *evaluation) mayHandOver() bool {
	if e.p.handover != handoverAllowed {
		e.fail(CheckType, nil, `ask an administrator for a policy with "handover": "allowed"`, "the policy does not let a chain go on under another issuer")
		return false
	}
	var err error
	if e.handover, err = e.s.Handover(); err != nil {
		e.fail(CheckType, err, "make it with conmotion key handover", "%v", err)
		return false
	}
	e.pass(CheckType)
	return true
}

// handsOver holds a handover to both issuers' chains, and reports whether what is left is
// the rule for every statement of a chain: so it is where its issuer gives the chain.
func (e *evaluation) handsOver(own *scitt.Head) bool {
	h, link := e.handover, e.s.Chain
	other, err := e.facts.ChainHead(h.Other(e.s.Issuer), h.Chain)
	if err != nil {
		e.note(err)
		return false
	}
	giving := e.s.Issuer == h.From
	reason, fix, about := "", "", own
	switch {
	case giving && other != nil:
		reason, fix, about = "the issuer that is to take the chain has one of this name", "give it to an issuer that has none", other
	case giving:
		return true
	case own != nil:
		reason, fix = "the issuer has a chain of this name, and takes no other one", "go on with that"
	case other == nil || other.Given != string(e.s.Payload):
		reason, fix, about = "the chain does not end with a handover to this issuer and key", "have its issuer give it", other
	case link.Seq != other.Seq+1 || !bytes.Equal(link.Prev, other.ID[:]):
		reason, fix, about = "it is not linked to the handover", "link to the entry with which the issuer before gave the chain", other
	case !e.signedBy(h.Key):
		reason, fix = "another key signed it than the one that the handover names", "sign with that key, and name it by its thumbprint as kid"
	default:
		e.pass(CheckChain)
		return false
	}
	if about != nil && about.Pending {
		e.note(ErrPending)
		return false
	}
	e.fail(CheckChain, nil, fix, "%s (chain %s, from %s to %s)", reason, quote(h.Chain), quote(h.From), quote(h.To))
	return false
}

// signedBy reports whether the key with this thumbprint signed, by that name.
func (e *evaluation) signedBy(thumbprint []byte) bool {
	is, err := scitt.Thumbprint(e.signer)
	return err == nil && bytes.Equal(is, thumbprint) && bytes.Equal(e.s.KeyID, thumbprint)
}
