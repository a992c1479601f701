package audit

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// ErrKeys reports that entry 0 of a log does not announce the keys of its
// service, or that the log does not announce the keys that are trusted.
var ErrKeys = errors.New("the log does not announce the keys of its service, so it cannot be known which policies it signed")

// PolicyOptions are the options of [Policies]. The zero value reads all entries.
type PolicyOptions struct {
	// VKeys are the trusted verifier keys of the log. When all entries are read,
	// its keys statements must announce each of them.
	VKeys []string
	// Policy and Schema are as in [Options].
	Policy []policy.Option
	Schema string
	// Size is how many entries are read, from the first; nil for all.
	Size *uint64
	// Entry is called with each entry before it is taken into account. Its
	// error ends the replay.
	Entry func(tiles.Entry) error
}

// History is what a log says about its service's keys and its Registration
// Policies, up to an entry.
type History struct {
	Origin   string
	Size     uint64 // entries that were read
	keys     []keysInForce
	Policies []PolicyInForce
	// Refused are statements of keys or policy that are in the log although what
	// was in force did not allow them. They did not come into force.
	Refused []Refused
}

// keysInForce are the keys from the entry after Index on.
type keysInForce struct {
	Registered
	Keys *scitt.Keys
}

// PolicyInForce is a Registration Policy that came into force.
type PolicyInForce struct {
	Registered
	// From and To are the first and the last entry that it judges. The last is
	// the policy that replaces it; nil when no entry that was read does.
	From      uint64
	To        *uint64
	SignedBy  signer
	Policy    *policy.Policy
	Statement *scitt.Statement
}

// signer is who signed a policy.
type signer string

// The signers of policies.
const (
	signedByService       signer = "service"
	signedByAdministrator signer = "administrator"   // of the policy before
	signedByAnybody       signer = "first statement" // see BootstrapStatement
)

// LogPolicy is what there is to say of a Registration Policy of a log.
type LogPolicy struct {
	EntryID     string  `json:"entry_id"`
	Index       uint64  `json:"index"`
	From        uint64  `json:"from"`
	To          *uint64 `json:"to,omitempty"`
	Signer      string  `json:"signer"` // the issuer
	SignedAs    signer  `json:"signed_as"`
	Signed      string  `json:"issued_at,omitempty"` // as RFC 3339
	Previous    string  `json:"previous,omitempty"`  // the entry id of the policy that it names as the one before
	Hash        string  `json:"hash"`                // SHA-256 of the canonical form, in hexadecimal
	Description string  `json:"description,omitempty"`
}

// Describe says what there is to say of the policy.
func (p *PolicyInForce) Describe() LogPolicy {
	hash := p.Policy.Hash()
	out := LogPolicy{
		EntryID: p.EntryID, Index: p.Index, From: p.From, To: p.To, Signer: p.Statement.Issuer, SignedAs: p.SignedBy,
		Signed: printable.Time(p.Statement.IssuedAt), Hash: hex.EncodeToString(hash[:]), Description: p.Policy.Description(),
	}
	if id, ok := p.Policy.Previous(); ok {
		out.Previous = id.String()
	}
	return out
}

// Judges names the entries that the policy is for, for people.
func (p LogPolicy) Judges() string {
	switch {
	case p.To == nil:
		return fmt.Sprintf("entry %d and what follows", p.From)
	case *p.To == p.From:
		return fmt.Sprintf("entry %d", p.From)
	}
	return fmt.Sprintf("entries %d to %d", p.From, *p.To)
}

// SignedBy says who signed the policy, and why that counts, for people.
func (p LogPolicy) SignedBy() string {
	switch p.SignedAs {
	case signedByService:
		return p.Signer + " (the service)"
	case signedByAdministrator:
		return p.Signer + " (an administrator of the policy before)"
	}
	return p.Signer + " (the first statement of the log, which nothing vouches for)"
}

// Refused is a statement of keys or policy that should not be in the log.
type Refused struct {
	Index   uint64 `json:"index"`
	EntryID string `json:"entry_id"`
	Reason  string `json:"reason"`
}

// Last returns the policy in force after the last entry that was read; nil
// when the log has none so far.
func (h *History) Last() *PolicyInForce {
	if len(h.Policies) == 0 {
		return nil
	}
	return &h.Policies[len(h.Policies)-1]
}

// InForce returns what the next policy of the log has to fit, for
// [policy.Policy.AdmitPolicy]. There must be a policy in force.
func (h *History) InForce() policy.InForce {
	return policy.InForce{Entry: h.Last().Statement.ID(), Subject: scitt.PolicySubject(h.Origin), ServiceKeys: h.keys[len(h.keys)-1].Keys.Service}
}

// ownTypes is in every statement of policy or keys. CBOR of indefinite length
// is not accepted, so a text is never in pieces.
var ownTypes = []byte("application/vnd.conmotion.")

// Policies replays the keys and policies of a log from its first entry, by the
// same rules as an audit. Each entry is verified against the view's checkpoint;
// statements of other kinds are not judged: that is an audit.
//
// Errors wrap [ErrKeys], scitt.ErrMalformed (an entry is not a Signed
// Statement) and the errors of [tiles.View.Entries], or are a *[SchemaError].
func Policies(ctx context.Context, view *tiles.View, o PolicyOptions) (*History, error) {
	h := &History{Origin: view.Checkpoint.Origin, Size: view.Checkpoint.Size}
	if o.Size != nil {
		if *o.Size > h.Size {
			return nil, fmt.Errorf("cannot read %d entries of a log with %d", *o.Size, h.Size)
		}
		h.Size = *o.Size
	}
	r := &register{origin: h.Origin, vkeys: o.VKeys, options: o.Policy, schema: o.Schema}
	taken := map[scitt.EntryID]uint64{} // by statements of keys and policy that came into force
	for e, err := range view.Entries(ctx, 0, h.Size) {
		if err != nil {
			return nil, err
		}
		if o.Entry != nil {
			if err := o.Entry(e); err != nil {
				return nil, err
			}
		}
		if e.Index > 0 && !bytes.Contains(e.Data, ownTypes) {
			continue
		}
		if err := h.add(r, taken, e); err != nil {
			return nil, err
		}
	}
	if h.Size == view.Checkpoint.Size {
		if err := r.trusted(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKeys, err)
		}
	}
	return h, nil
}

func (h *History) add(r *register, taken map[scitt.EntryID]uint64, e tiles.Entry) error {
	st, err := scitt.ParseStatement(e.Data)
	if err != nil {
		return fmt.Errorf("entry %d is not a Signed Statement: %w", e.Index, err)
	}
	if e.Index > 0 && st.Type != scitt.TypeKeys && st.Type != scitt.TypePolicy {
		return nil
	}
	it := &item{index: e.Index, leaf: scitt.LeafHash(e.Data)}
	if it.parse(e.Data); len(it.found) == 0 {
		if first, ok := taken[it.id]; ok {
			it.fail(CheckDuplicate, "the same content is at index %d", first)
		} else if err := r.add(it); err != nil {
			return err
		}
	}
	if len(it.found) == 0 {
		taken[it.id] = e.Index
	}
	switch {
	case len(it.found) > 0 && it.index == 0:
		return fmt.Errorf("%w: %w", ErrKeys, it.reason())
	case len(it.found) > 0:
		h.Refused = append(h.Refused, Refused{it.index, it.id.String(), it.reason().Error()})
	case st.Type == scitt.TypeKeys:
		h.keys = append(h.keys, keysInForce{*it.registered, r.keys.Keys})
	default:
		if last := h.Last(); last != nil {
			last.To = &it.index
		}
		h.Policies = append(h.Policies, PolicyInForce{*it.registered, it.index + 1, nil, r.signer(it), r.policy, st})
	}
	return nil
}

// signer returns who signed a policy that came into force.
func (r *register) signer(it *item) signer {
	switch {
	case it.registered.Bootstrap == BootstrapStatement:
		return signedByAnybody
	case r.serviceKeys().Verify(it.st) == nil:
		return signedByService
	}
	return signedByAdministrator
}

// reason is what was found, as one error.
func (it *item) reason() error {
	if it.refusal != nil {
		return it.refusal
	}
	var messages []string
	for _, f := range it.found {
		messages = append(messages, f.message)
	}
	return errors.New(strings.Join(messages, "; "))
}
