package party

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/scitt"
)

// ErrContended reports that other writers of the same issuer were always faster.
var ErrContended = errors.New("the chain moved at every attempt")

// maxAttempts is how often in a row another writer may be faster.
const maxAttempts = 32

// begin finishes what earlier runs left, and reads what others registered. Statements
// with Words are finished only by a draft with the same ones.
func (r *Registrar) begin(ctx context.Context, drafts []Draft, outcomes []Outcome) error {
	s := r.services[0]
	left, err := s.journal.left()
	if err != nil {
		return err
	}
	finished := 0
	for _, k := range left {
		if k.Words != "" || k.After != "" {
			continue
		}
		n, err := r.finish(ctx, k)
		if err != nil {
			return fmt.Errorf("finish what an earlier run began: %w", err)
		}
		finished += n
	}
	if finished > 0 {
		r.options.notice("notice: finished what an earlier run had begun: %s", plural.Of(finished, "statement"))
	}
	read := len(r.services) > 1
	for i, d := range drafts {
		read = read || d.Words == nil || r.chain(d) != ""
		for _, k := range left {
			if d.Words == nil || k.Words != d.words() {
				continue
			}
			if err := r.resume(ctx, k, &outcomes[i]); err != nil {
				return fmt.Errorf("finish what an earlier run began: %w", err)
			}
			break
		}
	}
	if !read {
		return nil
	}
	for _, s := range r.services {
		if _, err := s.known(ctx); err != nil {
			return err
		}
	}
	return s.catchUp(ctx)
}

// finish registers the statements of a file, up to one that is refused, such as
// for a chain that continued without it: neither that nor what follows is in the log.
func (r *Registrar) finish(ctx context.Context, k kept) (n int, err error) {
	var items []item
	for _, st := range k.statements {
		items = append(items, item{st, -1})
	}
	took := func(item, registered) error { n++; return nil }
	skip := func(_ item, err error) bool {
		r.options.notice("notice: %s not in the log and let go, what is said there has to be said again: %v",
			plural.Form(len(items)-n, "1 statement that an earlier run signed is", "%d statements that an earlier run signed are"), err)
		return false
	}
	if err := r.services[0].pass(ctx, items, took, skip); err != nil {
		return n, err
	}
	return n, forget(k.path)
}

// resume registers what an earlier run signed for the same Words. When the service does
// not admit it (any more), the draft is signed again.
func (r *Registrar) resume(ctx context.Context, k kept, o *Outcome) error {
	done, err := r.services[0].register(ctx, k.statements)
	if refused(err) {
		return forget(k.path)
	}
	if err != nil {
		return err
	}
	r.options.notice("notice: an earlier run signed this on %s and did not get to the end; its statement is the one that counts",
		time.Unix(k.statements[0].IssuedAt, 0).UTC().Format(time.RFC3339))
	o.registered(0, r.services[0], done[0])
	o.Resumed, o.file = true, k.path
	return nil
}

// record registers drafts in the first log.
func (r *Registrar) record(ctx context.Context, drafts []Draft, outcomes []Outcome) error {
	attempts := 0
	for {
		run, err := r.sign(ctx, drafts, outcomes)
		if err != nil || len(run.places) == 0 {
			return err
		}
		n, err := r.send(ctx, run, drafts, outcomes)
		if n > 0 {
			attempts = 0
		}
		switch {
		case err == nil:
			r.services[0].faster()
			continue
		case !refused(err):
			return err
		}
		at := run.places[n]
		moved, waitErr := r.moved(ctx, r.chain(drafts[at]), err)
		if waitErr != nil {
			return waitErr
		}
		if moved {
			if attempts++; attempts == maxAttempts {
				return ErrContended
			}
			continue
		}
		outcomes[at].At[0] = At{Result: Refused, err: err}
		if !r.KeepGoing {
			return nil
		}
		// All that followed it is signed again, so fewer the next time.
		r.services[0].slower()
	}
}

// run is what is signed and sent at a time.
type run struct {
	places []int // of the drafts
	kept
}

// sign signs the next drafts, each after the head of its chain. What the log has is
// known; of equal drafts only the first is signed.
func (r *Registrar) sign(ctx context.Context, drafts []Draft, outcomes []Outcome) (run, error) {
	for {
		out, unsigned, err := r.next(ctx, drafts, outcomes)
		if err != nil || len(unsigned) == 0 {
			return out, err
		}
		// Signing takes most of the time: it is done on all cores.
		failed := false
		for i, st := range parallel.Ordered(ctx, 0, uint64(len(unsigned)), parallel.CPUs(), func(_ context.Context, i uint64) (signed, error) {
			data, err := unsigned[i].Sign(r.key)
			if err != nil {
				return signed{}, err
			}
			return parseSigned(data)
		}) {
			if err := ctx.Err(); err != nil {
				return out, err
			}
			if st.Err != nil {
				outcomes[out.places[i]].At[0] = At{Result: Refused, err: st.Err}
			}
			if failed = failed || st.Err != nil; !failed { // what comes after one that failed is linked to it
				out.statements = append(out.statements, st.Value)
			}
			if failed && !r.KeepGoing {
				break
			}
		}
		if out.places = out.places[:len(out.statements)]; len(out.places) > 0 || !r.KeepGoing {
			return out, nil
		}
	}
}

// next returns the statements that come next, linked to each other and not signed yet.
func (r *Registrar) next(ctx context.Context, drafts []Draft, outcomes []Outcome) (out run, unsigned []*scitt.Unsigned, err error) {
	home := r.services[0]
	heads := map[string]*scitt.Head{}
	now := map[contentKey]bool{}
	touched := map[string]bool{} // objects that this run is about
	size := 0
	for i, d := range drafts {
		at := &outcomes[i].At[0]
		if at.Result == Refused && !r.KeepGoing {
			break
		}
		if at.Result != Unreached {
			continue
		}
		if d.Words == nil {
			if p, ok := home.said.find(d.key()); ok {
				*at = At{Result: Known, Ref: home.ref(p)}
				continue
			}
			if now[d.key()] {
				continue
			}
			if !d.touches(touched) {
				if err := r.settleHeld(ctx, &drafts[i], at); err != nil {
					return out, nil, err
				}
			}
			if d = drafts[i]; at.Result == Late && !r.KeepGoing {
				break
			} else if at.Result != Unreached {
				continue
			}
			now[d.key()] = true
		}
		// A statement with Words has a file of its own.
		if len(out.places) == int(home.run.Load()) || len(out.places) > 0 && (d.Words != nil || out.Words != "") {
			break
		}
		name := r.chain(d)
		if _, ok := heads[name]; !ok && name != "" {
			heads[name] = cmp.Or(home.said.head(name), d.after)
		}
		st, err := r.unsigned(ctx, d, name, heads[name])
		if err != nil {
			*at = At{Result: Refused, err: err}
			if !r.KeepGoing {
				break
			}
			continue
		}
		if size += st.Size(); len(out.places) > 0 && size > maxRunBytes {
			break
		}
		if name != "" {
			heads[name] = &scitt.Head{Seq: heads[name].Next(name).Seq, ID: st.ID()}
		}
		out.places, unsigned, out.Words = append(out.places, i), append(unsigned, st), d.words()
	}
	return out, unsigned, ctx.Err()
}

// unsigned makes the statement of a draft after the head of its chain.
func (r *Registrar) unsigned(ctx context.Context, d Draft, chain string, head *scitt.Head) (*scitt.Unsigned, error) {
	if d.refused != nil {
		return nil, d.refused
	}
	if d.Options.Hash && d.Options.Location == "" && r.holding != nil {
		if err := r.store(ctx, &d); err != nil {
			return nil, err
		}
	}
	o := d.Options
	o.Issuer, o.IssuedAt = r.Issuer, r.Now()
	if chain != "" {
		o.Chain = head.Next(chain)
	}
	u, err := scitt.NewUnsigned(r.key.Public(), o, d.Content)
	if errors.Is(err, scitt.ErrTooLarge) && d.OrHash && !o.Hash {
		// In storage before it is in the log: a crash between leaves an artifact
		// that nothing speaks of.
		if err = r.store(ctx, &d); err != nil {
			return nil, fmt.Errorf("%w: an entry holds %d bytes, and the service at %s does not store its payload of %d bytes as an artifact; register it with a service that does: %w",
				scitt.ErrTooLarge, scitt.MaxEntrySize, r.services[0].url, len(d.Content), err)
		}
		o.Hash, o.Location = true, d.Options.Location
		u, err = scitt.NewUnsigned(r.key.Public(), o, d.Content)
	}
	return u, err
}

// send registers a run and returns how many of it are in the log.
func (r *Registrar) send(ctx context.Context, run run, drafts []Draft, outcomes []Outcome) (n int, err error) {
	home := r.services[0]
	for _, s := range r.services[1:] {
		if _, err := s.journal.keep(kept{After: home.log.Key(), statements: run.statements}); err != nil {
			return 0, err
		}
	}
	path, err := home.journal.keep(run.kept)
	if err != nil {
		return 0, err
	}
	done, err := home.register(ctx, run.statements)
	for i, reg := range done {
		outcomes[run.places[i]].registered(0, home, reg)
		if home.said != nil {
			home.said.add(reg.Statement, reg.ref.Index)
		}
		r.holding.registered(reg, drafts[run.places[i]].Event)
	}
	switch {
	case err == nil && run.Words != "":
		outcomes[run.places[0]].file = path
	case err == nil || refused(err):
		// The rest is surely not in the log: each is registered after the one before.
		if forgetErr := forget(path); forgetErr != nil {
			return len(done), forgetErr
		}
	}
	return len(done), err
}

// moved reports whether a refusal means that another writer of the chain was
// faster. A service knows the head before the published log shows it.
func (r *Registrar) moved(ctx context.Context, chain string, refusal error) (bool, error) {
	if chain == "" {
		return false, nil
	}
	home := r.services[0]
	before := home.said.head(chain)
	until := time.Now().Add(publishWait)
	poll := time.NewTicker(publishPoll)
	defer poll.Stop()
	for {
		if err := home.catchUp(ctx); err != nil {
			return false, err
		}
		if head := home.said.head(chain); head != nil && (before == nil || *head != *before) {
			return true, nil
		}
		p, _ := errors.AsType[*scitt.Problem](refusal)
		if p == nil || !strings.Contains(p.Detail, "chain: ") || strings.Contains(p.Detail, "handed over") {
			return false, nil // it is refused for another reason, or for ever
		}
		if time.Now().After(until) { // so would all that follow
			return false, fmt.Errorf("the service does not continue the chain %q where its log shows its end: %w", chain, refusal)
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// How long, and how often, the log is asked for the record that came first.
const (
	publishWait = 10 * time.Second
	publishPoll = 50 * time.Millisecond
)
