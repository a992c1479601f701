package policy

import (
	"encoding/hex"
	"errors"

	"github.com/conmotion/conmotion/scitt"
)

// Checked is what there is to say of a document before it is put in force.
type Checked struct {
	Valid    bool          `json:"valid"`
	Hash     string        `json:"hash,omitempty"` // SHA-256 of the canonical form, in hexadecimal
	Errors   []SyntaxError `json:"errors"`         // in the order of the document
	Warnings []string      `json:"warnings"`       // see [Policy.Warnings]
}

// Check reads a document as [Parse] does, and says what is wrong with it or probably not
// meant.
func Check(doc []byte, options ...Option) Checked {
	p, err := Parse(doc, options...)
	if err != nil {
		return Checked{Errors: Errors(err), Warnings: []string{}}
	}
	hash := p.Hash()
	return Checked{true, hex.EncodeToString(hash[:]), []SyntaxError{}, p.Warnings()}
}

// Errors are those in an error of [Parse], each with its place.
func Errors(err error) (out []SyntaxError) {
	parse, ok := errors.AsType[*ParseError](err)
	if !ok {
		return []SyntaxError{{Message: err.Error()}}
	}
	for _, e := range parse.Errors {
		out = append(out, *e)
	}
	return out
}

// Replacing is the document of the policy as one that replaces the policy in force, which
// is the entry with this id; zero when there is none. A document that says itself what it
// replaces stays as it is.
func (p *Policy) Replacing(inForce scitt.EntryID) ([]byte, error) {
	if _, ok := p.Previous(); ok || inForce == (scitt.EntryID{}) {
		return p.Canonical(), nil
	}
	return WithPrevious(p.text, inForce)
}
