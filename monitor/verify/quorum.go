package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// counted tells the outcome of a Threshold, and whether those of the logs that vouch
// whose files are here still hold the entry.
func (r *run) counted(ctx context.Context, outs []*scitt.Verification) error {
	files := map[string]*party.Log{}
	for _, l := range r.logs {
		files[l.Name] = l.Files
	}
	looked := map[*party.Log]bool{}
	next := func(name string) *party.Log { // nil when there is nothing to look at
		log := files[name]
		if log == nil || looked[log] {
			return nil
		}
		looked[log] = true
		return log
	}
	for _, l := range r.quorum.Doubted() { // whose checkpoint may say it all the same
		for _, name := range l.Names {
			r.held = false
			if log := next(name); log != nil && r.current(ctx, log, l.Keys, outs) == nil && r.held {
				l.Vouched = outs[0]
			}
		}
	}
	var vouching []string
	for _, l := range r.quorum.Vouching() {
		vouching = append(vouching, strings.Join(l.Names, " = "))
		for _, name := range l.Names {
			log := next(name)
			if log == nil {
				continue
			}
			if err := r.current(ctx, log, l.Keys, outs); err != nil {
				return err
			}
		}
	}
	if len(looked) == 0 {
		if err := r.current(ctx, nil, witness.Keys{}, outs); err != nil {
			return err
		}
	}
	return r.outcome(vouching)
}

// outcome counts the logs that vouch, and tells when others could change the result.
func (r *run) outcome(vouching []string) error {
	n, result := len(vouching), witness.OK
	vouch := plural.Verb(n, "log", "vouches", "vouch")
	switch r.quorum.Outcome() {
	case witness.Undecided:
		why := slices.Clone(r.quorum.Missing)
		for _, l := range r.quorum.Doubted() {
			why = append(why, strings.Join(l.Names, " = ")+" (a receipt by a compromised key; get a fresh one)")
		}
		return fmt.Errorf("no verdict: %s for it, %d are needed, and out of reach are %s", vouch, r.Threshold, strings.Join(why, ", "))
	case witness.Missed:
		result = witness.Failed
	}
	names := "none"
	if n > 0 {
		names = strings.Join(vouching, ", ")
	}
	r.found("quorum", result, "%s for it of %d, and %d needed: %s", vouch, r.quorum.Size(), r.Threshold, names)
	return nil
}

// witnesses holds each Receipt that verifies to the witness policy for its log: by
// the checkpoint that it carries, or by that of the log as it is now.
func (r *run) witnesses(outs []*scitt.Verification) error {
	n := 0
	for _, out := range outs {
		for _, v := range out.Receipts {
			n++
			if v.Err != nil {
				continue // it counts for nothing, or is bad already
			}
			p, err := r.Options.PolicyFor(v.Receipt.Subject)
			if err != nil {
				return err
			}
			if p == nil && r.Options.MaxAge > 0 {
				return fmt.Errorf("%w: --max-age needs --witness-policy", witness.ErrPolicy)
			}
			if p != nil {
				r.cosigned(fmt.Sprintf("witnesses of receipt %d", n), p, v, out.Statement)
			}
		}
	}
	return nil
}

// cosigned reports which witnesses of a policy vouch for the log of a Receipt.
func (r *run) cosigned(check string, p *witness.Policy, v scitt.ReceiptVerification, st *scitt.Statement) {
	c, err := p.OpenReceipt(v.Receipt, v.Leaf.Leaf(st))
	if err == nil {
		err = r.Options.HeldTo(c)
	}
	now := r.byNow[v.Receipt.Subject]
	switch {
	case err == nil:
		r.found(check, witness.OK, "%s; needed: %s", c, p.Rule())
	case now != nil:
		r.found(check, witness.OK, "of the log's checkpoint of now: %s; needed: %s", now, p.Rule())
	case errors.Is(err, witness.ErrStale):
		r.Unsure = err
		r.found(check, witness.NotChecked, "%v", err)
	default:
		r.found(check, witness.Failed, "%v", err)
	}
	for _, host := range p.SharedHosts() {
		r.notice("notice: several keys of the witness policy are at %s, which is one party", host)
	}
}

func (v *Verifier) notice(format string, args ...any) {
	if v.Options.Notice != nil {
		v.Options.Notice(format, args...)
	}
}
