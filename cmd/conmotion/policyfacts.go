package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// errNoFact: the policy asks for something that was not given. It is no
// reason to refuse and none to admit.
var errNoFact = errors.New("not given")

// trialFacts are the Facts that policy test has: heads of chains that it has
// seen, and files.
type trialFacts struct {
	ctx       context.Context
	heads     policy.Heads
	log       bool           // a log gave the heads, so that there are no others
	artifacts *reader.Reader // nil without

	// For one evaluation.
	statement *scitt.Statement
	note      string
}

func (f *trialFacts) begin(st *scitt.Statement) { f.statement, f.note = st, "" }

// ChainHead implements [policy.Facts]. Without a log, a chain that was not
// seen yet can only be taken to begin with the statement, if it says so.
func (f *trialFacts) ChainHead(issuer, name string) (*policy.Head, error) {
	head, err := f.heads.ChainHead(issuer, name)
	if err != nil || head != nil || f.log {
		return head, err
	}
	if f.statement.Chain.Seq > 0 {
		return nil, fmt.Errorf("%w: the head of the chain %q, which is in the log; give the log with --log or --static, or the statements before this one", errNoFact, name)
	}
	f.note = fmt.Sprintf("no log was given; it is taken to begin the chain %q", name)
	return nil, nil
}

// Artifact implements [policy.Facts]. A service stores artifacts by their
// SHA-256 and no other hash.
func (f *trialFacts) Artifact(algorithm int64, digest []byte) (*policy.Artifact, error) {
	if f.artifacts == nil {
		return nil, fmt.Errorf("%w: the content behind the hash envelope; give a directory that has it with --artifacts", errNoFact)
	}
	if algorithm != algorithmSHA256 || len(digest) != len(reader.Digest{}) {
		return nil, nil
	}
	content, err := f.artifacts.Open(f.ctx, reader.Digest(digest))
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer content.Close()
	return policy.ReadArtifact(content)
}
