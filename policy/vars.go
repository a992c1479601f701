package policy

import (
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// evaluation is one statement under one policy. As the activation of the
// rules it works out each variable when a rule asks for it.
type evaluation struct {
	p     *Policy
	s     *scitt.Statement
	facts Facts

	handover *scitt.Handover  // of a statement of that type
	signer   crypto.PublicKey // once the signature has been verified
	path     *did.Path        // once the signature has been verified; nil without certificates
	verbose  bool             // report what passed, too
	report   Report
	causes   []error // of what failed

	// Facts, each asked for once; factsErr is the first that cannot be read.
	head                 *scitt.Head
	artifact             *Artifact
	stored               []byte
	headErr, artifactErr error
	storedErr, factsErr  error
	headAsked            bool
	artifactAsked        bool

	// Variables that cost something, nil until a rule reads them.
	header, claims, payload, artifactPayload ref.Val
	subject, certIssuer                      ref.Val

	// The content, inline or stored, if it is JSON that was asked for.
	tree    *jsonx.Tree
	treeErr error
}

var _ cel.Activation = (*evaluation)(nil)

// Parent is nil: there is no outer scope.
func (e *evaluation) Parent() cel.Activation { return nil }

// ResolveName gives a rule the value of a variable.
func (e *evaluation) ResolveName(name string) (any, bool) {
	s := e.s
	switch name {
	case "iss":
		return types.String(s.Issuer), true
	case "sub":
		return types.String(s.Subject), true
	case "iat":
		return types.Int(s.IssuedAt), true
	case "alg":
		return types.String(scitt.AlgorithmName(s.Algorithm)), true
	case "kid":
		return types.Bytes(s.KeyID), true
	case "typ":
		return types.String(s.Type), true
	case "content_type":
		return types.String(s.ContentType), true
	case "entry_size":
		return types.Int(len(s.Entry())), true
	case "payload_size":
		return types.Int(len(s.Payload)), true
	case "header":
		return lazy(&e.header, func() (ref.Val, error) { return fromCBOR(s.Header) }), true
	case "claims":
		return lazy(&e.claims, func() (ref.Val, error) { return fromCBOR(s.Claims) }), true
	case "payload":
		return lazy(&e.payload, e.parsePayload), true
	case "artifact.content":
		return lazy(&e.artifactPayload, e.parseArtifact), true
	}
	if v, ok := e.envelopeVar(name); ok {
		return v, true
	}
	if v, ok := e.chainVar(name); ok {
		return v, true
	}
	return e.certVar(name)
}

// lazy works a value out once. An error becomes the error of the expression.
func lazy(to *ref.Val, f func() (ref.Val, error)) ref.Val {
	if *to == nil {
		v, err := f()
		if err != nil {
			v = types.WrapErr(err)
		}
		*to = v
	}
	return *to
}

func (e *evaluation) parsePayload() (ref.Val, error) {
	if e.s.Envelope != nil {
		return nil, errNotInline
	}
	return e.parseContent(e.s.Payload)
}

func (e *evaluation) parseArtifact() (ref.Val, error) {
	content, err := e.artifactContent()
	if err != nil {
		return nil, err
	}
	return e.parseContent(content)
}

func (e *evaluation) envelopeVar(name string) (any, bool) {
	env := e.s.Envelope
	if env == nil {
		env = &scitt.HashEnvelope{}
	}
	switch name {
	case "envelope.present":
		return types.Bool(e.s.Envelope != nil), true
	case "envelope.alg":
		return types.Int(env.Algorithm), true
	case "envelope.content_type":
		return types.String(env.ContentType), true
	case "envelope.location":
		return types.String(env.Location), true
	case "envelope.digest":
		if e.s.Envelope == nil {
			return types.Bytes(nil), true
		}
		return types.Bytes(e.s.Payload), true
	case "artifact.stored", "artifact.size":
		a, err := e.storedArtifact()
		switch {
		case err != nil:
			return types.WrapErr(err), true
		case a == nil && e.s.Envelope != nil:
			// It can be stored a moment later, and a replay would find it: what
			// is admitted must not depend on its absence.
			return types.WrapErr(errNotStored), true
		case name == "artifact.stored":
			return types.Bool(a != nil), true
		case a == nil:
			return types.Int(0), true
		}
		return types.Int(a.Size), true
	}
	return nil, false
}

func (e *evaluation) chainVar(name string) (any, bool) {
	link := e.s.Chain
	if link == nil {
		link = &scitt.ChainLink{}
	}
	switch name {
	case "chain.present":
		return types.Bool(e.s.Chain != nil), true
	case "chain.name":
		return types.String(link.Name), true
	case "chain.seq":
		return types.Int(link.Seq), true // parsed from an int64
	case "chain.prev":
		return types.Bytes(link.Prev), true
	case "head.present", "head.index", "head.seq", "head.id":
		head, err := e.chainHead()
		if err != nil {
			return types.WrapErr(err), true
		}
		h := head
		if h == nil {
			h = &scitt.Head{}
		}
		switch name {
		case "head.present":
			return types.Bool(head != nil), true
		case "head.index":
			if h.Pending {
				e.note(ErrPending)
				return types.WrapErr(ErrPending), true
			}
			return types.Int(h.Index), true
		case "head.seq":
			return types.Int(h.Seq), true
		}
		if head == nil {
			return types.String(""), true
		}
		return types.String(h.ID.String()), true
	}
	return nil, false
}

func (e *evaluation) certVar(name string) (any, bool) {
	if name == "cert.present" {
		return types.Bool(e.path != nil), true
	}
	if e.path == nil {
		return noCert(name)
	}
	c := e.path.Leaf()
	switch name {
	case "cert.subject", "cert.issuer":
		to, n := &e.subject, c.Subject
		if name == "cert.issuer" {
			to, n = &e.certIssuer, c.Issuer
		}
		return lazy(to, func() (ref.Val, error) {
			m, err := did.Attributes(n)
			return attributes(m), err
		}), true
	case "cert.email", "cert.dns", "cert.uri":
		san, err := did.NamesOf(c)
		if err != nil {
			return types.WrapErr(err), true
		}
		return texts(map[string][]string{"cert.email": san.Email, "cert.dns": san.DNS, "cert.uri": san.URI}[name]), true
	case "cert.eku":
		return texts(did.EKUs(c)), true
	case "cert.serial":
		return types.String(c.SerialNumber.Text(16)), true
	case "cert.thumbprint":
		return types.String(hexSHA256(c.Raw)), true
	case "cert.path":
		var path []string
		for _, c := range e.path.Certs {
			path = append(path, hexSHA256(c.Raw))
		}
		return texts(path), true
	case "cert.not_before":
		return types.Int(c.NotBefore.Unix()), true
	case "cert.not_after":
		return types.Int(c.NotAfter.Unix()), true
	}
	return nil, false
}

// noCert gives the certificate facts of a statement that no certificate
// vouches for: nothing is in them.
func noCert(name string) (any, bool) {
	switch name {
	case "cert.subject", "cert.issuer":
		return attributes(nil), true
	case "cert.email", "cert.dns", "cert.uri", "cert.eku", "cert.path":
		return texts(nil), true
	case "cert.serial", "cert.thumbprint":
		return types.String(""), true
	case "cert.not_before", "cert.not_after":
		return types.Int(0), true
	}
	return nil, false
}

func texts(s []string) ref.Val { return types.NewStringList(types.DefaultTypeAdapter, s) }

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// attributes makes a CEL map of the attributes of a name.
func attributes(m map[string][]string) ref.Val {
	p := &pairs{index: make(map[ref.Val]int, len(m))}
	labels := make([]string, 0, len(m))
	for k := range m {
		labels = append(labels, k)
	}
	slices.Sort(labels)
	for i, k := range labels {
		key := types.String(k)
		p.keys, p.values, p.index[key] = append(p.keys, key), append(p.values, texts(m[k])), i
	}
	return &celMap{p}
}
