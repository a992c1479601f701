package main

import (
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// witnesses holds each Receipt that verifies to the witness policy for its log: by
// the checkpoint that it carries, or by that of the log as it is now.
func (v *verification) witnesses(outs []*scitt.Verification) error {
	n := 0
	for _, out := range outs {
		for _, r := range out.Receipts {
			n++
			if r.Err != nil {
				continue // it counts for nothing, or is bad already
			}
			p, err := v.open.PolicyFor(r.Receipt.Subject)
			if err != nil {
				return err
			}
			if p == nil && v.open.MaxAge > 0 {
				return fmt.Errorf("%w: --max-age needs --witness-policy", witness.ErrPolicy)
			}
			if p != nil {
				v.cosigned(fmt.Sprintf("witnesses of receipt %d", n), p, r, out.Statement)
			}
		}
	}
	return nil
}

// cosigned reports which witnesses of a policy vouch for the log of a Receipt.
func (v *verification) cosigned(check string, p *witness.Policy, r scitt.ReceiptVerification, st *scitt.Statement) {
	c, err := p.OpenReceipt(r.Receipt, r.Leaf.Leaf(st))
	if err == nil {
		err = v.open.HeldTo(c)
	}
	now := v.byNow[r.Receipt.Subject]
	switch {
	case err == nil:
		v.found(check, witness.OK, "%s; needed: %s", c, p.Rule())
	case now != nil:
		v.found(check, witness.OK, "of the log's checkpoint of now: %s; needed: %s", now, p.Rule())
	case errors.Is(err, witness.ErrStale):
		v.unsure = err
		v.found(check, witness.NotChecked, "%v", err)
	default:
		v.found(check, witness.Failed, "%v", err)
	}
	for _, host := range p.SharedHosts() {
		v.Notice("notice: several keys of the witness policy are at %s, which is one party", host)
	}
}
