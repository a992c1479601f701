package policy

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/policy/ocsf"
	"github.com/conmotion/conmotion/scitt"
)

// Policy is a Registration Policy, ready to judge statements. It is immutable
// and safe for concurrent use.
type Policy struct {
	text     []byte // canonical
	previous *scitt.EntryID
	keys     []*trustKey
	methods  []string
	roots    []*x509.Certificate
	known    map[[sha256.Size]byte][][]byte // x5t to x5chain
	issuers  []*grant
	exact    map[string]*grant // issuers without a pattern
	patterns []*grant          // in the order of the document
	admins   []*grant
	maxEntry int
	form     signatureForm
	chain    mode
	handover handoverMode
	artifact mode
	ocsf     ocsfPolicy
	rules    []*rule

	description  string
	algorithms   []string
	schema       func() *ocsf.Schema // reading the built-in one takes as long as all else of a short command
	schemaDigest string

	anchors *scitt.Anchors // of methods, roots and known
}

// Option changes how a document is read.
type Option func(*Policy)

// WithSchema checks OCSF events with a schema that was loaded from a file with
// this SHA-256, instead of the built-in one. A policy that checks events must
// name the same digest in ocsf.schema, so that a replay with another schema is
// refused and not silently different.
func WithSchema(schema *ocsf.Schema, digest [sha256.Size]byte) Option {
	return func(p *Policy) {
		p.schema, p.schemaDigest = func() *ocsf.Schema { return schema }, hex.EncodeToString(digest[:])
	}
}

// Parse reads a policy document: JSON in UTF-8, docs/policy.md. Errors are a
// *ParseError with line and column of all that was found, and wrap ErrInvalid.
func Parse(doc []byte, options ...Option) (*Policy, error) {
	p := &Policy{schema: ocsf.Default}
	for _, o := range options {
		o(p)
	}
	return p.parse(doc)
}

func (p *Policy) parse(doc []byte) (*Policy, error) {
	d := &decoder{src: string(doc)}
	if len(doc) > maxDocument {
		d.errorf(0, "", "the document has %d bytes, and %d are allowed", len(doc), maxDocument)
		return nil, d.err()
	}
	root, err := parseNode(doc)
	if e, ok := errors.AsType[*jsonx.Error](err); ok {
		d.errorf(e.Offset, "", "%s", e.Message)
		return nil, d.err()
	}
	p.document(d, root)
	if err := d.err(); err != nil {
		return nil, err
	}
	p.anchors = scitt.NewAnchors(p.methods, p.roots, p.known)
	p.exact = make(map[string]*grant)
	for _, g := range p.issuers {
		if isPattern(g.issuer) {
			p.patterns = append(p.patterns, g)
		} else {
			p.exact[g.issuer] = g
		}
	}
	if p.text, err = canonical(doc); err != nil {
		return nil, err
	}
	return p, nil
}

// successor reads the document of a policy that is to replace p.
func (p *Policy) successor(doc []byte) (*Policy, error) {
	return (&Policy{schema: p.schema, schemaDigest: p.schemaDigest}).parse(doc)
}

// canonical is the JSON Canonicalization Scheme, RFC 8785.
func canonical(doc []byte) ([]byte, error) {
	out, err := jsonx.Canonical(doc)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return out, nil
}

// Default is the policy of a log that was started without one: it admits any
// statement whose signature verifies with a self-certifying issuer (iss is a
// did:jwk, kid the RFC 9679 thumbprint of its key).
func Default() *Policy {
	p, err := Parse([]byte(`{
		"version": 1,
		"description": "Admits any Signed Statement whose signature verifies with a self-certifying did:jwk issuer.",
		"trust_anchors": {"self_certifying": ["did:jwk"]}
	}`))
	if err != nil {
		panic(err) // the document is constant
	}
	return p
}

// Canonical is the document in its canonical form (JCS, RFC 8785): what a
// policy statement should carry.
func (p *Policy) Canonical() []byte { return slices.Clone(p.text) }

// Hash is the SHA-256 of the canonical form.
func (p *Policy) Hash() [sha256.Size]byte { return sha256.Sum256(p.text) }

// Description is the document's description; "" when it has none.
func (p *Policy) Description() string { return p.description }

// Previous is the entry id of the policy that this one replaces; ok is false
// when the document names none, as a log's first policy does.
func (p *Policy) Previous() (id scitt.EntryID, ok bool) {
	if p.previous == nil {
		return id, false
	}
	return *p.previous, true
}

// Algorithms are the names of the algorithms that a statement may be signed with.
func (p *Policy) Algorithms() []string { return slices.Clone(p.algorithms) }
