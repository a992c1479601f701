package witness

import (
	"bytes"
	"cmp"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
)

var (
	// ErrQuorum is wrapped when too few witnesses cosigned a checkpoint.
	ErrQuorum = errors.New("the quorum of witnesses is missing")
	// ErrStale is wrapped when a quorum was there, and too long ago.
	ErrStale = errors.New("the cosignatures are too old")
)

// Cosignature is the word of a witness: at this time, by its own clock, no larger
// tree of the log was known to it, and all that it saw before are a part of this one.
type Cosignature struct {
	Witness string    // its name in the policy
	At      time.Time // to the second; the zero time where it says none
}

// Cosigned is a checkpoint with the witnesses of a [Policy] that cosigned it.
type Cosigned struct {
	*scitt.Checkpoint
	By     []Cosignature // each witness once, in the order of the policy
	policy *Policy
}

// Open reads a checkpoint and the cosignatures of the policy's witnesses, whether
// they are enough or not: see [Cosigned.Quorum]. Where the policy names logs, one of
// them must have signed, under the origin that is its own. Otherwise nobody says
// that the checkpoint is the log's: the caller must know it.
// Errors wrap [scitt.ErrCheckpoint]; a line of a key in the policy that does not
// verify is one.
func (p *Policy) Open(raw []byte) (*Cosigned, error) { return p.start(raw)() }

// start is Open for a caller that has other work while the signatures are verified.
func (p *Policy) start(raw []byte) func() (*Cosigned, error) {
	keys := make([]note.Verifier, 0, len(p.Logs)+len(p.Witnesses))
	keys = append(keys, p.Logs...)
	for _, w := range p.Witnesses {
		keys = append(keys, w.Key)
	}
	opened := scitt.StartNote(raw, keys...)
	return func() (*Cosigned, error) {
		cp, sigs, err := opened()
		if err != nil {
			return nil, err
		}
		return p.cosigned(cp, sigs)
	}
}

// cosigned is what a checkpoint says with the signatures that verify.
func (p *Policy) cosigned(cp *scitt.Checkpoint, sigs []note.Signature) (*Cosigned, error) {
	c := &Cosigned{Checkpoint: cp, policy: p}
	signed := func(key note.Verifier) *note.Signature {
		for i, s := range sigs {
			if s.Hash == key.KeyHash() && s.Name == key.Name() {
				return &sigs[i]
			}
		}
		return nil
	}
	byLog := len(p.Logs) == 0
	for _, l := range p.Logs {
		byLog = byLog || l.Name() == cp.Origin && signed(l) != nil
	}
	if !byLog {
		return nil, fmt.Errorf("%w: no log of the witness policy signed it as %.80q", scitt.ErrCheckpoint, cp.Origin)
	}
	for _, w := range p.Witnesses {
		s := signed(w.Key)
		if s == nil {
			continue
		}
		at, err := scitt.CosignatureTime(*s)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", scitt.ErrCheckpoint, err)
		}
		c.By = append(c.By, Cosignature{w.Name, at})
	}
	return c, nil
}

// Quorum is nil when enough witnesses cosigned. Errors wrap ErrQuorum.
func (c *Cosigned) Quorum() error { return c.quorum(func(Cosignature) bool { return true }) }

// Fresh is nil when enough witnesses cosigned not before a time. Errors wrap
// ErrQuorum when too few did at all, and ErrStale when too few did since.
func (c *Cosigned) Fresh(since time.Time) error {
	if err := c.Quorum(); err != nil {
		return err
	}
	if c.quorum(func(s Cosignature) bool { return !s.At.Before(since) }) == nil {
		return nil
	}
	return fmt.Errorf("%w: %s, and %s is needed since %s", ErrStale, c, c.policy.Rule(), since.UTC().Format(time.RFC3339))
}

func (c *Cosigned) quorum(counts func(Cosignature) bool) error {
	cosigned := map[int]bool{}
	for i, w := range c.policy.Witnesses {
		for _, s := range c.By {
			cosigned[i] = cosigned[i] || s.Witness == w.Name && counts(s)
		}
	}
	if c.policy.quorum.met(cosigned) {
		return nil
	}
	return fmt.Errorf("%w: it is cosigned by %s, and %s is needed", ErrQuorum, c, c.policy.Rule())
}

// Rule says which witnesses the policy demands: see [Policy.Rule].
func (c *Cosigned) Rule() string { return c.policy.Rule() }

// String names the witnesses that cosigned, and when.
func (c *Cosigned) String() string {
	if len(c.By) == 0 {
		return "no witness of the policy"
	}
	var by []string
	for _, s := range c.By {
		at := "at no time"
		if !s.At.IsZero() {
			at = "at " + s.At.UTC().Format(time.RFC3339)
		}
		by = append(by, s.Witness+" "+at)
	}
	return strings.Join(by, ", ")
}

// Silent are the witnesses of the policy that did not cosign.
func (c *Cosigned) Silent() (names []string) {
	for _, w := range c.policy.Witnesses {
		if !slices.ContainsFunc(c.By, func(s Cosignature) bool { return s.Witness == w.Name }) {
			names = append(names, w.Name)
		}
	}
	return names
}

// OpenReceipt reads the cosigned checkpoint that a Receipt carries, which must be of
// the tree that the Receipt proves the entry in, and of its log. The Receipt has been
// verified, so that the log signed this root: see [Policy.VerifyReceipt]. Errors wrap ErrQuorum when
// it carries none, or one of another tree, and else are those of Open.
func (p *Policy) OpenReceipt(r *scitt.Receipt, entry []byte) (*Cosigned, error) {
	return p.openReceipt(r, entry, func([]byte) error { return nil })
}

// VerifyReceipt verifies a Receipt for an entry together with the cosigned checkpoint that it carries, their signatures at the same time.
// Errors are those of [scitt.Receipt.Verify] and of OpenReceipt.
func (p *Policy) VerifyReceipt(r *scitt.Receipt, key crypto.PublicKey, entry []byte) (*Cosigned, error) {
	return p.openReceipt(r, entry, func(root []byte) error { return r.VerifyRoot(key, root) })
}

func (p *Policy) openReceipt(r *scitt.Receipt, entry []byte, verify func(root []byte) error) (*Cosigned, error) {
	opened := func() (*Cosigned, error) {
		return nil, fmt.Errorf("%w: the receipt carries no cosigned checkpoint", ErrQuorum)
	}
	if r.Checkpoint != nil {
		opened = p.start(r.Checkpoint)
	}
	root, err := r.Root(entry)
	if err == nil {
		err = verify(root)
	}
	c, missing := opened()
	if err := cmp.Or(err, missing); err != nil {
		return nil, err
	}
	_, size, ok := r.Place()
	if !ok || c.Size != size || c.Origin != r.Subject || !bytes.Equal(c.Root, root) {
		return nil, fmt.Errorf("%w: the checkpoint in the receipt is of another tree than the receipt", ErrQuorum)
	}
	return c, nil
}
