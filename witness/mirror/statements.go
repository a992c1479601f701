package mirror

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
)

// errNoKey says that there is no key to check a signature with.
var errNoKey = errors.New("no key")

// verifyStatement holds a statement to its issuer's signature. The error wraps
// errNoKey when the issuer's key is not known.
func (v *verification) verifyStatement(st *scitt.Statement) error {
	var known scitt.Known
	if key, ok := v.o.IssuerKeys[st.Issuer]; ok {
		known = scitt.Given(key)
	}
	by, err := v.o.Anchors.Verify(st, known)
	if err == nil || by.Source != "" {
		return err
	}
	if strings.HasPrefix(st.Subject, v.report.Origin+"/") && st.KeyID != nil {
		// The service's own: its keys and policies.
		if err := v.service.Verify(st); !errors.Is(err, scitt.ErrUnknownKey) {
			return err
		}
	}
	return fmt.Errorf("%w of %s: %w", errNoKey, st.Issuer, err)
}

// signed is what there is to know of the signatures in one bundle.
type signed struct {
	good     uint64
	problems []string
	unknown  map[string]uint64 // statements by issuers whose key is not known
	digests  []reader.Digest
}

// statements verifies the signature of every statement, and returns the digests
// that they sign in place of content.
func (v *verification) statements(ctx context.Context, view *tiles.View) ([]reader.Digest, error) {
	size := view.Checkpoint.Size
	read := func(ctx context.Context, n uint64) (*signed, error) {
		out := &signed{unknown: map[string]uint64{}}
		for e, err := range view.Entries(ctx, n*tiles.Width, min(size, (n+1)*tiles.Width)) {
			if err != nil {
				return nil, err
			}
			out.add(v, e)
		}
		return out, nil
	}
	var digests []reader.Digest
	unknown := map[string]uint64{}
	for n, r := range parallel.Ordered(ctx, 0, (size+tiles.Width-1)/tiles.Width, workers, read) {
		if r.Err != nil {
			return nil, r.Err
		}
		v.report.Statements += r.Value.good
		digests = append(digests, r.Value.digests...)
		for issuer, count := range r.Value.unknown {
			unknown[issuer] += count
		}
		for _, problem := range r.Value.problems {
			v.failed("signatures", "%s", problem)
		}
		v.o.Progress("statements verified", min(size, (n+1)*tiles.Width), size)
	}
	v.summary("signatures", "%s what the issuer signed", plural.Verb(v.report.Statements, "statement", "is", "are"))
	issuers := slices.Sorted(maps.Keys(unknown))
	for _, issuer := range issuers[:min(len(issuers), mostProblems)] {
		v.unchecked("signatures", "%s of %s: give --issuer-key, or --roots for x5chain", plural.Of(unknown[issuer], "statement"), issuer)
	}
	return digests, nil
}

func (s *signed) add(v *verification, e tiles.Entry) {
	st, err := scitt.DecodeEntry(e.Data)
	if err == nil {
		err = v.verifyStatement(st)
	}
	switch {
	case err == nil:
		s.good++
	case errors.Is(err, errNoKey):
		s.unknown[st.Issuer]++
	default:
		s.problems = append(s.problems, fmt.Sprintf("entry %d: %v", e.Index, err))
	}
	if d, ok := envelopeDigest(e.Data); ok {
		s.digests = append(s.digests, d)
	}
}
