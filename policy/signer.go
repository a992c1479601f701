package policy

import (
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
