package scitt

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"filippo.io/mldsa"
	"golang.org/x/mod/sumdb/note"
)

// noteSigner is a [note.Signer] of a log's key, in memory, in a KMS or in an HSM. What it signed last is kept, so that a checkpoint that is signed again, because its
// other signature failed or it is published again, costs no other signature.
type noteSigner struct {
	note.Verifier // for the name and the key id
	sign          func(body []byte) ([]byte, error)

	mu         sync.Mutex
	body, last []byte
}

// NewNoteSigner makes the signer of a log's checkpoints, and its verifier key (C2SP
// signed-note). The key is Ed25519, or ML-DSA-44 for a second line.
//
// C2SP tlog-checkpoint, Signatures: "Logs SHOULD use ML-DSA-44 cosignatures to sign the
// checkpoint, but MAY use any note signature algorithm based on the ecosystem they operate
// in", and "The log’s key name in its signature line SHOULD match the origin line."
func NewNoteSigner(origin string, key crypto.Signer) (s note.Signer, vkey string, err error) {
	if _, ok := key.Public().(*mldsa.PublicKey); ok {
		c, err := NewCosigner(origin, key)
		if err != nil {
			return nil, "", err
		}
		return &noteSigner{Verifier: &c.CosignatureVerifier, sign: func(body []byte) ([]byte, error) {
			line, err := c.Cosign(body, time.Now())
			if err != nil {
				return nil, err
			}
			return signatureBytes(line)
		}}, c.String(), nil
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, "", fmt.Errorf("%w: a log's note key is Ed25519 or ML-DSA-44, not a %T", ErrAlgorithm, key.Public())
	}
	if vkey, err = note.NewEd25519VerifierKey(origin, public); err != nil {
		return nil, "", err
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, "", malformed("the note key of %q: %w", origin, err)
	}
	return &noteSigner{Verifier: v, sign: func(body []byte) ([]byte, error) { return key.Sign(rand.Reader, body, crypto.Hash(0)) }}, vkey, nil
}

// Sign implements [note.Signer].
func (s *noteSigner) Sign(body []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil || !slices.Equal(s.body, body) {
		signature, err := s.sign(body)
		if err != nil {
			return nil, fmt.Errorf("sign a checkpoint: %w", err)
		}
		s.body, s.last = slices.Clone(body), signature
	}
	return s.last, nil
}

// LogVKey is the verifier key of a log's key: of Ed25519 that of checkpoints, and of
// any other that of Receipts.
func LogVKey(origin string, public crypto.PublicKey) (string, error) {
	if ed, ok := public.(ed25519.PublicKey); ok && CheckOrigin(origin) == nil {
		return note.NewEd25519VerifierKey(origin, ed)
	}
	return TreeVKey(origin, public)
}

// CosignerVKey is the verifier key of a cosigner's key, Ed25519 or ML-DSA-44.
func CosignerVKey(name string, public crypto.PublicKey) (string, error) {
	v, err := newCosignatureVerifier(name, public)
	if err != nil {
		return "", err
	}
	return v.String(), nil
}

// vkeyType is the signature type of a verifier key, and that of Ed25519 for what is
// none of this package's: it is malformed.
func vkeyType(vkey string) byte {
	_, rest, _ := strings.Cut(vkey, "+")
	_, enc, _ := strings.Cut(rest, "+")
	b, err := base64.StdEncoding.DecodeString(enc)
	if err == nil && (bytes.HasPrefix(b, []byte(treeSignatureType)) || bytes.HasPrefix(b, []byte{typeMLDSA44})) {
		return b[0]
	}
	return 1
}

// NoteVKey is the Ed25519 one of a log's verifier keys, which signs its notes; "" when
// there is none.
func NoteVKey(vkeys []string) string {
	for _, vkey := range vkeys {
		if t := vkeyType(vkey); t != treeSignatureType[0] && t != typeMLDSA44 {
			return vkey
		}
	}
	return ""
}
