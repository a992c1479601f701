package storage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// held is a driver of a log in memory, which counts how often the newest bundle is read.
type held struct {
	Driver
	files map[string][]byte
	tree  *scitt.Checkpoint
	reads int
	away  error // why nothing can be read
}

// Tree implements [Driver].
func (h *held) Tree(context.Context) (*scitt.Checkpoint, error) { return h.tree, nil }

// Get implements [tiles.Source].
func (h *held) Get(_ context.Context, path string) ([]byte, error) {
	if path == h.newest() {
		h.reads++
	}
	if h.away != nil {
		return nil, h.away
	}
	if data, there := h.files[path]; there {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

func (h *held) newest() string {
	return tiles.BundlePath(0, int(h.tree.Size))
}

// grow makes the tree one of so many entries, at most a bundle.
func (h *held) grow(t *testing.T, size int) {
	t.Helper()
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	var bundle, tile []byte
	for i := range size {
		entry := fmt.Append(nil, "entry ", i)
		bundle = append(binary.BigEndian.AppendUint16(bundle, uint16(len(entry))), entry...)
		tile = append(tile, scitt.LeafHash(entry)...)
		if err := tree.Append(scitt.LeafHash(entry), nil); err != nil {
			t.Fatal(err)
		}
	}
	root, err := tree.GetRootHash(nil)
	if err != nil {
		t.Fatal(err)
	}
	h.tree = &scitt.Checkpoint{Origin: "log", Size: uint64(size), Root: root}
	h.files[h.newest()], h.files[tiles.TilePath(0, 0, size)] = bundle, tile
}

// TestSoundFor: before each batch the newest entries are read, but for a tree that was read
// already and that other entries will be built on in any case. It must extend what is public.
func TestSoundFor(t *testing.T) {
	h := &held{files: map[string][]byte{}}
	h.grow(t, 30)
	p, last := &publisher{driver: h, tree: tiles.NewTree(h), view: &tiles.View{Checkpoint: scitt.EmptyCheckpoint("log")}}, &scitt.Checkpoint{}
	sound := func(end uint64, reads int, want error) {
		t.Helper()
		before := h.reads
		err := p.soundFor(t.Context(), last, func(context.Context) (uint64, error) { return end, nil })
		if h.reads-before != reads || !errors.Is(err, want) {
			t.Errorf("a log of %d entries with a tree of %d: read %d times, %v", end, h.tree.Size, h.reads-before, err)
		}
	}
	sound(35, 1, nil) // after a start
	sound(30, 1, nil) // nothing waits
	sound(31, 0, nil)
	sound(32, 0, nil)
	h.grow(t, 40)
	sound(40, 1, nil)
	sound(41, 0, nil)
	delete(h.files, h.newest())
	sound(40, 1, fs.ErrNotExist)
	if err := p.sound(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a check: %v", err)
	}
	h.grow(t, 50)
	sound(51, 1, nil)

	// The engine's state becomes one that does not extend what is public.
	p.view = &tiles.View{Checkpoint: h.tree}
	h.grow(t, 40)
	sound(40, 0, ErrFork)
	sound(41, 0, ErrFork)
	h.tree = scitt.EmptyCheckpoint("log")
	sound(0, 0, ErrFork)
	h.grow(t, 60)
	sound(61, 1, nil)
	p.view = &tiles.View{Checkpoint: &scitt.Checkpoint{Origin: "log", Size: 50, Root: h.tree.Root}}
	h.grow(t, 61)
	sound(62, 0, ErrFork)
}

// TestSample: files that are out of reach are not called damaged.
func TestSample(t *testing.T) {
	h := &held{files: map[string][]byte{}}
	h.grow(t, 30)
	l := &Log{driver: h, pub: &publisher{driver: h, view: &tiles.View{Checkpoint: h.tree}}}
	for _, c := range []struct {
		away error
		want string // "" for nothing wrong
	}{{nil, ""}, {errors.New("no route to host"), "cannot be read"}, {fs.ErrNotExist, "damaged"}, {fmt.Errorf("%w: short", tiles.ErrCorrupt), "damaged"}} {
		h.away = c.away
		err := l.sample(t.Context())
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || c.away != nil && strings.Contains(newest(c.away).Error(), "put the file back") != (c.want == "damaged") {
			t.Errorf("%v: %v", c.away, err)
		}
	}
}
