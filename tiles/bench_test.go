package tiles_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// millionLeaves is a log of a million leaves, of which there are only hashes.
func millionLeaves(b *testing.B) (*oracle, memory, *scitt.Checkpoint) {
	b.Helper()
	const size = 1_000_000
	rng := rand.New(rand.NewPCG(1, 2))
	leaves := make([][]byte, size)
	for i := range leaves {
		leaves[i] = make([]byte, 0, 32)
		for range 4 {
			leaves[i] = binary.BigEndian.AppendUint64(leaves[i], rng.Uint64())
		}
	}
	o := &oracle{}
	o.setLeaves(leaves)
	return o, o.log(size), o.checkpoint(size)
}

func BenchmarkInclusion(b *testing.B) {
	o, src, cp := millionLeaves(b)
	v := at(b, src, cp)
	for i := 0; i < len(o.levels[0]); i += tiles.Width { // fill the cache
		_, err := v.Inclusion(b.Context(), uint64(i), o.leaf(i))
		must(b, err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	b.ReportAllocs()
	for b.Loop() {
		i := rng.IntN(len(o.levels[0]))
		if _, err := v.Inclusion(b.Context(), uint64(i), o.leaf(i)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAt opens new checkpoints of a log whose full tiles are known.
func BenchmarkAt(b *testing.B) {
	o, src, cp := millionLeaves(b)
	sizes := []int{int(cp.Size) - 300, int(cp.Size) - 20, int(cp.Size)}
	var checkpoints []*scitt.Checkpoint
	for _, size := range sizes {
		o.write(src, size)
		checkpoints = append(checkpoints, o.checkpoint(size))
	}
	tree := tiles.NewTree(src)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := tree.At(b.Context(), checkpoints[i%len(checkpoints)]); err != nil {
			b.Fatal(err)
		}
	}
}
