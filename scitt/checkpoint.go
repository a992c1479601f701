package scitt

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// treeSignatureType is the signature type of the note line that carries a
// TreeSignature.
//
// C2SP signed-note: "0xff - Reserved for signature types without an
// identifier byte assigned by this specification. It is RECOMMENDED that this
// byte be followed by a longer identifier that is unlikely to collide."
const treeSignatureType = "\xffgithub.com/conmotion/conmotion/tree-signature/v1\n"

// Checkpoint is a signed note over a log's origin, size and root (C2SP
// tlog-checkpoint), with the TreeSignature that it carries.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   []byte
	// Tree makes Receipts for this tree. It is nil when the checkpoint has
	// none, or none by a key that the reader knows.
	Tree *TreeSignature
	// PQ makes the second Receipts, by the log's ML-DSA-44 key; nil like Tree.
	PQ *TreeSignature
	// Raw is the note as it was published.
	Raw []byte

	// cosigned is the note for Receipts: see [Checkpoint.Receipt]; "" where only the
	// log signed it.
	cosigned string
}

// EmptyCheckpoint is what there is to say of a log before its first checkpoint.
func EmptyCheckpoint(origin string) *Checkpoint {
	return &Checkpoint{Origin: origin, Root: rfc6962.DefaultHasher.EmptyRoot()}
}

// Receipt turns the proof of an entry's place in this tree into a Receipt. A
// checkpoint with lines by others than the log, such as cosignatures, goes with it:
// see [Receipt.Checkpoint]. It fails with ErrNoReceipts when the checkpoint carries
// no signature for Receipts.
func (c *Checkpoint) Receipt(p *InclusionProof) ([]byte, error) {
	if c.Tree == nil {
		return nil, ErrNoReceipts
	}
	return c.Tree.receipt(p, c.cosigned), nil
}

// Receipts are the Receipt, and behind it the one by the log's ML-DSA-44 key where the
// checkpoint carries that key's signature.
func (c *Checkpoint) Receipts(p *InclusionProof) ([][]byte, error) {
	receipt, err := c.Receipt(p)
	if err != nil || c.PQ == nil {
		return [][]byte{receipt}, err
	}
	return [][]byte{receipt, c.PQ.receipt(p, c.cosigned)}, nil
}

// CheckpointVerifiers are the keys of a log that a reader trusts.
type CheckpointVerifiers struct {
	Note note.Verifier   // the log's note key, Ed25519
	PQ   note.Verifier   // the log's note key of ML-DSA-44; nil where none is known
	Tree []note.Verifier // the log's receipt keys, from [NewTreeVerifier]; may be empty
}

// NewCheckpointVerifiers reads a log's verifier keys (vkeys): exactly one of Ed25519,
// at most one of ML-DSA-44, and the rest of receipts.
func NewCheckpointVerifiers(vkeys []string) (CheckpointVerifiers, error) {
	var cv CheckpointVerifiers
	for _, vkey := range vkeys {
		switch vkeyType(vkey) {
		case treeSignatureType[0]:
			v, err := NewTreeVerifier(vkey)
			if err != nil {
				return cv, err
			}
			same := func(o note.Verifier) bool { return o.Name() == v.Name() && o.KeyHash() == v.KeyHash() }
			if !slices.ContainsFunc(cv.Tree, same) {
				cv.Tree = append(cv.Tree, v)
			}
		case typeMLDSA44:
			v, err := NewCosignatureVerifier(vkey)
			if err != nil {
				return cv, err
			}
			if cv.PQ != nil {
				return cv, malformed("two ML-DSA-44 note keys: %q and %q", cv.PQ.Name(), v.Name())
			}
			cv.PQ = v
		default:
			v, err := note.NewVerifier(vkey)
			if err != nil {
				return cv, malformed("verifier key %q: %w", vkey, err)
			}
			if cv.Note != nil {
				return cv, malformed("two note keys: %q and %q", cv.Note.Name(), v.Name())
			}
			cv.Note = v
		}
	}
	if cv.Note == nil {
		return cv, malformed("no Ed25519 verifier key of the log")
	}
	for _, v := range cv.all() {
		if v.Name() != cv.Note.Name() {
			return cv, malformed("the verifier keys are of two logs: %q and %q", cv.Note.Name(), v.Name())
		}
	}
	return cv, nil
}

// all are the keys, whose lines are verified.
func (cv CheckpointVerifiers) all() []note.Verifier {
	all := append(slices.Clone(cv.Tree), cv.Note)
	if cv.PQ != nil {
		all = append(all, cv.PQ)
	}
	return all
}

// Open verifies a checkpoint. The log's note key must have signed it, and
// its name is the log's origin. Errors wrap ErrCheckpoint.
func (cv CheckpointVerifiers) Open(raw []byte) (*Checkpoint, error) {
	c, n, err := startNote(raw, cv.all()...)()
	if err != nil {
		return nil, err
	}
	if c.Origin != cv.Note.Name() {
		return nil, fmt.Errorf("%w: it is of %.80q, and the keys are of %q", ErrCheckpoint, c.Origin, cv.Note.Name())
	}
	var own []note.Signature
	for _, sig := range n.Sigs {
		if sig.Hash == cv.Note.KeyHash() {
			own = append(own, sig)
			continue
		}
		if cv.PQ != nil && sig.Hash == cv.PQ.KeyHash() {
			continue
		}
		line, err := signatureBytes(sig)
		if err != nil {
			return nil, err
		}
		t, err := ParseTreeSignature(line)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
		}
		to := &c.Tree
		if t.PostQuantum() {
			to = &c.PQ
		}
		if *to == nil {
			*to = t
		}
	}
	if own == nil {
		return nil, fmt.Errorf("%w: no verifiable signatures by the log's note key", ErrCheckpoint)
	}
	// The log's other lines that are not Ed25519 are signatures for Receipts, and the
	// ML-DSA-44 one of the note, by keys that the reader may not know.
	others := slices.DeleteFunc(slices.Clone(n.UnverifiedSigs), func(s note.Signature) bool {
		line, err := signatureBytes(s)
		return s.Name == c.Origin && (err != nil || len(line) != ed25519.SignatureSize)
	})
	if len(others) > 0 {
		c.cosigned = n.Text + "\n" + signatureLines(append(own, others...))
	}
	return c, nil
}

// TreeSigner signs checkpoints with a log's receipt key: a [note.Signer]
// whose signatures are TreeSignatures.
//
// ECDSA is randomised and a TreeSignature says when it was made, so the last
// one is kept: the same tree never gets two signatures from one signer.
type TreeSigner struct {
	key    crypto.Signer
	issuer string
	origin string
	kid    []byte
	hash   uint32
	now    func() time.Time
	signed func()

	mu   sync.Mutex
	root []byte
	size uint64
	last []byte
}

// NewTreeSigner makes the signer of a log. The function signed, when not nil,
// is called for each signature made.
func NewTreeSigner(key crypto.Signer, issuer, origin string, now func() time.Time, signed func()) (*TreeSigner, error) {
	v, err := newTreeVerifier(origin, key.Public())
	if err != nil {
		return nil, err
	}
	if signed == nil {
		signed = func() {}
	}
	return &TreeSigner{key: key, issuer: issuer, origin: origin, kid: v.key.ID, hash: v.KeyHash(), now: now, signed: signed}, nil
}

// Name is the log's origin.
func (s *TreeSigner) Name() string { return s.origin }

// KeyHash is the key id of the note line.
func (s *TreeSigner) KeyHash() uint32 { return s.hash }

// Sign signs the body of a checkpoint.
func (s *TreeSigner) Sign(body []byte) ([]byte, error) {
	cp, err := parseBody(body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil && s.size == cp.Size && bytes.Equal(s.root, cp.Hash) {
		return s.last, nil
	}
	t, err := SignTree(s.key, s.issuer, s.origin, s.now(), cp.Hash)
	if err != nil {
		return nil, err
	}
	s.signed()
	s.size, s.root, s.last = cp.Size, cp.Hash, t.Marshal()
	return s.last, nil
}

// Resume tells the signer of a checkpoint that it signed in an earlier life,
// so that this tree keeps its signature. A signature by another key, such as
// the one before it, or for another log is not its own and changes nothing.
func (s *TreeSigner) Resume(c *Checkpoint) {
	for _, t := range []*TreeSignature{c.Tree, c.PQ} {
		if t == nil || !bytes.Equal(t.KeyID, s.kid) || t.Subject != s.origin {
			continue
		}
		s.mu.Lock()
		s.size, s.root, s.last = c.Size, c.Root, t.Marshal()
		s.mu.Unlock()
	}
}

// treeVerifier is the [note.Verifier] of TreeSignatures.
type treeVerifier struct {
	name string
	key  Key
	hash uint32
}

func newTreeVerifier(origin string, public crypto.PublicKey) (*treeVerifier, error) {
	key, err := NewKey(public)
	if err != nil {
		return nil, err
	}
	encoded, err := treeKeyBytes(public)
	if err != nil {
		return nil, err
	}
	// C2SP signed-note: "key ID = SHA-256(key name || 0x0A || signature type
	// || public key)[:4]".
	sum := sha256.Sum256([]byte(origin + "\n" + string(encoded)))
	return &treeVerifier{origin, key, binary.BigEndian.Uint32(sum[:])}, nil
}

// treeKeyBytes are the signature type and the public key: the COSE_Key with
// only its required parameters, as in RFC 9679.
func treeKeyBytes(public crypto.PublicKey) ([]byte, error) {
	params, err := pubkey.Params(public)
	if err != nil {
		return nil, err
	}
	return append([]byte(treeSignatureType), encode(params)...), nil
}

// TreeVKey writes a log's receipt key as a verifier key (C2SP signed-note).
func TreeVKey(origin string, public crypto.PublicKey) (string, error) {
	if err := CheckOrigin(origin); err != nil {
		return "", err
	}
	v, err := newTreeVerifier(origin, public)
	if err != nil {
		return "", err
	}
	encoded, err := treeKeyBytes(public)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s+%08x+%s", origin, v.hash, base64.StdEncoding.EncodeToString(encoded)), nil
}

// CheckOrigin holds the name of a log to what a signed note allows.
//
// C2SP signed-note: the key name "MUST be non-empty, and not contain any
// Unicode spaces or plus (U+002B) characters".
func CheckOrigin(origin string) error {
	if origin == "" || !utf8.ValidString(origin) || strings.ContainsRune(origin, '+') || strings.ContainsFunc(origin, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return malformed("the origin %q is empty, or has spaces, plus signs, characters that cannot be shown or bytes that are no UTF-8, which the name of a log may not", origin)
	}
	return nil
}

// TreeKey reads the key in what TreeVKey writes, under the name that Receipts
// have for it.
func TreeKey(vkey string) (Key, error) {
	_, key, err := treeKey(vkey)
	if err != nil {
		return Key{}, err
	}
	return NewKey(key.Public)
}

// NewTreeVerifier reads what TreeVKey writes.
func NewTreeVerifier(vkey string) (note.Verifier, error) {
	v, _, err := treeKey(vkey)
	if err != nil {
		return nil, err
	}
	return v, nil
}

func treeKey(vkey string) (*treeVerifier, Key, error) {
	origin, rest, _ := strings.Cut(vkey, "+")
	hash, enc, ok := strings.Cut(rest, "+")
	id, err := hex.DecodeString(hash)
	if !ok || err != nil || len(id) != 4 {
		return nil, Key{}, malformed("verifier key %q is not name+hash+key", vkey)
	}
	b, err := base64.StdEncoding.DecodeString(enc)
	if err != nil {
		return nil, Key{}, malformed("verifier key %q: the key is not base64", vkey)
	}
	coseKey, ok := bytes.CutPrefix(b, []byte(treeSignatureType))
	if !ok {
		return nil, Key{}, malformed("verifier key %q is not one for receipts", vkey)
	}
	key, err := ParseKey(coseKey)
	if err != nil {
		return nil, Key{}, fmt.Errorf("verifier key %q: %w", vkey, err)
	}
	v, err := newTreeVerifier(origin, key.Public)
	if err != nil {
		return nil, Key{}, err
	}
	if v.hash != binary.BigEndian.Uint32(id) {
		return nil, Key{}, malformed("verifier key %q: the hash does not fit the key", vkey)
	}
	return v, key, nil
}

// Name is the log's origin.
func (v *treeVerifier) Name() string { return v.name }

// KeyHash is the key id of the note line.
func (v *treeVerifier) KeyHash() uint32 { return v.hash }

// Verify checks a TreeSignature against the body of its checkpoint: it is by
// this key, names this log, and signs this root.
func (v *treeVerifier) Verify(body, sig []byte) bool {
	cp, err := parseBody(body)
	if err != nil {
		return false
	}
	t, err := ParseTreeSignature(sig)
	return err == nil && bytes.Equal(t.KeyID, v.key.ID) && t.Subject == v.name &&
		t.VerifyRoot(v.key.Public, cp.Hash) == nil
}
