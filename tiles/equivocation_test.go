package tiles_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// noteKey signs checkpoints of whatever it is given.
type noteKey struct {
	signer note.Signer
	vkey   string
	cv     scitt.CheckpointVerifiers
}

func newNoteKey(t testing.TB, origin string) *noteKey {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	must(t, err)
	k := &noteKey{vkey: vkey}
	k.signer, err = note.NewSigner(skey)
	must(t, err)
	k.cv, err = scitt.NewCheckpointVerifiers([]string{vkey})
	must(t, err)
	return k
}

func (k *noteKey) sign(t testing.TB, cp *scitt.Checkpoint) *scitt.Checkpoint {
	t.Helper()
	body := fmt.Sprintf("%s\n%d\n%s\n", k.signer.Name(), cp.Size, base64.StdEncoding.EncodeToString(cp.Root))
	raw, err := note.Sign(&note.Note{Text: body}, k.signer)
	must(t, err)
	out, err := k.cv.Open(raw)
	must(t, err)
	return out
}

// equivocate gives the proof that a log of size entries does not extend old.
func equivocate(t testing.TB, k *noteKey, o *oracle, size int, old *scitt.Checkpoint) (*tiles.Equivocation, error) {
	t.Helper()
	return at(t, o.log(size), k.sign(t, o.checkpoint(size))).Equivocation(t.Context(), old)
}

// TestEquivocation: the proof is made exactly when two signed checkpoints
// contradict each other, and holds for whoever reads its bytes.
func TestEquivocation(t *testing.T) {
	k := newNoteKey(t, "log.example")
	honest := newOracle(numbered(600))
	fork := newOracle(append([][]byte{[]byte("forged")}, numbered(600)[1:]...))
	sizes := []int{1, 2, 3, 7, 8, 255, 256, 257, 300, 512, 513, 600}
	for _, newer := range sizes {
		for _, older := range sizes {
			if _, err := equivocate(t, k, honest, newer, k.sign(t, honest.checkpoint(older))); !errors.Is(err, tiles.ErrEquivocation) {
				t.Fatalf("a log of %d that extends %d: %v", newer, older, err)
			}
			old := k.sign(t, fork.checkpoint(older))
			e, err := equivocate(t, k, honest, newer, old)
			if older > newer {
				if !errors.Is(err, tiles.ErrEquivocation) {
					t.Fatalf("from %d back to %d: %v", older, newer, err)
				}
				continue
			}
			must(t, err)
			e.VKey = k.vkey
			data, err := e.Marshal()
			must(t, err)
			read, err := tiles.ParseEquivocation(data)
			must(t, err)
			a, b, err := read.Verify(k.cv)
			if err != nil || a.Size != uint64(older) || b.Size != uint64(newer) || !tiles.IsEquivocation(data) {
				t.Fatalf("from %d to %d: %v", older, newer, err)
			}
			if same := tiles.Contradict(old, k.sign(t, honest.checkpoint(newer))); (same != nil) != (older == newer) {
				t.Errorf("from %d to %d without files: %v", older, newer, same)
			}
		}
	}
	// An empty log has one root.
	if _, err := equivocate(t, k, honest, 5, k.sign(t, &scitt.Checkpoint{Root: make([]byte, 32)})); err != nil {
		t.Errorf("an empty log with a root: %v", err)
	}
	if _, err := equivocate(t, k, honest, 5, k.sign(t, honest.checkpoint(0))); !errors.Is(err, tiles.ErrEquivocation) {
		t.Errorf("an empty log: %v", err)
	}
}

// TestEquivocationGolden: the format is permanent.
func TestEquivocationGolden(t *testing.T) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	vkey, err := note.NewEd25519VerifierKey("log.example", key.Public().(ed25519.PublicKey))
	must(t, err)
	k := &noteKey{vkey: vkey}
	k.signer, err = note.NewSigner("PRIVATE+KEY+log.example+" + strings.Split(vkey, "+")[1] + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, key.Seed()...)))
	must(t, err)
	k.cv, err = scitt.NewCheckpointVerifiers([]string{vkey})
	must(t, err)
	fork := newOracle(append([][]byte{[]byte("forged")}, numbered(10)[1:]...))
	e, err := equivocate(t, k, newOracle(numbered(10)), 10, k.sign(t, fork.checkpoint(6)))
	must(t, err)
	e.VKey = vkey
	got, err := e.Marshal()
	must(t, err)
	want, err := os.ReadFile("testdata/equivocation.json")
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s", got)
	}
	read, err := tiles.ParseEquivocation(want)
	must(t, err)
	if _, _, err := read.Verify(k.cv); err != nil {
		t.Error(err)
	}
}

// TestEquivocationRefusals: nobody can make a proof against an honest log.
func TestEquivocationRefusals(t *testing.T) {
	k, stranger := newNoteKey(t, "log.example"), newNoteKey(t, "log.example")
	honest, fork := newOracle(numbered(600)), newOracle(append([][]byte{[]byte("forged")}, numbered(600)[1:]...))
	e, err := equivocate(t, k, honest, 600, k.sign(t, fork.checkpoint(300)))
	must(t, err)
	e.VKey = k.vkey
	truth, err := equivocate(t, k, fork, 600, k.sign(t, honest.checkpoint(300)))
	must(t, err)
	zero := make([]byte, 32)
	for name, c := range map[string]struct {
		change func(e *tiles.Equivocation)
		want   string
	}{
		"both are true":            {func(e *tiles.Equivocation) { e.Older = k.sign(t, honest.checkpoint(300)).Raw }, "both checkpoints are true"},
		"another's older note":     {func(e *tiles.Equivocation) { e.Older = stranger.sign(t, fork.checkpoint(300)).Raw }, "older checkpoint: "},
		"another's newer note":     {func(e *tiles.Equivocation) { e.Newer = stranger.sign(t, honest.checkpoint(600)).Raw }, "newer checkpoint: "},
		"another's key":            {func(e *tiles.Equivocation) { e.VKey = stranger.vkey }, "it is about the key"},
		"no key":                   {func(e *tiles.Equivocation) { e.VKey = "x" }, "verifier key"},
		"exchanged":                {func(e *tiles.Equivocation) { e.Older, e.Newer = e.Newer, e.Older }, "the older checkpoint has 600 entries"},
		"the same note twice":      {func(e *tiles.Equivocation) { e.Older, e.Head, e.Tail = e.Newer, nil, nil }, "sign the same tree"},
		"hashes that nobody needs": {func(e *tiles.Equivocation) { e.Older = e.Newer }, "need no hashes"},
		"a hash too few":           {func(e *tiles.Equivocation) { e.Head = e.Head[1:] }, "head: "},
		"a hash too many":          {func(e *tiles.Equivocation) { e.Tail = append(slices.Clone(e.Tail), zero) }, "tail: "},
		"other head":               {func(e *tiles.Equivocation) { e.Head = append([][]byte{zero}, e.Head[1:]...) }, "lead to the root"},
		"other tail":               {func(e *tiles.Equivocation) { e.Tail = append([][]byte{zero}, e.Tail[1:]...) }, "lead to the root"},
		"hashes of the fork":       {func(e *tiles.Equivocation) { e.Head, e.Tail = truth.Head, truth.Tail }, "lead to the root"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := *e
			c.change(&bad)
			_, _, err := bad.Verify(k.cv)
			if !errors.Is(err, tiles.ErrEquivocation) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	good, err := e.Marshal()
	must(t, err)
	for name, data := range map[string][]byte{
		"nothing":          nil,
		"an unknown name":  bytes.Replace(good, []byte(`"format"`), []byte(`"extra":1,"format"`), 1),
		"twice":            bytes.Replace(good, []byte(`"format"`), []byte(`"format":"x","format"`), 1),
		"another case":     bytes.Replace(good, []byte(`"older"`), []byte(`"Older"`), 1),
		"another version":  bytes.Replace(good, []byte("equivocation/1"), []byte("equivocation/2"), 1),
		"a space":          append(bytes.Clone(good), ' '),
		"a short hash":     bytes.Replace(good, []byte(`"head":[`), []byte(`"head":["AAAA",`), 1),
		"as long as a log": append(bytes.Clone(good), bytes.Repeat([]byte(" "), 1<<20)...),
	} {
		if _, err := tiles.ParseEquivocation(data); !errors.Is(err, tiles.ErrEquivocation) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A wrong tile is no fork.
	src := honest.log(600)
	src = src.but("tile/0/001", make([]byte, 256*32))
	v := at(t, src, k.sign(t, honest.checkpoint(600)))
	if _, err := v.Equivocation(t.Context(), k.sign(t, honest.checkpoint(300))); !errors.Is(err, tiles.ErrEquivocation) {
		t.Errorf("a wrong tile: %v", err)
	}
}

func FuzzEquivocation(f *testing.F) {
	k := newNoteKey(f, "log.example")
	honest, fork := newOracle(numbered(20)), newOracle(append([][]byte{[]byte("forged")}, numbered(20)[1:]...))
	for _, older := range []int{1, 7, 20} {
		e, err := equivocate(f, k, honest, 20, k.sign(f, fork.checkpoint(older)))
		must(f, err)
		e.VKey = k.vkey
		data, err := e.Marshal()
		must(f, err)
		f.Add(data)
	}
	f.Add([]byte(`{"format":"conmotion-equivocation/1","newer":"\u2028","older":""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := tiles.ParseEquivocation(data)
		if err != nil {
			if !errors.Is(err, tiles.ErrEquivocation) {
				t.Errorf("error %v", err)
			}
			return
		}
		again, err := e.Marshal()
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%q is written as %q, %v", data, again, err)
		}
		older, newer, err := e.Verify(k.cv)
		if err == nil && (older.Size > newer.Size || bytes.Equal(older.Root, newer.Root)) {
			t.Errorf("a proof of nothing: %q", data)
		}
	})
}
