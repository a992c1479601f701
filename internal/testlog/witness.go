package testlog

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// NewCosigner makes the key of a witness, for Ed25519 or ML-DSA-44.
func NewCosigner(t testing.TB, name, algorithm string) *scitt.Cosigner {
	t.Helper()
	ed, pq, err := scitt.GenerateCosignerKeys(name)
	if err != nil {
		t.Fatal(err)
	}
	return Must(scitt.ParseCosignerKey(map[string]string{"Ed25519": ed, "ML-DSA-44": pq}[algorithm]))(t)
}

// Cosign adds the line of a witness to a checkpoint.
func Cosign(t testing.TB, raw []byte, by *scitt.Cosigner, at time.Time) []byte {
	t.Helper()
	body, _, _ := bytes.Cut(raw, []byte("\n\n"))
	s := Must(by.Cosign(append(body[:len(body):len(body)], '\n'), at))(t)
	return fmt.Appendf(raw[:len(raw):len(raw)], "— %s %s\n", s.Name, s.Base64)
}
