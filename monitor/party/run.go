package party

import (
	"context"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// run is what is sent at a time.
type run struct {
	places     []int // of the drafts
	parsed     []*scitt.Statement
	statements [][]byte
	sequence   []byte // all statements, one behind the other
}

// sign signs the next drafts behind the heads of their chains. What the log
// has is known; of equal drafts only the first is signed.
func (r *Recorder) sign(ctx context.Context, drafts []Draft, outcomes []Outcome) (run, error) {
	var out run
	heads := map[string]*monitor.Head{}
	now := map[contentKey]bool{}
	size := 0
	for i, d := range drafts {
		if outcomes[i].Result == Refused && !r.KeepGoing {
			break
		}
		if outcomes[i].Result != Unreached {
			continue
		}
		key := d.key()
		if at, ok := r.said.find(key); ok {
			outcomes[i] = Outcome{Result: Known, Ref: r.w.ref(at)}
			continue
		}
		if now[key] {
			continue
		}
		if d.refused != nil {
			outcomes[i] = Outcome{Result: Refused, Err: d.refused}
			if !r.KeepGoing {
				break
			}
			continue
		}
		if len(out.places) == r.run {
			break
		}
		now[key] = true
		name := r.chain(d)
		o := d.Options
		o.Issuer, o.IssuedAt = r.w.Issuer, r.w.Now()
		if name != "" {
			if _, ok := heads[name]; !ok {
				heads[name] = r.said.head(name)
			}
			o.Chain = monitor.Next(name, heads[name])
		}
		data, err := scitt.SignStatement(r.w.Key, o, d.Content)
		if err != nil {
			outcomes[i] = Outcome{Result: Refused, Err: err}
			if !r.KeepGoing {
				break
			}
			continue
		}
		if size += len(data); len(out.places) > 0 && size > maxRunBytes {
			break
		}
		st, err := scitt.ParseStatement(data)
		if err != nil {
			return out, err
		}
		if o.Chain != nil {
			heads[name] = &monitor.Head{Seq: o.Chain.Seq, ID: st.ID()}
		}
		out.places, out.parsed, out.statements = append(out.places, i), append(out.parsed, st), append(out.statements, data)
		out.sequence = append(out.sequence, data...)
	}
	return out, ctx.Err()
}

// send registers a run and says how many of it are in the log.
func (r *Recorder) send(ctx context.Context, run run, outcomes []Outcome) (n int, err error) {
	for _, a := range r.also {
		if err := a.pending.keep(run.sequence); err != nil {
			return 0, err
		}
	}
	if err := r.w.pending.keep(run.sequence); err != nil {
		return 0, err
	}
	receipts, err := r.w.registerMany(ctx, run.parsed, run.statements)
	refs, checkErr := r.w.checkAll(run.parsed, receipts)
	if checkErr != nil {
		return 0, checkErr
	}
	for i, ref := range refs {
		outcomes[run.places[i]] = Outcome{Result: Registered, Ref: ref, copies: hold(nil, run.parsed[i], ref.Origin, receipts[i])}
		r.said.add(run.parsed[i], ref.Index)
	}
	if err == nil && len(refs) < len(run.places) {
		err = errPart
	}
	if err == nil || refused(err) {
		// The rest is surely not in the log: each comes behind the one before.
		if forgetErr := r.w.pending.forget(run.sequence); forgetErr != nil {
			return len(refs), forgetErr
		}
	}
	return len(refs), err
}
