package scitt_test

import (
	"crypto"
	"testing"
	"time"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// receiptFor makes a receipt of a log that holds the leaf as its second entry.
func receiptFor(t *testing.T, key crypto.Signer, leaf []byte) []byte {
	t.Helper()
	leaves := [][]byte{[]byte("first"), leaf, []byte("third")}
	tree, err := scitt.SignTree(key, issuer, origin, time.Unix(1_700_000_000, 0), merkleRoot(leaves))
	must(t, err)
	return tree.Receipt(&scitt.InclusionProof{Size: 3, Index: 1, Path: merklePath(1, leaves)})
}

func TestVerifierReceipts(t *testing.T) {
	key, logKey, unknown := newKey(t, "ES256"), newKey(t, "ES256"), newKey(t, "ES256")
	keys := scitt.KeySet{newKeyID(t, newKey(t, "EdDSA")), newKeyID(t, logKey)}
	s := newStatement(t, key, scitt.SignOptions{}, []byte("payload"))
	id := s.ID()
	byEntry, byDigest := receiptFor(t, logKey, s.Entry()), receiptFor(t, logKey, scitt.LeafDigest.Leaf(s))
	foreign := receiptFor(t, unknown, s.Entry())
	another := receiptFor(t, logKey, []byte("another"))
	noKid := newForeignReceipt(t, logKey, 4, 2)
	noKid.protected = with(noKid.protected.(m), m{4: nil})
	noKid.leaves[2] = s.Entry()

	for name, c := range map[string]struct {
		receipts [][]byte
		keys     scitt.KeySet
		modes    []scitt.LeafMode
		leaf     scitt.LeafMode // of the first receipt
		want     error          // of Verification.Err; nil when all is well
		piece    string
	}{
		"entry":                     {[][]byte{byEntry}, keys, nil, scitt.LeafEntry, nil, ""},
		"digest":                    {[][]byte{byDigest}, keys, nil, scitt.LeafDigest, nil, ""},
		"both logs":                 {[][]byte{byEntry, byDigest}, keys, nil, scitt.LeafEntry, nil, ""},
		"only digest asked for":     {[][]byte{byDigest}, keys, []scitt.LeafMode{scitt.LeafDigest}, scitt.LeafDigest, nil, ""},
		"digest not asked for":      {[][]byte{byDigest}, keys, []scitt.LeafMode{scitt.LeafEntry}, "", scitt.ErrSignature, "not a receipt for this statement by key"},
		"entry not asked for":       {[][]byte{byEntry}, keys, []scitt.LeafMode{scitt.LeafDigest}, "", scitt.ErrSignature, "not a receipt"},
		"no receipts":               {nil, keys, nil, "", scitt.ErrProof, "carries no receipt"},
		"unknown key":               {[][]byte{foreign}, keys, nil, "", scitt.ErrUnknownKey, "receipt 1: no key with that identifier"},
		"unknown beside known":      {[][]byte{foreign, byEntry}, keys, nil, "", nil, ""},
		"no keys":                   {[][]byte{byEntry}, nil, nil, "", scitt.ErrUnknownKey, "receipt 1"},
		"another's receipt":         {[][]byte{another}, keys, nil, "", scitt.ErrSignature, "not a receipt for this statement"},
		"another's beside good":     {[][]byte{byEntry, another}, keys, nil, scitt.LeafEntry, scitt.ErrSignature, "receipt 2: not a receipt"},
		"malformed beside good":     {[][]byte{byEntry, {0xd2}}, keys, nil, scitt.LeafEntry, nil, ""},
		"malformed":                 {[][]byte{{0x84}}, keys, nil, "", scitt.ErrMalformed, "untagged"},
		"known kid of another key":  {[][]byte{byEntry}, scitt.KeySet{{ID: keys[1].ID, Public: unknown.Public()}}, nil, "", scitt.ErrSignature, "not a receipt"},
		"receipt of no kid, no key": {[][]byte{noKid.encode(t)}, nil, nil, "", scitt.ErrUnknownKey, "no key of a log is known"},
		"receipt of no kid":         {[][]byte{noKid.encode(t)}, keys, nil, scitt.LeafEntry, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := (&scitt.Verifier{LogKeys: c.keys, Leaf: c.modes}).Verify(scitt.AttachReceipts(s, c.receipts...))
			must(t, err)
			if v.KeySource != "did:jwk" || v.SignatureErr != nil || v.Statement.ID() != id || len(v.Receipts) != len(c.receipts) {
				t.Errorf("verification %+v", v)
			}
			if len(v.Receipts) > 0 && v.Receipts[0].Leaf != c.leaf {
				t.Errorf("leaf %q, want %q", v.Receipts[0].Leaf, c.leaf)
			}
			if c.want == nil {
				must(t, v.Err())
				return
			}
			wantError(t, v.Err(), c.want, c.piece)
		})
	}
}

func given(key crypto.Signer) *scitt.Key { return &scitt.Key{Public: key.Public()} }

func TestVerifierIssuerKey(t *testing.T) {
	key, other, logKey := newKey(t, "ES256"), newKey(t, "ES256"), newKey(t, "EdDSA")
	byName := newStatement(t, key, scitt.SignOptions{Issuer: "https://i.example"}, []byte("x"))
	byDID := newStatement(t, key, scitt.SignOptions{}, []byte("x"))
	otherDID, err := did.NewJWK(other.Public())
	must(t, err)
	// A did:jwk of another key, with the kid of the signing key.
	stolen := newStatement(t, key, scitt.SignOptions{Issuer: otherDID}, []byte("x"))
	badDID := newStatement(t, key, scitt.SignOptions{Issuer: "did:jwk:x"}, []byte("x"))
	root := newCA(t, "root", newKey(t, "ES256"), nil)
	leaf := newLeaf(t, root, 0)
	byChain := newStatement(t, leaf.key, scitt.SignOptions{Issuer: "https://i.example", IssuedAt: during, X5Chain: [][]byte{leaf.Raw}}, []byte("x"))
	wrongKey := sign1{protected: goodHeader(), payload: []byte("x")}
	iss, err := did.NewJWK(key.Public())
	must(t, err)
	wrongKey.protected = with(goodHeader(), m{4: newKeyID(t, key).ID, 15: m{1: iss, 2: "s"}})
	tampered, err := scitt.ParseStatement(signed(t, "ES256", other, wrongKey, []byte("x")).encode(t))
	must(t, err)

	for name, c := range map[string]struct {
		s      *scitt.Statement
		v      scitt.Verifier
		source string
		want   error
		piece  string
	}{
		"did:jwk":             {byDID, scitt.Verifier{}, "did:jwk", nil, ""},
		"given":               {byName, scitt.Verifier{IssuerKey: given(key)}, "given", nil, ""},
		"given, another did":  {byDID, scitt.Verifier{IssuerKey: given(other)}, "did:jwk", scitt.ErrUnknownKey, "a did:jwk of another key than the given one"},
		"given, its did":      {byDID, scitt.Verifier{IssuerKey: given(key)}, "did:jwk", nil, ""},
		"given, not chain's":  {byChain, scitt.Verifier{IssuerKey: given(other)}, "given", scitt.ErrUnknownKey, "is for another key"},
		"given, another":      {byName, scitt.Verifier{IssuerKey: given(other)}, "given", scitt.ErrSignature, "does not verify"},
		"none":                {byName, scitt.Verifier{}, "", scitt.ErrUnknownKey, `"https://i.example" is not a did:jwk`},
		"did of another":      {stolen, scitt.Verifier{}, "did:jwk", scitt.ErrUnknownKey, "the COSE Key Thumbprint (RFC 9679) of the did:jwk's key is"},
		"did malformed":       {badDID, scitt.Verifier{}, "did:jwk", scitt.ErrMalformed, "did:jwk is not unpadded"},
		"signed by another":   {tampered, scitt.Verifier{}, "did:jwk", scitt.ErrSignature, "does not verify"},
		"x5chain":             {byChain, scitt.Verifier{Anchors: below(root)}, "x5chain", nil, ""},
		"x5chain, no root":    {byChain, scitt.Verifier{Anchors: below()}, "", scitt.ErrUnknownKey, "trusted roots for its x5chain"},
		"x5chain, nothing":    {byChain, scitt.Verifier{}, "", scitt.ErrUnknownKey, "trusted roots for its x5chain"},
		"x5chain, given":      {byChain, scitt.Verifier{IssuerKey: given(leaf.key)}, "given", nil, ""},
		"did despite roots":   {byDID, scitt.Verifier{Anchors: below(root)}, "did:jwk", nil, ""},
		"no x5chain to roots": {byName, scitt.Verifier{Anchors: below(root)}, "", scitt.ErrUnknownKey, "give its key"},
	} {
		t.Run(name, func(t *testing.T) {
			c.v.LogKeys = scitt.KeySet{newKeyID(t, logKey)}
			v, err := c.v.Verify(scitt.AttachReceipts(c.s, receiptFor(t, logKey, c.s.Entry())))
			must(t, err)
			if v.KeySource != c.source {
				t.Errorf("key from %q, want %q", v.KeySource, c.source)
			}
			if v.Receipts[0].Err != nil {
				t.Errorf("the receipt does not depend on the issuer's key: %v", v.Receipts[0].Err)
			}
			if c.want == nil {
				must(t, v.Err())
				return
			}
			wantError(t, v.SignatureErr, c.want, c.piece)
			wantError(t, v.Err(), c.want, "statement: ")
		})
	}
	_, err = (&scitt.Verifier{}).Verify([]byte{0x84})
	wantError(t, err, scitt.ErrMalformed, "untagged")
}
