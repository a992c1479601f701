package audit

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
)

// register follows the service's keys and the Registration Policies of one
// log, entry by entry. It is the only place that decides what comes into force.
type register struct {
	origin  string
	vkeys   []string
	options []policy.Option
	schema  string // digest of the OCSF schema file in options; "" for the built-in schema

	keys      scitt.KeySet
	keysCount uint64         // statements of keys so far
	policy    *policy.Policy // nil before the first
	entry     scitt.EntryID  // of the policy's statement
}

// add takes the next entry into account: keys and policies come into force
// (it.registered), other entries get the policy that judges them (it.under).
// What is wrong is in it.found. The error is a [SchemaError].
func (r *register) add(it *item) error {
	switch {
	case it.index == 0:
		r.firstKeys(it)
	case it.st.Type == scitt.TypeKeys:
		if keys, err := policy.AdmitKeys(it.st, r.keys); !it.refused(err) {
			r.keysInForce(it, keys)
		}
	case it.st.Type == scitt.TypePolicy && r.policy == nil:
		return r.firstPolicy(it)
	case it.st.Type == scitt.TypePolicy:
		next, err := r.policy.AdmitPolicy(it.st, r.inForce())
		if it.refused(err) {
			return r.otherSchema(it)
		}
		r.policyInForce(it, next, "")
	case r.policy == nil:
		it.fail(CheckPolicy, "no Registration Policy is before it in the log, so nothing can have admitted it")
	default:
		it.under = r.policy
	}
	return nil
}

// inForce is what the next policy has to fit.
func (r *register) inForce() policy.InForce {
	return policy.InForce{Entry: r.entry, Subject: scitt.PolicySubject(r.origin), ServiceKeys: r.keys}
}

func (r *register) keysInForce(it *item, keys scitt.KeySet) {
	r.keys = keys
	r.keysCount++
	it.registered = &Registered{Index: it.index, EntryID: it.id.String()}
}

func (r *register) policyInForce(it *item, p *policy.Policy, b Bootstrap) {
	r.policy, r.entry = p, it.st.ID()
	it.registered = &Registered{Index: it.index, EntryID: it.id.String(), Bootstrap: b}
}

// firstKeys reads entry 0: the service's keys, signed by one of them. Keys
// that are not the trusted ones are in force as well: an audit reports that
// once and can still judge what follows.
func (r *register) firstKeys(it *item) {
	keys, err := scitt.ParseKeySet(it.st.Payload)
	if it.st.Type != scitt.TypeKeys || err != nil || it.st.Envelope != nil {
		it.fail(CheckKeys, "entry 0 does not announce the keys of the service")
		return
	}
	r.keysInForce(it, keys)
	if !r.signed(it.st) {
		it.fail(CheckKeys, "entry 0 is not signed by one of the keys that it announces")
	}
	if !r.trusted(keys) {
		it.fail(CheckKeys, "entry 0 announces none of the receipt keys that are trusted")
	}
}

// trusted reports whether one of the keys is a receipt key among the vkeys, or
// there is no receipt key among those.
func (r *register) trusted(keys scitt.KeySet) bool {
	known := slices.ContainsFunc(r.vkeys, func(vkey string) bool { _, err := scitt.TreeKey(vkey); return err == nil })
	return !known || slices.ContainsFunc(keys, func(k scitt.Key) bool {
		vkey, err := scitt.TreeVKey(r.origin, k.Public)
		return err == nil && slices.Contains(r.vkeys, vkey)
	})
}

// signed reports whether one of the service's keys signed the statement.
func (r *register) signed(st *scitt.Statement) bool {
	return r.keys.Verify(st) == nil
}

// firstPolicy takes the log's first policy: one that the service signed, or
// else the first statement after the keys, which a log may be started with and
// which nothing can vouch for. The Bootstrap says which of the two it was.
func (r *register) firstPolicy(it *item) error {
	bootstrap, subject := BootstrapService, r.inForce().Subject
	if !r.signed(it.st) {
		if it.index > 1 && it.index != r.keysCount {
			it.fail(CheckPolicy, "the log's first policy is neither signed by the service nor the first statement after its keys")
			return nil
		}
		bootstrap = BootstrapStatement
	} else if it.st.Subject != subject {
		it.fail(policy.CheckSubject, "the subject %q is not that of this log's policy, %q", it.st.Subject, subject)
		return nil
	}
	p, err := policy.FromStatement(it.st, r.options...)
	if err != nil {
		it.fail(policy.CheckPayload, "%v", err)
		return r.otherSchema(it)
	}
	r.policyInForce(it, p, bootstrap)
	return nil
}

// SchemaError reports that a policy of the log needs another OCSF schema than
// the one that was given, so that it cannot be read. It is no fault of the log.
type SchemaError struct {
	Index  uint64 // of the policy
	Digest string // hexadecimal SHA-256 of the schema file that it names; "" for the built-in schema
}

func (e *SchemaError) Error() string {
	if e.Digest == "" {
		return fmt.Sprintf("the policy at entry %d is written for the built-in OCSF schema, and another one was given", e.Index)
	}
	return fmt.Sprintf("the policy at entry %d is written for the OCSF schema file with SHA-256 %s, which was not given", e.Index, e.Digest)
}

// otherSchema returns a SchemaError instead of an accusation when the payload of
// a policy is all that is refused and it names another schema than r.schema.
func (r *register) otherSchema(it *item) error {
	var doc struct{ OCSF *struct{ Schema string } }
	if len(it.found) != 1 || it.found[0].check != policy.CheckPayload || json.Unmarshal(it.st.Payload, &doc) != nil {
		return nil
	}
	if doc.OCSF == nil || doc.OCSF.Schema == r.schema {
		return nil
	}
	return &SchemaError{it.index, doc.OCSF.Schema}
}
