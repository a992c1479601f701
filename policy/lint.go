package policy

import (
	"fmt"
	"slices"

	"cel.dev/cel-go/cel"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// Warnings are about what is valid and dangerous or without effect, so that its author
// probably did not mean it. Each begins with the path of the member that it is about, unless
// that is the whole document.
func (p *Policy) Warnings() []string {
	out := []string{}
	warn := func(path, format string, args ...any) {
		if path != "" {
			path += ": "
		}
		out = append(out, path+fmt.Sprintf(format, args...))
	}
	if p.lockout() {
		warn("", "locks everyone out: no issuer can sign a statement that this policy admits")
	}
	if len(p.admins) == 0 {
		warn("administrators", "nobody but the service itself can change this policy")
	} else if !slices.ContainsFunc(p.admins, p.reachable) {
		warn("administrators", "no administrator has a key of an allowed algorithm, so that nobody but the service itself can change this policy")
	}
	for i, g := range p.issuers {
		path := fmt.Sprintf("issuers[%d]", i)
		if !p.reachable(g) {
			warn(path, "%s cannot sign: there is no key of an allowed algorithm, no certificate, no root and no trusted self-certifying method for it", quote(g.issuer))
		}
		if j := slices.IndexFunc(p.issuers[:i], func(o *grant) bool { return isPattern(o.issuer) && match(o.issuer, g.issuer) }); j >= 0 && isPattern(g.issuer) {
			warn(path, "is never used: issuers[%d] comes first and fits every issuer that this one does", j)
		}
		if isPattern(g.issuer) && len(g.keys) > 0 {
			warn(path, "its keys may sign as every issuer that fits %s", quote(g.issuer))
		}
	}
	for _, k := range p.keys {
		uses := func(g *grant) bool { return slices.Contains(g.keys, k) }
		if !slices.ContainsFunc(p.issuers, uses) && !slices.ContainsFunc(p.admins, uses) {
			warn("trust_anchors.keys", "nobody uses the key %s", quote(k.id))
		}
	}
	if p.issuers == nil && len(p.methods) > 0 {
		warn("issuers", "missing: anybody can make a %v issuer and register statements", p.methods)
	}
	if len(p.roots) > 0 && slices.Contains(p.methods, did.MethodX509) {
		warn("trust_anchors.x509_roots", "do not restrict did:x509 issuers, because trust_anchors.self_certifying has did:x509")
	}
	if p.ocsf.mode == ocsfEnforce && p.artifact == modeOff {
		warn("ocsf", "refuses every hash envelope, because \"artifact\" is \"off\" and the event behind the hash cannot be read")
	}
	for i, r := range p.rules {
		if len(r.reads) > 0 {
			continue
		}
		if v, _, err := r.program.Eval(cel.NoVars()); err != nil || v.Value() != true {
			warn(fmt.Sprintf("rules[%d]", i), "locks everyone out: it is true for no statement")
		} else {
			warn(fmt.Sprintf("rules[%d]", i), "refuses nothing: it is true for every statement")
		}
	}
	return out
}

// lockout reports whether no issuer has a key that could sign.
func (p *Policy) lockout() bool {
	if p.issuers == nil {
		return !p.reachable(&anyone)
	}
	return !slices.ContainsFunc(p.issuers, p.reachable)
}

// reachable reports whether there is a way to sign as the issuer of a grant.
func (p *Policy) reachable(g *grant) bool {
	if g.pins != nil || slices.ContainsFunc(g.keys, func(k *trustKey) bool { return p.usable(k.names[0]) }) {
		return true
	}
	switch m := did.Method(g.issuer); {
	case isPattern(g.issuer):
		return len(p.roots) > 0 || slices.ContainsFunc(p.methods, func(m string) bool { return overlap(g.issuer, m+":*") })
	case m == did.MethodJWK, m == did.MethodKey:
		key, err := scitt.KeyOf(g.issuer)
		return err == nil && p.usable(key)
	default:
		return m == did.MethodX509 || len(p.roots) > 0
	}
}

// usable reports whether the policy allows an algorithm of a key.
func (p *Policy) usable(key scitt.Key) bool {
	names, err := scitt.AlgorithmNames(key)
	return err == nil && slices.ContainsFunc(names, func(name string) bool { return slices.Contains(p.algorithms, name) })
}

// overlap reports whether some text can fit both patterns, as far as their parts
// before the first star tell.
func overlap(a, b string) bool {
	a, b = head(a), head(b)
	n := min(len(a), len(b))
	return a[:n] == b[:n]
}
