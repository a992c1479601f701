package scitt

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// MediaTypeKeys is the content type of a keys statement.
const MediaTypeKeys = "application/vnd.conmotion.keys+cbor"

// Keys is the payload of a keys statement: all keys of a log and its service.
//
// RFC 9943, Key Management: every key has one purpose. docs/formats.md,
// section Keys, has the format and the rules.
type Keys struct {
	// Note are C2SP verifier keys (signed-note) of Ed25519 keys under the log's
	// origin. The first signs checkpoints, the others signed earlier ones.
	Note []string
	// Receipt are ES256 keys. The first signs new Receipts, the others signed
	// earlier ones.
	Receipt KeySet
	// PQNote and PQReceipt are ML-DSA-44 keys beside those of Note and Receipt, in the
	// same order; empty where the log has none.
	PQNote, PQReceipt KeySet
	// Service are ES256 keys. They sign the service's own statements.
	Service KeySet
	// Recovery are the COSE Key Thumbprints of keys that are kept offline.
	Recovery [][]byte
	// Previous is the entry id of the keys statement that this one replaces;
	// the zero value in entry 0.
	Previous EntryID
	// RecoveryKey signed the statement; nil when a service key did.
	RecoveryKey *Key
	// Compromised are keys that others may have.
	Compromised []CompromisedKey
}

// CompromisedKey is a key that others may have, by its COSE Key Thumbprint.
type CompromisedKey struct {
	_          struct{} `cbor:",toarray"`
	Thumbprint []byte
	From       uint64 // index of the first entry for which that may be so
}

// keysForm is the encoded form of Keys.
type keysForm struct {
	Note        []string          `cbor:"note"`
	Receipt     []cbor.RawMessage `cbor:"receipt"`
	PQNote      []cbor.RawMessage `cbor:"pq_note,omitempty"`
	PQReceipt   []cbor.RawMessage `cbor:"pq_receipt,omitempty"`
	Service     []cbor.RawMessage `cbor:"service"`
	Recovery    [][]byte          `cbor:"recovery"`
	Previous    []byte            `cbor:"previous,omitempty"`
	RecoveryKey cbor.RawMessage   `cbor:"recovery_key,omitempty"`
	Compromised []CompromisedKey  `cbor:"compromised,omitempty"`
}

// ParseKeys reads the payload of a keys statement. It refuses every encoding
// but the deterministic one (RFC 8949 section 4.2.1), and keys that break a
// rule that can be checked without the statement before. Errors wrap
// ErrMalformed or ErrAlgorithm.
func ParseKeys(data []byte) (*Keys, error) {
	var form keysForm
	if err := decMode.Unmarshal(data, &form); err != nil {
		return nil, malformed("not the keys of a log: %w", err)
	}
	k := &Keys{Note: form.Note, Recovery: form.Recovery, Compromised: form.Compromised}
	for _, list := range []struct {
		from []cbor.RawMessage
		to   *KeySet
	}{{form.Receipt, &k.Receipt}, {form.PQNote, &k.PQNote}, {form.PQReceipt, &k.PQReceipt}, {form.Service, &k.Service}} {
		for _, raw := range list.from {
			key, err := ParseKey(raw)
			if err != nil {
				return nil, err
			}
			*list.to = append(*list.to, key)
		}
	}
	if form.RecoveryKey != nil {
		key, err := ParseKey(form.RecoveryKey)
		if err != nil {
			return nil, err
		}
		k.RecoveryKey = &key
	}
	if n := len(form.Previous); n != 0 && n != len(k.Previous) {
		return nil, malformed("previous has %d bytes and an entry id has %d", n, len(k.Previous))
	}
	copy(k.Previous[:], form.Previous)
	again, err := k.Marshal()
	if err != nil {
		return nil, err
	}
	// Everything that the form does not hold, such as another member, is lost here.
	if !bytes.Equal(again, data) {
		return nil, malformed("the keys are not in deterministic CBOR with the members of docs/formats.md and no others")
	}
	return k, nil
}

// Marshal encodes the keys. It fails where ParseKeys would.
func (k *Keys) Marshal() ([]byte, error) {
	if err := k.check(); err != nil {
		return nil, err
	}
	form := keysForm{Note: k.Note, Recovery: k.Recovery, Compromised: k.Compromised}
	if form.Recovery == nil {
		form.Recovery = [][]byte{}
	}
	for _, list := range []struct {
		from KeySet
		to   *[]cbor.RawMessage
	}{{k.Receipt, &form.Receipt}, {k.PQNote, &form.PQNote}, {k.PQReceipt, &form.PQReceipt}, {k.Service, &form.Service}} {
		for _, key := range list.from {
			raw, err := key.Marshal()
			if err != nil {
				return nil, err
			}
			*list.to = append(*list.to, raw)
		}
	}
	if k.Previous != (EntryID{}) {
		form.Previous = k.Previous[:]
	}
	if k.RecoveryKey != nil {
		var err error
		if form.RecoveryKey, err = k.RecoveryKey.Marshal(); err != nil {
			return nil, err
		}
	}
	return encode(form), nil
}

// check holds the keys to the rules that need no other statement.
func (k *Keys) check() error {
	if len(k.Note) == 0 || len(k.Receipt) == 0 || len(k.Service) == 0 {
		return malformed("a log needs a note key, a receipt key and a service key")
	}
	used := map[string]string{} // thumbprint -> purpose
	use := func(purpose string, thumbprint []byte) error {
		if len(thumbprint) != len(EntryID{}) {
			return malformed("%s: a COSE Key Thumbprint has 32 bytes and not %d", purpose, len(thumbprint))
		}
		if other, ok := used[string(thumbprint)]; ok {
			return malformed("the key %x is in %s and in %s; every key has one purpose", thumbprint, other, purpose)
		}
		used[string(thumbprint)] = purpose
		return nil
	}
	useKey := func(purpose string, key Key, algorithms ...cose.Algorithm) error {
		alg, err := AlgorithmFor(key.Public)
		if err != nil {
			return err
		}
		if !slices.Contains(algorithms, alg) {
			return fmt.Errorf("%w: %s has a key for %s", ErrAlgorithm, purpose, AlgorithmName(alg))
		}
		thumbprint, err := Thumbprint(key.Public)
		if err != nil {
			return err
		}
		if !bytes.Equal(key.ID, thumbprint) {
			return malformed("the kid of a key in %s is not its COSE Key Thumbprint (RFC 9679)", purpose)
		}
		return use(purpose, thumbprint)
	}
	for _, vkey := range k.Note {
		key, err := noteKey(vkey)
		if err != nil {
			return err
		}
		if origin, _, _ := strings.Cut(vkey, "+"); origin != k.Origin() {
			return malformed("the note keys are of two logs: %q and %q", k.Origin(), origin)
		}
		if err := useKey("note", key, cose.AlgorithmEdDSA); err != nil {
			return err
		}
	}
	for _, list := range []struct {
		purpose string
		keys    KeySet
		alg     cose.Algorithm
	}{
		{"receipt", k.Receipt, cose.AlgorithmES256}, {"pq_note", k.PQNote, pubkey.MLDSA44},
		{"pq_receipt", k.PQReceipt, pubkey.MLDSA44}, {"service", k.Service, cose.AlgorithmES256},
	} {
		for _, key := range list.keys {
			if err := useKey(list.purpose, key, list.alg); err != nil {
				return err
			}
		}
	}
	for _, thumbprint := range k.Recovery {
		if err := use("recovery", thumbprint); err != nil {
			return err
		}
	}
	if k.RecoveryKey != nil {
		if err := useKey("recovery_key", *k.RecoveryKey, cose.AlgorithmES256, cose.AlgorithmEdDSA); err != nil {
			return err
		}
	}
	for _, c := range k.Compromised {
		if err := use("compromised", c.Thumbprint); err != nil {
			return err
		}
	}
	return k.checkKeyIDs()
}

// checkKeyIDs refuses two keys of checkpoints with one key id (C2SP
// signed-note): a note with both could not be opened.
func (k *Keys) checkKeyIDs() error {
	vkeys, err := k.vkeys(k.Note, k.PQNote)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, vkey := range vkeys {
		id := strings.SplitN(vkey, "+", 3)[1]
		if seen[id] {
			return malformed("two keys have the key id %s", id)
		}
		seen[id] = true
	}
	return nil
}

// Origin is the name of the log, which its note keys have.
func (k *Keys) Origin() string {
	origin, _, _ := strings.Cut(k.Note[0], "+")
	return origin
}

// VKeys are the verifier keys that new checkpoints are opened with: the first
// note key, all receipt keys, the first note key of ML-DSA-44, and all such receipt keys.
func (k *Keys) VKeys() ([]string, error) {
	return k.vkeys(k.Note[:1], k.PQNote[:min(1, len(k.PQNote))])
}

// vkeys are the verifier keys of these note keys and of all receipt keys.
func (k *Keys) vkeys(notes []string, pq KeySet) ([]string, error) {
	vkeys, of := slices.Clone(notes), k.Origin()
	add := func(vkey func(string, crypto.PublicKey) (string, error), keys KeySet) error {
		for _, key := range keys {
			v, err := vkey(of, key.Public)
			if err != nil {
				return err
			}
			vkeys = append(vkeys, v)
		}
		return nil
	}
	err := cmp.Or(add(TreeVKey, k.Receipt), add(CosignerVKey, pq), add(TreeVKey, k.PQReceipt))
	return vkeys, err
}

// ReceiptKeys are the keys of Receipts, as the log publishes them.
func (k *Keys) ReceiptKeys() KeySet { return slices.Concat(k.Receipt, k.PQReceipt) }

// NoteKeys are the keys in Note, under their thumbprints.
func (k *Keys) NoteKeys() ([]Key, error) {
	keys := make([]Key, len(k.Note))
	for i, vkey := range k.Note {
		var err error
		if keys[i], err = noteKey(vkey); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// noteKey reads the Ed25519 key in a verifier key, which must be in the one
// form that the C2SP signed-note specification gives it.
func noteKey(vkey string) (Key, error) {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return Key{}, malformed("note key %q: %w", vkey, err)
	}
	b, err := base64.StdEncoding.DecodeString(strings.SplitN(vkey, "+", 3)[2])
	if err != nil || len(b) != 1+ed25519.PublicKeySize {
		return Key{}, malformed("note key %q is not an Ed25519 key", vkey)
	}
	public := ed25519.PublicKey(b[1:])
	if again, err := note.NewEd25519VerifierKey(v.Name(), public); err != nil || again != vkey {
		return Key{}, malformed("note key %q is not written as %q", vkey, again)
	}
	return NewKey(public)
}
