package tiles_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

func TestMain(m *testing.M) {
	testwait.Quick()
	m.Run()
}

// publish signs the checkpoint of a log at a size and puts it beside the
// tiles. It gives the keys to read it.
func (o *oracle) publish(t *testing.T, m memory, size int) (scitt.CheckpointVerifiers, scitt.KeySet) {
	t.Helper()
	const origin = "log.example"
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	must(t, err)
	signer, err := note.NewSigner(skey)
	must(t, err)
	key, err := scitt.GenerateKey("ES256")
	must(t, err)
	tree, err := scitt.NewTreeSigner(key, "https://log.example", origin, time.Now, nil)
	must(t, err)
	treeVKey, err := scitt.TreeVKey(origin, key.Public())
	must(t, err)
	body := fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(o.checkpoint(size).Root))
	m["checkpoint"], err = note.Sign(&note.Note{Text: body}, signer, tree)
	must(t, err)
	cv, err := scitt.NewCheckpointVerifiers([]string{vkey, treeVKey})
	must(t, err)
	k, err := scitt.NewKey(key.Public())
	must(t, err)
	return cv, scitt.KeySet{k}
}

// TestLog walks the way of a Relying Party: from files and keys to a Receipt.
func TestLog(t *testing.T) {
	const size = 300
	o := newOracle(statements(t, size))
	src := o.log(size)
	cv, keys := o.publish(t, src, size)
	l := tiles.NewLog(src, cv)
	v, err := l.Latest(t.Context())
	must(t, err)
	if v.Checkpoint.Size != size || v.Checkpoint.Origin != "log.example" {
		t.Errorf("checkpoint %+v", v.Checkpoint)
	}
	verifier := &scitt.Verifier{LogKeys: keys}
	for _, i := range some(size) {
		receipt, err := v.Receipt(t.Context(), uint64(i), o.leaf(i))
		must(t, err)
		s, err := scitt.ParseStatement(o.entries[i])
		must(t, err)
		got, err := verifier.Verify(scitt.AttachReceipts(s, receipt))
		must(t, err)
		must(t, got.Err())
		if got.Receipts[0].Leaf != scitt.LeafEntry {
			t.Errorf("entry %d: leaf %q", i, got.Receipts[0].Leaf)
		}
	}
	if _, err := v.Receipt(t.Context(), 3, o.leaf(4)); !errors.Is(err, scitt.ErrProof) {
		t.Errorf("receipt for another entry: %v", err)
	}

	other, _ := o.publish(t, memory{}, size)
	if _, err := tiles.NewLog(src, other).Latest(t.Context()); !errors.Is(err, scitt.ErrCheckpoint) {
		t.Errorf("with the keys of another: %v", err)
	}
	if _, err := tiles.NewLog(memory{}, cv).Latest(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a checkpoint: %v", err)
	}
	// A damaged checkpoint never says anything else than the whole one.
	raw := src["checkpoint"]
	for i := range raw {
		cp, err := tiles.NewLog(src.but("checkpoint", flip(raw, i, i%8)), cv).Checkpoint(t.Context())
		if err != nil {
			if !errors.Is(err, scitt.ErrCheckpoint) {
				t.Errorf("byte %d: %v", i, err)
			}
			continue
		}
		if cp.Size != size || !bytes.Equal(cp.Root, v.Checkpoint.Root) || cp.Origin != "log.example" {
			t.Errorf("byte %d: %+v", i, cp)
		}
	}
}
