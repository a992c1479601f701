package scitt

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/note"
)

// noteSigner is a [note.Signer] of any Ed25519 key, in memory, in a KMS or in an HSM.
// What it signed last is kept, so that a checkpoint that is signed again, because its
// other signature failed or it is published again, costs no other signature.
type noteSigner struct {
	note.Verifier // for the name and the key id
	key           crypto.Signer

	mu         sync.Mutex
	body, last []byte
}

// NewNoteSigner makes the signer of a log's checkpoints, and its verifier key (C2SP
// signed-note). The key is Ed25519.
func NewNoteSigner(origin string, key crypto.Signer) (s note.Signer, vkey string, err error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, "", fmt.Errorf("%w: a log's note key is Ed25519, not a %T", ErrAlgorithm, key.Public())
	}
	if vkey, err = note.NewEd25519VerifierKey(origin, public); err != nil {
		return nil, "", err
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, "", malformed("the note key of %q: %w", origin, err)
	}
	return &noteSigner{Verifier: v, key: key}, vkey, nil
}

// Sign implements [note.Signer].
func (s *noteSigner) Sign(body []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil || !slices.Equal(s.body, body) {
		signature, err := s.key.Sign(rand.Reader, body, crypto.Hash(0))
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
