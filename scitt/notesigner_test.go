package scitt_test

import (
	"bytes"
	"crypto"
	"io"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// counting counts its signatures, and fails when it is told to.
type counting struct {
	crypto.Signer
	signs int
	err   error
}

func (c *counting) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if c.signs++; c.err != nil {
		return nil, c.err
	}
	return c.Signer.Sign(random, digest, o)
}

// TestNoteSigner: a key signs each checkpoint once, and what it signs verifies.
func TestNoteSigner(t *testing.T) {
	key := &counting{Signer: testlog.Key(t, "EdDSA")}
	s, vkey, err := scitt.NewNoteSigner("log.example", key)
	if err != nil {
		t.Fatal(err)
	}
	v := testlog.Must(note.NewVerifier(vkey))(t)
	if again := testlog.Must(scitt.LogVKey("log.example", key.Public()))(t); again != vkey || s.Name() != v.Name() || s.KeyHash() != v.KeyHash() {
		t.Errorf("%s and %s", vkey, again)
	}
	body := []byte("log.example\n1\nroot\n")
	first := testlog.Must(s.Sign(body))(t)
	if again := testlog.Must(s.Sign(bytes.Clone(body)))(t); !bytes.Equal(first, again) || key.signs != 1 || !v.Verify(body, first) {
		t.Errorf("%d signatures of one checkpoint", key.signs)
	}
	key.err = io.ErrUnexpectedEOF
	if _, err := s.Sign([]byte("other")); err == nil {
		t.Error("a signature of a key that does not sign")
	}
	key.err = nil
	if other := testlog.Must(s.Sign([]byte("other")))(t); !v.Verify([]byte("other"), other) {
		t.Error("the next one does not verify")
	}
	if _, _, err := scitt.NewNoteSigner("log.example", testlog.Key(t, "ES256")); err == nil || !strings.Contains(err.Error(), "Ed25519") {
		t.Errorf("an ES256 key: %v", err)
	}
	if _, _, err := scitt.NewNoteSigner("log example", key); err == nil {
		t.Error("a name with a space")
	}
	if ec := testlog.Must(scitt.LogVKey("log.example", testlog.Key(t, "ES256").Public()))(t); testlog.Must(scitt.TreeKey(ec))(t).Public == nil {
		t.Error(ec)
	}
	if cosigner := testlog.Must(scitt.CosignerVKey("w.example", key.Public()))(t); testlog.Must(scitt.NewCosignatureVerifier(cosigner))(t).Name() != "w.example" {
		t.Error(cosigner)
	}
}
