package search

import (
	"context"
	"errors"

	"github.com/conmotion/conmotion/internal/firsts"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// Standing is whether a hit counts. An index does not judge that: entries that
// nobody signed, and content that is in the log twice, are hits like others. Who
// verifies an answer finds out.
type Standing string

// The standings.
const (
	Counts       Standing = "counts"
	BadSignature Standing = "signature" // its issuer did not sign it
	Duplicate    Standing = "duplicate" // an earlier entry that counts has the same content
	Unchecked    Standing = "unchecked" // the issuer's key is not known here; no earlier entry has the content
)

// Signer verifies the signature of a statement. Its error wraps
// scitt.ErrSignature when the issuer did not make it; any other says that this
// cannot be told. It is safe for concurrent use.
type Signer func(*scitt.Statement) error

// standing judges an entry by itself; "" when it is not a statement.
func (v Signer) standing(entry []byte) Standing {
	s, err := scitt.DecodeStatement(entry)
	if _, ok := scitt.EntryIDOf(entry); err != nil || !ok {
		return ""
	}
	switch err := v(s); {
	case err == nil:
		return Counts
	case errors.Is(err, scitt.ErrSignature):
		return BadSignature
	}
	return Unchecked
}

// counter finds duplicates among entries that come in order.
type counter struct {
	view *tiles.View
	ids  *firsts.Table
}

func newCounter(view *tiles.View) *counter { return &counter{view, firsts.New()} }

// count returns how an entry stands among those before it, which has a standing by
// itself. Of a duplicate it returns the index that counts.
func (c *counter) count(ctx context.Context, d *document, alone Standing) (Standing, *uint64, error) {
	if alone == "" || alone == BadSignature {
		return alone, nil, nil
	}
	first, ok, err := c.ids.Find(d.id, func(at uint64) (bool, error) {
		entry, err := c.view.Entry(ctx, at)
		if err != nil {
			return false, err
		}
		id, ok := scitt.EntryIDOf(entry)
		return ok && id == d.id, nil
	})
	if err != nil {
		return "", nil, err
	}
	if ok {
		return Duplicate, &first, nil
	}
	c.ids.Take(d.id, d.Index)
	return alone, nil, nil
}
