package scitt_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"testing"

	"github.com/veraison/go-cose"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// signedWith is a statement with this protected header, signed by go-cose.
func signedWith(t *testing.T, alg string, key crypto.Signer, h m) *scitt.Statement {
	t.Helper()
	s := signed(t, alg, key, sign1{protected: h, payload: []byte("x")}, []byte("x"))
	got, err := scitt.ParseStatement(s.encode(t))
	must(t, err)
	return got
}

// TestIdentifiers: kid, x5t and x5chain that stand together name one key,
// however that key is known.
func TestIdentifiers(t *testing.T) {
	root := newCA(t, "root", newKey(t, "ES256"), nil)
	leaf := newLeaf(t, root, 0)
	other := newLeaf(t, root, 0)
	named := newCert(t, x509.Certificate{DNSNames: []string{"i.example"}, SubjectKeyId: []byte("the SKI")}, leaf.key, root)
	kid, otherKid := newKeyID(t, leaf.key).ID, newKeyID(t, other.key).ID
	iss, err := did.NewJWK(leaf.key.Public())
	must(t, err)
	sum, otherSum := sha256.Sum256(leaf.Raw), sha256.Sum256(other.Raw)
	x5t, otherX5T := []any{-16, sum[:]}, []any{-16, otherSum[:]}
	long := make([]any, 2000)
	for i := range long {
		long[i] = []byte{0x30, 0}
	}
	chains := map[[sha256.Size]byte][][]byte{sum: {leaf.Raw}, otherSum: {other.Raw}}
	anchors := scitt.SelfCertifying([]*x509.Certificate{root.Certificate}, chains)

	byKid := scitt.Known{Keys: []scitt.Key{{ID: kid, Public: leaf.key.Public()}}}
	given := scitt.Given(scitt.Key{Public: leaf.key.Public()})
	for who, c := range map[string]struct {
		issuer string
		known  scitt.Known
	}{
		"did:jwk":     {iss, scitt.Known{}},
		"a known kid": {"https://i.example", byKid},
		"a given key": {"https://i.example", given},
		"x5chain":     {"https://i.example", scitt.Known{}},
	} {
		for name, h := range map[string]struct {
			h    m
			good bool
		}{
			"kid and x5chain":              {m{4: kid, 33: leaf.Raw}, true},
			"kid, x5t and x5chain":         {m{4: kid, 34: x5t, 33: leaf.Raw}, true},
			"kid and x5t":                  {m{4: kid, 34: x5t}, true},
			"kid and another's x5chain":    {m{4: kid, 33: other.Raw}, false},
			"kid and another's x5t":        {m{4: kid, 34: otherX5T}, false},
			"x5t and another's x5chain":    {m{4: kid, 34: x5t, 33: other.Raw}, false},
			"x5chain and another's x5t":    {m{4: kid, 34: otherX5T, 33: leaf.Raw}, false},
			"kid and an unknown x5t":       {m{4: kid, 34: []any{-16, make([]byte, 32)}}, false},
			"kid and an x5t of SHA-1":      {m{4: kid, 34: []any{-14, make([]byte, 20)}}, false},
			"kid and garbage":              {m{4: kid, 33: []byte("garbage")}, false},
			"kid and garbage behind":       {m{4: kid, 33: []any{leaf.Raw, []byte("garbage")}}, false},
			"kid and 2,000 certificates":   {m{4: kid, 33: long}, false},
			"x5chain and a kid of nobody":  {m{4: []byte("somebody"), 33: other.Raw}, false},
			"x5chain and the other's kid":  {m{4: otherKid, 33: leaf.Raw}, false},
			"x5t and the other's kid":      {m{4: otherKid, 34: x5t}, false},
			"x5t and a kid of nobody":      {m{4: []byte("somebody"), 34: x5t}, false},
			"x5t, a kid and another chain": {m{4: []byte("somebody"), 34: x5t, 33: other.Raw}, false},
			"x5chain and the certified id": {m{4: []byte("the SKI"), 33: named.Raw}, who != "did:jwk"},
		} {
			t.Run(who+"/"+name, func(t *testing.T) {
				claims := m{15: m{1: c.issuer, 2: "s", 6: during.Unix()}}
				s := signedWith(t, "ES256", leaf.key, with(with(goodHeader(), claims), h.h))
				for range 2 { // the second time from the cache
					by, err := anchors.Verify(s, c.known)
					if !h.good {
						wantError(t, err, scitt.ErrUnknownKey, "")
						continue
					}
					must(t, err)
					sameKey(t, by.Public, leaf.key.Public())
				}
			})
		}
	}
}

// TestRSAAlgorithms: an RSA key verifies each of the PS algorithms, unless its
// alg says which; the curve of another key says so alone, whatever the number.
func TestRSAAlgorithms(t *testing.T) {
	key := newKey(t, "PS256")
	numbers := map[string]cose.Algorithm{"PS256": -37, "PS384": -38, "PS512": -39}
	params := m{1: 3, -1: key.Public().(*rsa.PublicKey).N.Bytes(), -2: []byte{1, 0, 1}}
	for alg, n := range numbers {
		st := signedWith(t, alg, key, with(goodHeader(), m{1: int(n)}))
		must(t, st.VerifySignature(key.Public()))
		for only, number := range numbers {
			restricted, err := scitt.ParseKey(enc(t, with(params, m{3: int(number), 4: []any{1, 2}})))
			must(t, err)
			_, err = scitt.SelfCertifying(nil, nil).Verify(st, scitt.Given(restricted))
			if only == alg {
				must(t, err)
				must(t, scitt.KeySet{{ID: []byte("key"), Public: key.Public(), Algorithm: number}}.Verify(st))
				continue
			}
			wantError(t, err, scitt.ErrUnknownKey, "the key is for "+only+" and the statement is signed with "+alg)
		}
	}
}

// TestFullySpecified: the algorithms of RFC 9864 are those that the curve has
// anyway.
func TestFullySpecified(t *testing.T) {
	for _, c := range []struct {
		kind, name string
		number     int
	}{{"ES256", "ESP256", -9}, {"ES384", "ESP384", -51}, {"ES512", "ESP512", -52}, {"EdDSA", "Ed25519", -19}} {
		key := newKey(t, c.kind)
		s := signedWith(t, c.kind, key, with(goodHeader(), m{1: c.number}))
		must(t, s.VerifySignature(key.Public()))
		if name := scitt.AlgorithmName(s.Algorithm); name != c.name {
			t.Errorf("%d is %s, want %s", c.number, name, c.name)
		}
		for _, other := range kinds {
			if other != c.kind {
				wantError(t, s.VerifySignature(newKey(t, other).Public()), scitt.ErrSignature, "the header says "+c.name)
			}
		}
	}
}

// TestRepeatedKid: in a key set of somebody else a kid may repeat, so that each
// key with it is tried.
func TestRepeatedKid(t *testing.T) {
	a, b, c := newKey(t, "ES256"), newKey(t, "EdDSA"), newKey(t, "ES384")
	set := scitt.KeySet{{ID: []byte("key"), Public: a.Public()}, {ID: []byte("key"), Public: b.Public()}, {ID: []byte("other"), Public: c.Public()}}
	found, err := set.Find([]byte("key"))
	must(t, err)
	if len(found) != 2 {
		t.Errorf("%d keys, want 2", len(found))
	}
	for alg, key := range map[string]crypto.Signer{"ES256": a, "EdDSA": b} {
		must(t, set.Verify(signedWith(t, alg, key, with(goodHeader(), m{1: int(coseAlg(alg))}))))
	}
	wantError(t, set.Verify(signedWith(t, "ES384", c, with(goodHeader(), m{1: int(coseAlg("ES384"))}))), scitt.ErrSignature, "")

	s := newStatement(t, a, scitt.SignOptions{}, []byte("x"))
	for _, key := range []crypto.Signer{a, b} {
		receipt, err := scitt.ParseReceipt(receiptFor(t, key, s.Entry()))
		must(t, err)
		keys := scitt.KeySet{{ID: receipt.KeyID, Public: c.Public()}, {ID: receipt.KeyID, Public: key.Public()}}
		v, err := (&scitt.Verifier{LogKeys: keys}).Verify(scitt.AttachReceipts(s, receiptFor(t, key, s.Entry())))
		must(t, err)
		must(t, v.Err())
	}
	if _, err := set.Find(bytes.Repeat([]byte{1}, 32)); err == nil {
		t.Error("a key is found by a kid of nobody")
	}
}
