package monitor

import (
	"bytes"

	"github.com/conmotion/conmotion/scitt"
)

// Head is the last record of a chain.
type Head struct {
	Seq uint64
	ID  scitt.EntryID
}

// Next is the link of the record that follows the head; of the first record
// when there is no head (nil).
func Next(name string, head *Head) *scitt.ChainLink {
	if head == nil {
		return &scitt.ChainLink{Name: name}
	}
	return &scitt.ChainLink{Name: name, Seq: head.Seq + 1, Prev: bytes.Clone(head.ID[:])}
}
