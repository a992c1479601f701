package party

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

// PolicyFor chooses the witness policy for a log: of those that are given the one
// that names it, or else one that names no logs; when none is given, the one that Home
// remembers. It is nil where nothing is demanded. Errors wrap [witness.ErrPolicy] when
// all that are given are for other logs.
func (o Options) PolicyFor(origin string) (*witness.Policy, error) {
	var any *witness.Policy
	for _, p := range o.Witnesses {
		for _, l := range p.Logs {
			if l.Name() == origin {
				return p, nil
			}
		}
		if len(p.Logs) == 0 && any == nil {
			any = p
		}
	}
	if any != nil {
		return any, nil
	}
	if len(o.Witnesses) > 0 {
		return nil, fmt.Errorf("%w for the log %.80q: those that are given name other logs", witness.ErrPolicy, origin)
	}
	k, err := o.Home.Known(origin)
	if err != nil || k == nil || k.WitnessPolicy == "" {
		return nil, err
	}
	p, err := witness.ParsePolicy([]byte(k.WitnessPolicy))
	if err != nil {
		return nil, fmt.Errorf("%s %w: %w", o.Home.logFile(origin), ErrDamaged, err)
	}
	return p, nil
}

// HeldTo holds a cosigned checkpoint to its policy, and to Options.MaxAge by the
// witnesses' clocks. Errors wrap [witness.ErrQuorum] or [witness.ErrStale].
func (o Options) HeldTo(c *witness.Cosigned) error {
	if o.MaxAge > 0 {
		return c.Fresh(o.now().Add(-o.MaxAge))
	}
	return c.Quorum()
}

// witnessed holds the log's checkpoint to the witness policy for it, if there is one.
func (l *Log) witnessed(o Options) error {
	p, err := o.PolicyFor(l.Checkpoint.Origin)
	if err == nil && p == nil && o.MaxAge > 0 {
		err = fmt.Errorf("%w for the log %.80q, whose age only its witnesses can tell", witness.ErrPolicy, l.Checkpoint.Origin)
	}
	if err != nil || p == nil {
		return err
	}
	if l.Cosigned, err = p.Open(l.Checkpoint.Raw); err == nil {
		err = o.HeldTo(l.Cosigned)
	}
	if err != nil {
		return fmt.Errorf("the log at %s: %w", l.Location, err)
	}
	l.policy = p.String()
	return nil
}

// ShownBy reads the checkpoint of the log that a witness shows at its monitoring
// endpoint (C2SP tlog-witness), under the URL that a policy has. Nothing of it is verified.
// Errors wrap [fs.ErrNotExist] where it shows none.
func (l *Log) ShownBy(ctx context.Context, w witness.PolicyWitness, o Options) ([]byte, error) {
	src, err := tiles.Open(fmt.Sprintf("%s/%x", w.URL, sha256.Sum256([]byte(l.Checkpoint.Origin))), o.Client)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookElsewhere)
	defer cancel()
	return src.Get(ctx, tiles.CheckpointPath)
}
