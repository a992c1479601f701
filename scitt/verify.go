package scitt

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/scitt/did"
	"github.com/conmotion/conmotion/scitt/internal/pubkey"
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
		return s.id[:]
	}
	return s.entry
}

// Verifier verifies Transparent Statements for a Relying Party, offline.
type Verifier struct {
	// LogKeys are the keys of the logs whose Receipts count.
	LogKeys KeySet
	// IssuerKey verifies the statement. When nil, the statement must bring
	// its own: a did:jwk issuer, or x5chain together with Roots.
	IssuerKey crypto.PublicKey
	// Roots are trusted for x5chain. The path is judged at the statement's iat.
	Roots *x509.CertPool
	// Leaf is tried in this order; when empty, entry and then digest.
	Leaf []LeafMode
}

// Verification says what was checked about one Transparent Statement.
type Verification struct {
	Statement *Statement
	// KeySource says where the issuer's key came from: "given", "did:jwk" or "x5chain".
	KeySource string
	// SignatureErr is nil when the issuer's signature verifies.
	SignatureErr error
	Receipts     []ReceiptVerification
}

// ReceiptVerification says what was checked about one Receipt.
type ReceiptVerification struct {
	Receipt *Receipt // nil when it could not be read
	Leaf    LeafMode // which matched; "" when none did
	Err     error    // nil when the Receipt verifies
}

// Err is nil when the statement is what its issuer signed and at least one
// known log vouches for it. A Receipt that names a known key and does not
// verify is an error whatever the others say; one that cannot be read, or is
// by an unknown key, counts for nothing.
func (v *Verification) Err() error {
	if v.SignatureErr != nil {
		return fmt.Errorf("statement: %w", v.SignatureErr)
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
		case r.Receipt == nil || errors.Is(r.Err, ErrUnknownKey):
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
	key, source, err := v.issuerKey(s)
	out.KeySource = source
	if err == nil {
		err = s.VerifySignature(key)
	}
	out.SignatureErr = err
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
	keys, err := v.receiptKeys(r)
	if err != nil {
		out.Err = err
		return out
	}
	modes := v.Leaf
	if len(modes) == 0 {
		modes = []LeafMode{LeafEntry, LeafDigest}
	}
	for _, mode := range modes {
		for _, key := range keys {
			if err := r.Verify(key.Public, mode.Leaf(s)); err == nil {
				return ReceiptVerification{r, mode, nil}
			} else if out.Err == nil {
				out.Err = fmt.Errorf("not a receipt for this statement by key %s: %w", pubkey.EncodeBase64(key.ID), err)
			}
		}
	}
	return out
}

// receiptKeys are the keys that may have made the receipt: the one that kid
// names, or every key when it names none.
func (v *Verifier) receiptKeys(r *Receipt) (KeySet, error) {
	if r.KeyID == nil {
		if len(v.LogKeys) == 0 {
			return nil, fmt.Errorf("%w: no key of a log is known", ErrUnknownKey)
		}
		return v.LogKeys, nil
	}
	key, err := v.LogKeys.Find(r.KeyID)
	return KeySet{key}, err
}

func (v *Verifier) issuerKey(s *Statement) (crypto.PublicKey, string, error) {
	switch {
	case v.IssuerKey != nil:
		return v.IssuerKey, "given", nil
	case did.Method(s.Issuer) == did.MethodJWK:
		key, err := SelfCertifiedKey(s)
		return key, "did:jwk", err
	case s.X5Chain != nil && v.Roots != nil:
		leaf, err := VerifyX5Chain(s, v.Roots)
		if err != nil {
			return nil, "x5chain", err
		}
		return leaf.PublicKey, "x5chain", nil
	}
	return nil, "", fmt.Errorf("%w: the issuer %q is not a did:jwk; give its key, or trusted roots for its x5chain", ErrUnknownKey, s.Issuer)
}

// SelfCertifiedKey is the key in the statement's did:jwk issuer. The
// statement's kid must be that key's COSE Key Thumbprint.
func SelfCertifiedKey(s *Statement) (crypto.PublicKey, error) {
	key, err := did.Key(s.Issuer)
	if err != nil {
		return nil, err
	}
	kid, err := Thumbprint(key)
	if err != nil {
		return nil, err
	}
	if s.KeyID != nil && !bytes.Equal(s.KeyID, kid) {
		return nil, fmt.Errorf("%w: the kid is %s, and the COSE Key Thumbprint (RFC 9679) of the did:jwk's key is %s",
			ErrUnknownKey, pubkey.EncodeBase64(s.KeyID), pubkey.EncodeBase64(kid))
	}
	return key, nil
}

// VerifyX5Chain validates the path from the statement's x5chain to one of the
// roots and gives the signer's certificate. Validity is judged at the
// statement's iat, which the issuer signed and which every later reader finds
// in the log, never at the wall clock; without iat the path is refused.
func VerifyX5Chain(s *Statement, roots *x509.CertPool) (*x509.Certificate, error) {
	// Times before 1970 are refused too: crypto/x509 takes the zero time, in
	// the year 1, for the wall clock.
	if s.IssuedAt <= 0 {
		return nil, malformed("a statement with x5chain needs the CWT claim iat (6): certificates are judged at that time")
	}
	var certs []*x509.Certificate
	for i, der := range s.X5Chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, malformed("certificate %d of x5chain: %w", i+1, err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, malformed("the statement has no x5chain")
	}
	if err := checkX5T(s, certs[0]); err != nil {
		return nil, err
	}
	if roots == nil { // never the roots of the machine
		roots = x509.NewCertPool()
	}
	intermediates := x509.NewCertPool()
	for _, c := range certs[1:] {
		intermediates.AddCert(c)
	}
	_, err := certs[0].Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   s.IssuedTime(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, fmt.Errorf("%w: x5chain: %w", ErrUnknownKey, err)
	}
	if u := certs[0].KeyUsage; u != 0 && u&x509.KeyUsageDigitalSignature == 0 {
		return nil, fmt.Errorf("%w: x5chain: the signer's certificate is not for digital signatures", ErrUnknownKey)
	}
	return certs[0], nil
}

// checkX5T holds x5t, when both are there, to the first certificate.
func checkX5T(s *Statement, leaf *x509.Certificate) error {
	if s.X5T == nil {
		return nil
	}
	if s.X5T.Algorithm != hashSHA256 {
		return fmt.Errorf("%w: x5t uses hash algorithm %d; use SHA-256 (-16)", ErrAlgorithm, s.X5T.Algorithm)
	}
	if sum := sha256.Sum256(leaf.Raw); !bytes.Equal(sum[:], s.X5T.Digest) {
		return fmt.Errorf("%w: x5t is not the thumbprint of the first certificate of x5chain", ErrUnknownKey)
	}
	return nil
}
