package scitt

import (
	"crypto"
	_ "crypto/sha512" // SHA-384 and SHA-512 for hash envelopes and ES384
	"fmt"
	"math"
	"strconv"

	"github.com/veraison/go-cose"

	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// understood are the labels that may be marked critical.
//
// RFC 9052 section 3.1: "If a receiver doesn't understand a critical header
// parameter, then processing the message MUST fail."
var understood = map[any]bool{
	cose.HeaderLabelAlgorithm: true, cose.HeaderLabelCritical: true, cose.HeaderLabelContentType: true,
	cose.HeaderLabelKeyID: true, cose.HeaderLabelCWTClaims: true, cose.HeaderLabelType: true,
	labelX5Chain: true, labelX5T: true,
	labelPayloadHashAlg: true, labelPreimageType: true, labelPayloadLocation: true,
	labelChain: true,
}

// understoodReceipt is the same for a Receipt.
var understoodReceipt = map[any]bool{
	cose.HeaderLabelAlgorithm: true, cose.HeaderLabelCritical: true, cose.HeaderLabelKeyID: true,
	cose.HeaderLabelCWTClaims: true, labelVDS: true,
}

// checkBuckets holds the protected and the unprotected header of one
// COSE_Sign1 to each other.
func checkBuckets(protected, unprotected map[any]any) error {
	// RFC 9052 section 3: "Applications SHOULD verify that the same label does
	// not occur in both the protected and unprotected header parameters."
	for label := range unprotected {
		if _, both := protected[label]; both {
			return malformed("header parameter %v is in both the protected and the unprotected header", label)
		}
	}
	// RFC 9052 section 3.1: "When present, the "crit" header parameter MUST be
	// placed in the protected-header-parameters bucket."
	if _, ok := unprotected[cose.HeaderLabelCritical]; ok {
		return malformed("crit (2) is in the unprotected header")
	}
	// RFC 9596 section 2: "The "typ" parameter MUST NOT be present in
	// unprotected headers."
	if _, ok := unprotected[cose.HeaderLabelType]; ok {
		return malformed("typ (16) is in the unprotected header")
	}
	// RFC 9052 section 3.1: "The "Initialization Vector" and "Partial
	// Initialization Vector" header parameters MUST NOT both be present in the
	// same security layer."
	has := func(label int64) bool {
		_, one := protected[label]
		_, other := unprotected[label]
		return one || other
	}
	if has(cose.HeaderLabelIV) && has(cose.HeaderLabelPartialIV) {
		return malformed("IV (5) and Partial IV (6) are both there")
	}
	return nil
}

func (s *Statement) readHeader() (err error) {
	h := s.Header
	if err := checkBuckets(h, s.unprotected); err != nil {
		return err
	}
	if err := checkCritical(h, understood); err != nil {
		return err
	}
	if s.Algorithm, err = algorithmOf(h); err == nil && s.Algorithm == pubkey.MLDSA44 {
		err = fmt.Errorf("%w: ML-DSA-44 signs Receipts and no statements; this service takes %s", ErrAlgorithm, supported())
	}
	if err != nil {
		return err
	}
	if s.Claims, err = claimsOf(h); err != nil {
		return err
	}
	if s.Issuer, err = text(s.Claims, cose.CWTClaimIssuer, "CWT claim iss"); err != nil {
		return err
	}
	if s.Subject, err = text(s.Claims, cose.CWTClaimSubject, "CWT claim sub"); err != nil {
		return err
	}
	if s.IssuedAt, _, err = numericDate(s.Claims, cose.CWTClaimIssuedAt, math.Trunc); err != nil {
		return err
	}
	if s.Validity, err = validityOf(s.Claims); err != nil {
		return err
	}
	if s.KeyID, err = byteString(h, cose.HeaderLabelKeyID, "kid (4)"); err != nil {
		return err
	}
	if s.Type, err = mediaType(h, cose.HeaderLabelType, "typ (16)"); err != nil {
		return err
	}
	if s.ContentType, err = mediaType(h, cose.HeaderLabelContentType, "content type (3)"); err != nil {
		return err
	}
	if s.X5Chain, err = x5chainOf(h); err != nil {
		return err
	}
	if s.X5T, err = certHashOf(h); err != nil {
		return err
	}
	if s.Chain, err = chainOf(h); err != nil {
		return err
	}
	if s.Receipts, err = readReceipts(s.unprotected); err != nil {
		return err
	}
	if s.SignedReceipts, err = readReceipts(h); err != nil {
		return err
	}
	return s.readEnvelope()
}

// readEnvelope reads an RFC 9995 hash envelope.
func (s *Statement) readEnvelope() error {
	for _, label := range []int64{labelPayloadHashAlg, labelPreimageType, labelPayloadLocation} {
		// RFC 9995 section 4, of each of them: "MUST NOT be present in the
		// unprotected header".
		if _, ok := s.unprotected[label]; ok {
			return malformed("hash envelope parameter %d is in the unprotected header", label)
		}
	}
	v, ok := s.Header[labelPayloadHashAlg]
	if !ok {
		return nil
	}
	env := &HashEnvelope{}
	if env.Algorithm, ok = v.(int64); !ok {
		return malformed("payload-hash-alg (258) is not an integer")
	}
	// RFC 9995 section 4: "Label 3 (content_type) MUST NOT be present in the
	// protected or unprotected headers."
	for _, h := range []map[any]any{s.Header, s.unprotected} {
		if _, ok := h[cose.HeaderLabelContentType]; ok {
			return malformed("a hash envelope has a content type (3); the type of the preimage goes into 259")
		}
	}
	var err error
	if env.ContentType, err = mediaType(s.Header, labelPreimageType, "preimage content type (259)"); err != nil {
		return err
	}
	if env.Location, err = text(s.Header, labelPayloadLocation, "payload location (260)"); err != nil {
		return err
	}
	if hash, known := hashes[env.Algorithm]; known && s.Payload != nil && len(s.Payload) != hash.Size() {
		return malformed("the payload of the hash envelope has %d bytes and %v has %d", len(s.Payload), hash, hash.Size())
	}
	s.Envelope, s.ContentType = env, env.ContentType
	return nil
}

// hashes are the hash algorithms of hash envelopes (RFC 9054).
var hashes = map[int64]crypto.Hash{hashSHA256: crypto.SHA256, -43: crypto.SHA384, -44: crypto.SHA512}

func (e *HashEnvelope) sum(content []byte) ([]byte, error) {
	hash, ok := hashes[e.Algorithm]
	if !ok {
		return nil, fmt.Errorf("%w: payload-hash-alg %d is not SHA-256 (-16), SHA-384 (-43) or SHA-512 (-44)", ErrAlgorithm, e.Algorithm)
	}
	h := hash.New()
	h.Write(content)
	return h.Sum(nil), nil
}

func checkCritical(h map[any]any, understood map[any]bool) error {
	v, ok := h[cose.HeaderLabelCritical]
	if !ok {
		return nil
	}
	labels, ok := v.([]any)
	if !ok || len(labels) == 0 {
		return malformed("crit (2) is not an array with at least one label")
	}
	for _, label := range labels {
		switch label.(type) {
		case int64, string:
		default:
			return malformed("crit (2) holds something that is not a label")
		}
		if _, ok := h[label]; !ok {
			return malformed("crit (2) names the header parameter %v, which the protected header does not have", label)
		}
		if !understood[label] {
			return malformed("crit (2) marks the header parameter %v as critical and this service does not understand it", label)
		}
	}
	return nil
}

func algorithmOf(h map[any]any) (cose.Algorithm, error) {
	switch alg := h[cose.HeaderLabelAlgorithm].(type) {
	case nil:
		return 0, malformed("the protected header has no alg (1)")
	case int64:
		if _, ok := pubkey.Find(cose.Algorithm(alg)); !ok {
			return 0, fmt.Errorf("%w: %s; this service takes %s", ErrAlgorithm, AlgorithmName(cose.Algorithm(alg)), supported())
		}
		return cose.Algorithm(alg), nil
	case string:
		return 0, fmt.Errorf("%w: %.40q; this service takes %s", ErrAlgorithm, alg, supported())
	default:
		return 0, fmt.Errorf("%w: alg (1) is not the number of an algorithm; this service takes %s", ErrAlgorithm, supported())
	}
}

func byteString(m map[any]any, label int64, what string) ([]byte, error) {
	v, ok := m[label]
	if !ok {
		return nil, nil
	}
	b, ok := v.([]byte)
	if !ok {
		return nil, malformed("%s is not a byte string", what)
	}
	return b, nil
}

// mediaType reads a media type, or the number of a CoAP Content-Format, which
// it gives in decimal.
func mediaType(m map[any]any, label int64, what string) (string, error) {
	v, ok := m[label]
	if !ok {
		return "", nil
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case int64:
		if v >= 0 {
			return strconv.FormatInt(v, 10), nil
		}
	}
	return "", malformed("%s is neither text nor an unsigned integer", what)
}

// x5chainOf reads x5chain (RFC 9360 section 2): one certificate as a byte
// string, or two or more in an array.
func x5chainOf(h map[any]any) ([][]byte, error) {
	v, ok := h[labelX5Chain]
	if !ok {
		return nil, nil
	}
	switch v := v.(type) {
	case []byte:
		return [][]byte{v}, nil
	case []any:
		var chain [][]byte
		for _, c := range v {
			der, ok := c.([]byte)
			if !ok {
				return nil, malformed("x5chain (33) holds something that is not a byte string")
			}
			chain = append(chain, der)
		}
		if len(chain) >= 2 {
			return chain, nil
		}
	}
	return nil, malformed("x5chain (33) is neither one certificate nor an array of two or more")
}

func certHashOf(h map[any]any) (*CertHash, error) {
	v, ok := h[labelX5T]
	if !ok {
		return nil, nil
	}
	// RFC 9360 section 2: "COSE_CertHash = [ hashAlg: (int / tstr), hashValue:
	// bstr ]".
	if a, ok := v.([]any); ok && len(a) == 2 {
		alg, number := a[0].(int64)
		name, text := a[0].(string)
		digest, ok := a[1].([]byte)
		if ok && (number || text) {
			return &CertHash{alg, name, digest}, nil
		}
	}
	return nil, malformed("x5t (34) is not [hash algorithm, digest]")
}

func chainOf(h map[any]any) (*ChainLink, error) {
	v, ok := h[labelChain]
	if !ok {
		return nil, nil
	}
	bad := malformed("the header parameter \"chain\" is not [name: tstr, seq: uint, prev: bstr .size 32 / nil]")
	a, ok := v.([]any)
	if !ok || len(a) != 3 {
		return nil, bad
	}
	name, okName := a[0].(string)
	seq, okSeq := a[1].(int64)
	prev, okPrev := a[2].([]byte)
	if !okName || name == "" || !okSeq || seq < 0 || (a[2] != nil && (!okPrev || len(prev) != len(EntryID{}))) {
		return nil, bad
	}
	// The first record, and only it, has no previous one.
	if (seq == 0) != (a[2] == nil) {
		return nil, malformed("the header parameter \"chain\": seq %d and prev do not fit: the first record has seq 0 and prev nil, every other one has both", seq)
	}
	return &ChainLink{Name: name, Seq: uint64(seq), Prev: prev}, nil
}

// readReceipts reads receipts (394) of one header.
//
// RFC 9942 section 4.3: "to enable Receipts to be conveyed in the protected and
// unprotected headers of Enveloped COSE Structures", "[+ bstr .cbor Receipt]".
func readReceipts(h map[any]any) ([][]byte, error) {
	v, ok := h[labelReceipts]
	if !ok {
		return nil, nil
	}
	a, ok := v.([]any)
	if !ok || len(a) == 0 {
		return nil, malformed("receipts (394) is not an array with at least one receipt")
	}
	var receipts [][]byte
	for _, r := range a {
		b, ok := r.([]byte)
		if !ok {
			return nil, malformed("receipts (394) holds something that is not a byte string")
		}
		receipts = append(receipts, b)
	}
	return receipts, nil
}
