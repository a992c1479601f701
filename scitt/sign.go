package scitt

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	"filippo.io/mldsa"
	"github.com/veraison/go-cose"

	"github.com/conmotion/conmotion/scitt/did"
	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// SignOptions say what a Signed Statement is about.
type SignOptions struct {
	Algorithm   string     // such as PS384, one that the key is for; by default the usual one
	Issuer      string     // iss; by default the did:jwk of the key
	Subject     string     // sub; required
	IssuedAt    time.Time  // iat; left out when zero
	ContentType string     // of the payload, or of the preimage when hashing
	Type        string     // typ (16); left out when empty
	Hash        bool       // sign the SHA-256 of the content as an RFC 9995 hash envelope
	Location    string     // where the content of a hash envelope may be found
	X5Chain     [][]byte   // DER certificates, the signer's first; in place of kid
	Chain       *ChainLink // links the statement to the issuer's previous one
}

// SignStatement signs content as a Signed Statement. kid is the key's COSE Key
// Thumbprint. ECDSA signatures have low s, whatever the key returns: see
// [Statement.LowS].
func SignStatement(key crypto.Signer, o SignOptions, content []byte) ([]byte, error) {
	u, err := NewUnsigned(key.Public(), o, content)
	if err != nil {
		return nil, err
	}
	return u.Sign(key)
}

// Unsigned is a Signed Statement whose signature is not there yet. A signature does not
// change its id, so those that follow it in a chain can be made before it is signed.
type Unsigned struct {
	alg                pubkey.Algorithm
	protected, payload []byte
	id                 EntryID
	size               int
}

// NewUnsigned makes what [SignStatement] signs. What would be refused once it is signed is an error, as of
// [ParseStatement].
func NewUnsigned(public crypto.PublicKey, o SignOptions, content []byte) (*Unsigned, error) {
	alg, err := signingAlgorithm(public, o.Algorithm)
	if err != nil {
		return nil, err
	}
	if o.Subject == "" {
		return nil, malformed("a Signed Statement needs a subject")
	}
	if o.Issuer == "" {
		if o.Issuer, err = did.NewJWK(public); err != nil {
			return nil, err
		}
	}
	claims := map[int64]any{cose.CWTClaimIssuer: o.Issuer, cose.CWTClaimSubject: o.Subject}
	if !o.IssuedAt.IsZero() {
		claims[cose.CWTClaimIssuedAt] = o.IssuedAt.Unix()
	}
	h := map[any]any{cose.HeaderLabelAlgorithm: int64(alg.ID), cose.HeaderLabelCWTClaims: claims}
	if err := o.identifyKey(h, public); err != nil {
		return nil, err
	}
	if o.Type != "" {
		h[cose.HeaderLabelType] = o.Type
	}
	if c := o.Chain; c != nil {
		var prev any
		if c.Prev != nil {
			prev = c.Prev
		}
		h[labelChain] = []any{c.Name, c.Seq, prev}
	}
	payload := content
	if o.Hash {
		sum := sha256.Sum256(content)
		payload = sum[:]
		h[labelPayloadHashAlg] = hashSHA256
		if o.ContentType != "" {
			h[labelPreimageType] = o.ContentType
		}
		if o.Location != "" {
			h[labelPayloadLocation] = o.Location
		}
	} else {
		if o.Location != "" {
			return nil, malformed("a payload location needs a hash envelope")
		}
		if o.ContentType != "" {
			h[cose.HeaderLabelContentType] = o.ContentType
		}
		if payload == nil {
			payload = []byte{}
		}
	}
	u := &Unsigned{alg: alg, protected: encode(h), payload: payload}
	size := alg.Size
	if key, ok := public.(*rsa.PublicKey); ok {
		size = key.Size()
	}
	data := u.with(make([]byte, size))
	st, err := ParseStatement(data)
	if err != nil {
		return nil, err
	}
	u.id, u.size = st.ID(), len(data)
	return u, nil
}

// ID is that of the statement: see [Statement.ID].
func (u *Unsigned) ID() EntryID { return u.id }

// Size is how many bytes [Unsigned.Sign] returns.
func (u *Unsigned) Size() int { return u.size }

// Sign returns the Signed Statement. It is safe for concurrent use with other statements' if the key is.
func (u *Unsigned) Sign(key crypto.Signer) ([]byte, error) {
	sig, err := sign(key, u.alg, u.protected, u.payload)
	if err != nil {
		return nil, err
	}
	data := u.with(sig)
	if len(data) != u.size {
		return nil, fmt.Errorf("sign: a signature of %d bytes is none of %s", len(sig), u.alg.Name)
	}
	return data, nil
}

func (u *Unsigned) with(signature []byte) []byte {
	return marshalSign1(u.protected, nil, u.payload, signature)
}

// identifyKey puts kid or x5chain into the protected header.
func (o SignOptions) identifyKey(h map[any]any, public crypto.PublicKey) error {
	switch len(o.X5Chain) {
	case 0:
		kid, err := Thumbprint(public)
		h[cose.HeaderLabelKeyID] = kid
		return err
	case 1:
		h[labelX5Chain] = o.X5Chain[0]
	default:
		h[labelX5Chain] = o.X5Chain
	}
	leaf, err := x509.ParseCertificate(o.X5Chain[0])
	if err != nil {
		return malformed("the signer's certificate: %w", err)
	}
	if !pubkey.Equal(public, leaf.PublicKey) {
		return malformed("the first certificate is not for the signing key")
	}
	return nil
}

// GenerateKey makes a signing key for ES256, ES384, ES512, EdDSA or ML-DSA-44.
func GenerateKey(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case "ML-DSA-44":
		return mldsa.GenerateKey(mldsa.MLDSA44())
	}
	return nil, fmt.Errorf("%w: cannot make a key for %q; choose ES256, ES384, ES512, EdDSA or ML-DSA-44", ErrAlgorithm, algorithm)
}

const pemPrivateKey, pemPublicKey, pemCertificate = "PRIVATE KEY", "PUBLIC KEY", "CERTIFICATE"

// MarshalPrivateKey writes a key as PKCS#8 PEM.
func MarshalPrivateKey(key crypto.Signer) ([]byte, error) {
	der, err := marshalPKCS8(key)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPrivateKey, Bytes: der}), nil
}

// ParsePrivateKey reads a PKCS#8 PEM key of a supported algorithm.
func ParsePrivateKey(data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != pemPrivateKey {
		return nil, malformed("not a PEM block of type %q (PKCS#8)", pemPrivateKey)
	}
	k, err := parsePKCS8(block.Bytes)
	if err != nil {
		return nil, malformed("private key: %w", err)
	}
	key, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: a key of type %T", ErrAlgorithm, k)
	}
	_, err = AlgorithmFor(key.Public())
	return key, err
}

// ParsePublicKey reads a public key: PEM (SubjectPublicKeyInfo or a
// certificate), a JSON Web Key, a did:jwk or did:key, or a COSE_Key. Its ID is
// the one that it has in a JSON Web Key or COSE_Key, else its thumbprint.
func ParsePublicKey(data []byte) (Key, error) {
	if block, _ := pem.Decode(data); block != nil {
		switch block.Type {
		case pemPublicKey:
			public, err := ParseSPKI(block.Bytes)
			if err != nil {
				return Key{}, err
			}
			return checkedKey(public)
		case pemCertificate:
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return Key{}, malformed("certificate: %w", err)
			}
			return checkedKey(cert.PublicKey)
		}
		return Key{}, malformed("a PEM block of type %q is no public key", block.Type)
	}
	trimmed := string(bytes.TrimSpace(data))
	switch {
	case did.Method(trimmed) != "":
		return KeyOf(trimmed)
	case len(trimmed) > 0 && trimmed[0] == '{':
		k, err := did.ParseJWK([]byte(trimmed))
		if err == nil && k.ID == nil {
			k.ID, err = Thumbprint(k.Public)
		}
		return Key(k), err
	}
	return ParseKey(data)
}

func checkedKey(public crypto.PublicKey) (Key, error) {
	if err := pubkey.Check(public); err != nil {
		return Key{}, err
	}
	return NewKey(public)
}

// ParseCertificates reads every certificate in a PEM file.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != pemCertificate {
			return nil, malformed("a PEM block of type %q among certificates", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, malformed("certificate %d: %w", len(certs)+1, err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, malformed("no certificate in the PEM file")
	}
	return certs, nil
}
