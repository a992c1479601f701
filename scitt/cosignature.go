package scitt

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"filippo.io/mldsa"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// Signature types of note lines (C2SP signed-note): "Timestamped Ed25519
// checkpoint cosignatures" and "Timestamped ML-DSA-44 (sub)tree cosignatures".
const (
	typeEd25519 = 0x04
	typeMLDSA44 = 0x06
)

// The bytes of a timestamped_signature before the signature, and of the key id
// before that in a note line.
const (
	timestampSize = 8
	keyIDSize     = 4
)

// Subtree is what a cosignature is about: the leaves [Start, End) of a log, and
// the root over them, SHA-256. A checkpoint is the Subtree that starts at 0.
type Subtree struct {
	Origin     string
	Start, End uint64
	Hash       []byte
}

// CosignatureVerifier verifies the cosignatures of one key (C2SP
// tlog-cosignature), Ed25519 or ML-DSA-44. It is a [note.Verifier]. Logs may
// sign their own checkpoints in this form too.
type CosignatureVerifier struct {
	name    string
	hash    uint32
	encoded []byte // signature type and public key
	// verify checks a signature over what message makes of a tree.
	verify func(message, signature []byte) bool
}

// NewCosignatureVerifier reads a verifier key (vkey) of type 0x04 or 0x06, which
// must be in the one form that it has. Errors wrap ErrMalformed or ErrAlgorithm.
func NewCosignatureVerifier(vkey string) (*CosignatureVerifier, error) {
	name, rest, _ := strings.Cut(vkey, "+")
	_, key64, _ := strings.Cut(rest, "+")
	b, err := base64.StdEncoding.DecodeString(key64)
	if err != nil || len(b) == 0 {
		return nil, malformed("verifier key %q is not name+hash+key", vkey)
	}
	var public crypto.PublicKey
	switch b[0] {
	case typeEd25519:
		public, err = pubkey.Ed25519(b[1:])
	case typeMLDSA44:
		public, err = mldsa.NewPublicKey(mldsa.MLDSA44(), b[1:])
	default:
		return nil, fmt.Errorf("%w: verifier key %q has type %#02x, and cosignatures have %#02x or %#02x", ErrAlgorithm, vkey, b[0], typeEd25519, typeMLDSA44)
	}
	if err != nil {
		return nil, malformed("verifier key %q: %w", vkey, err)
	}
	v, err := newCosignatureVerifier(name, public)
	if err != nil {
		return nil, err
	}
	if v.String() != vkey {
		return nil, malformed("verifier key %q is not written as %q", vkey, v)
	}
	return v, nil
}

func newCosignatureVerifier(name string, public crypto.PublicKey) (*CosignatureVerifier, error) {
	// C2SP tlog-cosignature: "opaque cosigner_name<1..2^8-1>".
	if err := CheckOrigin(name); err != nil || len(name) > math.MaxUint8 {
		return nil, malformed("the name %q of a cosigner has spaces or plus signs, or more than 255 bytes", name)
	}
	v := &CosignatureVerifier{name: name}
	switch key := public.(type) {
	case ed25519.PublicKey:
		v.encoded = append([]byte{typeEd25519}, key...)
		v.verify = func(message, sig []byte) bool { return ed25519.Verify(key, message, sig) }
	case *mldsa.PublicKey:
		if len(key.Bytes()) != mldsa.MLDSA44PublicKeySize {
			return nil, fmt.Errorf("%w: an ML-DSA key that is not ML-DSA-44", ErrAlgorithm)
		}
		v.encoded = append([]byte{typeMLDSA44}, key.Bytes()...)
		v.verify = func(message, sig []byte) bool { return mldsa.Verify(key, message, sig, nil) == nil }
	default:
		return nil, fmt.Errorf("%w: cosignatures are by Ed25519 or ML-DSA-44 keys, not by a %T", ErrAlgorithm, public)
	}
	// C2SP tlog-cosignature: "SHA-256(<name> || "\n" || 0x04 || 32-byte Ed25519
	// cosigner public key)[:4]", and with 0x06 and 1312 bytes for ML-DSA-44.
	sum := sha256.Sum256([]byte(name + "\n" + string(v.encoded)))
	v.hash = binary.BigEndian.Uint32(sum[:])
	return v, nil
}

// Name is the cosigner's name.
func (v *CosignatureVerifier) Name() string { return v.name }

// KeyHash is the key id of the note line.
func (v *CosignatureVerifier) KeyHash() uint32 { return v.hash }

// PublicKey returns the raw public key: 32 bytes of Ed25519 or 1312 of ML-DSA-44.
// Two verifiers with the same one are one cosigner, whatever their names.
func (v *CosignatureVerifier) PublicKey() []byte { return v.encoded[1:] }

// String is the verifier key (vkey).
func (v *CosignatureVerifier) String() string {
	return fmt.Sprintf("%s+%08x+%s", v.name, v.hash, base64.StdEncoding.EncodeToString(v.encoded))
}

// Verify checks a cosignature (timestamp and signature) of a checkpoint's body.
// ML-DSA does not sign extension lines, so a body that has some does not verify.
// The time is not judged: see [CosignatureTime].
func (v *CosignatureVerifier) Verify(body, cosignature []byte) bool {
	at, sig, ok := cutTimestamp(cosignature)
	message, err := v.message(body, at)
	return ok && err == nil && v.verify(message, sig)
}

// VerifySubtree checks a cosignature of a subtree, which only ML-DSA-44 has.
func (v *CosignatureVerifier) VerifySubtree(t Subtree, cosignature []byte) bool {
	at, sig, ok := cutTimestamp(cosignature)
	message, err := v.subtree(t, at)
	return ok && err == nil && v.verify(message, sig)
}

// cutTimestamp splits a timestamped_signature.
//
// C2SP tlog-cosignature: the timestamp "MUST NOT exceed 2^63 - 1".
func cutTimestamp(cosignature []byte) (at uint64, sig []byte, ok bool) {
	if len(cosignature) < timestampSize {
		return 0, nil, false
	}
	at = binary.BigEndian.Uint64(cosignature)
	return at, cosignature[timestampSize:], at <= math.MaxInt64
}

// message is what is signed of a checkpoint's body.
func (v *CosignatureVerifier) message(body []byte, at uint64) ([]byte, error) {
	cp, err := parseBody(body)
	if err != nil {
		return nil, err
	}
	if v.encoded[0] == typeEd25519 {
		return fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, body), nil
	}
	if !bytes.Equal(body, cp.Marshal()) {
		return nil, ErrExtension
	}
	return v.subtree(Subtree{Origin: cp.Origin, End: cp.Size, Hash: cp.Hash}, at)
}

// ErrExtension says that an ML-DSA cosignature was asked for a checkpoint with
// extension lines, which it would not cover.
var ErrExtension = errors.New("ML-DSA cosignatures do not cover extension lines")

// subtree is the cosigned_message of C2SP tlog-cosignature.
//
//	struct {
//	    uint8 label[12] = "subtree/v1\n\0";
//	    opaque cosigner_name<1..2^8-1>;
//	    uint64 timestamp;
//	    opaque log_origin<1..2^8-1>;
//	    uint64 start;
//	    uint64 end;
//	    uint8 hash[32];
//	} cosigned_message;
func (v *CosignatureVerifier) subtree(t Subtree, at uint64) ([]byte, error) {
	switch {
	case v.encoded[0] != typeMLDSA44:
		return nil, fmt.Errorf("%w: only ML-DSA-44 cosigns subtrees", ErrAlgorithm)
	case t.Origin == "" || len(t.Origin) > math.MaxUint8:
		return nil, malformed("the origin has %d bytes, and in ML-DSA cosignatures it has 1 to 255", len(t.Origin))
	case len(t.Hash) != sha256.Size:
		return nil, malformed("the root has %d bytes", len(t.Hash))
	// C2SP tlog-cosignature: "If start is not zero, timestamp MUST be zero."
	case t.Start > t.End || t.Start != 0 && at != 0:
		return nil, malformed("a cosignature of [%d, %d) at time %d", t.Start, t.End, at)
	}
	var b cryptobyte.Builder
	b.AddBytes([]byte("subtree/v1\n\x00"))
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(v.name)) })
	b.AddUint64(at)
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(t.Origin)) })
	b.AddUint64(t.Start)
	b.AddUint64(t.End)
	b.AddBytes(t.Hash)
	return b.Bytes()
}

// CosignatureTime is when a cosignature says that it was made, to the second, or the end of the year 9999 where that is later.
// The zero [time.Time] is a cosignature that says nothing of time. It means
// nothing before the line verified. Errors wrap ErrMalformed.
func CosignatureTime(line note.Signature) (time.Time, error) {
	b, err := base64.StdEncoding.DecodeString(line.Base64)
	if err != nil || len(b) < keyIDSize {
		return time.Time{}, malformed("signature line of %q", line.Name)
	}
	at, _, ok := cutTimestamp(b[keyIDSize:])
	if !ok {
		return time.Time{}, malformed("the time of the cosignature of %q", line.Name)
	}
	if at == 0 {
		return time.Time{}, nil
	}
	return timeOf(int64(min(at, lastSecond))), nil
}

// Cosigner makes the cosignatures of one key. Whoever asks it has checked what
// they say: it keeps no state. Its methods may run at once if the key's may.
type Cosigner struct {
	CosignatureVerifier
	// Signed, when not nil, is told of each signature that the key was asked for: how
	// long it took, and why there is none.
	Signed func(took time.Duration, err error)

	key crypto.Signer
}

// NewCosigner makes a cosigner from a key: Ed25519 (in memory, a KMS or an HSM)
// or *[mldsa.PrivateKey] with ML-DSA-44. A key has one name and one purpose:
// "the same public key can't be used across multiple cosigners".
func NewCosigner(name string, key crypto.Signer) (*Cosigner, error) {
	v, err := newCosignatureVerifier(name, key.Public())
	if err != nil {
		return nil, err
	}
	return &Cosigner{CosignatureVerifier: *v, key: key}, nil
}

// Cosign signs a checkpoint's body at a time, and returns the signature line of
// the note. ErrExtension is wrapped where the key cannot sign all of the body.
func (s *Cosigner) Cosign(body []byte, at time.Time) (note.Signature, error) {
	if at.Unix() <= 0 {
		return note.Signature{}, malformed("a cosignature at %v", at)
	}
	message, err := s.message(body, uint64(at.Unix()))
	if err != nil {
		return note.Signature{}, err
	}
	return s.sign(message, uint64(at.Unix()))
}

// CosignSubtree signs a subtree, without a time.
//
// C2SP tlog-witness: "If the cosignature format supports timestamps, the
// timestamp MUST be zero."
func (s *Cosigner) CosignSubtree(t Subtree) (note.Signature, error) {
	message, err := s.subtree(t, 0)
	if err != nil {
		return note.Signature{}, err
	}
	return s.sign(message, 0)
}

func (s *Cosigner) sign(message []byte, at uint64) (note.Signature, error) {
	start := time.Now()
	sig, err := s.key.Sign(rand.Reader, message, crypto.Hash(0))
	if s.Signed != nil {
		s.Signed(time.Since(start), err)
	}
	if err != nil {
		return note.Signature{}, fmt.Errorf("cosigning as %s: %w", s.name, err)
	}
	b := binary.BigEndian.AppendUint32(nil, s.hash)
	b = binary.BigEndian.AppendUint64(b, at)
	return note.Signature{Name: s.name, Hash: s.hash, Base64: base64.StdEncoding.EncodeToString(append(b, sig...))}, nil
}

// ParseCosignerKey reads a private key in the form of Go's notes,
// PRIVATE+KEY+name+hash+base64(type and seed), with type 0x04 or 0x06. Errors
// wrap ErrMalformed and do not show the key.
func ParseCosignerKey(skey string) (*Cosigner, error) {
	parts := strings.SplitN(strings.TrimSpace(skey), "+", 5)
	if len(parts) != 5 || parts[0] != "PRIVATE" || parts[1] != "KEY" {
		return nil, malformed("not a private key of a note: PRIVATE+KEY+name+hash+key")
	}
	b, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil {
		return nil, malformed("the private key of %q is not base64", parts[2])
	}
	var key crypto.Signer
	switch {
	case len(b) == 1+ed25519.SeedSize && b[0] == typeEd25519:
		key = ed25519.NewKeyFromSeed(b[1:])
	case len(b) == 1+mldsa.PrivateKeySize && b[0] == typeMLDSA44:
		if key, err = mldsa.NewPrivateKey(mldsa.MLDSA44(), b[1:]); err != nil {
			return nil, malformed("the private key of %q: %w", parts[2], err)
		}
	default:
		return nil, malformed("the private key of %q is not of a cosigner, with type %#02x or %#02x and a seed", parts[2], typeEd25519, typeMLDSA44)
	}
	s, err := NewCosigner(parts[2], key)
	if err != nil {
		return nil, err
	}
	if fmt.Sprintf("%08x", s.hash) != parts[3] {
		return nil, malformed("the hash of the private key of %q does not fit it", s.name)
	}
	return s, nil
}

// GenerateCosignerKeys makes the two private keys of a cosigner, Ed25519 and
// ML-DSA-44, in the form that [ParseCosignerKey] reads. Clients that know only
// one of the two algorithms ignore the other's line.
func GenerateCosignerKeys(name string) (ed, mldsa44 string, err error) {
	seeds := [2][ed25519.SeedSize]byte{}
	for i := range seeds {
		if _, err := rand.Read(seeds[i][:]); err != nil {
			return "", "", err
		}
	}
	pq, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), seeds[1][:])
	if err != nil {
		return "", "", err
	}
	var skeys [2]string
	for i, key := range []crypto.Signer{ed25519.NewKeyFromSeed(seeds[0][:]), pq} {
		s, err := NewCosigner(name, key)
		if err != nil {
			return "", "", err
		}
		skeys[i] = fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", name, s.hash,
			base64.StdEncoding.EncodeToString(append([]byte{s.encoded[0]}, seeds[i][:]...)))
	}
	return skeys[0], skeys[1], nil
}
