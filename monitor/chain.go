package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

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

// ChainLog is a log as one issuer of a chain sees it.
type ChainLog interface {
	// Head reads the last record of the chain that is in the log, nil when
	// there is none. It must see what Register has been acknowledged for.
	Head(ctx context.Context, issuer, name string) (*Head, error)
	// Register registers a statement and gives the Transparent Statement. A
	// refusal is a *scitt.Problem with status 400. The same statement twice is
	// one entry.
	Register(ctx context.Context, statement []byte) ([]byte, error)
}

// ErrContended says that others of the same issuer were always faster.
var ErrContended = errors.New("the chain moved at every attempt")

// Chain appends records to one issuer's chain in one log.
type Chain struct {
	Log    ChainLog
	Issuer string
	Name   string
	head   *Head
	known  bool // head has been read or made
}

// attempts is how many refusals by a chain that moved are borne.
const attempts = 16

// Append signs a record with the chain's next link and registers it. When the
// log refuses it because another record came first, it is signed again with
// the new link. It returns the statement that counts and its Transparent
// Statement.
//
// After any other error the fate of the statement is not known; it is returned
// with the error. To register these very bytes again is safe (a log has one
// entry for a statement), to sign the event anew could record it twice.
func (c *Chain) Append(ctx context.Context, sign func(*scitt.ChainLink) ([]byte, error)) (statement, transparent []byte, err error) {
	if !c.known {
		if err := c.read(ctx); err != nil {
			return nil, nil, err
		}
	}
	for range attempts {
		link := Next(c.Name, c.head)
		if statement, err = sign(link); err != nil {
			return nil, nil, err
		}
		s, err := scitt.ParseStatement(statement)
		if err != nil {
			return nil, nil, err
		}
		if s.Issuer != c.Issuer || s.Chain == nil || s.Chain.Name != link.Name || s.Chain.Seq != link.Seq || !bytes.Equal(s.Chain.Prev, link.Prev) {
			return nil, nil, malformed("the statement was not signed as %q with the link it was given", c.Issuer)
		}
		transparent, err = c.Log.Register(ctx, statement)
		if err == nil {
			c.head, c.known = &Head{link.Seq, s.ID()}, true
			return statement, transparent, nil
		}
		c.known = false // the head is whatever the log says next time
		if !refused(err) {
			return statement, nil, fmt.Errorf("register: %w", err)
		}
		old := c.head
		if headErr := c.read(ctx); headErr != nil {
			return statement, nil, fmt.Errorf("register: %w; then %w", err, headErr)
		}
		if old == nil && c.head == nil || old != nil && c.head != nil && *old == *c.head {
			return statement, nil, fmt.Errorf("register: %w", err) // refused for another reason
		}
	}
	return nil, nil, ErrContended
}

func (c *Chain) read(ctx context.Context) error {
	head, err := c.Log.Head(ctx, c.Issuer, c.Name)
	if err != nil {
		return fmt.Errorf("head of the chain %q: %w", c.Name, err)
	}
	c.head, c.known = head, true
	return nil
}

func refused(err error) bool {
	p, ok := errors.AsType[*scitt.Problem](err)
	return ok && p.Status == http.StatusBadRequest
}
