package tiles

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/conmotion/conmotion/scitt"
)

const (
	// Width is the number of hashes in a full tile, and of entries in a full bundle.
	Width     = 256
	height    = 8 // levels of the Merkle tree in a tile
	hashSize  = sha256.Size
	cacheSize = 2048 // full tiles, 16 KiB each: the lowest tiles of half a million entries
)

var hasher = scitt.TreeHasher{Hasher: rfc6962.DefaultHasher}

// ErrCorrupt says that a file of the log is not what the checkpoint commits to.
var ErrCorrupt = errors.New("the log's files are corrupt")

// ErrBehind says that a view has fewer entries than a checkpoint that it is held
// to. That is no evidence of anything: the copy may be old. Whether the smaller
// tree is a part of the larger one shows in the files of the larger one.
var ErrBehind = errors.New("the log shows fewer entries here")

// ErrOtherLog is wrapped when a place has another log than it had, or than is meant.
var ErrOtherLog = errors.New("another log is at this place")

// tile holds the hashes of one tile and of every subtree in it: nodes[0] are
// the hashes themselves, nodes[h][i] the root of the 2^h hashes from i*2^h.
type tile struct {
	nodes [height + 1][]byte
}

func newTile(hashes []byte) *tile {
	t := &tile{}
	t.nodes[0] = hashes
	buf := make([]byte, 1+2*hashSize)
	buf[0] = rfc6962.RFC6962NodeHashPrefix
	for h := 1; h <= height; h++ {
		below := t.nodes[h-1]
		level := make([]byte, 0, len(below)/2)
		for i := 0; i+2*hashSize <= len(below); i += 2 * hashSize {
			copy(buf[1:], below[i:i+2*hashSize])
			sum := sha256.Sum256(buf)
			level = append(level, sum[:]...)
		}
		t.nodes[h] = level
	}
	return t
}

func (t *tile) node(h int, i uint64) ([]byte, bool) {
	if from := i * hashSize; from+hashSize <= uint64(len(t.nodes[h])) {
		return t.nodes[h][from : from+hashSize : from+hashSize], true
	}
	return nil, false
}

type tileID struct {
	level int
	index uint64
}

// Tree reads the tiles of one log and keeps full ones, which never change. It
// is safe for concurrent use.
type Tree struct {
	src  Source
	full *lru.Cache[tileID, *tile]
}

// NewTree reads tiles from src.
func NewTree(src Source) *Tree {
	cache, err := lru.New[tileID, *tile](cacheSize)
	if err != nil {
		panic(err) // only a size below one fails
	}
	return &Tree{src, cache}
}

// View is the log as one checkpoint commits to it. It is safe for concurrent use.
type View struct {
	Checkpoint *scitt.Checkpoint
	tree       *Tree
	edge       map[tileID]*tile // the partial tiles of this size, and one that is at hand
}

// At opens the log at a checkpoint: it loads the partial tiles on the right
// edge and checks that the tiles lead to the checkpoint's root.
func (t *Tree) At(ctx context.Context, cp *scitt.Checkpoint) (*View, error) {
	v := &View{Checkpoint: cp, tree: t, edge: map[tileID]*tile{}}
	for level, n := 0, cp.Size; n > 0; level, n = level+1, n/Width {
		width := int(n % Width)
		if width == 0 {
			continue
		}
		id := tileID{level, n / Width}
		loaded, err := t.load(ctx, id, width)
		if err != nil {
			return nil, err
		}
		v.edge[id] = loaded
	}
	root, err := v.root(ctx)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(root, cp.Root) {
		t.full.Purge() // one of them may be wrong, and right when it is read again
		var edge []string
		for id := range v.edge {
			edge = append(edge, TilePath(id.level, id.index, widthAt(cp.Size, id.level, id.index)))
		}
		slices.Sort(edge)
		return nil, fmt.Errorf("%w: %s lead to root %x and the checkpoint of size %d signs %x", ErrCorrupt, strings.Join(edge, ", "), root, cp.Size, cp.Root)
	}
	return v, nil
}

func (t *Tree) load(ctx context.Context, id tileID, width int) (*tile, error) {
	hashes, err := ReadTile(ctx, t.src, id.level, id.index, width)
	if err != nil {
		return nil, fmt.Errorf("tile %s: %w", TilePath(id.level, id.index, width), err)
	}
	return newTile(hashes), nil
}

// node is the root of a full subtree.
func (v *View) node(ctx context.Context, id compact.NodeID) ([]byte, error) {
	h := int(id.Level % height)
	tid := tileID{int(id.Level / height), id.Index >> (height - h)}
	t, ok := v.edge[tid]
	if !ok {
		if t, ok = v.tree.full.Get(tid); !ok {
			var err error
			if t, err = v.tree.load(ctx, tid, Width); err != nil {
				return nil, err
			}
			v.tree.full.Add(tid, t)
		}
	}
	hash, ok := t.node(h, id.Index&(1<<(height-h)-1))
	if !ok {
		return nil, fmt.Errorf("%w: tile %s is too short", ErrCorrupt, TilePath(tid.level, tid.index, 0))
	}
	return hash, nil
}

// with is a view that has a tile at hand which is not among those that are kept: whoever reads a whole log needs each of
// the lowest ones once.
func (v *View) with(ctx context.Context, id tileID) (*View, error) {
	if v.edge[id] != nil || v.tree.full.Contains(id) {
		return v, nil
	}
	t, err := v.tree.load(ctx, id, Width)
	if err != nil {
		return nil, err
	}
	edge := maps.Clone(v.edge)
	edge[id] = t
	return &View{v.Checkpoint, v.tree, edge}, nil
}

func (v *View) root(ctx context.Context) ([]byte, error) {
	if v.Checkpoint.Size == 0 {
		return hasher.EmptyRoot(), nil
	}
	var hashes [][]byte
	for _, id := range compact.RangeNodes(0, v.Checkpoint.Size, nil) {
		hash, err := v.node(ctx, id)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	root := hashes[len(hashes)-1]
	for i := len(hashes) - 2; i >= 0; i-- {
		root = hasher.HashChildren(hashes[i], root)
	}
	return root, nil
}

// LeafHash is the hash of the leaf at an index, unverified until a proof with
// it leads to the root.
func (v *View) LeafHash(ctx context.Context, index uint64) ([]byte, error) {
	if index >= v.Checkpoint.Size {
		return nil, fmt.Errorf("index %d is not below the log's size %d", index, v.Checkpoint.Size)
	}
	return v.node(ctx, compact.NewNodeID(0, index))
}

// Inclusion proves the leaf at an index, and checks that the proof leads from
// leafHash to the checkpoint's root. Errors wrap [scitt.ErrProof] when the
// log holds another leaf there.
func (v *View) Inclusion(ctx context.Context, index uint64, leafHash []byte) (*scitt.InclusionProof, error) {
	nodes, err := proof.Inclusion(index, v.Checkpoint.Size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", scitt.ErrProof, err)
	}
	path, err := v.path(ctx, nodes)
	if err != nil {
		return nil, err
	}
	p := &scitt.InclusionProof{Size: v.Checkpoint.Size, Index: index, Path: path}
	root, err := p.Root(leafHash)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(root, v.Checkpoint.Root) {
		v.tree.full.Purge()
		return nil, fmt.Errorf("%w: leaf %d is not %x", scitt.ErrProof, index, leafHash)
	}
	return p, nil
}

// Consistency checks that the log at this checkpoint extends the log at an
// older one. Errors wrap [scitt.ErrProof] when it does not: the log forked. They
// wrap ErrBehind when the other one is larger.
func (v *View) Consistency(ctx context.Context, old *scitt.Checkpoint) error {
	if old.Size > v.Checkpoint.Size {
		return fmt.Errorf("%w: it has %d, and %d are needed", ErrBehind, v.Checkpoint.Size, old.Size)
	}
	if old.Size == 0 { // every log extends the empty one, and there is no proof of it
		if !bytes.Equal(old.Root, hasher.EmptyRoot()) {
			return fmt.Errorf("%w: the root of the empty log is not %x", scitt.ErrProof, old.Root)
		}
		return nil
	}
	path, err := v.ConsistencyProof(ctx, old.Size)
	if err != nil {
		return err
	}
	if err := proof.VerifyConsistency(hasher, old.Size, v.Checkpoint.Size, path, old.Root, v.Checkpoint.Root); err != nil {
		if wrong, ok := errors.AsType[proof.RootMismatchError](err); ok { // whose text is in decimal bytes
			err = fmt.Errorf("the proof leads to the root %x, and not to %x", wrong.CalculatedRoot, wrong.ExpectedRoot)
		}
		return fmt.Errorf("%w: the log of size %d does not extend the one of size %d: %w", scitt.ErrProof, v.Checkpoint.Size, old.Size, err)
	}
	return nil
}

// ConsistencyProof proves that the log extends its first entries, so many of
// them (RFC 6962 section 2.1.2). There is nothing to prove of none and of all.
func (v *View) ConsistencyProof(ctx context.Context, size uint64) ([][]byte, error) {
	if size == 0 || size == v.Checkpoint.Size {
		return nil, nil
	}
	nodes, err := proof.Consistency(size, v.Checkpoint.Size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", scitt.ErrProof, err)
	}
	return v.path(ctx, nodes)
}

func (v *View) path(ctx context.Context, nodes proof.Nodes) ([][]byte, error) {
	hashes := make([][]byte, 0, len(nodes.IDs))
	for _, id := range nodes.IDs {
		hash, err := v.node(ctx, id)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	return nodes.Rehash(hashes, hasher.HashChildren)
}

// Receipt makes the encoded Receipt of the entry at an index, and has checked
// its proof. The signature on the root was checked with the checkpoint.
func (v *View) Receipt(ctx context.Context, index uint64, leafHash []byte) ([]byte, error) {
	p, err := v.Inclusion(ctx, index, leafHash)
	if err != nil {
		return nil, err
	}
	return v.Checkpoint.Receipt(p)
}

// Receipts are the Receipt, and the one by the log's ML-DSA-44 key where it has one.
func (v *View) Receipts(ctx context.Context, index uint64, leafHash []byte) ([][]byte, error) {
	p, err := v.Inclusion(ctx, index, leafHash)
	if err != nil {
		return nil, err
	}
	return v.Checkpoint.Receipts(p)
}
