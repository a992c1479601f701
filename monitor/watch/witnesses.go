package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/witness"
)

// silent tells which witnesses of the policy did not cosign, where a quorum did.
func (f *follower) silent(c *witness.Cosigned) {
	if c == nil {
		return
	}
	for _, name := range c.Silent() {
		f.fire(string(checkWitness)+"|"+name, &Alert{Check: checkWitness, Severity: severityOf(checkWitness), Message: fmt.Sprintf("the witness %s did not cosign the newest checkpoint, which is cosigned by %s", name, c)})
	}
	for _, s := range c.By {
		f.resolve(string(checkWitness)+"|"+s.Witness, "the witness %s cosigned at %s", s.Witness, stamp(s.At))
	}
}

// compareWitnesses holds the log to what the witnesses of the policy show of it at
// their monitoring endpoints. A log that shows one history here and another one to
// somebody's witnesses has signed both, and that is proven as any fork. A witness may
// be ahead, since it cosigns before a checkpoint is public: what it showed then is kept
// until the log is as large.
func (f *follower) compareWitnesses(ctx context.Context, log *party.Log) error {
	for _, p := range f.options.Witnesses {
		for _, w := range p.Witnesses {
			if w.URL == "" {
				continue
			}
			if err := f.compareWitness(ctx, log, w); err != nil {
				return fmt.Errorf("the witness %s, at %s: %w", w.Name, w.URL, err)
			}
		}
	}
	return nil
}

func (f *follower) compareWitness(ctx context.Context, log *party.Log, w witness.PolicyWitness) error {
	kept, key := f.look.Shown[w.Name], string(checkWitness)+"|shown|"+w.Name
	if kept == "" {
		raw, err := log.ShownBy(ctx, w, f.options)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it cosigned none, or does not show what it cosigns
		}
		if err != nil {
			f.say("the witness %s does not show what it cosigned: %v", w.Name, err)
			return nil
		}
		kept = string(raw)
	}
	delete(f.look.Shown, w.Name)
	cp, err := log.Files.Verifiers.Open([]byte(kept))
	if err != nil && log.SignedBefore(ctx, []byte(kept)) {
		f.resolve(key, "the log extends what the witness shows, and had another key then")
		return nil
	}
	if err != nil {
		f.fire(key, &Alert{Check: checkWitness, Severity: severityOf(checkWitness), Message: fmt.Sprintf("what the witness %s shows of the log is not signed by the log's key: %v", w.Name, err)})
		return nil
	}
	f.resolve(key, "what the witness shows is signed by the log's key")
	err = log.Extends(ctx, cp, f.options)
	if h, ok := errors.AsType[*party.HistoryError](err); ok && h.Proof == nil {
		if !h.OneHistory {
			if f.look.Shown == nil {
				f.look.Shown = map[string]string{}
			}
			f.look.Shown[w.Name] = kept
		}
		return nil
	}
	return err
}
