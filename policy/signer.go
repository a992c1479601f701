package policy

import (
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// grantFor finds the entry of "issuers" that speaks of an issuer: the one that
// names it exactly, else the first whose pattern fits. Without "issuers" every
// issuer that the trust anchors resolve may sign anything.
func (p *Policy) grantFor(issuer string) (*grant, bool) {
	if p.issuers == nil {
		return &anyone, true
	}
	if g, ok := p.exact[issuer]; ok {
		return g, true
	}
	for _, g := range p.patterns {
		if match(g.issuer, issuer) {
			return g, true
		}
	}
	return nil, false
}

var anyone = grant{issuer: "*"}

// known is what the grant says about an issuer. A self-certifying one is known
// by its DID alone.
func (g *grant) known(issuer string) scitt.Known {
	if did.Method(issuer) != "" {
		return scitt.Known{Named: g.issuer == issuer}
	}
	known := scitt.Known{Pins: g.pins}
	for _, k := range g.keys {
		known.Keys = append(known.Keys, k.names...)
	}
	return known
}

// VerifySignature verifies who signed a statement, and judges nothing else of
// it: for a statement whose content is in the log already. Service are the keys
// of the service, which signs policies and keys. Errors wrap
// scitt.ErrUnknownKey when the policy has no key for the issuer any more,
// scitt.ErrSignature or scitt.ErrAlgorithm.
func (p *Policy) VerifySignature(s *scitt.Statement, service scitt.KeySet) error {
	g, known := p.grantFor(s.Issuer)
	switch s.Type {
	case scitt.TypePolicy, scitt.TypeKeys:
		if _, err := service.Find(s.KeyID); err == nil {
			return service.Verify(s)
		}
		g, known = p.administrator(s.Issuer)
	}
	if !known {
		return fmt.Errorf("%w: the policy in force does not list the issuer %s, so its signature cannot be verified", scitt.ErrUnknownKey, quote(s.Issuer))
	}
	_, err := p.anchors.Verify(s, g.known(s.Issuer))
	return err
}

// administrator finds the entry of "administrators" that names an issuer.
func (p *Policy) administrator(issuer string) (*grant, bool) {
	i := slices.IndexFunc(p.admins, func(g *grant) bool { return g.issuer == issuer })
	if i < 0 {
		return nil, false
	}
	return p.admins[i], true
}
