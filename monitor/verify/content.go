package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor/disclosure"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/witness"
)

// Content is what a statement should be about: a file, a record with hidden fields, or
// an artifact that is fetched. The zero value compares it with nothing.
type Content struct {
	File      string               // the name of the file that Data or Disclosed is from
	Data      []byte               // the content itself, when there is a File
	Disclosed *disclosure.Document // the record, and the hidden values that are shown
	Artifacts *reader.Reader       // has the content behind a hash
	// Fetch gets the content from the URL that the issuer names, who learns of it: see
	// [reader.Fetch].
	Fetch *reader.Options
	// Progress, when not nil, is told how many bytes of how many came from a place;
	// size is -1 when it is not known.
	Progress func(place string, done, size int64)
}

func (r *run) content(ctx context.Context, out *scitt.Verification) error {
	st, c := out.Statement, &r.Content
	switch {
	case c.Disclosed != nil:
		r.disclosed(st)
		return nil
	case c.Fetch != nil || c.Artifacts != nil:
		return r.fetched(ctx, out)
	case c.File == "" && st.Envelope != nil:
		r.found("payload", witness.NotChecked, "the statement signs a hash; give the content with --payload, or --artifacts")
		return nil
	case c.File == "":
		r.found("payload", witness.NotChecked, "it is in the statement; to compare it with a file give --payload")
		return nil
	}
	switch same, err := st.PayloadMatches(c.Data); {
	case err != nil:
		r.found("payload", witness.Failed, "%v", err)
	case !same:
		r.found("payload", witness.Failed, "%s is not what the statement is about", c.File)
	case st.Envelope != nil:
		r.found("payload", witness.OK, "%s has the hash that the statement signs", c.File)
	default:
		r.found("payload", witness.OK, "%s is the payload of the statement", c.File)
	}
	return nil
}

// disclosed holds the values that a file shows to what the statement signs.
func (r *run) disclosed(st *scitt.Statement) {
	d, name := r.Content.Disclosed, r.Content.File
	same, err := st.PayloadMatches(d.Payload)
	if err == nil && !same {
		err = errors.New("the record in it is not what the statement is about")
	}
	var opened *disclosure.Opened
	if err == nil {
		opened, err = d.Open()
	}
	if err != nil {
		r.found("payload", witness.Failed, "%s: %v", name, err)
		return
	}
	r.found("payload", witness.OK, "the record in %s is what the statement is about", name)
	for _, f := range opened.Fields {
		r.found("disclosed", witness.OK, "%s = %s", f.Path, f.Value)
	}
	if n := len(opened.Hidden); n > 0 {
		r.found("undisclosed", witness.NotChecked, "%s not shown", plural.Verb(n, "hidden field", "is", "are"))
	}
	if n := len(opened.Redacted); n > 0 {
		r.found("redacted", witness.NotChecked, "%s taken out for good", plural.Verb(n, "field", "was", "were"))
	}
}

// fetched fetches the content of a hash envelope and holds it to the hash that
// was signed. The error is about what kept it from looking.
func (r *run) fetched(ctx context.Context, out *scitt.Verification) error {
	st, fetch := out.Statement, r.Content.Fetch != nil
	switch {
	case st.Envelope == nil:
		r.found("payload", witness.NotChecked, "it is in the statement; there is no artifact to fetch")
		return nil
	case st.Envelope.Algorithm != reader.AlgorithmSHA256 || len(st.Payload) != sha256.Size:
		r.noContent("the hash that the statement signs is not a SHA-256, and artifacts are fetched by that; give the content with --payload")
		return nil
	case fetch && out.SignatureErr != nil:
		r.found("payload", witness.NotChecked, "not fetched: without a signature that verifies, nobody vouches for its URL")
		return nil
	case fetch && !isWeb(st.Envelope.Location):
		r.noContent("the statement gives no http or https URL of its content, but %q; give --artifacts or --payload", st.Envelope.Location)
		return nil
	}
	from, place, err := r.openArtifact(ctx, st)
	var size int64
	if err == nil {
		defer from.Close()
		size, err = io.Copy(io.Discard, reader.Metered(ctx, from, func(done int64) {
			if r.Content.Progress != nil {
				r.Content.Progress(place, done, from.Size)
			}
		}))
	}
	switch {
	case err == nil:
		r.found("payload", witness.OK, "the %d bytes at %s have the hash that the statement signs", size, place)
	case errors.Is(err, reader.ErrWrong) && scitt.ProblemOf(err) == nil:
		r.found("payload", witness.Failed, "%s: the content there does not have the hash that the statement signs", place)
	case errors.Is(err, reader.ErrTooLarge):
		r.noContent("%s: %v; give the content with --payload", place, err)
	case party.Refutes(err) || isMissing(err) || errors.Is(err, reader.ErrPrivate):
		r.noContent("%s: %v", place, err)
	default:
		return fmt.Errorf("%s: %w", place, err)
	}
	return nil
}

// noContent says that the content cannot be had, which says nothing against the
// statement, but leaves without a verdict who asked for it.
func (r *run) noContent(format string, args ...any) {
	r.found("payload", witness.NotChecked, format, args...)
	if r.Unsure == nil {
		r.Unsure = fmt.Errorf("the content cannot be checked: "+format, args...)
	}
}

// openArtifact opens the content where the user, or else the issuer, says that it is.
func (r *run) openArtifact(ctx context.Context, st *scitt.Statement) (from *reader.Content, place string, err error) {
	digest := reader.Digest(st.Payload)
	if r.Content.Fetch != nil {
		from, err = reader.Fetch(ctx, st.Envelope.Location, digest, *r.Content.Fetch)
		return from, st.Envelope.Location, err
	}
	from, err = r.Content.Artifacts.Open(ctx, digest)
	return from, r.Content.Artifacts.Place(digest), err
}

// isWeb reports whether a location is a URL that anybody may ask.
func isWeb(location string) bool {
	u, err := url.Parse(location)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}
