package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/audit"
)

// accuse keeps the evidence of a violation, and stops the log. A violation that is about
// files, or that no evidence shows, accuses nobody: somebody else may have changed them.
func (j *judge) accuse(ctx context.Context, k *judged, view *tiles.View, s audit.Summary) error {
	var restsOn []uint64
	for _, r := range s.Keys {
		restsOn = append(restsOn, r.Index)
	}
	for _, p := range s.Policies {
		restsOn = append(restsOn, p.Index)
	}
	if len(s.Keys) == 0 {
		return fmt.Errorf("%w: %s; the log announces no keys of a service, so that nothing is proven", errUnjudged, plural.Of(s.Violations, "violation"))
	}
	var why []error
	for _, v := range k.found {
		data, err := evidenceOf(ctx, view, k, v, restsOn)
		if err != nil {
			why = append(why, err)
			continue
		}
		// A crash before leaves a log that is judged again, with the same result.
		if _, err := durable.Replace(k.path(evidenceFile), data, 0o644); err != nil {
			return err
		}
		j.logger.Error("a log holds an entry that its policy does not admit; it is never cosigned as audited again",
			"log", k.origin, "index", *v.Index, "check", v.Check, "why", v.Message, "evidence", k.path(evidenceFile))
		return nil
	}
	return fmt.Errorf("%w: %s, none with evidence: %w", errUnjudged, plural.Of(s.Violations, "violation"), errors.Join(why...))
}

// evidenceOf makes the evidence of a violation, and verifies it as anybody would.
func evidenceOf(ctx context.Context, view *tiles.View, k *judged, v audit.Violation, restsOn []uint64) ([]byte, error) {
	if v.Index == nil {
		return nil, fmt.Errorf("%s: %s", v.Check, v.Message)
	}
	restsOn = slices.DeleteFunc(slices.Clone(restsOn), func(i uint64) bool { return i >= *v.Index })
	e, err := audit.NewEvidence(ctx, view, k.vkeys, v, restsOn)
	if err != nil {
		return nil, err
	}
	if _, err := e.Verify(ctx, k.base.Verifiers, audit.Options{}); err != nil {
		return nil, err
	}
	return e.Marshal()
}

const evidenceFile = "evidence.json"

// stopped reports whether there is evidence against the log, or it is not known whether
// there is.
func (k *judged) stopped() bool {
	_, err := os.Stat(k.path(evidenceFile))
	return !errors.Is(err, fs.ErrNotExist)
}
