package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/artifact"
)

// maxFetched is how many bytes are taken from a URL that an issuer chose: the
// largest artifact that a storage takes unless its operator says otherwise.
const maxFetched = 5 << 30

// algorithmSHA256 is the hash by which artifacts are stored (RFC 9054).
const algorithmSHA256 = -16

// fetched fetches the content of a hash envelope and holds it to the hash that
// was signed. The error is about what kept it from looking.
func (v *verification) fetched(ctx context.Context, out *scitt.Verification) error {
	st := out.Statement
	switch {
	case st.Envelope == nil:
		v.found("payload", resultNotChecked, "it is in the statement; there is no artifact to fetch")
		return nil
	case st.Envelope.Algorithm != algorithmSHA256 || len(st.Payload) != sha256.Size:
		v.found("payload", resultBad, "the hash that the statement signs is not a SHA-256, and artifacts are fetched by that; give the content with --payload")
		return nil
	case v.fetch && out.SignatureErr != nil:
		v.found("payload", resultNotChecked, "not fetched: without a signature that verifies, nobody vouches for its URL")
		return nil
	case v.fetch && !isWeb(st.Envelope.Location):
		v.found("payload", resultBad, "the statement gives no http or https URL of its content, but %q; give --artifacts or --payload", st.Envelope.Location)
		return nil
	}
	p := v.progress()
	defer p.done()
	digest := artifact.Digest(st.Payload)
	from, place, err := v.openArtifact(ctx, st, digest)
	var size int64
	if err == nil {
		defer from.Close()
		h := sha256.New()
		size, err = io.Copy(h, &meter{Reader: from, ctx: ctx, show: func(done int64) {
			p.show(func() string { return fmt.Sprintf("%s: received %s", place, amount(done, -1)) })
		}})
		if err == nil && !bytes.Equal(h.Sum(nil), st.Payload) {
			err = bad(errors.New("the content there does not have the hash that the statement signs"))
		}
	}
	switch err = storeError(err); {
	case err == nil:
		v.found("payload", resultOK, "the %d bytes at %s have the hash that the statement signs", size, place)
	case exitCode(err) == exitBad || isMissing(err):
		v.found("payload", resultBad, "%s: %v", place, err)
	default:
		return fmt.Errorf("%s: %w", place, err)
	}
	return nil
}

// openArtifact opens the content where the user, or else the issuer, says that it is.
func (v *verification) openArtifact(ctx context.Context, st *scitt.Statement, digest artifact.Digest) (from io.ReadCloser, place string, err error) {
	switch {
	case v.fetch:
		d, err := client.Fetch(ctx, st.Envelope.Location, v.clientOptions(1))
		if err != nil {
			return nil, st.Envelope.Location, err
		}
		return &bounded{d, maxFetched}, st.Envelope.Location, nil
	case v.artifacts != nil:
		d, err := v.artifacts.Get(ctx, digest, 0)
		return d, v.artifacts.URL(digest), err
	}
	name := hex.EncodeToString(digest[:])
	place = filepath.Join(v.artifactStore.url, "sha256", name[:2], name[2:4], name)
	f, err := os.Open(place)
	return f, place, err
}

// openArtifacts opens the place of --artifacts: a service, or a directory with
// the files of an artifact storage.
func (v *verification) openArtifacts() (err error) {
	location := v.artifactStore.url
	if isWeb(location) {
		v.artifacts, err = v.store(v.artifactStore, 1)
		return err
	}
	if v.artifactStore.tokenFile != "" {
		return usage(errors.New("--token-file is for a service in --artifacts"))
	}
	if location == "" {
		return nil
	}
	if info, err := os.Stat(filepath.Join(location, "sha256")); err != nil || !info.IsDir() {
		return usage(fmt.Errorf("--artifacts %s: neither a URL nor a directory with artifacts in sha256/", location))
	}
	return nil
}

// bounded refuses more bytes than it may give.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, bad(fmt.Errorf("it is larger than %d bytes; give the content with --payload", int64(maxFetched)))
	}
	return n, err
}
