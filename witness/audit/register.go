package audit

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
)

// register lets policies and keys come into force, and says which policy
// judges an entry that is neither.
func (r *replay) register(it *item) error {
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
		next, err := r.policy.AdmitPolicy(it.st, policy.InForce{Entry: r.inForce, Subject: r.subject(), ServiceKeys: r.keys})
		if it.refused(err) {
			return r.otherSchema(it)
		}
		r.policyInForce(it, next, "")
	case r.policy == nil:
		it.fail(CheckPolicy, "no Registration Policy is before it in the log, so nothing can have admitted it")
	case it.index >= r.a.state.Since:
		it.under = r.policy
	}
	return nil
}

func (r *replay) subject() string { return scitt.PolicySubject(r.a.state.Origin) }

func (r *replay) keysInForce(it *item, keys scitt.KeySet) {
	r.keys = keys
	r.keysCount++
	it.registered = &Registered{Index: it.index, EntryID: it.id.String()}
}

func (r *replay) policyInForce(it *item, p *policy.Policy, b Bootstrap) {
	r.policy, r.inForce = p, it.st.ID()
	it.registered = &Registered{Index: it.index, EntryID: it.id.String(), Bootstrap: b}
}

// firstKeys reads entry 0: the service's keys, signed by one of them. They
// are taken even if they are not those that are trusted: that is told once,
// and what follows can still be judged.
func (r *replay) firstKeys(it *item) {
	keys, err := scitt.ParseKeySet(it.st.Payload)
	if it.st.Type != scitt.TypeKeys || err != nil || it.st.Envelope != nil {
		it.fail(CheckKeys, "entry 0 does not announce the keys of the service")
		return
	}
	r.keysInForce(it, keys)
	if !r.signed(it) {
		it.fail(CheckKeys, "entry 0 is not signed by one of the keys that it announces")
	}
	if !r.trusted(keys) {
		it.fail(CheckKeys, "entry 0 announces none of the receipt keys that are trusted")
	}
}

// trusted says whether one of the keys is a receipt key that is known from
// elsewhere, or none is known.
func (r *replay) trusted(keys scitt.KeySet) bool {
	known := len(r.a.o.VKeys) > 0 && len(r.a.log.Verifiers.Tree) > 0
	return !known || slices.ContainsFunc(keys, func(k scitt.Key) bool {
		vkey, err := scitt.TreeVKey(r.a.state.Origin, k.Public)
		return err == nil && slices.Contains(r.a.o.VKeys, vkey)
	})
}

// signed says whether one of the service's keys signed the statement.
func (r *replay) signed(it *item) bool {
	key, err := r.keys.Find(it.st.KeyID)
	return err == nil && it.st.VerifySignature(key.Public) == nil
}

// firstPolicy takes the log's first policy: one that the service signed, or
// else the first statement behind the keys, which a log may be begun with and
// which nothing can vouch for. Which it was stands in the summary.
func (r *replay) firstPolicy(it *item) error {
	bootstrap := BootstrapService
	if !r.signed(it) {
		if it.index > 1 && it.index != r.keysCount {
			it.fail(CheckPolicy, "the log's first policy is neither signed by the service nor the first statement")
			return nil
		}
		bootstrap = BootstrapStatement
	} else if it.st.Subject != r.subject() {
		it.fail(policy.CheckSubject, "the subject %q is not that of this log's policy, %q", it.st.Subject, r.subject())
		return nil
	}
	p, err := policy.FromStatement(it.st, r.a.o.Policy...)
	if err != nil {
		it.fail(policy.CheckPayload, "%v", err)
		return r.otherSchema(it)
	}
	r.policyInForce(it, p, bootstrap)
	return nil
}

// otherSchema keeps an audit without the OCSF schema that a policy names from
// accusing the log: it is an error when the payload of a policy is all that is
// refused and another schema is loaded.
func (r *replay) otherSchema(it *item) error {
	var doc struct{ OCSF struct{ Schema string } }
	if len(it.found) != 1 || it.found[0].check != policy.CheckPayload || json.Unmarshal(it.st.Payload, &doc) != nil {
		return nil
	}
	if doc.OCSF.Schema == "" || doc.OCSF.Schema == r.a.o.Schema {
		return nil
	}
	return fmt.Errorf("the policy is written for the OCSF schema file with SHA-256 %q, which was not given", doc.OCSF.Schema)
}
