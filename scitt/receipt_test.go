package scitt_test

import (
	"bytes"
	"crypto"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/veraison/go-cose"

	"github.com/conmotion/conmotion/scitt"
)

const issuer, origin = "https://log.example", "log.example/test"

// entries are n short leaves.
func entries(n int) [][]byte {
	leaves := make([][]byte, n)
	for i := range leaves {
		leaves[i] = fmt.Appendf(nil, "entry %d", i)
	}
	return leaves
}

// foreignReceipt is a receipt as another service would make it: by go-cose and
// the definitions of RFC 9162.
type foreignReceipt struct {
	sign1
	key    crypto.Signer
	leaves [][]byte
	proof  []any // size, index, path
}

func newForeignReceipt(t testing.TB, key crypto.Signer, size, index int) *foreignReceipt {
	t.Helper()
	leaves := entries(size)
	path := []any{}
	for _, h := range merklePath(index, leaves) {
		path = append(path, h)
	}
	kid := newKeyID(t, key).ID
	r := &foreignReceipt{
		sign1:  sign1{protected: m{1: -7, 4: kid, 395: 1, 15: m{1: issuer, 2: origin, 6: 1700000000}}},
		key:    key,
		leaves: leaves,
		proof:  []any{size, index, path},
	}
	return r
}

func (r *foreignReceipt) encode(t testing.TB) []byte {
	t.Helper()
	s := r.sign1
	if s.unprotected == nil {
		s.unprotected = m{396: m{-1: []any{enc(t, r.proof)}}}
	}
	if s.signature == nil {
		s = signed(t, "ES256", r.key, s, merkleRoot(r.leaves))
	}
	return s.encode(t)
}

func TestParseReceiptRefusals(t *testing.T) {
	key := newKey(t, "ES256")
	const size, index = 8, 2
	good := newForeignReceipt(t, key, size, index)
	path := good.proof[2].([]any)
	encoded := good.encode(t)
	edit := func(f func(r *foreignReceipt)) []byte {
		r := newForeignReceipt(t, key, size, index)
		f(r)
		return r.encode(t)
	}
	header := func(changes m) []byte {
		return edit(func(r *foreignReceipt) { r.protected = with(r.protected.(m), changes) })
	}
	unprotected := func(u any) []byte { return edit(func(r *foreignReceipt) { r.unprotected = u }) }
	proof := func(p ...any) []byte { return edit(func(r *foreignReceipt) { r.proof = p }) }
	proofBytes := func(b []byte) []byte { return unprotected(m{396: m{-1: []any{b}}}) }

	for name, c := range map[string]struct {
		data  []byte
		want  error
		piece string
	}{
		"empty":            {nil, scitt.ErrMalformed, "receipt: malformed: the body is empty"},
		"untagged":         {encoded[1:], scitt.ErrMalformed, "untagged"},
		"tagged twice":     {append([]byte{0xd2}, encoded...), scitt.ErrMalformed, "not around an array"},
		"trailing bytes":   {append(bytes.Clone(encoded), 0xf6), scitt.ErrMalformed, "1 bytes trail"},
		"attached payload": {edit(func(r *foreignReceipt) { r.payload = merkleRoot(r.leaves) }), scitt.ErrMalformed, "payload is attached"},
		"empty payload":    {edit(func(r *foreignReceipt) { r.payload = []byte{} }), scitt.ErrMalformed, "payload is attached"},
		"no signature":     {edit(func(r *foreignReceipt) { r.signature = raw{0xf6} }), scitt.ErrMalformed, "signature is not a byte string"},

		"no alg":            {header(m{1: nil}), scitt.ErrMalformed, "no alg"},
		"alg not supported": {header(m{1: -47}), scitt.ErrAlgorithm, "algorithm -47"},
		"vds missing":       {header(m{395: nil}), scitt.ErrMalformed, "no verifiable data structure (395)"},
		"vds of old drafts": {header(m{395: nil, -111: 1}), scitt.ErrMalformed, "labels of old drafts (-111)"},
		"vds only unprotected": {edit(func(r *foreignReceipt) {
			r.protected, r.unprotected = with(r.protected.(m), m{395: nil}), m{395: 1, 396: m{-1: []any{enc(t, r.proof)}}}
		}), scitt.ErrMalformed, "the unprotected header do not count"},
		"vds in both":           {unprotected(m{395: 1, 396: m{-1: []any{enc(t, good.proof)}}}), scitt.ErrMalformed, "395 is in both"},
		"vds of CCF":            {header(m{395: 2}), scitt.ErrMalformed, "is not that of a CCF ledger"},
		"vds zero":              {header(m{395: 0}), scitt.ErrMalformed, "verifiable data structure 0"},
		"vds text":              {header(m{395: "RFC9162_SHA256"}), scitt.ErrMalformed, "(395) is not an integer"},
		"crit unprotected":      {unprotected(m{2: []any{1}, 396: m{-1: []any{enc(t, good.proof)}}}), scitt.ErrMalformed, "crit (2) is in the unprotected"},
		"typ unprotected":       {unprotected(m{16: "application/a", 396: m{-1: []any{enc(t, good.proof)}}}), scitt.ErrMalformed, "typ (16) is in the unprotected"},
		"exp text":              {header(m{15: m{4: ""}}), scitt.ErrMalformed, "CWT claim exp"},
		"nbf null":              {header(m{15: m{5: nil}}), scitt.ErrMalformed, "CWT claim nbf"},
		"crit unknown":          {header(m{2: []any{"x"}, "x": 1}), scitt.ErrMalformed, "marks the header parameter x as critical"},
		"kid text":              {header(m{4: "key"}), scitt.ErrMalformed, "kid (4) is not a byte string"},
		"claims not a map":      {header(m{15: 1}), scitt.ErrMalformed, "CWT Claims (15) are not a map"},
		"iss a number":          {header(m{15: m{1: 1}}), scitt.ErrMalformed, "CWT claim iss"},
		"sub a number":          {header(m{15: m{2: 1}}), scitt.ErrMalformed, "CWT claim sub"},
		"iat text":              {header(m{15: m{6: ""}}), scitt.ErrMalformed, "CWT claim iat"},
		"duplicate protected":   {edit(func(r *foreignReceipt) { r.protected = unhex(t, "a3 0126 19018b01 19018b01") }), scitt.ErrMalformed, "duplicate"},
		"duplicate unprotected": {unprotected(raw(unhex(t, "a2 19018c01 19018c01"))), scitt.ErrMalformed, "duplicate"},
		"duplicate proofs":      {unprotected(raw(unhex(t, "a1 19018c a2 2080 2080"))), scitt.ErrMalformed, "duplicate"},

		"checkpoint not text":    {unprotected(m{"c2sp.org/tlog-checkpoint": []byte("x"), 396: m{-1: []any{enc(t, good.proof)}}}), scitt.ErrMalformed, "the checkpoint is not text"},
		"no proofs":              {unprotected(m{}), scitt.ErrMalformed, "no verifiable data structure proofs (396)"},
		"proofs of old drafts":   {unprotected(m{-222: m{-1: []any{enc(t, good.proof)}}}), scitt.ErrMalformed, "labels of old drafts (-222)"},
		"proofs not a map":       {unprotected(m{396: []any{enc(t, good.proof)}}), scitt.ErrMalformed, "no verifiable data structure proofs (396)"},
		"only consistency":       {unprotected(m{396: m{-2: []any{enc(t, good.proof)}}}), scitt.ErrMalformed, "no inclusion proof (-1)"},
		"proof not in an array":  {unprotected(m{396: m{-1: enc(t, good.proof)}}), scitt.ErrMalformed, "as an array with at least one byte string"},
		"no proof in the array":  {unprotected(m{396: m{-1: []any{}}}), scitt.ErrMalformed, "as an array with at least one byte string"},
		"proof not encoded":      {unprotected(m{396: m{-1: []any{good.proof}}}), scitt.ErrMalformed, "inclusion proof is not a byte string"},
		"proof is no array":      {proofBytes(enc(t, m{})), scitt.ErrMalformed, "not [tree size, leaf index, path]"},
		"proof is empty":         {proofBytes(nil), scitt.ErrMalformed, "an inclusion proof is not a byte string"},
		"proof of no bytes":      {proofBytes([]byte{}), scitt.ErrMalformed, "not [tree size, leaf index, path]"},
		"proof of two":           {proof(size, index), scitt.ErrMalformed, "not [tree size, leaf index, path]"},
		"proof of four":          {proof(size, index, path, 0), scitt.ErrMalformed, "not [tree size, leaf index, path]"},
		"proof is tagged":        {proofBytes(append([]byte{0xc1}, enc(t, good.proof)...)), scitt.ErrMalformed, "not [tree size, leaf index, path]"},
		"proof trailing":         {proofBytes(append(enc(t, good.proof), 0)), scitt.ErrMalformed, "extraneous"},
		"size nil":               {proof(nil, index, path), scitt.ErrMalformed, "not [tree size, leaf index, path]"},
		"index nil":              {proof(size, nil, path), scitt.ErrMalformed, "not [tree size, leaf index, path]"},
		"index negative":         {proof(size, -1, path), scitt.ErrMalformed, "not [tree size, leaf index, path]"},
		"index float":            {proof(size, 2.0, path), scitt.ErrMalformed, "not [tree size, leaf index, path]"},
		"index text":             {proof(size, "2", path), scitt.ErrMalformed, "not [tree size, leaf index, path]"},
		"index is size":          {proof(size, size, path), scitt.ErrMalformed, "leaf 8 of a tree of 8 leaves"},
		"index beyond size":      {proof(size, uint64(math.MaxUint64), path), scitt.ErrMalformed, "of a tree of 8 leaves"},
		"size zero":              {proof(0, 0, path), scitt.ErrMalformed, "leaf 0 of a tree of 0 leaves"},
		"size beyond 63 bits":    {proof(uint64(1)<<63, index, path), scitt.ErrMalformed, "tree of 9223372036854775808"},
		"path empty":             {proof(size, index, []any{}), scitt.ErrMalformed, "path is empty"},
		"path nil":               {proof(size, index, nil), scitt.ErrMalformed, "not [tree size, leaf index, path]"},
		"path bytes":             {proof(size, index, path[0]), scitt.ErrMalformed, "not [tree size, leaf index, path]"},
		"hash short":             {proof(size, index, []any{path[0], path[1].([]byte)[1:], path[2]}), scitt.ErrMalformed, "31 bytes, not 32"},
		"hash long":              {proof(size, index, []any{path[0], append([]byte{0}, path[1].([]byte)...), path[2]}), scitt.ErrMalformed, "33 bytes, not 32"},
		"hash text":              {proof(size, index, []any{path[0], path[1], "hash"}), scitt.ErrMalformed, "path's hash is not a byte string"},
		"second proof malformed": {unprotected(m{396: m{-1: []any{enc(t, good.proof), []byte{0}}}}), scitt.ErrMalformed, "not [tree size, leaf index, path]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := scitt.ParseReceipt(c.data)
			wantError(t, err, c.want, c.piece)
		})
	}
}

// TestReceiptVerify reads and verifies what another implementation made, and
// refuses what only looks like it.
func TestReceiptVerify(t *testing.T) {
	key := newKey(t, "ES256")
	good := newForeignReceipt(t, key, 8, 2)
	entry, path := good.leaves[2], good.proof[2].([]any)
	flipped := bytes.Clone(path[1].([]byte))
	flipped[0] ^= 1
	other := newForeignReceipt(t, key, 8, 3)
	smaller := newForeignReceipt(t, key, 7, 2)

	for name, c := range map[string]struct {
		change func(r *foreignReceipt)
		key    crypto.Signer
		entry  []byte
		want   error // nil when it verifies
		piece  string
	}{
		"good":                {nil, key, entry, nil, ""},
		"another log's key":   {nil, newKey(t, "ES256"), entry, scitt.ErrSignature, "does not verify"},
		"key of another kind": {nil, newKey(t, "EdDSA"), entry, scitt.ErrSignature, "the header says ES256 and the key is one for EdDSA"},
		"another statement":   {nil, key, good.leaves[3], scitt.ErrSignature, "does not verify"},
		"another index":       {func(r *foreignReceipt) { r.proof[1] = 3 }, key, entry, scitt.ErrSignature, "does not verify"},
		"another size":        {func(r *foreignReceipt) { r.proof[0] = 9 }, key, entry, scitt.ErrProof, ""},
		"path too long":       {func(r *foreignReceipt) { r.proof[2] = append(slices.Clone(path), path[0]) }, key, entry, scitt.ErrProof, ""},
		"path too short":      {func(r *foreignReceipt) { r.proof[2] = path[:2] }, key, entry, scitt.ErrProof, ""},
		"path of another":     {func(r *foreignReceipt) { r.proof = other.proof }, key, entry, scitt.ErrSignature, ""},
		"flipped bit in path": {func(r *foreignReceipt) { r.proof[2] = []any{path[0], flipped, path[2]} }, key, entry, scitt.ErrSignature, ""},
		"short signature":     {func(r *foreignReceipt) { r.signature = make([]byte, 63) }, key, entry, scitt.ErrSignature, ""},
		"zero signature":      {func(r *foreignReceipt) { r.signature = zeroSignature }, key, entry, scitt.ErrSignature, ""},
		"proof twice": {func(r *foreignReceipt) {
			r.unprotected = m{396: m{-1: []any{enc(t, r.proof), enc(t, r.proof)}}}
		}, key, entry, nil, ""},
		"proofs of two trees": {func(r *foreignReceipt) {
			r.unprotected = m{396: m{-1: []any{enc(t, smaller.proof), enc(t, r.proof)}}}
		}, key, entry, scitt.ErrProof, "different roots"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newForeignReceipt(t, key, 8, 2)
			if c.change != nil {
				c.change(r)
			}
			got, err := scitt.ParseReceipt(r.encode(t))
			must(t, err)
			err = got.Verify(c.key.Public(), c.entry)
			if c.want == nil {
				must(t, err)
				return
			}
			wantError(t, err, c.want, c.piece)
		})
	}

	got, err := scitt.ParseReceipt(good.encode(t))
	must(t, err)
	if got.Algorithm != cose.AlgorithmES256 || !bytes.Equal(got.KeyID, newKeyID(t, key).ID) || got.Issuer != issuer || got.Subject != origin || got.IssuedAt != 1700000000 {
		t.Errorf("receipt %+v", got)
	}
	if p := got.Proofs[0]; p.Size != 8 || p.Index != 2 || len(p.Path) != 3 {
		t.Errorf("proof %+v", p)
	}
}

func TestInclusionProofRoot(t *testing.T) {
	leaves := entries(8)
	leaf, path := scitt.LeafHash(leaves[2]), merklePath(2, leaves)
	for name, c := range map[string]struct {
		p     scitt.InclusionProof
		piece string
	}{
		"index is size": {scitt.InclusionProof{Size: 8, Index: 8, Path: path}, ""},
		"no tree":       {scitt.InclusionProof{}, ""},
		"short hash":    {scitt.InclusionProof{Size: 8, Index: 2, Path: [][]byte{path[0], path[1][:31], path[2]}}, "31 bytes, not 32"},
		"long hash":     {scitt.InclusionProof{Size: 8, Index: 2, Path: [][]byte{path[0], path[1], append(bytes.Clone(path[2]), 0)}}, "33 bytes, not 32"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.p.Root(leaf)
			wantError(t, err, scitt.ErrProof, c.piece)
		})
	}
	one := scitt.InclusionProof{Size: 1}
	root, err := one.Root(scitt.LeafHash(leaves[0]))
	must(t, err)
	if !bytes.Equal(root, merkleRoot(leaves[:1])) {
		t.Error("root of one leaf")
	}
}

// TestReceiptAllSizes: for every leaf of every tree of 2 to 300, the receipt that
// is assembled parses, leads to the root by its definition, and verifies.
func TestReceiptAllSizes(t *testing.T) {
	key := newKey(t, "ES256")
	all := entries(300)
	for size := 2; size <= len(all); size++ {
		leaves := all[:size]
		root := merkleRoot(leaves)
		tree, err := scitt.SignTree(key, issuer, origin, time.Unix(1_700_000_000, 0), root)
		must(t, err)
		// The signature is checked for one leaf of a tree and the root for a
		// few; the first and the last tree are checked in full.
		step := max(1, size/5)
		if size == 2 || size == len(all) {
			step = 1
		}
		for i := size - 1; i >= 0; i -= step {
			p := &scitt.InclusionProof{Size: uint64(size), Index: uint64(i), Path: merklePath(i, leaves)}
			r, err := scitt.ParseReceipt(tree.Receipt(p))
			must(t, err)
			got, err := r.Proofs[0].Root(scitt.LeafHash(leaves[i]))
			must(t, err)
			if !bytes.Equal(got, root) || r.Proofs[0].Size != p.Size || r.Proofs[0].Index != p.Index {
				t.Fatalf("size %d, leaf %d: root %x, want %x", size, i, got, root)
			}
			if i == size-1 {
				must(t, r.Verify(key.Public(), leaves[i]))
				if err := r.Verify(key.Public(), leaves[0]); err == nil {
					t.Fatalf("size %d: receipt of leaf %d verifies for leaf 0", size, i)
				}
			}
		}
	}
}

func TestTreeSignatureRoundTrip(t *testing.T) {
	root := merkleRoot(entries(5))
	for _, alg := range kinds {
		key := newKey(t, alg)
		tree, err := scitt.SignTree(key, issuer, origin, time.Unix(1_700_000_000, 0), root)
		must(t, err)
		got, err := scitt.ParseTreeSignature(tree.Marshal())
		must(t, err)
		must(t, got.VerifyRoot(key.Public(), root))
		wantError(t, got.VerifyRoot(key.Public(), merkleRoot(entries(6))), scitt.ErrSignature, "does not verify")
		if !bytes.Equal(got.Marshal(), tree.Marshal()) || got.Issuer != issuer || got.Subject != origin ||
			got.IssuedAt != 1_700_000_000 || !bytes.Equal(got.KeyID, newKeyID(t, key).ID) || got.Algorithm != coseAlg(alg) {
			t.Errorf("%s: %+v", alg, got)
		}
		var msg cose.Sign1Message // and another implementation agrees
		must(t, msg.UnmarshalCBOR(tree.Marshal()))
		msg.Payload = root
		verifier, err := cose.NewVerifier(coseAlg(alg), key.Public())
		must(t, err)
		must(t, msg.Verify(nil, verifier))
	}
	_, err := scitt.SignTree(newKey(t, "P-224"), issuer, origin, time.Unix(0, 0), root)
	wantError(t, err, scitt.ErrAlgorithm, "P-224")

	receipt := newForeignReceipt(t, newKey(t, "ES256"), 8, 2)
	_, err = scitt.ParseTreeSignature(receipt.encode(t))
	wantError(t, err, scitt.ErrMalformed, "tree signature: malformed: the unprotected header is not empty")
	_, err = scitt.ParseTreeSignature([]byte{0x84})
	wantError(t, err, scitt.ErrMalformed, "tree signature: malformed: the COSE_Sign1 is untagged")
	receipt.unprotected, receipt.protected = m{}, with(receipt.protected.(m), m{395: nil})
	_, err = scitt.ParseTreeSignature(receipt.encode(t))
	wantError(t, err, scitt.ErrMalformed, "no verifiable data structure")
}

func TestAttachReceipts(t *testing.T) {
	key := newKey(t, "ES256")
	s := newStatement(t, key, scitt.SignOptions{}, []byte("payload"))
	got, err := scitt.ParseStatement(scitt.AttachReceipts(s, []byte("one"), []byte("two")))
	must(t, err)
	if len(got.Receipts) != 2 || string(got.Receipts[1]) != "two" || got.ID() != s.ID() {
		t.Errorf("receipts %q, id %v", got.Receipts, got.ID())
	}
	must(t, got.VerifySignature(key.Public()))
	// Once more: the receipts given are the receipts there are.
	got, err = scitt.ParseStatement(scitt.AttachReceipts(got, []byte("three")))
	must(t, err)
	if len(got.Receipts) != 1 || string(got.Receipts[0]) != "three" {
		t.Errorf("receipts %q", got.Receipts)
	}
	if !bytes.Equal(scitt.AttachReceipts(s), s.Entry()) {
		t.Error("without a receipt there is more than the entry")
	}
}
