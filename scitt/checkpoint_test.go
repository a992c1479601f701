package scitt_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
)

// testLog has the keys of a log and signs its checkpoints.
type testLog struct {
	key    crypto.Signer // of receipts
	note   note.Signer
	tree   *scitt.TreeSigner
	vkeys  []string // note, tree
	signed int      // tree signatures made
}

func newTestLog(t testing.TB, origin string) *testLog {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	must(t, err)
	l := &testLog{key: newKey(t, "ES256")}
	l.note, err = note.NewSigner(skey)
	must(t, err)
	l.tree = l.newTreeSigner(t, origin)
	treeVKey, err := scitt.TreeVKey(origin, l.key.Public())
	must(t, err)
	l.vkeys = []string{vkey, treeVKey}
	return l
}

func (l *testLog) newTreeSigner(t testing.TB, origin string) *scitt.TreeSigner {
	t.Helper()
	now := func() time.Time { return time.Unix(1_700_000_000+int64(l.signed), 0) }
	s, err := scitt.NewTreeSigner(l.key, issuer, origin, now, func() { l.signed++ })
	must(t, err)
	return s
}

func (l *testLog) verifiers(t testing.TB) scitt.CheckpointVerifiers {
	t.Helper()
	cv, err := scitt.NewCheckpointVerifiers(l.vkeys)
	must(t, err)
	return cv
}

func checkpointBody(origin string, size uint64, root []byte) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(root))
}

func signNote(t testing.TB, body string, signers ...note.Signer) []byte {
	t.Helper()
	raw, err := note.Sign(&note.Note{Text: body}, signers...)
	must(t, err)
	return raw
}

// forged is the tree line of one note with the name and key id of another.
type forged struct {
	note.Signer
	sig []byte
}

func (f forged) Sign([]byte) ([]byte, error) { return f.sig, nil }

// otherBase64 changes a bit of the root's base64 that stands for nothing.
func otherBase64(body string) string {
	i := strings.Index(body, "=\n") - 1
	return body[:i] + string(body[i]+1) + body[i+1:]
}

func TestCheckpointOpen(t *testing.T) {
	l, other := newTestLog(t, origin), newTestLog(t, origin)
	root, otherRoot := merkleRoot(entries(5)), merkleRoot(entries(6))
	body := checkpointBody(origin, 5, root)
	otherBody := checkpointBody(origin, 6, otherRoot)
	good := signNote(t, body, l.note, l.tree)
	sign := func(s note.Signer, body string) []byte {
		sig, err := s.Sign([]byte(body))
		must(t, err)
		return sig
	}
	asOther, err := scitt.NewTreeSigner(l.key, issuer, "other.example", time.Now, nil)
	must(t, err)

	otherKid := signed(t, "ES256", l.key, sign1{protected: m{1: -7, 4: []byte("other"), 395: 1, 15: m{2: origin}}}, root).encode(t)

	for name, c := range map[string]struct {
		raw   []byte
		tree  bool // whether receipts can be made
		piece string
	}{
		"good":                  {good, true, ""},
		"other order":           {signNote(t, body, l.tree, l.note), true, ""},
		"extension lines":       {signNote(t, body+"more\n", l.note, l.tree), true, ""},
		"no tree line":          {signNote(t, body, l.note), false, ""},
		"with a witness":        {signNote(t, body, l.note, l.tree, newTestLog(t, "witness.example").note), true, ""},
		"empty":                 {nil, false, "malformed note"},
		"not signed":            {[]byte(body), false, "malformed note"},
		"other key":             {signNote(t, body, other.note, l.tree), false, "no verifiable signatures"},
		"only a tree line":      {signNote(t, body, l.tree), false, "no verifiable signatures"},
		"tampered root":         {bytes.Replace(good, []byte(body), []byte(checkpointBody(origin, 5, otherRoot)), 1), false, "invalid signature"},
		"tampered size":         {bytes.Replace(good, []byte(body), []byte(checkpointBody(origin, 6, root)), 1), false, "invalid signature"},
		"tampered origin":       {bytes.Replace(good, []byte(body), []byte(checkpointBody("other", 5, root)), 1), false, "invalid signature"},
		"another origin":        {signNote(t, checkpointBody("other.example", 5, root), l.note), false, `it is of "other.example"`},
		"short root":            {signNote(t, checkpointBody(origin, 5, root[1:]), l.note), false, "the root has 31 bytes"},
		"size with a zero":      {signNote(t, strings.Replace(body, "\n5\n", "\n05\n", 1), l.note), false, "leading zeros"},
		"size with a plus":      {signNote(t, strings.Replace(body, "\n5\n", "\n+5\n", 1), l.note), false, "size invalid"},
		"size with a space":     {signNote(t, strings.Replace(body, "\n5\n", "\n5 \n", 1), l.note), false, "size invalid"},
		"size is empty":         {signNote(t, strings.Replace(body, "\n5\n", "\n\n", 1), l.note), false, "size invalid"},
		"root in other base64":  {signNote(t, otherBase64(body), l.note), false, "the one base64 encoding"},
		"empty extension line":  {signNote(t, body+"\n", l.note), false, "an extension line is empty"},
		"empty line at the end": {signNote(t, body+"more\n\n", l.note), false, "an extension line is empty"},
		"empty line between":    {signNote(t, body+"more\n\nmore\n", l.note), false, "an extension line is empty"},
		"size is no count":      {signNote(t, strings.Replace(body, "\n5\n", "\n-5\n", 1), l.note), false, "size invalid"},

		// A line by a key that the reader does not trust says nothing to him:
		// anybody may add a signature to a note (C2SP signed-note). It is
		// ignored, and no receipt is made from it.
		"tree line by another key": {signNote(t, body, l.note, other.tree), false, ""},
		// A line in the name of a trusted key that does not verify is an attack
		// or a fault, never somebody else's: the whole note is refused.
		"another key in the trusted name": {signNote(t, body, l.note, forged{l.tree, sign(other.tree, body)}), false, "invalid signature"},
		"tree line for another root":      {signNote(t, body, l.note, forged{l.tree, sign(l.tree, otherBody)}), false, "invalid signature"},
		"tree line for another log":       {signNote(t, body, l.note, forged{l.tree, sign(asOther, body)}), false, "invalid signature"},
		"tree line is rubbish":            {signNote(t, body, l.note, forged{l.tree, []byte("x")}), false, "invalid signature"},
		"tree line with another kid":      {signNote(t, body, l.note, forged{l.tree, otherKid}), false, "invalid signature"},
		"tree line is empty":              {signNote(t, body, l.note, forged{l.tree, nil}), false, "malformed note"},
	} {
		t.Run(name, func(t *testing.T) {
			cp, err := l.verifiers(t).Open(c.raw)
			if c.piece != "" {
				wantError(t, err, scitt.ErrCheckpoint, c.piece)
				return
			}
			must(t, err)
			if cp.Origin != origin || cp.Size != 5 || !bytes.Equal(cp.Root, root) || !bytes.Equal(cp.Raw, c.raw) {
				t.Errorf("checkpoint %+v", cp)
			}
			proof := &scitt.InclusionProof{Size: 5, Index: 2, Path: merklePath(2, entries(5))}
			receipt, err := cp.Receipt(proof)
			if !c.tree {
				wantError(t, err, scitt.ErrNoReceipts, "no tree signature by a known key")
				return
			}
			must(t, err)
			r, err := scitt.ParseReceipt(receipt)
			must(t, err)
			must(t, r.Verify(l.key.Public(), entries(5)[2]))
		})
	}
	empty := scitt.EmptyCheckpoint(origin)
	if empty.Size != 0 || empty.Origin != origin || !bytes.Equal(empty.Root, merkleRoot(nil)) {
		t.Errorf("empty checkpoint %+v", empty)
	}
}

// TestCheckpointWithTwoReceiptKeys: after a change of keys the reader may know
// both, and takes what the checkpoint has.
func TestCheckpointWithTwoReceiptKeys(t *testing.T) {
	old, l := newTestLog(t, origin), newTestLog(t, origin)
	cv, err := scitt.NewCheckpointVerifiers([]string{old.vkeys[1], l.vkeys[0], l.vkeys[1]})
	must(t, err)
	body := checkpointBody(origin, 5, merkleRoot(entries(5)))
	for _, s := range []*testLog{old, l} {
		cp, err := cv.Open(signNote(t, body, l.note, s.tree))
		must(t, err)
		must(t, cp.Tree.VerifyRoot(s.key.Public(), cp.Root))
	}
	cp, err := cv.Open(signNote(t, body, l.note, l.tree, old.tree))
	must(t, err)
	must(t, cp.Tree.VerifyRoot(l.key.Public(), cp.Root))
}

func TestTreeSignerMemo(t *testing.T) {
	l := newTestLog(t, origin)
	sign := func(s *scitt.TreeSigner, size uint64, n int) []byte {
		t.Helper()
		sig, err := s.Sign([]byte(checkpointBody(origin, size, merkleRoot(entries(n)))))
		must(t, err)
		return sig
	}
	first := sign(l.tree, 5, 5)
	if !bytes.Equal(sign(l.tree, 5, 5), first) || l.signed != 1 {
		t.Errorf("the same tree has two signatures; %d made", l.signed)
	}
	if bytes.Equal(sign(l.tree, 6, 6), first) || l.signed != 2 {
		t.Errorf("another tree has the same signature; %d made", l.signed)
	}
	second := sign(l.tree, 6, 7)
	if l.signed != 3 {
		t.Error("another root of the same size has the same signature")
	}
	if bytes.Equal(sign(l.tree, 7, 7), second) {
		t.Error("another size with the same root has the same signature")
	}

	// In its next life the signer goes on with what it had published.
	cp, err := l.verifiers(t).Open(signNote(t, checkpointBody(origin, 5, merkleRoot(entries(5))), l.note, l.tree))
	must(t, err)
	made := l.signed
	again := l.newTreeSigner(t, origin)
	again.Resume(cp)
	if !bytes.Equal(sign(again, 5, 5), cp.Tree.Marshal()) || l.signed != made {
		t.Error("a resumed signer signed the same tree again")
	}
	if again.Name() != origin || again.KeyHash() != l.tree.KeyHash() {
		t.Errorf("signer %s %08x", again.Name(), again.KeyHash())
	}

	// With another key, it must not repeat what the old one signed.
	next := newTestLog(t, origin)
	for name, resumed := range map[string]*scitt.Checkpoint{"another key": cp, "no tree signature": scitt.EmptyCheckpoint(origin)} {
		s := next.newTreeSigner(t, origin)
		s.Resume(resumed)
		sig := sign(s, cp.Size, 5)
		tree, err := scitt.ParseTreeSignature(sig)
		must(t, err)
		if err := tree.VerifyRoot(next.key.Public(), cp.Root); err != nil {
			t.Errorf("resumed from %s: %v", name, err)
		}
	}
	// And for another log neither.
	elsewhere := l.newTreeSigner(t, "other.example")
	elsewhere.Resume(cp)
	tree, err := scitt.ParseTreeSignature(sign(elsewhere, 5, 5))
	must(t, err)
	if tree.Subject != "other.example" {
		t.Errorf("signed for %s", tree.Subject)
	}

	_, err = l.tree.Sign([]byte("no checkpoint"))
	wantError(t, err, scitt.ErrCheckpoint, "too few newlines")
	_, err = scitt.NewTreeSigner(newKey(t, "P-224"), issuer, origin, time.Now, nil)
	wantError(t, err, scitt.ErrAlgorithm, "P-224")
}

func TestTreeVKey(t *testing.T) {
	for _, alg := range kinds {
		public := newKey(t, alg).Public()
		vkey, err := scitt.TreeVKey(origin, public)
		must(t, err)
		v, err := scitt.NewTreeVerifier(vkey)
		must(t, err)
		s, err := scitt.NewTreeSigner(newKey(t, alg), issuer, origin, time.Now, nil)
		must(t, err)
		if v.Name() != origin || !strings.HasPrefix(vkey, fmt.Sprintf("%s+%08x+", origin, v.KeyHash())) {
			t.Errorf("%s: verifier %s %08x of %q", alg, v.Name(), v.KeyHash(), vkey)
		}
		if same := s.KeyHash() == v.KeyHash(); same != (alg == "PS256") { // which has one key in these tests
			t.Errorf("%s: key hashes of two keys are the same: %v", alg, same)
		}
	}
	_, err := scitt.TreeVKey(origin, newKey(t, "P-224").Public())
	wantError(t, err, scitt.ErrAlgorithm, "P-224")
}

// TestCheckOrigin: the name of a log is text that can be shown on one line.
func TestCheckOrigin(t *testing.T) {
	for origin, good := range map[string]bool{
		"log.example/a": true, "münchen.example": true,
		"": false, "two words": false, "a+b": false, "a\nb": false, "a\x01b": false, "a\u0085b": false, "a\u200bb": false, "a\u202eb": false, "a\xffb": false,
	} {
		if err := scitt.CheckOrigin(origin); (err == nil) != good || err != nil && !errors.Is(err, scitt.ErrMalformed) {
			t.Errorf("%q: %v", origin, err)
		}
	}
}

func TestVerifierKeyRefusals(t *testing.T) {
	l := newTestLog(t, origin)
	noteKey, treeKey := l.vkeys[0], l.vkeys[1]
	parts := strings.SplitN(treeKey, "+", 3)
	key, err := base64.StdEncoding.DecodeString(parts[2])
	must(t, err)
	encode := func(b []byte) string { return parts[0] + "+" + parts[1] + "+" + base64.StdEncoding.EncodeToString(b) }
	kind := key[:bytes.IndexByte(key, '\n')+1]
	wrongHash := strings.Replace(treeKey, "+"+parts[1]+"+", "+00000000+", 1)

	for name, c := range map[string]struct{ vkey, piece string }{
		"empty":          {"", "is not name+hash+key"},
		"no hash":        {origin, "is not name+hash+key"},
		"no key":         {parts[0] + "+" + parts[1], "is not name+hash+key"},
		"hash no hex":    {parts[0] + "+zzzzzzzz+" + parts[2], "is not name+hash+key"},
		"hash short":     {parts[0] + "+0000+" + parts[2], "is not name+hash+key"},
		"not base64":     {parts[0] + "+" + parts[1] + "+***", "not base64"},
		"Ed25519":        {noteKey, "not one for receipts"},
		"no COSE_Key":    {encode(append(bytes.Clone(kind), 0x80)), "not a map"},
		"nothing":        {encode(kind), "key type <nil>"},
		"wrong hash":     {wrongHash, "hash does not fit"},
		"another origin": {"other" + strings.TrimPrefix(treeKey, origin), "hash does not fit"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := scitt.NewTreeVerifier(c.vkey)
			want := scitt.ErrMalformed
			if name == "nothing" {
				want = scitt.ErrAlgorithm
			}
			wantError(t, err, want, c.piece)
		})
	}
	for name, c := range map[string]struct {
		vkeys []string
		piece string
	}{
		"none":           {nil, "no Ed25519 verifier key"},
		"only receipts":  {[]string{treeKey}, "no Ed25519 verifier key"},
		"two note keys":  {[]string{noteKey, newTestLog(t, "other.example").vkeys[0]}, "two note keys"},
		"rubbish":        {[]string{noteKey, "x"}, `verifier key "x"`},
		"bad hash, note": {[]string{strings.Replace(noteKey, "+", "+0", 1)}, "verifier key"},
		"bad hash, tree": {[]string{noteKey, wrongHash}, "hash does not fit"},
	} {
		t.Run("verifiers "+name, func(t *testing.T) {
			_, err := scitt.NewCheckpointVerifiers(c.vkeys)
			wantError(t, err, scitt.ErrMalformed, c.piece)
		})
	}
	cv, err := scitt.NewCheckpointVerifiers([]string{noteKey})
	must(t, err)
	if cv.Note.Name() != origin || cv.Tree != nil {
		t.Errorf("verifiers %+v", cv)
	}
}

// TestReceiptCarriesCheckpoint: what others than the log signed goes with a Receipt,
// and the log's tree signature, which the Receipt is, does not.
func TestReceiptCarriesCheckpoint(t *testing.T) {
	l, root := newTestLog(t, origin), merkleRoot(entries(5))
	body := checkpointBody(origin, 5, root)
	ed, _, err := scitt.GenerateCosignerKeys("witness.example")
	must(t, err)
	witness, err := scitt.ParseCosignerKey(ed)
	must(t, err)
	line, err := witness.Cosign([]byte(body), time.Unix(1800000000, 0))
	must(t, err)
	plain := signNote(t, body, l.note, l.tree)
	carry := func(raw []byte) *scitt.Receipt {
		t.Helper()
		cp, err := l.verifiers(t).Open(raw)
		must(t, err)
		data, err := cp.Receipt(&scitt.InclusionProof{Size: 5, Index: 2, Path: merklePath(2, entries(5))})
		must(t, err)
		r, err := scitt.ParseReceipt(data)
		must(t, err)
		return r
	}
	if r := carry(plain); r.Checkpoint != nil {
		t.Errorf("a Receipt carries %q", r.Checkpoint)
	}
	cosigned := fmt.Appendf(bytes.Clone(plain), "— %s %s\n", line.Name, line.Base64)
	r := carry(cosigned)
	cp, sigs, err := scitt.OpenNote(r.Checkpoint, l.verifiers(t).Note, &witness.CosignatureVerifier)
	must(t, err)
	if cp.Size != 5 || !bytes.Equal(cp.Root, root) || len(sigs) != 2 || bytes.Count(r.Checkpoint, []byte("\n— ")) != 2 {
		t.Errorf("a Receipt carries %q", r.Checkpoint)
	}
	if !r.SameSignature(carry(plain)) {
		t.Error("the checkpoint changes what is signed")
	}
}
