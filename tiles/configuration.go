package tiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/scitt"
)

var (
	// ErrConfiguration is wrapped when a log shows something else in its
	// transparency configuration than is in the log.
	ErrConfiguration = errors.New("the transparency configuration shows something else than the log")
	// ErrAhead is wrapped when the policy that is shown is in no tree that was
	// signed yet, so that it cannot be checked. A service that has just stored a
	// policy is so for a moment.
	ErrAhead = errors.New("the transparency configuration shows a policy that the checkpoint does not cover")
)

// CheckConfiguration holds what a log says about itself to what is in it: the
// origin; the issuer, who signed the log's keys in entry 0 and its tree; and the
// policy, which must be at its index with its entry id and its document. Whether it
// is the last one, and so in force, needs a look at all entries after it. What the
// configuration does not show is not missed. Errors wrap ErrConfiguration, ErrAhead
// or [scitt.ErrMalformed], or are those of reading the log.
func (v *View) CheckConfiguration(ctx context.Context, c *scitt.Configuration) error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrConfiguration, fmt.Sprintf(format, args...))
	}
	cp := v.Checkpoint
	if c.Origin != cp.Origin {
		return wrong("the origin %q, and the checkpoint is of %q", c.Origin, cp.Origin)
	}
	if cp.Tree != nil && c.Issuer != cp.Tree.Issuer {
		return wrong("the issuer %q, and the tree is signed by %q", c.Issuer, cp.Tree.Issuer)
	}
	if cp.Size > 0 {
		first, err := v.Entry(ctx, 0)
		if err != nil {
			return err
		}
		if st, err := scitt.DecodeStatement(first); err == nil && st.Type == scitt.TypeKeys && st.Issuer != c.Issuer {
			return wrong("the issuer %q, and entry 0 announces the keys of %q", c.Issuer, st.Issuer)
		}
	}
	p := c.Policy
	if p.EntryID == "" && p.Index == 0 {
		return nil
	}
	if p.Index >= cp.Size {
		return fmt.Errorf("%w: it is shown at entry %d, and the checkpoint covers %d", ErrAhead, p.Index, cp.Size)
	}
	entry, err := v.Entry(ctx, p.Index)
	if err != nil {
		return err
	}
	st, err := scitt.DecodeStatement(entry)
	if err != nil || st.Type != scitt.TypePolicy || st.ID().String() != p.EntryID {
		return wrong("a policy with the entry id %.80q at entry %d, and another entry is there", p.EntryID, p.Index)
	}
	document, err := jsonx.Canonical(p.Document)
	if err != nil {
		return wrong("a policy document that is not JSON: %v", err)
	}
	if registered, err := jsonx.Canonical(st.Payload); err != nil || !bytes.Equal(document, registered) {
		return wrong("another document for the policy at entry %d than is registered there", p.Index)
	}
	return nil
}
