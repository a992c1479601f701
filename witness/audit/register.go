package audit

import (
	"encoding/json"
	"errors"
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

	keys      *scitt.KeysInForce // nil when entry 0 announces none
	keysIndex uint64             // of their statement
	keysCount uint64             // keys statements so far
	announced []string           // the verifier keys in all of them
	policy    *policy.Policy     // nil before the first
	entry     scitt.EntryID      // of the policy's statement
}

// add takes the next entry into account: keys and policies come into force
// (it.registered), other entries get the policy that judges them (it.under).
// What is wrong is in it.found. The error is a [SchemaError].
func (r *register) add(it *item) error {
	switch {
	case it.index == 0:
		r.firstKeys(it)
	case it.st.Type == scitt.TypeKeys && r.keys == nil:
		it.fail(CheckKeys, "entry 0 announces no keys that this statement could replace")
	case it.st.Type == scitt.TypeKeys:
		if keys, err := r.keys.Next(it.st); err != nil {
			it.fail(CheckKeys, "%v", err)
		} else {
			r.comesInForce(it, keys)
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
	return policy.InForce{Entry: r.entry, Subject: scitt.PolicySubject(r.origin), ServiceKeys: r.serviceKeys()}
}

// serviceKeys are those in force.
func (r *register) serviceKeys() scitt.KeySet {
	if r.keys == nil {
		return nil
	}
	return r.keys.Service
}

// verify verifies a signature with the key that the policy in force has for it.
// Before the first policy only the service has keys.
func (r *register) verify(st *scitt.Statement) error {
	service := r.serviceKeys()
	if r.policy != nil {
		return r.policy.VerifySignature(st, service)
	}
	return service.Verify(st)
}

func (r *register) comesInForce(it *item, keys *scitt.KeysInForce) {
	it.registered = &Registered{Index: it.index, EntryID: it.id.String()}
	r.keysInForce(it.index, keys)
}

// keysInForce notes the keys of a valid keys statement.
func (r *register) keysInForce(index uint64, keys *scitt.KeysInForce) {
	r.keys, r.keysIndex = keys, index
	r.keysCount++
	if vkeys, err := keys.VKeys(); err == nil { // as it is for what was parsed
		r.announced = append(r.announced, vkeys...)
	}
}

func (r *register) policyInForce(it *item, p *policy.Policy, b Bootstrap) {
	r.policy, r.entry = p, it.st.ID()
	it.registered = &Registered{Index: it.index, EntryID: it.id.String(), Bootstrap: b}
}

// firstKeys reads entry 0, in which the service announces its keys.
func (r *register) firstKeys(it *item) {
	keys, err := scitt.FirstKeys(it.st, r.origin)
	if err != nil {
		it.fail(CheckKeys, "entry 0 does not announce the keys of the service: %v", err)
		return
	}
	r.comesInForce(it, keys)
}

// trusted returns an error when a key that is trusted was announced by none of
// the keys statements so far. It need not be in the last one: the note key
// before that signs checkpoints until it hands over.
func (r *register) trusted() error {
	for _, vkey := range r.vkeys {
		if !slices.Contains(r.announced, vkey) {
			return fmt.Errorf("the key %s is trusted, and no keys statement of the log announces it", vkey)
		}
	}
	return nil
}

// firstPolicy takes the log's first policy: one that the service signed, or
// else the first statement after the keys, which a log may be started with and
// which no policy can vouch for. The Bootstrap says which of the two it was.
// Its signature is held to what is known of its issuer all the same.
func (r *register) firstPolicy(it *item) error {
	bootstrap, subject := BootstrapService, r.inForce().Subject
	byService, err := policy.VerifyFirst(it.st, r.keys)
	switch {
	case errors.Is(err, scitt.ErrSignature):
		it.fail(policy.CheckSignature, "%v", err)
		return nil
	case err != nil:
		it.fail(policy.CheckKey, "%v", err)
		return nil
	case !byService:
		if it.index > 1 && it.index != r.keysCount {
			it.fail(CheckPolicy, "the log's first policy is neither signed by the service nor the first statement after its keys")
			return nil
		}
		bootstrap = BootstrapStatement
	case it.st.Subject != subject:
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
// the one that was given, or is of a later version of the format, so that it cannot be
// read. It is no fault of the log.
type SchemaError struct {
	Index   uint64 // of the policy
	Digest  string // hexadecimal SHA-256 of the schema file that it names; "" for the built-in schema
	Version uint64 // of the format; 0 when it is known
}

func (e *SchemaError) Error() string {
	switch {
	case e.Version != 0:
		return fmt.Sprintf("the policy at entry %d has version %d of the format, which this program does not know", e.Index, e.Version)
	case e.Digest == "":
		return fmt.Sprintf("the policy at entry %d is written for the built-in OCSF schema, and another one was given", e.Index)
	}
	return fmt.Sprintf("the policy at entry %d is written for the OCSF schema file with SHA-256 %s, which was not given", e.Index, e.Digest)
}

// policyVersion is the version of the format that package policy reads.
const policyVersion = 1

// otherSchema returns a SchemaError instead of an accusation when the payload of
// a policy is all that is refused and it names another schema than r.schema, or a
// later version of the format.
func (r *register) otherSchema(it *item) error {
	var doc struct {
		Version uint64
		OCSF    *struct{ Schema string }
	}
	if len(it.found) != 1 || it.found[0].check != policy.CheckPayload || json.Unmarshal(it.st.Payload, &doc) != nil {
		return nil
	}
	if doc.Version > policyVersion {
		return &SchemaError{Index: it.index, Version: doc.Version}
	}
	if doc.OCSF == nil || doc.OCSF.Schema == r.schema {
		return nil
	}
	return &SchemaError{Index: it.index, Digest: doc.OCSF.Schema}
}
