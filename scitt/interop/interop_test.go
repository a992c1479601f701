//go:build interop

package interop_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/conmotion/conmotion/scitt"
)

// verify runs the verifier in dir and gives its exit code and what it printed.
func verify(t *testing.T, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	script, err := filepath.Abs("verify.mjs")
	if err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "node", append([]string{script}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errOut
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

// install makes node_modules what package-lock.json says.
func install(t *testing.T) {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is not installed; the build tag interop needs Node.js 20 or newer with npm: %v", program, err)
		}
	}
	// go test keeps results by the files that the test itself looked at.
	if _, err := os.Stat("verify.mjs"); err != nil {
		t.Fatal(err)
	}
	locked, err := os.Stat("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	// npm writes this file last, so half an installation is made again.
	installed, err := os.Stat("node_modules/.package-lock.json")
	if err == nil && !installed.ModTime().Before(locked.ModTime()) {
		return
	}
	if out, err := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund").CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
}

const (
	service = "https://log.example"
	origin  = "log.example/statements"
)

var signedAt = time.Unix(1_750_000_000, 0)

// testLog is a log in memory.
type testLog struct {
	t          *testing.T
	key        crypto.Signer
	tree       *testonly.Tree
	statements []*scitt.Statement
}

func newLog(t *testing.T, leaves int) *testLog {
	l := &testLog{t: t, key: newKey(t, "ES256"), tree: testonly.New(rfc6962.DefaultHasher)}
	issuers := []crypto.Signer{newKey(t, "ES256"), newKey(t, "ES256")}
	// Lengths at both sides of every width of a CBOR length.
	sizes := []int{40, 0, 1, 23, 24, 255, 256, 60_000}
	for i := range leaves {
		o := scitt.SignOptions{Subject: fmt.Sprintf("urn:example:größe:%d", i)}
		switch i % 4 {
		case 1:
			o.IssuedAt, o.ContentType = signedAt, "text/plain"
		case 2:
			o.Hash, o.ContentType, o.Location = true, "text/plain", "https://issuer.example/content"
		case 3:
			o.Type, o.Chain = scitt.TypeRecord, &scitt.ChainLink{Name: "a", Seq: 1, Prev: make([]byte, 32)}
		}
		l.add(l.sign(issuers[i%2], o, bytes.Repeat([]byte{byte(i)}, sizes[i%len(sizes)])))
	}
	return l
}

func (l *testLog) sign(key crypto.Signer, o scitt.SignOptions, content []byte) *scitt.Statement {
	l.t.Helper()
	data, err := scitt.SignStatement(key, o, content)
	if err != nil {
		l.t.Fatal(err)
	}
	s, err := scitt.ParseStatement(data)
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

// add gives the index of the statement's leaf.
func (l *testLog) add(s *scitt.Statement) uint64 {
	l.statements = append(l.statements, s)
	l.tree.AppendData(s.Entry())
	return l.tree.Size() - 1
}

func (l *testLog) proof(index, size uint64) *scitt.InclusionProof {
	l.t.Helper()
	path, err := l.tree.InclusionProof(index, size)
	if err != nil {
		l.t.Fatal(err)
	}
	return &scitt.InclusionProof{Size: size, Index: index, Path: path}
}

func (l *testLog) signTree(key crypto.Signer, size uint64) *scitt.TreeSignature {
	l.t.Helper()
	s, err := scitt.SignTree(key, service, origin, signedAt, l.tree.HashAt(size))
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

// keys is the published key set: the log's key between keys that do not matter.
func (l *testLog) keys() scitt.KeySet {
	l.t.Helper()
	return keySet(l.t, newKey(l.t, "EdDSA"), newKey(l.t, "ES256"), l.key, newKey(l.t, "ES384"))
}

func newKey(t *testing.T, algorithm string) crypto.Signer {
	t.Helper()
	key, err := scitt.GenerateKey(algorithm)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func keySet(t *testing.T, signers ...crypto.Signer) (set scitt.KeySet) {
	t.Helper()
	for _, s := range signers {
		k, err := scitt.NewKey(s.Public())
		if err != nil {
			t.Fatal(err)
		}
		set = append(set, k)
	}
	return set
}

func writeKeys(t *testing.T, dir string, set scitt.KeySet) {
	t.Helper()
	data, err := set.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "keys.cbor", data)
}

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestGood has every leaf of every tree of 2 to 70 leaves verified. A tree of
// one leaf has no Receipt: RFC 9942 wants a path of at least one hash.
func TestGood(t *testing.T) {
	install(t)
	const leaves = 70
	log, dir := newLog(t, leaves), t.TempDir()
	signatures := map[uint64]*scitt.TreeSignature{}
	for size := uint64(2); size <= leaves; size++ {
		signatures[size] = log.signTree(log.key, size)
	}
	var want strings.Builder
	args := []string{"keys.cbor"}
	writeKeys(t, dir, log.keys())
	for i, s := range log.statements {
		var receipts [][]byte
		name, index := fmt.Sprintf("%d.cose", i), uint64(i)
		fmt.Fprintf(&want, "good %s: entry %s, subject %q", name, s.ID(), s.Subject)
		for size := max(index+1, 2); size <= leaves; size++ {
			receipts = append(receipts, signatures[size].Receipt(log.proof(index, size)))
			fmt.Fprintf(&want, ", leaf %d of %d", index, size)
		}
		want.WriteByte('\n')
		write(t, dir, name, scitt.AttachReceipts(s, receipts...))
		args = append(args, name)
	}
	code, stdout, stderr := verify(t, dir, args...)
	if code != 0 || stderr != "" {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	got, lines := strings.Split(stdout, "\n"), strings.Split(want.String(), "\n")
	if len(got) != len(lines) {
		t.Fatalf("%d lines, want %d", len(got), len(lines))
	}
	for i := range lines {
		if got[i] != lines[i] {
			t.Fatalf("line %d is\n%s\nwant\n%s", i+1, got[i], lines[i])
		}
	}
}

// flip changes one bit of the given part of data, at its end.
func flip(t *testing.T, data, part []byte) []byte {
	t.Helper()
	at := bytes.LastIndex(data, part)
	if at < 0 || len(part) == 0 {
		t.Fatalf("%x is not there", part)
	}
	data = bytes.Clone(data)
	data[at+len(part)-1] ^= 1
	return data
}

func replace(t *testing.T, data, old, new []byte) []byte {
	t.Helper()
	if bytes.Count(data, old) != 1 {
		t.Fatalf("%x is there %d times", old, bytes.Count(data, old))
	}
	return bytes.Replace(data, old, new, 1)
}

// TestBad holds that what was tampered with is refused for the right reason,
// by the verifier here and by the one of package scitt.
func TestBad(t *testing.T) {
	install(t)
	const size, index = 7, 3
	const signature = "signature verification failed"
	const forged, noReceipt = "statement: " + signature + "; receipt 1: " + signature, "there is no receipt (394)"
	log := newLog(t, size)
	s, keys, tree := log.statements[index], log.keys(), log.signTree(log.key, size)
	receipt := tree.Receipt(log.proof(index, size))
	good := scitt.AttachReceipts(s, receipt)
	entry := s.Entry()

	other := newKey(t, "ES256")
	sameKid := keySet(t, log.key)
	sameKid[0].Public = other.Public()

	// proof attaches a receipt whose proof has been changed.
	proof := func(change func(p *scitt.InclusionProof)) []byte {
		p := log.proof(index, size)
		p.Path = slices.Clone(p.Path)
		change(p)
		return scitt.AttachReceipts(s, tree.Receipt(p))
	}
	parameter := good[bytes.Index(good, []byte{0xa1, 0x19, 0x01, 0x8a})+1 : bytes.Index(good, receipt)+len(receipt)]
	once, twice := slices.Concat([]byte{0xa1}, parameter), slices.Concat([]byte{0xa2}, parameter, parameter)
	attached := slices.Concat([]byte{0x58, 0x20}, log.tree.HashAt(size), []byte{0x58, 0x40})

	tests := []struct {
		name string
		keys scitt.KeySet // nil for the log's
		data []byte
		want string
	}{
		{"payload", nil, flip(t, good, s.Payload), forged},
		{"statement signature", nil, flip(t, good, entry[len(entry)-64:]), forged},
		{"statement header", nil, flip(t, good, []byte(s.Subject)), forged},
		{"other keys", keySet(t, other), good, "receipt 1: no ES256 key with kid"},
		{"other key with the same kid", sameKid, good, "receipt 1: " + signature},
		{"other statement's receipt", nil, scitt.AttachReceipts(s, tree.Receipt(log.proof(index+1, size))), "receipt 1: " + signature},
		{"second receipt bad", nil, scitt.AttachReceipts(s, receipt, tree.Receipt(log.proof(0, size))), "receipt 2: " + signature},
		{"path element", nil, proof(func(p *scitt.InclusionProof) { p.Path[1] = make([]byte, 32) }), "receipt 1: " + signature},
		{"path too short", nil, proof(func(p *scitt.InclusionProof) { p.Path = p.Path[:2] }), "receipt 1: the inclusion path is too short"},
		{"path too long", nil, proof(func(p *scitt.InclusionProof) { p.Path = append(p.Path, p.Path[0]) }), "receipt 1: the inclusion path is too long"},
		{"path empty", nil, proof(func(p *scitt.InclusionProof) { p.Path = nil }), "receipt 1: the inclusion path is empty"},
		{"hash of 31 bytes", nil, proof(func(p *scitt.InclusionProof) { p.Path[0] = p.Path[0][1:] }), "receipt 1: the inclusion path holds something that is no SHA-256"},
		{"index", nil, proof(func(p *scitt.InclusionProof) { p.Index-- }), "receipt 1: " + signature},
		{"index out of range", nil, proof(func(p *scitt.InclusionProof) { p.Index = size }), "receipt 1: leaf 7 is not in a tree of 7 leaves"},
		{"index above 2^53", nil, proof(func(p *scitt.InclusionProof) { p.Index += 1 << 63 }), "receipt 1: leaf 9223372036854775811 is not in a tree of 7 leaves"},
		{"receipt signature", nil, scitt.AttachReceipts(s, flip(t, receipt, receipt[len(receipt)-64:])), "receipt 1: " + signature},
		{"receipt header", nil, scitt.AttachReceipts(s, flip(t, receipt, []byte(origin))), "receipt 1: " + signature},
		{"other data structure", nil, scitt.AttachReceipts(s, replace(t, receipt, []byte{0x19, 0x01, 0x8b, 1}, []byte{0x19, 0x01, 0x8b, 2})),
			"receipt 1: the verifiable data structure (395) is 2"},
		{"root attached", nil, scitt.AttachReceipts(s, replace(t, receipt, []byte{0xf6, 0x58, 0x40}, attached)), "receipt 1: the payload is not detached"},
		{"tree signature without proof", nil, scitt.AttachReceipts(s, tree.Marshal()), "receipt 1: no inclusion proof"},
		{"signed statement", nil, entry, noReceipt},
		{"no receipts", nil, scitt.AttachReceipts(s), noReceipt},
		{"untagged", nil, good[1:], "statement: not a COSE_Sign1 with tag 18"},
		{"receipts twice", nil, replace(t, good, once, twice), "statement: "},
		{"indefinite length", nil, slices.Concat([]byte{0xd2, 0x9f}, good[2:], []byte{0xff}), "statement: "},
		{"trailing byte", nil, append(bytes.Clone(good), 0), "statement: "},
		{"truncated", nil, good[:len(good)-1], "statement: "},
		{"empty", nil, nil, "statement: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.keys == nil {
				tt.keys = keys
			}
			wantBad(t, tt.keys, tt.data, tt.want)
			v, err := (&scitt.Verifier{LogKeys: tt.keys}).Verify(tt.data)
			if err == nil {
				err = v.Err()
			}
			if err == nil {
				t.Error("package scitt accepts it")
			}
		})
	}
}

// TestAlgorithms: what a key of each kind signs with each of its algorithms
// verifies here too. Those of RFC 9864, which the verifier here does not know,
// are refused and not passed over, and so are other receipts than ES256.
func TestAlgorithms(t *testing.T) {
	install(t)
	log := newLog(t, 3)
	p384 := newKey(t, "ES384")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var signed []*scitt.Statement
	for _, c := range []struct {
		alg string
		key crypto.Signer
	}{
		{"ES256", newKey(t, "ES256")}, {"ES384", p384}, {"ES512", newKey(t, "ES512")}, {"EdDSA", newKey(t, "EdDSA")},
		{"PS256", rsaKey}, {"PS384", rsaKey}, {"PS512", rsaKey}, {"ESP256", newKey(t, "ES256")}, {"Ed25519", newKey(t, "EdDSA")},
	} {
		signed = append(signed, log.sign(c.key, scitt.SignOptions{Algorithm: c.alg, Subject: c.alg}, []byte("x")))
		log.add(signed[len(signed)-1])
	}
	named := log.sign(p384, scitt.SignOptions{Issuer: "https://issuer.example", Subject: "a"}, nil)
	size := log.add(named) + 1
	keys, tree := keySet(t, log.key, p384), log.signTree(log.key, size)
	dir := t.TempDir()
	writeKeys(t, dir, keys)
	for i, s := range signed {
		data := scitt.AttachReceipts(s, tree.Receipt(log.proof(uint64(3+i), size)))
		if strings.HasPrefix(s.Subject, "ESP") || s.Subject == "Ed25519" {
			wantBad(t, keys, data, fmt.Sprintf("statement: alg is %d, not one of", s.Algorithm))
			continue
		}
		write(t, dir, s.Subject, data)
		if code, stdout, stderr := verify(t, dir, "keys.cbor", s.Subject); code != 0 {
			t.Errorf("%s: exit code %d: %s%s", s.Subject, code, stdout, stderr)
		}
		data[len(data)-1] ^= 1
		wantBad(t, keys, data, "statement: ")
	}
	wantBad(t, keys, scitt.AttachReceipts(named, tree.Receipt(log.proof(size-1, size))), "statement: the issuer is not a did:jwk")
	wantBad(t, keys, scitt.AttachReceipts(log.statements[0], log.signTree(p384, size).Receipt(log.proof(0, size))), "receipt 1: alg is -35, not one of")
}

// wantBad holds that data is refused, with a line that starts with the reason.
func wantBad(t *testing.T, keys scitt.KeySet, data []byte, reason string) {
	t.Helper()
	dir := t.TempDir()
	writeKeys(t, dir, keys)
	write(t, dir, "a.cose", data)
	code, stdout, stderr := verify(t, dir, "keys.cbor", "a.cose")
	if want := "bad a.cose: " + reason; code != 1 || !strings.HasPrefix(stdout, want) || strings.Count(stdout, "\n") != 1 {
		t.Errorf("exit code %d, %q, stderr %q; want 1 and %q", code, stdout, stderr, want)
	}
}

// TestUnsignedPosition records a property of RFC 9942 that both verifiers
// share: tree size and leaf index are in the unprotected header and only the
// root is signed. Leaf 6 of 7 hangs to the right of two hashes, as leaf 3 of 4
// does, so its Receipt verifies under either name.
func TestUnsignedPosition(t *testing.T) {
	install(t)
	log, dir := newLog(t, 7), t.TempDir()
	p := log.proof(6, 7)
	p.Index, p.Size = 3, 4
	data := scitt.AttachReceipts(log.statements[6], log.signTree(log.key, 7).Receipt(p))
	keys := log.keys()
	writeKeys(t, dir, keys)
	write(t, dir, "a.cose", data)
	code, stdout, stderr := verify(t, dir, "keys.cbor", "a.cose")
	if code != 0 || !strings.HasSuffix(stdout, ", leaf 3 of 4\n") {
		t.Errorf("exit code %d, %q, stderr %q", code, stdout, stderr)
	}
	v, err := (&scitt.Verifier{LogKeys: keys}).Verify(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Err(); err != nil {
		t.Errorf("package scitt: %v", err)
	}
}

func TestUsage(t *testing.T) {
	install(t)
	dir := t.TempDir()
	writeKeys(t, dir, keySet(t, newKey(t, "ES256")))
	write(t, dir, "a.cose", []byte{0xa0})
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "usage: "},
		{[]string{"keys.cbor"}, "usage: "},
		{[]string{"keys.cbor", "missing.cose"}, "verify: ENOENT"},
		{[]string{"missing.cbor", "a.cose"}, "verify: ENOENT"},
		{[]string{"a.cose", "a.cose"}, "verify: not a COSE Key Set"},
	} {
		code, stdout, stderr := verify(t, dir, tt.args...)
		if code != 2 || stdout != "" || !strings.HasPrefix(stderr, tt.want) {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q; want 2 and %q", tt.args, code, stdout, stderr, tt.want)
		}
	}
}
