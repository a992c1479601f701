package party

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// Head is the newest record of an issuer in a log, or the head of one of its chains.
type Head struct {
	Origin   string     `json:"origin"`
	Size     uint64     `json:"size"` // of the log
	Index    uint64     `json:"index"`
	EntryID  string     `json:"entry_id"`
	Issuer   string     `json:"issuer"`
	Subject  string     `json:"subject"`
	Type     string     `json:"type"`
	IssuedAt int64      `json:"iat,omitempty"` // seconds since 1970
	Chain    *ChainHead `json:"chain,omitempty"`
	Receipt  []byte     `json:"receipt"`

	Transparent []byte `json:"-"` // Statement
}

// ChainHead is the place of a [Head] in its chain.
type ChainHead struct {
	Name string `json:"name"`
	Seq  uint64 `json:"seq"`
	Prev string `json:"prev,omitempty"` // entry id
}

// Head finds the newest record or observation of an issuer, or with the name of a chain the
// head of that: see Log.newest, whose errors it has, and of which unread is.
func (l *Log) Head(ctx context.Context, issuer, chain string, progress func(done, size uint64)) (*Head, monitor.Unread, error) {
	e, unread, err := l.newest(ctx, func(s *scitt.Statement) bool {
		switch {
		case s.Issuer != issuer:
			return false
		case chain != "":
			return s.Chain != nil && s.Chain.Name == chain
		}
		return s.Type == scitt.TypeRecord || s.Type == scitt.TypeObservation
	}, progress)
	if errors.Is(err, ErrNoEntry) {
		what := "record"
		if chain != "" {
			what = fmt.Sprintf("entry in the chain %q", chain)
		}
		err = fmt.Errorf("%w: %s has no %s of %s among its %d entries", ErrNoEntry, l.Location, what, issuer, l.View.Checkpoint.Size)
	}
	if err != nil {
		return nil, unread, err
	}
	transparent, err := l.transparent(ctx, e)
	if err != nil {
		return nil, unread, err
	}
	t, err := scitt.DecodeStatement(transparent)
	if err != nil {
		return nil, unread, err
	}
	s, cp := e.Statement, l.View.Checkpoint
	h := &Head{
		Origin: cp.Origin, Size: cp.Size, Index: e.Index, EntryID: s.ID().String(), Issuer: s.Issuer, Subject: s.Subject, Type: s.Type,
		IssuedAt: s.IssuedAt, Receipt: t.Receipts[0], Transparent: transparent,
	}
	if c := s.Chain; c != nil {
		h.Chain = &ChainHead{c.Name, c.Seq, hex.EncodeToString(c.Prev)}
	}
	return h, unread, nil
}
