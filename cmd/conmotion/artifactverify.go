package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/witness"
)

// algorithmSHA256 is the hash by which artifacts are stored (RFC 9054).
const algorithmSHA256 = -16

// fetched fetches the content of a hash envelope and holds it to the hash that
// was signed. The error is about what kept it from looking.
func (v *verification) fetched(ctx context.Context, out *scitt.Verification) error {
	st := out.Statement
	switch {
	case st.Envelope == nil:
		v.found("payload", witness.NotChecked, "it is in the statement; there is no artifact to fetch")
		return nil
	case st.Envelope.Algorithm != algorithmSHA256 || len(st.Payload) != sha256.Size:
		v.noContent("the hash that the statement signs is not a SHA-256, and artifacts are fetched by that; give the content with --payload")
		return nil
	case v.fetch && out.SignatureErr != nil:
		v.found("payload", witness.NotChecked, "not fetched: without a signature that verifies, nobody vouches for its URL")
		return nil
	case v.fetch && !isWeb(st.Envelope.Location):
		v.noContent("the statement gives no http or https URL of its content, but %q; give --artifacts or --payload", st.Envelope.Location)
		return nil
	}
	p := v.Progress()
	defer p.Done()
	from, place, err := v.openArtifact(ctx, st)
	var size int64
	if err == nil {
		defer from.Close()
		size, err = io.Copy(io.Discard, reader.Metered(ctx, from, func(done int64) {
			p.Show(func() string { return fmt.Sprintf("%s: received %s", place, amount(done, from.Size)) })
		}))
	}
	switch {
	case err == nil:
		v.found("payload", witness.OK, "the %d bytes at %s have the hash that the statement signs", size, place)
	case errors.Is(err, reader.ErrWrong) && scitt.ProblemOf(err) == nil:
		v.found("payload", witness.Failed, "%s: the content there does not have the hash that the statement signs", place)
	case errors.Is(err, reader.ErrTooLarge):
		v.noContent("%s: %v; give the content with --payload", place, err)
	case cli.ExitCode(err) == cli.ExitBad || isMissing(err) || errors.Is(err, reader.ErrPrivate):
		v.noContent("%s: %v", place, err)
	default:
		return fmt.Errorf("%s: %w", place, err)
	}
	return nil
}

// noContent says that the content cannot be had, which says nothing against the
// statement, but leaves without a verdict who asked for it.
func (v *verification) noContent(format string, args ...any) {
	v.found("payload", witness.NotChecked, format, args...)
	if v.unsure == nil {
		v.unsure = fmt.Errorf("the content cannot be checked: "+format, args...)
	}
}

// openArtifact opens the content where the user, or else the issuer, says that it is.
func (v *verification) openArtifact(ctx context.Context, st *scitt.Statement) (from *reader.Content, place string, err error) {
	digest := reader.Digest(st.Payload)
	if v.fetch {
		from, err = reader.Fetch(ctx, st.Envelope.Location, digest, reader.Options{Client: v.ClientOptions(1), Limits: v.artifactStore.Limits})
		return from, st.Envelope.Location, err
	}
	from, err = v.artifacts.Open(ctx, digest)
	return from, v.artifacts.Place(digest), err
}
