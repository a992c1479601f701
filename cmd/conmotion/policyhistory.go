package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
)

// logPolicy is a Registration Policy of a log with its place there.
type logPolicy struct {
	EntryID string `json:"entry_id"`
	Index   uint64 `json:"index"`
	// From and To are the first and the last entry that it judges. The last is
	// the policy that replaces it; nil when none of the entries that were read does.
	From        uint64  `json:"from"`
	To          *uint64 `json:"to,omitempty"`
	Signer      string  `json:"signer"`    // the issuer
	SignedAs    string  `json:"signed_as"` // one of the constants below
	Signed      string  `json:"issued_at,omitempty"`
	Previous    string  `json:"previous,omitempty"`
	Hash        string  `json:"hash"` // SHA-256 of the canonical form
	Description string  `json:"description,omitempty"`
}

// Who signed a policy.
const (
	signedByService = "service"
	signedByAdmin   = "administrator"
	signedByAnybody = "first statement" // which a log may be started with, and nothing vouches for
)

// judges says which entries the policy is for.
func (p logPolicy) judges() string {
	switch {
	case p.To == nil:
		return fmt.Sprintf("entry %d and what follows", p.From)
	case *p.To == p.From:
		return fmt.Sprintf("entry %d", p.From)
	}
	return fmt.Sprintf("entries %d to %d", p.From, *p.To)
}

func (p logPolicy) signer() string {
	switch p.SignedAs {
	case signedByService:
		return p.Signer + " (the service)"
	case signedByAdmin:
		return p.Signer + " (an administrator of the policy before)"
	}
	return p.Signer + " (the first statement of the log, which nothing vouches for)"
}

// misplaced is a statement of policy or keys in the log that should not have
// been admitted and is not in force.
type misplaced struct {
	Index   uint64 `json:"index"`
	EntryID string `json:"entry_id"`
	Reason  string `json:"reason"`
}

// history is what a log says about its policies up to one entry.
type history struct {
	origin    string
	size      uint64       // entries that were read
	whole     bool         // which are all
	keys      scitt.KeySet // of the service
	keysCount uint64
	policies  []logPolicy
	misplaced []misplaced

	// The policy in force behind the last of these entries; nil when the log
	// has none so far.
	policy    *policy.Policy
	statement *scitt.Statement
	schema    eventSchema
}

// ownTypes is in every statement of policy or keys. CBOR of indefinite length
// is not accepted, so a text is never in pieces.
var ownTypes = []byte("application/vnd.conmotion.")

// replayPolicies reads a log from its first entry up to the index at, nil for
// all, and follows its policies. Entries are verified against the checkpoint
// and the checkpoint with the log's keys. Statements of other kinds are not
// judged: that is an audit. Each entry is given to visit too, unless it is nil.
func (a *app) replayPolicies(ctx context.Context, l *staticLog, at *uint64, schema eventSchema, visit func(index uint64, entry []byte) error) (*history, error) {
	view, err := l.Latest(ctx)
	if err != nil {
		return nil, err
	}
	h := &history{origin: view.Checkpoint.Origin, size: view.Checkpoint.Size, whole: true, schema: schema}
	if at != nil {
		if *at > h.size {
			return nil, usage(fmt.Errorf("index %d: the log has %d entries, and the next one is judged at index %d", *at, h.size, h.size))
		}
		h.whole = *at == h.size
		h.size = *at
	}
	p := a.progress()
	defer p.done()
	for e, err := range view.Entries(ctx, 0, h.size) {
		if err != nil {
			return nil, err
		}
		if visit != nil {
			if err := visit(e.Index, e.Data); err != nil {
				return nil, err
			}
		}
		if err := h.add(l, e.Index, e.Data); err != nil {
			return nil, err
		}
		p.show(func() string { return fmt.Sprintf("read %d of %d entries", e.Index+1, h.size) })
	}
	return h, nil
}

// add follows one entry.
func (h *history) add(l *staticLog, index uint64, entry []byte) error {
	if index > 0 && !bytes.Contains(entry, ownTypes) {
		return nil
	}
	st, err := scitt.ParseStatement(entry)
	if err != nil {
		return bad(fmt.Errorf("entry %d is no Signed Statement: %w", index, err))
	}
	switch {
	case index == 0:
		return h.firstKeys(l, st)
	case st.Type == scitt.TypeKeys:
		keys, err := policy.AdmitKeys(st, h.keys)
		if err != nil {
			h.refuse(index, st, err)
			return nil
		}
		h.keys = keys
		h.keysCount++
	case st.Type == scitt.TypePolicy:
		return h.addPolicy(index, st)
	}
	return nil
}

// firstKeys reads entry 0, in which a service announces its keys.
func (h *history) firstKeys(l *staticLog, st *scitt.Statement) error {
	keys, err := scitt.ParseKeySet(st.Payload)
	if err == nil {
		keys, err = policy.AdmitKeys(st, keys)
	}
	if err != nil {
		return bad(fmt.Errorf("entry 0 does not announce the keys of the log's service, so nobody can tell which policies it signed: %w", err))
	}
	trusted := slices.ContainsFunc(keys, func(k scitt.Key) bool {
		vkey, err := scitt.TreeVKey(h.origin, k.Public)
		return err == nil && slices.Contains(l.vkeys, vkey)
	})
	if len(l.Verifiers.Tree) > 0 && !trusted {
		return bad(errors.New("entry 0 announces none of the receipt keys that are trusted"))
	}
	h.keys, h.keysCount = keys, 1
	return nil
}

// inForce is what the next policy has to fit.
func (h *history) inForce() policy.InForce {
	return policy.InForce{Entry: h.statement.ID(), Subject: scitt.PolicySubject(h.origin), ServiceKeys: h.keys}
}

func (h *history) addPolicy(index uint64, st *scitt.Statement) error {
	next, as, err := h.admit(index, st)
	if err != nil {
		if err := h.otherSchema(index, st, err); err != nil {
			return err
		}
		h.refuse(index, st, err)
		return nil
	}
	if n := len(h.policies); n > 0 {
		h.policies[n-1].To = &index
	}
	hash := next.Hash()
	p := logPolicy{
		EntryID: st.ID().String(), Index: index, From: index + 1, Signer: st.Issuer, SignedAs: as,
		Signed: timeOf(st.IssuedAt), Hash: hex.EncodeToString(hash[:]), Description: next.Description(),
	}
	if id, ok := next.Previous(); ok {
		p.Previous = id.String()
	}
	h.policies = append(h.policies, p)
	h.policy, h.statement = next, st
	return nil
}

// admit judges a policy statement as the service had to.
func (h *history) admit(index uint64, st *scitt.Statement) (next *policy.Policy, as string, err error) {
	as = signedByAdmin
	if key, err := h.keys.Find(st.KeyID); err == nil && st.VerifySignature(key.Public) == nil {
		as = signedByService
	}
	if h.policy != nil {
		next, err = h.policy.AdmitPolicy(st, h.inForce())
		return next, as, err
	}
	switch {
	case as == signedByAdmin && index != h.keysCount:
		return nil, "", errors.New("the log's first policy is neither signed by the service nor the first statement behind its keys")
	case as == signedByAdmin:
		as = signedByAnybody
	case st.Subject != scitt.PolicySubject(h.origin):
		return nil, "", fmt.Errorf("the subject %q is not that of this log's policy, %q", st.Subject, scitt.PolicySubject(h.origin))
	}
	next, err = policy.FromStatement(st, h.schema.options...)
	return next, as, err
}

// otherSchema keeps who has not the OCSF schema that a policy names from
// accusing the log.
func (h *history) otherSchema(index uint64, st *scitt.Statement, err error) error {
	if r := policy.AsRefusal(err); r != nil && (len(r.Failed) != 1 || r.Failed[0].Check != policy.CheckPayload) {
		return nil
	}
	var doc struct {
		OCSF *struct {
			Schema string `json:"schema"`
		} `json:"ocsf"`
	}
	if json.Unmarshal(st.Payload, &doc) != nil || doc.OCSF == nil || doc.OCSF.Schema == h.schema.digest {
		return nil
	}
	want := "the built-in OCSF schema; leave out --ocsf-schema"
	if doc.OCSF.Schema != "" {
		want = "the OCSF schema file with SHA-256 " + doc.OCSF.Schema + "; give it with --ocsf-schema"
	}
	return usage(fmt.Errorf("the policy at entry %d is written for %s", index, want))
}

func (h *history) refuse(index uint64, st *scitt.Statement, reason error) {
	h.misplaced = append(h.misplaced, misplaced{index, st.ID().String(), reason.Error()})
}

// verdict is about what should not be in the log.
func (h *history) verdict() error {
	if len(h.misplaced) == 0 {
		return nil
	}
	return bad(fmt.Errorf("the log holds %d statements of policy or keys that its policy in force did not allow; they are not in force, and conmotion audit tells the rest", len(h.misplaced)))
}

// named gives the policy in force behind the last entry.
func (h *history) named(a *app) (*namedPolicy, error) {
	for _, m := range h.misplaced {
		a.notice("warning: entry %d should not be in the log and is not in force: %s", m.Index, m.Reason)
	}
	if h.policy == nil {
		return nil, bad(fmt.Errorf("the log %s has no Registration Policy for entry %d", h.origin, h.size))
	}
	name := fmt.Sprintf("%s@%d", h.origin, h.size)
	return &namedPolicy{h.policy, name, h}, nil
}
