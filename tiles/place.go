package tiles

import (
	"encoding/binary"

	"github.com/conmotion/conmotion/scitt"
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

// Head is the last entry of an issuer's chain.
type Head struct {
	Index uint64 // in the log
	ID    scitt.EntryID
	Seq   uint64 // in the chain
	Given string // [scitt.Statement.GivenChain] of the entry
}

// NewHead is the head of a chain that a statement at an index makes.
func NewHead(s *scitt.Statement, index uint64) Head {
	return Head{Index: index, ID: s.ID(), Seq: s.Chain.Seq, Given: s.GivenChain()}
}
