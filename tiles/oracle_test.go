package tiles_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io/fs"
	"maps"
	"strconv"
	"testing"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// memory is a Source in memory.
type memory map[string][]byte

func (m memory) Get(ctx context.Context, path string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if data, ok := m[path]; ok {
		return data, nil
	}
	return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
}

// but is m with one file changed; nil deletes it.
func (m memory) but(path string, data []byte) memory {
	m = maps.Clone(m)
	if m[path] = data; data == nil {
		delete(m, path)
	}
	return m
}

// oracle says what a log of these entries is, by the definitions of RFC 9162
// section 2.1 and C2SP tlog-tiles and nothing of the package under test.
type oracle struct {
	entries [][]byte
	levels  [][][]byte // levels[l][i] is the hash i of the tiles of level l
}

func newOracle(entries [][]byte) *oracle {
	o := &oracle{entries: entries}
	leaves := make([][]byte, len(entries))
	for i, e := range entries {
		sum := sha256.Sum256(append([]byte{0}, e...))
		leaves[i] = sum[:]
	}
	o.setLeaves(leaves)
	return o
}

// setLeaves is for logs of which only the hashes matter.
func (o *oracle) setLeaves(leaves [][]byte) {
	o.levels = [][][]byte{leaves}
	for below := leaves; len(below) >= 256; {
		var level [][]byte
		for i := 0; i+256 <= len(below); i += 256 {
			level = append(level, treeHash(below[i:i+256]))
		}
		o.levels = append(o.levels, level)
		below = level
	}
}

// treeHash is the Merkle Tree Hash over hashes of equal subtrees.
func treeHash(hashes [][]byte) []byte {
	switch len(hashes) {
	case 0:
		sum := sha256.Sum256(nil)
		return sum[:]
	case 1:
		return hashes[0]
	}
	k := splitAt(len(hashes))
	sum := sha256.Sum256(bytes.Join([][]byte{{1}, treeHash(hashes[:k]), treeHash(hashes[k:])}, nil))
	return sum[:]
}

// splitAt is the largest power of two below n.
func splitAt(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}

// treePath is PATH(i, D) of RFC 9162 section 2.1.3.1.
func treePath(i int, hashes [][]byte) [][]byte {
	if len(hashes) == 1 {
		return nil
	}
	k := splitAt(len(hashes))
	if i < k {
		return append(treePath(i, hashes[:k]), treeHash(hashes[k:]))
	}
	return append(treePath(i-k, hashes[k:]), treeHash(hashes[:k]))
}

func (o *oracle) leaf(i int) []byte { return o.levels[0][i] }

func (o *oracle) checkpoint(size int) *scitt.Checkpoint {
	return &scitt.Checkpoint{Origin: "log.example", Size: uint64(size), Root: treeHash(o.levels[0][:size])}
}

// write puts the files of the log at a size into m.
func (o *oracle) write(m memory, size int) {
	for level, n := 0, size; n > 0; level, n = level+1, n/256 {
		for i := 0; i < n; i += 256 {
			end := min(n, i+256)
			m[fmt.Sprintf("tile/%d/%s", level, naivePath(i/256, end-i))] = bytes.Join(o.levels[level][i:end], nil)
		}
	}
	for i := 0; i < size && o.entries != nil; i += 256 {
		end := min(size, i+256)
		m["tile/entries/"+naivePath(i/256, end-i)] = naiveBundle(o.entries[i:end])
	}
}

func (o *oracle) log(size int) memory {
	m := memory{}
	o.write(m, size)
	return m
}

func naiveBundle(entries [][]byte) []byte {
	var b []byte
	for _, e := range entries {
		b = binary.BigEndian.AppendUint16(b, uint16(len(e)))
		b = append(b, e...)
	}
	return b
}

// naivePath writes a number in groups of three digits.
func naivePath(n, width int) string {
	digits := strconv.Itoa(n)
	for len(digits)%3 != 0 {
		digits = "0" + digits
	}
	path := ""
	for ; len(digits) > 3; digits = digits[3:] {
		path += "x" + digits[:3] + "/"
	}
	path += digits
	if width < 256 {
		path += ".p/" + strconv.Itoa(width)
	}
	return path
}

func numbered(n int) [][]byte {
	entries := make([][]byte, n)
	for i := range entries {
		entries[i] = fmt.Appendf(nil, "entry %d", i)
	}
	return entries
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func at(t testing.TB, src tiles.Source, cp *scitt.Checkpoint) *tiles.View {
	t.Helper()
	v, err := tiles.NewTree(src).At(t.Context(), cp)
	must(t, err)
	return v
}
