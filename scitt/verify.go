package scitt

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// LeafMode is what a log takes as the bytes of an entry.
type LeafMode string

// The two modes that are in use. SCITT does not standardise the entry.
const (
	LeafEntry  LeafMode = "entry"  // the statement with an empty unprotected header, as this project does
	LeafDigest LeafMode = "digest" // SHA-256 of the statement, which some services log
)

// Leaf gives the bytes that a log in this mode hashes for the statement.
func (m LeafMode) Leaf(s *Statement) []byte {
	if m == LeafDigest {
		sum := sha256.Sum256(s.entry)
		return sum[:]
	}
	return s.entry
}

// Verifier verifies Transparent Statements for a Relying Party, offline.
type Verifier struct {
	// LogKeys are the keys of the logs whose Receipts count.
	LogKeys KeySet
	// IssuerKey is the key of the statement's issuer, as the Relying Party knows
	// it: its ID says nothing. When nil, the statement must bring its own: by a
	// self-certifying issuer, or x5chain.
	IssuerKey *Key
	// Anchors say whose key counts without IssuerKey; when nil, that of every
	// did:jwk and did:key.
	Anchors *Anchors
	// Leaf is tried in this order; when empty, entry and then digest.
	Leaf []LeafMode
	// At is when exp and nbf are judged. At the zero time a Receipt that has them
	// is not good, and a statement is taken for what its issuer said, whether it
	// is still to be accepted or not.
	At time.Time
}

// Verification says what was checked about one Transparent Statement.
type Verification struct {
	Statement *Statement
	// KeySource says where the issuer's key came from, or what contradicts the
	// statement: see [Signer]. It is "" when nothing is known of the issuer.
	KeySource string
	// SignatureErr is nil when the issuer's signature verifies.
	SignatureErr error
	// TimeErr wraps ErrTime when the statement is not to be accepted at
	// Verifier.At. Who signed it, and which logs hold it, stays true.
	TimeErr  error
	Receipts []ReceiptVerification
}

// ReceiptVerification says what was checked about one Receipt.
type ReceiptVerification struct {
	Receipt *Receipt // nil when it could not be read
	Leaf    LeafMode // which matched; "" when none did
	Err     error    // nil when the Receipt verifies
}

// Err is nil when the statement is what its issuer signed and at least one
// known log vouches for it. A Receipt that names a known key and does not
// verify is an error whatever the others say; one that cannot be read, is by an
// unknown key, or is not valid at the time, counts for nothing.
func (v *Verification) Err() error {
	if v.SignatureErr != nil {
		return fmt.Errorf("statement: %w", v.SignatureErr)
	}
	if v.TimeErr != nil {
		return fmt.Errorf("statement: %w", v.TimeErr)
	}
	if len(v.Receipts) == 0 {
		return fmt.Errorf("%w: the statement carries no receipt", ErrProof)
	}
	good := 0
	var nothing error
	for i, r := range v.Receipts {
		switch {
		case r.Err == nil:
			good++
		case r.Receipt == nil || errors.Is(r.Err, ErrUnknownKey) || errors.Is(r.Err, ErrTime):
			nothing = errors.Join(nothing, fmt.Errorf("receipt %d: %w", i+1, r.Err))
		default:
			return fmt.Errorf("receipt %d: %w", i+1, r.Err)
		}
	}
	if good == 0 {
		return nothing
	}
	return nil
}

// Verify reads a Transparent Statement and checks all that can be checked of
// it. The error is about bytes that cannot be read; the outcome of the checks
// is [Verification.Err].
func (v *Verifier) Verify(data []byte) (*Verification, error) {
	s, err := DecodeStatement(data)
	if err != nil {
		return nil, err
	}
	out := &Verification{Statement: s}
	var known Known
	if v.IssuerKey != nil {
		known = Given(*v.IssuerKey)
	}
	anchors := v.Anchors
	if anchors == nil {
		anchors = SelfCertifying(nil, nil)
	}
	by, err := anchors.Verify(s, known)
	out.KeySource = by.Source
	out.SignatureErr = err
	if !v.At.IsZero() {
		out.TimeErr = s.Validity.At(v.At)
	}
	for _, r := range s.Receipts {
		out.Receipts = append(out.Receipts, v.verifyReceipt(s, r))
	}
	return out, nil
}

// VerifyReceipt checks one Receipt for a statement.
func (v *Verifier) verifyReceipt(s *Statement, data []byte) ReceiptVerification {
	r, err := ParseReceipt(data)
	if err != nil {
		return ReceiptVerification{Err: err}
	}
	out := ReceiptVerification{Receipt: r}
	modes := v.Leaf
	if len(modes) == 0 {
		modes = []LeafMode{LeafEntry, LeafDigest}
	}
	for _, mode := range modes {
		err := v.LogKeys.VerifyReceipt(r, mode.Leaf(s))
		if err == nil {
			return ReceiptVerification{r, mode, r.Validity.At(v.At)}
		}
		if out.Err == nil {
			out.Err = err
		}
	}
	return out
}
