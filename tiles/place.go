package tiles

import (
	"encoding/binary"
)

// Place is where an index believes an entry to be.
type Place struct {
	Index uint64
	// Leaf is the first 8 bytes of the entry's leaf hash, big-endian. It tells
	// an index that does not belong to the log.
	Leaf uint64
}

// NewPlace is the place of an entry with this leaf hash.
func NewPlace(index uint64, leafHash []byte) Place {
	return Place{index, binary.BigEndian.Uint64(leafHash)}
}

// Matches reports whether the leaf hash is that of the entry.
func (p Place) Matches(leafHash []byte) bool {
	return binary.BigEndian.Uint64(leafHash) == p.Leaf
}
