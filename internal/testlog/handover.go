package testlog

import (
	"crypto"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

// NewHandover is a handover of a chain between the did:jwk issuers of two keys.
func NewHandover(t testing.TB, chain string, from, to crypto.Signer) *scitt.Handover {
	return &scitt.Handover{Chain: chain, From: DIDJWK(t, from), To: DIDJWK(t, to), Key: Must(scitt.Thumbprint(to.Public()))(t)}
}

// Handover is the statement of a handover that a key signs after another statement of
// the chain.
func Handover(t testing.TB, by crypto.Signer, h *scitt.Handover, after []byte) []byte {
	t.Helper()
	return Must(scitt.SignStatement(by, scitt.SignOptions{Type: scitt.TypeHandover, ContentType: scitt.MediaTypeHandover, Subject: h.Chain + "/handover",
		Chain: After(t, after)}, Must(h.Marshal())(t)))(t)
}

// After is the link of the statement behind another one of a chain.
func After(t testing.TB, entry []byte) *scitt.ChainLink {
	t.Helper()
	s := Must(scitt.DecodeStatement(entry))(t)
	id := s.ID()
	return &scitt.ChainLink{Name: s.Chain.Name, Seq: s.Chain.Seq + 1, Prev: id[:]}
}
