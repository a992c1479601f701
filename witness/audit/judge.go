package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/conmotion/conmotion/policy"
)

// Artifacts give the content behind hash envelopes.
type Artifacts interface {
	// Artifact gives the content with this digest; nil when it is not stored.
	// The algorithm is that of the envelope (RFC 9054), such as -16. An error
	// is no answer, and ends the audit.
	Artifact(ctx context.Context, algorithm int64, digest []byte) (*policy.Artifact, error)
}

// facts are what the log and the artifact storage hold, for one entry.
type facts struct {
	ctx       context.Context
	head      *policy.Head
	artifacts Artifacts
	missed    bool // an artifact was asked for, and cannot be had
}

func (f *facts) ChainHead(issuer, name string) (*policy.Head, error) { return f.head, nil }

func (f *facts) Artifact(algorithm int64, digest []byte) (*policy.Artifact, error) {
	if f.artifacts == nil {
		f.missed = true
		return nil, nil
	}
	a, err := f.artifacts.Artifact(f.ctx, algorithm, digest)
	if a == nil || err != nil {
		return nil, err
	}
	return &policy.Artifact{Size: a.Size, Read: func() ([]byte, error) {
		content, err := a.Read()
		if sum := sha256.Sum256(content); err == nil && algorithm == algorithmSHA256 && !bytes.Equal(sum[:], digest) {
			f.missed = true
			err = errors.New("the artifact is damaged")
		}
		return content, err
	}}, nil
}

// withoutArtifacts are the checks that never look at an artifact.
var withoutArtifacts = []string{
	policy.CheckType, policy.CheckSize, policy.CheckAlgorithm, policy.CheckIssuer, policy.CheckKey,
	policy.CheckSignature, policy.CheckSubject, policy.CheckContentType, policy.CheckChain,
}

// judge holds the entry to its policy. It runs on many cores at once.
func (it *item) judge(ctx context.Context, artifacts Artifacts) error {
	if it.under == nil {
		return nil
	}
	f := &facts{ctx: ctx, head: it.head, artifacts: artifacts}
	it.found, it.unjudged = nil, false
	err := it.under.Admit(it.st, f)
	if errors.Is(err, policy.ErrFacts) && f.missed {
		return it.judge(ctx, nil)
	}
	if err != nil && !it.refused(err) {
		return err
	}
	if f.missed {
		it.unjudged = true
		it.found = slices.DeleteFunc(it.found, func(f finding) bool { return !slices.Contains(withoutArtifacts, f.check) })
	}
	return nil
}
