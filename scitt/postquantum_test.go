package scitt_test

import (
	"bytes"
	"crypto"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"filippo.io/mldsa"
	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
)

// TestAKP: the all-zeros key of RFC 9964 section 3 has the thumbprint that its kid shows,
// and COSE_Keys that are not as it says are refused.
func TestAKP(t *testing.T) {
	zeros, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), make([]byte, mldsa.PrivateKeySize))
	must(t, err)
	key := newKeyID(t, zeros)
	if !bytes.HasPrefix(key.ID, unhex(t, "b8969ab4b37da9f068")) || !bytes.HasSuffix(key.ID, unhex(t, "f0583bf5b8d3a8059a")) {
		t.Errorf("the thumbprint is %x", key.ID)
	}
	data, err := key.Marshal()
	must(t, err)
	read, err := scitt.ParseKey(data)
	must(t, err)
	if !bytes.Equal(read.ID, key.ID) || !read.PostQuantum() || !read.Allows(-48) || read.Allows(-7) {
		t.Errorf("read %+v", read)
	}
	good := m{1: 7, 3: -48, -1: zeros.PublicKey().Bytes()}
	_, err = scitt.ParseKey(enc(t, good))
	must(t, err)
	for name, c := range map[string]struct {
		key   m
		err   error
		piece string
	}{
		"no alg":        {m{1: 7, -1: good[-1]}, scitt.ErrAlgorithm, "AKP key for the algorithm <nil>"},
		"ML-DSA-65":     {with(good, m{3: -49}), scitt.ErrAlgorithm, "-49"},
		"ES256":         {with(good, m{3: -7}), scitt.ErrAlgorithm, "-7"},
		"no pub":        {m{1: 7, 3: -48}, scitt.ErrMalformed, "an ML-DSA-44 key"},
		"pub too short": {with(good, m{-1: good[-1].([]byte)[1:]}), scitt.ErrMalformed, "an ML-DSA-44 key"},
		"pub too long":  {with(good, m{-1: append([]byte{0}, good[-1].([]byte)...)}), scitt.ErrMalformed, "an ML-DSA-44 key"},
		"private":       {with(good, m{-2: make([]byte, 32)}), scitt.ErrMalformed, "holds a private key"},
		"alg of an EC2": {with(ec2(t, 1, newKey(t, "ES256").Public()), m{3: -48}), scitt.ErrMalformed, "those of ES256"},
	} {
		_, err := scitt.ParseKey(enc(t, c.key))
		t.Run(name, func(t *testing.T) { wantError(t, err, c.err, c.piece) })
	}
}

// TestMLDSAPrivateKey: PKCS#8 has the seed alone (RFC 9881 section 6), and nothing else is read.
func TestMLDSAPrivateKey(t *testing.T) {
	key := newKey(t, "ML-DSA-44").(*mldsa.PrivateKey)
	data, err := scitt.MarshalPrivateKey(key)
	must(t, err)
	read, err := scitt.ParsePrivateKey(data)
	must(t, err)
	block, _ := pem.Decode(data)
	if !key.Equal(read) || len(block.Bytes) != 54 {
		t.Errorf("%d bytes", len(block.Bytes))
	}
	parse := func(der []byte) error {
		_, err := scitt.ParsePrivateKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		return err
	}
	expanded := bytes.Replace(block.Bytes, []byte{0x80, 32}, []byte{0x04, 32}, 1)
	wantError(t, parse(expanded), scitt.ErrMalformed, "not the seed alone")
	wantError(t, parse(append(bytes.Clone(block.Bytes), 0)), scitt.ErrMalformed, "private key")
	other, err := mldsa.GenerateKey(mldsa.MLDSA65())
	must(t, err)
	if _, err := scitt.MarshalPrivateKey(other); err == nil {
		t.Error("an ML-DSA-65 key is written")
	}
}

// TestMLDSAStatement: issuers do not sign with ML-DSA-44, so that what a log admits
// does not depend on who judges.
func TestMLDSAStatement(t *testing.T) {
	key := newKey(t, "ML-DSA-44")
	_, err := scitt.SignStatement(key, scitt.SignOptions{Issuer: issuer, Subject: "s"}, nil)
	wantError(t, err, scitt.ErrAlgorithm, "signs Receipts and no statements")
	_, err = scitt.SignStatement(key, scitt.SignOptions{Subject: "s"}, nil)
	wantError(t, err, scitt.ErrAlgorithm, "a JSON Web Key")
	_, err = scitt.DecodeStatement(sign1{protected: with(goodHeader(), m{1: -48}), payload: []byte{}, signature: make([]byte, 2420)}.encode(t))
	wantError(t, err, scitt.ErrAlgorithm, "signs Receipts and no statements")
	for _, name := range scitt.Algorithms() {
		if name == "ML-DSA-44" {
			t.Error("a policy could name it")
		}
	}
}

// pqLog is a log that also signs with ML-DSA-44.
type pqLog struct {
	*testLog
	pqKey  crypto.Signer // of Receipts
	pqNote note.Signer
	pqTree *scitt.TreeSigner
}

func newPQLog(t testing.TB) *pqLog {
	t.Helper()
	l := &pqLog{testLog: newTestLog(t, origin), pqKey: newKey(t, "ML-DSA-44")}
	var vkey string
	var err error
	l.pqNote, vkey, err = scitt.NewNoteSigner(origin, newKey(t, "ML-DSA-44"))
	must(t, err)
	l.pqTree, err = scitt.NewTreeSigner(l.pqKey, issuer, origin, time.Now, nil)
	must(t, err)
	l.vkeys = append(l.vkeys, vkey, treeVKey(t, l.pqKey))
	return l
}

// TestPostQuantumCheckpoint: a checkpoint has an ML-DSA-44 line of the log, and a tree
// signature for the second Receipt. Who does not know these keys ignores both; one that is
// wrong fails the note for whoever does.
func TestPostQuantumCheckpoint(t *testing.T) {
	l, other := newPQLog(t), newPQLog(t)
	es := entries(5)
	body, proof := checkpointBody(origin, 5, merkleRoot(es)), &scitt.InclusionProof{Size: 5, Index: 2, Path: merklePath(2, es)}
	witness := newTestLog(t, "witness.example").note
	good := signNote(t, body, l.note, l.tree, l.pqNote, l.pqTree, witness)
	sign := func(s note.Signer, body string) []byte {
		sig, err := s.Sign([]byte(body))
		must(t, err)
		return sig
	}
	open := func(raw []byte, vkeys ...string) (*scitt.Checkpoint, error) {
		cv, err := scitt.NewCheckpointVerifiers(vkeys)
		must(t, err)
		return cv.Open(raw)
	}
	cp, err := open(good, l.vkeys...)
	must(t, err)
	receipts, err := cp.Receipts(proof)
	must(t, err)
	if len(receipts) != 2 {
		t.Fatalf("%d receipts", len(receipts))
	}
	keys := keySetOf(t, l.key, l.pqKey)
	for i, data := range receipts {
		r, err := scitt.ParseReceipt(data)
		must(t, err)
		must(t, keys.VerifyReceipt(r, es[2]))
		if r.PostQuantum() != (i == 1) || bytes.Count(r.Checkpoint, []byte("\n")) != 6 { // the log's Ed25519 line, and the witness's
			t.Errorf("receipt %d: %d, %s", i, r.Algorithm, r.Checkpoint)
		}
		wantError(t, keys.VerifyReceipt(r, es[1]), scitt.ErrSignature, "")
		wantError(t, r.Verify(other.pqKey.Public(), es[2]), scitt.ErrSignature, "")
	}
	// Who knows neither of the two keys reads the same, and makes the same Receipt.
	cp, err = open(good, l.vkeys[:2]...)
	must(t, err)
	if plain, err := cp.Receipts(proof); err != nil || len(plain) != 1 || !bytes.Equal(plain[0], receipts[0]) {
		t.Errorf("%d receipts, %v", len(plain), err)
	}
	if scitt.NoteVKey([]string{l.vkeys[3], l.vkeys[2], l.vkeys[1], l.vkeys[0]}) != l.vkeys[0] {
		t.Error("the note key is another one")
	}
	otherBody := checkpointBody(origin, 6, merkleRoot(entries(6)))
	for name, c := range map[string]struct {
		raw   []byte
		vkeys []string
		pq    bool
		piece string
	}{
		"by other ML-DSA keys":        {signNote(t, body, l.note, l.tree, other.pqNote, other.pqTree), l.vkeys, false, ""},
		"without them":                {signNote(t, body, l.note, l.tree), l.vkeys, false, ""},
		"no note line":                {signNote(t, body, l.note, l.tree, l.pqTree), l.vkeys, true, ""},
		"only ML-DSA":                 {signNote(t, body, l.pqNote, l.pqTree), l.vkeys, false, "no verifiable signatures by the log's note key"},
		"line of another tree":        {signNote(t, body, l.note, forged{l.pqNote, sign(l.pqNote, otherBody)}), l.vkeys, false, "invalid signature"},
		"line by another key":         {signNote(t, body, l.note, forged{l.pqNote, sign(other.pqNote, body)}), l.vkeys, false, "invalid signature"},
		"tree line by another key":    {signNote(t, body, l.note, forged{l.pqTree, sign(other.pqTree, body)}), l.vkeys, false, "invalid signature"},
		"tree line of another tree":   {signNote(t, body, l.note, forged{l.pqTree, sign(l.pqTree, otherBody)}), l.vkeys, false, "invalid signature"},
		"wrong lines of unknown keys": {signNote(t, body, l.note, l.tree, forged{l.pqTree, []byte("x")}, forged{l.pqNote, []byte("x")}), l.vkeys[:2], false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cp, err := open(c.raw, c.vkeys...)
			if c.piece != "" {
				wantError(t, err, scitt.ErrCheckpoint, c.piece)
				return
			}
			must(t, err)
			if (cp.PQ != nil) != c.pq {
				t.Errorf("%+v", cp.PQ)
			}
		})
	}
	for piece, vkeys := range map[string][]string{
		"two ML-DSA-44 note keys": append(l.vkeys, other.vkeys[2]),
		"of two logs":             {l.vkeys[0], mustVKey(t, "other.example", newKey(t, "ML-DSA-44"))},
		"no Ed25519 verifier key": l.vkeys[1:],
		"is not written as":       {l.vkeys[0], l.vkeys[2][:len(origin)+1] + "00000000" + l.vkeys[2][len(origin)+9:]},
	} {
		_, err := scitt.NewCheckpointVerifiers(vkeys)
		wantError(t, err, scitt.ErrMalformed, piece)
	}
}

func mustVKey(t testing.TB, name string, key crypto.Signer) string {
	t.Helper()
	vkey, err := scitt.CosignerVKey(name, key.Public())
	must(t, err)
	return vkey
}

// TestPostQuantumKeys: a service key announces ML-DSA-44 keys beside the others, and what
// they signed must not stop verifying; a statement without them has no trace of them.
func TestPostQuantumKeys(t *testing.T) {
	o := newOwner(t)
	first, err := scitt.FirstKeys(announce(t, o.service, o.keys(t)), origin)
	must(t, err)
	if plain := marshalKeys(t, first.Keys); bytes.Contains(plain, []byte("pq_")) {
		t.Errorf("%x", plain)
	}
	note1, note2, receipt1, receipt2 := newKey(t, "ML-DSA-44"), newKey(t, "ML-DSA-44"), newKey(t, "ML-DSA-44"), newKey(t, "ML-DSA-44")
	next := func(before *scitt.KeysInForce, change func(k *scitt.Keys)) (*scitt.KeysInForce, error) {
		k := *before.Keys
		k.Previous = before.ID
		change(&k)
		return before.Next(announce(t, o.service, &k))
	}
	on, err := next(first, func(k *scitt.Keys) { k.PQNote, k.PQReceipt = keySetOf(t, note1), keySetOf(t, receipt1) })
	must(t, err)
	rotated, err := next(on, func(k *scitt.Keys) {
		k.PQNote, k.PQReceipt = keySetOf(t, note2, note1), keySetOf(t, receipt2, receipt1)
	})
	must(t, err)
	vkeys, err := rotated.VKeys()
	must(t, err)
	want := []string{rotated.Note[0], treeVKey(t, o.receipt), mustVKey(t, origin, note2), treeVKey(t, receipt2), treeVKey(t, receipt1)}
	if strings.Join(vkeys, "\n") != strings.Join(want, "\n") || len(rotated.ReceiptKeys()) != 3 {
		t.Errorf("%q", vkeys)
	}
	_, err = next(on, func(k *scitt.Keys) { k.PQReceipt = nil })
	wantError(t, err, scitt.ErrMalformed, "neither kept nor compromised")
	_, err = next(on, func(k *scitt.Keys) { k.PQNote = keySetOf(t, note2) })
	wantError(t, err, scitt.ErrMalformed, "neither kept nor compromised")
	_, err = next(on, func(k *scitt.Keys) { k.PQNote, k.Compromised = nil, compromised(t, 1, note1) })
	must(t, err)
}
