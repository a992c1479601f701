package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/personality"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact"
	"github.com/conmotion/conmotion/storage/index"
)

// sources are where a policy finds the facts that it may ask for.
type sources struct {
	index     *index.Index
	artifacts artifact.Storage
	subject   string                    // of the log's policies
	keys      func() *scitt.KeysInForce // that are in force
	options   []policy.Option
}

// admission is a Registration Policy with its sources.
type admission struct {
	*sources
	policy *policy.Policy
}

// Admit implements [personality.Policy].
func (a admission) Admit(ctx context.Context, s *scitt.Statement, pending personality.Heads) error {
	err := a.policy.Admit(s, facts{ctx, a.sources, pending})
	if errors.Is(err, policy.ErrPending) {
		return fmt.Errorf("%w: %w", personality.ErrPending, err)
	}
	return unavailable(err)
}

// VerifySignature implements [personality.Policy].
func (a admission) VerifySignature(s *scitt.Statement) error {
	return a.policy.VerifySignature(s, a.keys().Service)
}

// Replace implements [personality.Policy].
func (a admission) Replace(s *scitt.Statement, entry scitt.EntryID) (personality.Policy, error) {
	next, err := a.policy.AdmitPolicy(s, policy.InForce{Entry: entry, Subject: a.subject, ServiceKeys: a.keys().Service})
	if err != nil {
		return nil, err
	}
	return admission{a.sources, next}, nil
}

// Algorithms implements [personality.Policy].
func (a admission) Algorithms() []string { return a.policy.Algorithms() }

// Document implements [personality.Policy].
func (a admission) Document() []byte { return a.policy.Canonical() }

// unavailable tells a fact that could not be read from a refusal.
func unavailable(err error) error {
	if errors.Is(err, policy.ErrFacts) {
		return fmt.Errorf("%w: %w", scitt.ErrUnavailable, err)
	}
	return err
}

// facts are those of one evaluation.
type facts struct {
	ctx context.Context
	*sources
	pending personality.Heads
}

// ChainHead implements [policy.Facts].
func (f facts) ChainHead(issuer, name string) (*scitt.Head, error) {
	if head, ok := f.pending[personality.Chain{Issuer: issuer, Name: name}]; ok {
		return &head, nil
	}
	head, ok, err := f.index.ChainHead(f.ctx, issuer, name)
	if err != nil || !ok {
		return nil, err
	}
	return &head, nil
}

// Artifact implements [policy.Facts]. Artifacts are stored by their SHA-256.
func (f facts) Artifact(algorithm int64, digest []byte) (*policy.Artifact, error) {
	const sha256 = -16
	if f.artifacts == nil || algorithm != sha256 || len(digest) != len(artifact.Digest{}) {
		return nil, nil
	}
	info, err := f.artifacts.Stat(f.ctx, artifact.Digest(digest))
	if errors.Is(err, artifact.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &policy.Artifact{Size: info.Size, Read: func() ([]byte, error) {
		return f.artifacts.Artifact(f.ctx, info.Digest, policy.MaxArtifact)
	}}, nil
}

// awaiting is the policy of a log that was started to take its first policy
// from its first statement: it admits nothing, and any policy replaces it.
type awaiting struct{ *sources }

// Admit implements [personality.Policy].
func (awaiting) Admit(context.Context, *scitt.Statement, personality.Heads) error {
	return &scitt.Problem{Status: 400, Title: "Rejected",
		Detail: "this log has no Registration Policy yet: its first statement must be one, of type " + scitt.TypePolicy}
}

// VerifySignature implements [personality.Policy]. The log has the service's
// keys and nothing else.
func (a awaiting) VerifySignature(s *scitt.Statement) error {
	return policy.Default().VerifySignature(s, a.keys().Service)
}

// Replace implements [personality.Policy]. No policy says who may sign it:
// whoever is first decides.
func (a awaiting) Replace(s *scitt.Statement, _ scitt.EntryID) (personality.Policy, error) {
	first, err := policy.FromStatement(s, a.options...)
	if err == nil {
		_, err = policy.VerifyFirst(s, a.keys())
	}
	if err != nil {
		return nil, &scitt.Problem{Status: 400, Title: "Rejected", Detail: fmt.Sprintf("the first statement of this log must be its Registration Policy: %v", err)}
	}
	return admission{a.sources, first}, nil
}

// Algorithms implements [personality.Policy].
func (awaiting) Algorithms() []string { return scitt.Algorithms() }

// Document implements [personality.Policy].
func (awaiting) Document() []byte { return []byte("null") }

// verifyEntry returns what the index verifies entries with, when a log has one
// content several times: issuers that bring their own key, and the service.
// The index is read before the policy is known, and the log's own service
// never registers what does not verify; so for others the first counts.
func verifyEntry(service scitt.KeySet) (index.Verify, error) {
	p, err := policy.Parse([]byte(`{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk", "did:key"]}}`))
	if err != nil {
		return nil, err
	}
	return func(entry []byte) error {
		st, err := scitt.ParseStatement(entry)
		if err != nil {
			return err
		}
		return p.VerifySignature(st, service)
	}, nil
}
