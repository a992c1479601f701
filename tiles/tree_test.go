package tiles_test

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"testing"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// some are indexes below size, at the borders of everything.
func some(size int) []int {
	var indexes []int
	for _, i := range []int{0, 1, 2, 127, 128, 254, 255, 256, 257, 511, 512, 65535, 65536, size / 2, size - 2, size - 1} {
		if i >= 0 && i < size {
			indexes = append(indexes, i)
		}
	}
	slices.Sort(indexes)
	return slices.Compact(indexes)
}

func checkInclusion(t *testing.T, o *oracle, v *tiles.View, i int) {
	t.Helper()
	p, err := v.Inclusion(t.Context(), uint64(i), o.leaf(i))
	must(t, err)
	root, err := p.Root(o.leaf(i))
	must(t, err)
	if !bytes.Equal(root, v.Checkpoint.Root) || p.Index != uint64(i) || p.Size != v.Checkpoint.Size {
		t.Fatalf("size %d, leaf %d: %+v", v.Checkpoint.Size, i, p)
	}
	leaf, err := v.LeafHash(t.Context(), uint64(i))
	must(t, err)
	if !bytes.Equal(leaf, o.leaf(i)) {
		t.Fatalf("size %d: leaf %d is %x", v.Checkpoint.Size, i, leaf)
	}
}

// TestViewAllSizes opens logs of every size, each as it would be found by
// somebody new.
func TestViewAllSizes(t *testing.T) {
	o := newOracle(numbered(600))
	for size := range 601 {
		v := at(t, o.log(size), o.checkpoint(size))
		for _, i := range some(size) {
			checkInclusion(t, o, v, i)
		}
		if size > 40 && size%97 != 0 {
			continue
		}
		for i := range size { // and hash for hash by the definition
			p, err := v.Inclusion(t.Context(), uint64(i), o.leaf(i))
			must(t, err)
			if !slices.EqualFunc(p.Path, treePath(i, o.levels[0][:size]), bytes.Equal) {
				t.Fatalf("size %d: path of leaf %d", size, i)
			}
		}
	}
}

// TestViewGrowingLog opens one log again and again while it grows, with one
// cache and with the partial tiles of the past beside the present ones.
func TestViewGrowingLog(t *testing.T) {
	o := newOracle(numbered(66100))
	src := memory{}
	tree := tiles.NewTree(src)
	for _, size := range []int{0, 1, 255, 256, 257, 600, 65535, 65536, 65537, 65792, 66047, 66048, 66100} {
		o.write(src, size)
		v, err := tree.At(t.Context(), o.checkpoint(size))
		must(t, err)
		for _, i := range some(size) {
			checkInclusion(t, o, v, i)
			got, err := v.Entry(t.Context(), uint64(i))
			must(t, err)
			if !bytes.Equal(got, o.entries[i]) {
				t.Fatalf("size %d: entry %d is %q", size, i, got)
			}
		}
	}
	// Partial files may go once the full ones are there; an old checkpoint
	// then is read from those.
	for path := range src {
		if _, _, width, _ := tiles.ParseTilePath(path); width < tiles.Width {
			full := path[:bytes.Index([]byte(path), []byte(".p/"))]
			if _, ok := src[full]; ok {
				delete(src, path)
			}
		}
	}
	v := at(t, src, o.checkpoint(600))
	for _, i := range some(600) {
		checkInclusion(t, o, v, i)
	}
	entries := 0
	for e, err := range v.Entries(t.Context(), 0, 600) {
		must(t, err)
		if !bytes.Equal(e.Data, o.entries[e.Index]) {
			t.Fatalf("entry %d is %q", e.Index, e.Data)
		}
		entries++
	}
	if entries != 600 {
		t.Errorf("%d entries of the old checkpoint", entries)
	}
}

func TestViewRefusals(t *testing.T) {
	o := newOracle(numbered(300))
	src, ctx := o.log(300), t.Context()
	v := at(t, src, o.checkpoint(300))
	if _, err := v.Inclusion(ctx, 300, o.leaf(0)); !errors.Is(err, scitt.ErrProof) {
		t.Errorf("inclusion beyond the size: %v", err)
	}
	if _, err := v.Inclusion(ctx, 3, o.leaf(4)); !errors.Is(err, scitt.ErrProof) {
		t.Errorf("inclusion of another leaf: %v", err)
	}
	if _, err := v.LeafHash(ctx, 300); err == nil {
		t.Error("leaf hash beyond the size")
	}
	if _, err := v.Entry(ctx, 300); err == nil {
		t.Error("entry beyond the size")
	}
	if _, err := v.Receipt(ctx, 3, o.leaf(3)); !errors.Is(err, scitt.ErrNoReceipts) {
		t.Errorf("receipt from a checkpoint without tree signature: %v", err)
	}

	wrong := o.checkpoint(300)
	wrong.Root = o.leaf(0)
	for name, c := range map[string]struct {
		src  memory
		cp   *scitt.Checkpoint
		want error
	}{
		"wrong root":      {src, wrong, tiles.ErrCorrupt},
		"wrong size":      {src, &scitt.Checkpoint{Size: 299, Root: o.checkpoint(300).Root}, fs.ErrNotExist},
		"not empty":       {memory{}, &scitt.Checkpoint{Size: 0, Root: o.leaf(0)}, tiles.ErrCorrupt},
		"nothing there":   {memory{}, o.checkpoint(300), fs.ErrNotExist},
		"tile too short":  {src.but("tile/0/001.p/44", src["tile/0/001.p/44"][:43*32]), o.checkpoint(300), tiles.ErrCorrupt},
		"part of a hash":  {src.but("tile/0/001.p/44", append(bytes.Clone(src["tile/0/001.p/44"]), 1)), o.checkpoint(300), tiles.ErrCorrupt},
		"tile too long":   {src.but("tile/0/001.p/44", make([]byte, 257*32)), o.checkpoint(300), tiles.ErrCorrupt},
		"upper tile gone": {src.but("tile/1/000.p/1", nil), o.checkpoint(300), fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := tiles.NewTree(c.src).At(ctx, c.cp); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestConsistency(t *testing.T) {
	o := newOracle(numbered(600))
	fork := newOracle(append([][]byte{[]byte("forged")}, numbered(600)[1:]...))
	sizes := []int{0, 1, 2, 3, 4, 7, 8, 9, 255, 256, 257, 300, 511, 512, 513, 599, 600}
	for _, size := range sizes {
		v := at(t, o.log(size), o.checkpoint(size))
		for _, old := range sizes {
			err := v.Consistency(t.Context(), o.checkpoint(old))
			if old > size {
				if !errors.Is(err, tiles.ErrBehind) || errors.Is(err, scitt.ErrProof) {
					t.Errorf("%d entries extend %d: %v", size, old, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("from %d to %d: %v", old, size, err)
			}
			if old == 0 {
				continue // every log extends the empty one
			}
			if err := v.Consistency(t.Context(), fork.checkpoint(old)); !errors.Is(err, scitt.ErrProof) {
				t.Errorf("from a fork at %d to %d: %v", old, size, err)
			}
		}
	}
}

// TestPlace: an index entry tells the leaf that it was made for.
func TestPlace(t *testing.T) {
	o := newOracle(numbered(2))
	p := tiles.NewPlace(1, o.leaf(1))
	if p.Index != 1 || !p.Matches(o.leaf(1)) || p.Matches(o.leaf(0)) {
		t.Errorf("place %+v", p)
	}
}
