package scitt_test

import (
	"bytes"
	"crypto"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// keysOfAllKinds verify whatever a fuzzer finds; none of them may panic.
func keysOfAllKinds(f *testing.F) []crypto.PublicKey {
	var keys []crypto.PublicKey
	for _, alg := range append(kinds, "P-224") {
		keys = append(keys, newKey(f, alg).Public())
	}
	return keys
}

func FuzzParseStatement(f *testing.F) {
	keys := keysOfAllKinds(f)
	for _, alg := range kinds {
		data, err := scitt.SignStatement(newKey(f, alg), scitt.SignOptions{Subject: "s", ContentType: "text/plain"}, []byte("x"))
		must(f, err)
		f.Add(data)
	}
	f.Add(newStatement(f, newKey(f, "ES256"), scitt.SignOptions{Hash: true, Location: "x", Chain: &scitt.ChainLink{Name: "c"}}, nil).Entry())
	s := good()
	s.unprotected = m{394: []any{newForeignReceipt(f, newKey(f, "ES256"), 4, 1).encode(f)}}
	f.Add(s.encode(f))
	s.protected = with(goodHeader(), m{33: []any{[]byte{1}, []byte{2}}, 34: []any{-16, []byte{1}}, 2: []any{"chain"}, "chain": []any{"c", 1, make([]byte, 32)}})
	f.Add(s.encode(f))
	f.Add([]byte{0xd2, 0xd2, 0x84})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := scitt.ParseStatement(data)
		if err != nil {
			if scitt.ProblemOf(err) == nil {
				t.Fatalf("no answer for %v", err)
			}
			return
		}
		again, err := scitt.ParseStatement(s.Entry())
		if err != nil {
			t.Fatalf("the entry does not parse: %v", err)
		}
		id, ok := scitt.EntryIDOf(s.Entry())
		if again.ID() != s.ID() || !bytes.Equal(again.Entry(), s.Entry()) || !ok || id != s.ID() {
			t.Fatal("the entry has another id")
		}
		if e, err := scitt.DecodeEntry(data); (err == nil) != bytes.Equal(data, s.Entry()) || err == nil && e.ID() != s.ID() {
			t.Fatalf("an Entry is read in its one encoding and in no other: %v", err)
		}
		if id, ok := scitt.EntryIDOf(data); ok && (id != s.ID() || !bytes.Equal(data, s.Entry())) {
			t.Fatal("bytes that are not the entry have its id")
		}
		if len(s.Entry()) > scitt.MaxEntrySize {
			t.Fatalf("an entry of %d bytes", len(s.Entry()))
		}
		for _, key := range keys {
			if err := s.VerifySignature(key); err != nil && scitt.ProblemOf(err) == nil {
				t.Fatalf("no answer for %v", err)
			}
		}
		v, err := (&scitt.Verifier{}).Verify(data)
		if err != nil {
			t.Fatalf("a verifier does not read it: %v", err)
		}
		if v.Err() == nil {
			t.Fatal("verified without the key of any log")
		}
	})
}

func FuzzParseReceipt(f *testing.F) {
	keys := keysOfAllKinds(f)
	f.Add(newForeignReceipt(f, newKey(f, "ES256"), 8, 2).encode(f))
	twice := newForeignReceipt(f, newKey(f, "ES256"), 300, 299)
	twice.unprotected = m{396: m{-1: []any{enc(f, twice.proof), enc(f, twice.proof)}, -2: []any{}}}
	f.Add(twice.encode(f))
	_, ledger, _ := ledgerReceipt(f, 5, 3, nil)
	f.Add(ledger)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := scitt.ParseReceipt(data)
		if err != nil {
			return
		}
		for _, p := range r.Proofs {
			if p.Index >= p.Size || len(p.Path) == 0 && p.Size > 1 {
				t.Fatalf("proof %+v", p)
			}
		}
		if len(r.Proofs)+len(r.Ledger) == 0 || len(r.Proofs)*len(r.Ledger) > 0 {
			t.Fatalf("receipt %+v", r)
		}
		for _, key := range keys {
			if r.Verify(key, []byte("entry")) == nil {
				t.Fatal("a receipt that nobody signed verifies")
			}
		}
	})
}

func FuzzParseTreeSignature(f *testing.F) {
	l := newTestLog(f, origin)
	sig, err := l.tree.Sign([]byte(checkpointBody(origin, 5, merkleRoot(entries(5)))))
	must(f, err)
	f.Add(sig)
	f.Fuzz(func(t *testing.T, data []byte) {
		tree, err := scitt.ParseTreeSignature(data)
		if err != nil {
			return
		}
		again, err := scitt.ParseTreeSignature(tree.Marshal())
		if err != nil || !reflect.DeepEqual(again, tree) {
			t.Fatalf("%+v became %+v, %v", tree, again, err)
		}
		receipt := tree.Receipt(&scitt.InclusionProof{Size: 2, Index: 1, Path: [][]byte{make([]byte, 32)}})
		if _, err := scitt.ParseReceipt(receipt); err != nil {
			t.Fatalf("its receipt does not parse: %v", err)
		}
	})
}

func FuzzCheckpointOpen(f *testing.F) {
	l := newTestLog(f, origin)
	cv := l.verifiers(f)
	root := merkleRoot(entries(5))
	body := checkpointBody(origin, 5, root)
	f.Add(signNote(f, body, l.note, l.tree))
	f.Add(signNote(f, body, l.tree))
	f.Add([]byte(body))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Nobody but the log can sign: what opens says what it signed.
		cp, err := cv.Open(data)
		if err == nil && (cp.Origin != origin || cp.Size != 5 || !bytes.Equal(cp.Root, root)) {
			t.Fatalf("opened %+v", cp)
		}
		if err == nil && cp.Tree != nil && cp.Tree.VerifyRoot(l.key.Public(), root) != nil {
			t.Fatal("a tree signature that does not verify")
		}
	})
}

func FuzzNewTreeVerifier(f *testing.F) {
	l := newTestLog(f, origin)
	f.Add(l.vkeys[0])
	f.Add(l.vkeys[1])
	f.Fuzz(func(t *testing.T, vkey string) {
		if v, err := scitt.NewTreeVerifier(vkey); err == nil {
			if v.Verify([]byte(checkpointBody(v.Name(), 5, make([]byte, 32))), []byte(vkey)) {
				t.Fatal("a key is no signature")
			}
			if _, err := scitt.NewCheckpointVerifiers([]string{l.vkeys[0], vkey}); err != nil {
				t.Fatalf("a verifier on its own, and not among others: %v", err)
			}
		}
		_, _ = scitt.NewCheckpointVerifiers([]string{vkey})
	})
}

// checkKey holds a key that was read to its round trips.
func checkKey(t *testing.T, public crypto.PublicKey) {
	t.Helper()
	alg, err := scitt.AlgorithmFor(public)
	if err != nil {
		return // a certificate or a PEM file may hold a key of another kind
	}
	data, err := newKeyOf(t, public).Marshal()
	must(t, err)
	key, err := scitt.ParseKey(data)
	must(t, err)
	sameKey(t, key.Public, public)
	if key.PostQuantum() {
		return // which is no issuer's
	}
	iss, err := did.NewJWK(public)
	must(t, err)
	again, err := did.Key(iss)
	must(t, err)
	sameKey(t, again.Public, public)
	s := sign1{protected: with(goodHeader(), m{1: int(alg)}), payload: []byte{}, signature: make([]byte, 256)}
	got, err := scitt.DecodeStatement(s.encode(t))
	must(t, err)
	if got.VerifySignature(public) == nil {
		t.Fatal("the zero signature verifies")
	}
}

func newKeyOf(t *testing.T, public crypto.PublicKey) scitt.Key {
	t.Helper()
	k, err := scitt.NewKey(public)
	must(t, err)
	return k
}

func addKeys(f *testing.F, marshal func(crypto.PublicKey) ([]byte, error)) {
	for _, alg := range kinds {
		data, err := marshal(newKey(f, alg).Public())
		must(f, err)
		f.Add(data)
	}
}

func FuzzParseKeySet(f *testing.F) {
	addKeys(f, func(k crypto.PublicKey) ([]byte, error) {
		key, err := scitt.NewKey(k)
		if err != nil {
			return nil, err
		}
		return scitt.KeySet{key, key}.Marshal()
	})
	pq, err := keySetOf(f, newKey(f, "ML-DSA-44"))[0].Marshal()
	must(f, err)
	f.Add(append([]byte{0x81}, pq...))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := scitt.ParseKeySet(data)
		if err != nil {
			return
		}
		if len(set) == 0 {
			t.Fatal("an empty set")
		}
		for _, k := range set {
			checkKey(t, k.Public)
			if _, err := set.Find(k.ID); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzParsePublicKey(f *testing.F) {
	addKeys(f, did.MarshalJWK)
	addKeys(f, func(k crypto.PublicKey) ([]byte, error) { iss, err := did.NewJWK(k); return []byte(iss), err })
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n"))
	pq, err := scitt.MarshalPrivateKey(newKey(f, "ML-DSA-44"))
	must(f, err)
	f.Add(pq)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if key, err := scitt.ParsePublicKey(data); err == nil {
			checkKey(t, key.Public)
		}
		_, _ = scitt.ParseCertificates(data)
		_, _ = scitt.ParsePrivateKey(data)
	})
}

func FuzzParseProblem(f *testing.F) {
	f.Add((&scitt.Problem{Title: "Rejected", Detail: "because"}).Marshal())
	f.Add(unhex(f, "a1 20 d826 82 62656e 655469746c65"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := scitt.ParseProblem(400, data)
		if err != nil {
			return
		}
		again, err := scitt.ParseProblem(400, p.Marshal())
		if err != nil || *again != *p {
			t.Fatalf("%+v became %+v, %v", p, again, err)
		}
	})
}

func FuzzParseConfiguration(f *testing.F) {
	c := testConfiguration()
	asJSON, err := json.Marshal(&c)
	must(f, err)
	asCBOR, err := c.Marshal()
	must(f, err)
	f.Add(asJSON)
	f.Add(asCBOR)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := scitt.ParseConfiguration(data)
		if err != nil {
			return
		}
		encoded, err := c.Marshal()
		if err != nil {
			return // a number in the policy that nothing can hold
		}
		again, err := scitt.ParseConfiguration(encoded)
		if err != nil {
			t.Fatalf("what was read and written does not parse: %v", err)
		}
		if again.Issuer != c.Issuer || again.Origin != c.Origin || again.Policy.Index != c.Policy.Index || len(again.CheckpointKeys) != len(c.CheckpointKeys) {
			t.Fatalf("%+v became %+v", c, again)
		}
	})
}
