package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// facts are what the log and the artifact storage hold, for one entry.
type facts struct {
	ctx       context.Context
	item      *item
	artifacts *reader.Reader
	missed    bool  // an artifact was asked for, and cannot be read or is not what was signed
	unread    error // it was out of reach, which may pass
}

func (f *facts) ChainHead(issuer, name string) (*scitt.Head, error) {
	if issuer == f.item.st.Issuer {
		return f.item.before.own, nil
	}
	return f.item.before.other, nil
}

// Artifact implements [policy.Facts]. Nothing that a storage says of an artifact
// counts but the bytes, all of which are hashed. That it does not have them now
// is no evidence that it did not when the entry was admitted.
func (f *facts) Artifact(algorithm int64, digest []byte) (*policy.Artifact, error) {
	if f.artifacts == nil {
		f.missed = true
		return nil, nil
	}
	a, err := Artifact(f.ctx, f.artifacts, algorithm, digest)
	switch {
	case reader.Withheld(err), errors.Is(err, reader.ErrTooSlow), errors.Is(err, reader.ErrPrivate):
		f.missed = true
		return nil, nil
	case errors.Is(err, reader.ErrUnread):
		f.missed, f.unread = true, fmt.Errorf("artifact %x: %w", digest, err)
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("artifact %x: %w", digest, err)
	}
	return a, nil
}

// Artifact reads what a policy asks for out of an artifact storage, and hashes all of it. It
// is nil where the digest is not a SHA-256: artifacts are stored by no other hash.
func Artifact(ctx context.Context, from *reader.Reader, algorithm int64, digest []byte) (*policy.Artifact, error) {
	if algorithm != reader.AlgorithmSHA256 || len(digest) != len(reader.Digest{}) {
		return nil, nil
	}
	content, err := from.Open(ctx, reader.Digest(digest))
	if err != nil {
		return nil, err
	}
	defer content.Close()
	return policy.ReadArtifact(content)
}

// withoutArtifacts are the checks that never look at an artifact.
var withoutArtifacts = []string{
	policy.CheckType, policy.CheckSize, policy.CheckAlgorithm, policy.CheckIssuer, policy.CheckKey,
	policy.CheckSignature, policy.CheckSubject, policy.CheckContentType, policy.CheckChain,
}

// judge holds the entry to its policy. It runs on many cores at once.
func (it *item) judge(ctx context.Context, artifacts *reader.Reader) error {
	if it.under == nil {
		return nil
	}
	f := &facts{ctx: ctx, item: it, artifacts: artifacts}
	it.found, it.unjudged, it.unread = nil, false, nil
	err := it.under.Admit(it.st, f)
	if err != nil && !it.refused(err) {
		return err
	}
	if f.missed {
		it.unjudged, it.unread = true, f.unread
		it.found = slices.DeleteFunc(it.found, func(f finding) bool { return !slices.Contains(withoutArtifacts, f.check) })
	}
	return nil
}
