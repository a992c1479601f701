package scitt

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/veraison/go-cose"
)

// MaxEntrySize is the largest Entry in bytes that a log can hold: C2SP
// tlog-tiles prefixes each with a big-endian uint16.
const MaxEntrySize = 1<<16 - 1

// EntryID identifies what an issuer signed: the SHA-256 of the Sig_structure
// (RFC 9052 section 4.4). It does not depend on the signature, because an
// issuer, and for ECDSA anybody, can make another valid one. The zero value is
// no id.
type EntryID [sha256.Size]byte

// String is the lowercase hexadecimal form, 64 characters.
func (id EntryID) String() string { return hex.EncodeToString(id[:]) }

// ParseEntryID reads the form that String writes; upper case is refused, so
// that an entry has one URL.
func ParseEntryID(s string) (EntryID, error) {
	var id EntryID
	if len(s) != hex.EncodedLen(len(id)) {
		return id, malformed("an entry id is 64 lowercase hexadecimal characters, not %d characters", len(s))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil || id.String() != s {
		return id, malformed("an entry id is 64 lowercase hexadecimal characters")
	}
	return id, nil
}

// EntryIDOf returns the id of the statement in an Entry. It reads the outer
// form and not the header. Bytes that are not in the one encoding of an Entry
// (see [Statement.Entry]) have no id, and ok is false.
func EntryIDOf(entry []byte) (id EntryID, ok bool) {
	protected, payload, _, ok := splitEntry(entry)
	if !ok {
		return EntryID{}, false
	}
	return signedID(protected, payload), true
}

// signedID is the id of a statement with these parts.
func signedID(protected, payload []byte) EntryID {
	var few [2048]byte // on the stack
	return sha256.Sum256(appendSigStructure(few[:0], protected, payload))
}

// Statement is a Signed Statement whose form has been checked and whose
// signature has not: see [Statement.VerifySignature]. It is read-only.
type Statement struct {
	Algorithm   cose.Algorithm // protected 1
	Issuer      string         // CWT claim iss
	Subject     string         // CWT claim sub
	IssuedAt    int64          // CWT claim iat, seconds since 1970; 0 when absent
	Validity    Validity       // CWT claims exp and nbf
	KeyID       []byte         // protected 4; nil when absent
	ContentType string         // protected 3, or 259 of a hash envelope; a number in decimal
	Type        string         // protected 16; "" when absent
	X5Chain     [][]byte       // protected 33: DER certificates, the signer's first
	X5T         *CertHash      // protected 34
	Envelope    *HashEnvelope  // protected 258 to 260; nil when the payload is inline
	Chain       *ChainLink     // protected "chain"; nil when absent

	// Header and Claims are the whole protected header and the CWT Claims in
	// it, as decoded: labels are int64 or string.
	Header map[any]any
	Claims map[any]any

	// Payload is what is signed; nil when detached.
	Payload []byte
	// Receipts are the encoded Receipts of the unprotected header (394).
	// SignedReceipts are those of the protected header: they were there before
	// this statement was signed, so they are of other entries.
	Receipts, SignedReceipts [][]byte

	protected   []byte
	unprotected map[any]any
	signature   []byte
	entry       []byte
	id          EntryID
}

// CertHash is a COSE_CertHash (RFC 9360 section 2): a hash algorithm
// identifier and the digest of a DER certificate.
type CertHash struct {
	Algorithm int64
	Name      string // of the algorithm, where it is text in place of a number
	Digest    []byte
}

// HashEnvelope says that the payload is the digest of the real content (RFC
// 9995 section 3).
type HashEnvelope struct {
	Algorithm   int64  // 258, such as -16 for SHA-256
	ContentType string // 259: the type of the preimage; "" when absent
	Location    string // 260: where the preimage may be; "" when absent
}

// ChainLink links a statement to the issuer's previous one in a named chain:
// the protected header parameter "chain" = [name, seq, prev].
type ChainLink struct {
	Name string
	Seq  uint64
	Prev []byte // the entry id of the previous record; nil for the first
}

// Head is the last entry of an issuer's chain.
type Head struct {
	Index uint64 // in the log
	ID    EntryID
	Seq   uint64 // in the chain
	// Given is [Statement.GivenChain] of the entry: the issuer's chain ends with it.
	Given string
	// Pending says that the entry is on its way into the log and has no Index yet.
	Pending bool
}

// NewHead is the head of a chain that a statement at an index makes.
func NewHead(s *Statement, index uint64) Head {
	return Head{Index: index, ID: s.ID(), Seq: s.Chain.Seq, Given: s.GivenChain()}
}

// Next is the link of the statement that follows the head in the chain with a name;
// of the first statement when there is no head (nil).
func (h *Head) Next(name string) *ChainLink {
	if h == nil {
		return &ChainLink{Name: name}
	}
	return &ChainLink{Name: name, Seq: h.Seq + 1, Prev: bytes.Clone(h.ID[:])}
}

// Entry is what the log stores for the statement.
//
// RFC 9943 section 6.3: "the unprotected header ... is replaced by an empty
// map" before the statement is committed to the log, so an entry does not
// depend on receipts or anything else that was put there.
func (s *Statement) Entry() []byte { return s.entry }

// ID returns the id of what the issuer signed; zero when the payload is
// detached. Statements that differ in nothing but the signature and the
// unprotected header have the same one.
func (s *Statement) ID() EntryID { return s.id }

// ParseStatement reads a Signed Statement and holds it to everything that
// registration asks of its form. Errors wrap ErrMalformed, ErrAlgorithm,
// ErrNoKeyID, ErrPayloadMissing or ErrTooLarge and say what to change.
func ParseStatement(data []byte) (*Statement, error) {
	s, err := DecodeStatement(data)
	if err != nil {
		return nil, err
	}
	return s, s.registrable()
}

// registrable holds the statement to the header parameters that a Signed
// Statement must have.
func (s *Statement) registrable() error {
	// RFC 9943 section 6.1: "The issuer identity ... bound to the Signed
	// Statement via the CWT Claims iss" and "sub"; both are required in the
	// protected header (RFC 9597).
	if s.Claims == nil {
		return malformed("the protected header has no CWT Claims (15) with iss (1) and sub (2)")
	}
	if s.Issuer == "" {
		return malformed("the CWT Claims have no issuer (iss, 1)")
	}
	if s.Subject == "" {
		return malformed("the CWT Claims have no subject (sub, 2)")
	}
	// RFC 9943 section 6.1: "one of kid, x5t or x5chain MUST be present".
	if s.KeyID == nil && s.X5T == nil && s.X5Chain == nil {
		return fmt.Errorf("%w: put kid (4), x5t (34) or x5chain (33) into the protected header", ErrNoKeyID)
	}
	if s.Payload == nil {
		return fmt.Errorf("%w: it is detached (nil); to keep content out of the log sign its hash as an RFC 9995 hash envelope (258, 259, 260), with the digest as payload", ErrPayloadMissing)
	}
	if len(s.signature) == 0 {
		return malformed("the signature is empty")
	}
	if want, ok := signatureSize(s.Algorithm); ok && len(s.signature) != want {
		if s.signature[0] == 0x30 {
			return malformed("the %s signature is DER-encoded; COSE wants r and s side by side, %d bytes (RFC 9053 section 2.1)", AlgorithmName(s.Algorithm), want)
		}
		return malformed("the %s signature has %d bytes, not %d", AlgorithmName(s.Algorithm), len(s.signature), want)
	}
	if err := s.registrableHeader(); err != nil {
		return err
	}
	if len(s.entry) > MaxEntrySize {
		return fmt.Errorf("%w: %d bytes, and a log entry holds %d; sign the SHA-256 of the content as an RFC 9995 hash envelope and keep the content in artifact storage", ErrTooLarge, len(s.entry), MaxEntrySize)
	}
	return nil
}

// DecodeStatement reads any tagged COSE_Sign1 as a Signed Statement without
// asking for the header parameters that registration needs. It is for
// verifiers of statements that other services registered.
func DecodeStatement(data []byte) (*Statement, error) {
	if _, _, _, ok := splitEntry(data); ok {
		return decodeEntry(bytes.Clone(data))
	}
	return decodeSign1(data)
}

// DecodeEntry is DecodeStatement for what is in a log: an Entry in its one
// encoding (see [Statement.Entry]). Other bytes are nobody's statement and have
// no id, whatever they could be read as. The statement keeps data, which must not
// change any more. Errors wrap ErrMalformed or ErrAlgorithm.
func DecodeEntry(data []byte) (*Statement, error) {
	if _, _, _, ok := splitEntry(data); !ok {
		return nil, malformed("the bytes are not in the encoding of an Entry, so they are nobody's statement and have no entry id")
	}
	return decodeEntry(data)
}

// decodeSign1 is DecodeStatement for any encoding.
func decodeSign1(data []byte) (*Statement, error) {
	m, err := parseSign1(data)
	if err != nil {
		return nil, err
	}
	s := &Statement{}
	if s.protected, err = parseBytes("protected header", m.Protected); err != nil {
		return nil, err
	}
	if s.Header, err = parseHeader("protected", s.protected); err != nil {
		return nil, err
	}
	if s.unprotected, err = parseHeader("unprotected", m.Unprotected); err != nil {
		return nil, err
	}
	if !isNil(m.Payload) {
		if s.Payload, err = parseBytes("payload", m.Payload); err != nil {
			return nil, err
		}
	}
	if s.signature, err = parseBytes("signature", m.Signature); err != nil {
		return nil, err
	}
	if err := s.readHeader(); err != nil {
		return nil, err
	}
	s.entry = marshalSign1(s.protected, nil, s.Payload, s.signature)
	if s.Payload != nil {
		s.id = signedID(s.protected, s.Payload)
	}
	return s, nil
}

// decodeEntry is DecodeStatement for an Entry in its one encoding. The
// statement keeps the bytes.
func decodeEntry(entry []byte) (_ *Statement, err error) {
	s := &Statement{entry: entry}
	s.protected, s.Payload, s.signature, _ = splitEntry(entry)
	if s.Header, err = parseHeader("protected", s.protected); err != nil {
		return nil, err
	}
	s.unprotected = map[any]any{}
	if err := s.readHeader(); err != nil {
		return nil, err
	}
	s.id = signedID(s.protected, s.Payload)
	return s, nil
}

// VerifySignature checks the statement's signature with the issuer's key. The
// key must be of the kind that the algorithm asks for. Errors wrap
// ErrSignature or ErrAlgorithm.
func (s *Statement) VerifySignature(key crypto.PublicKey) error {
	if s.Payload == nil {
		return ErrPayloadMissing
	}
	return verify(s.Algorithm, key, s.protected, s.Payload, s.signature, s.id[:])
}

// IssuedTime is the CWT claim iat as a time, or the nearest one in the years 0 to 9999.
func (s *Statement) IssuedTime() time.Time { return timeOf(s.IssuedAt) }

// ContentSHA256 is the SHA-256 of what the statement speaks of: of its payload, or the one
// that it signs in place of its content. ok is false where it signs another hash.
func (s *Statement) ContentSHA256() (digest [sha256.Size]byte, ok bool) {
	switch {
	case s.Envelope == nil:
		return sha256.Sum256(s.Payload), true
	case s.Envelope.Algorithm != hashSHA256 || len(s.Payload) != sha256.Size:
		return digest, false
	}
	return [sha256.Size]byte(s.Payload), true
}

// PayloadMatches reports whether content is what the statement speaks of: the
// payload itself, or the preimage of a hash envelope. A hash algorithm that
// is not known is an error.
func (s *Statement) PayloadMatches(content []byte) (bool, error) {
	if s.Envelope == nil {
		return bytes.Equal(content, s.Payload), nil
	}
	digest, err := s.Envelope.sum(content)
	if err != nil {
		return false, err
	}
	return bytes.Equal(digest, s.Payload), nil
}

// The types (16) of this project's own statements; RFC 9596 section 2: "the
// typ header parameter declares the type of this complete COSE object".
const (
	TypeKeys            = "application/vnd.conmotion.keys+cose"
	TypePolicy          = "application/vnd.conmotion.policy+cose"
	TypeRecord          = "application/vnd.conmotion.record+cose"
	TypeAcknowledgement = "application/vnd.conmotion.acknowledgement+cose"
	TypeEndorsement     = "application/vnd.conmotion.endorsement+cose"
	TypeMeasurement     = "application/vnd.conmotion.measurement+cose"
	TypeObservation     = "application/vnd.conmotion.observation+cose"
	TypeScan            = "application/vnd.conmotion.scan+cose"
	TypeHandover        = "application/vnd.conmotion.handover+cose"
)

// PolicySubject is the sub of a log's Registration Policies.
func PolicySubject(origin string) string { return origin + "/registration-policy" }

// KeysSubject is the sub of a log's statements about its service's own keys.
func KeysSubject(origin string) string { return origin + "/keys" }
