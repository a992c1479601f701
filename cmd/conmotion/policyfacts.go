package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
)

// errNoFact: the policy asks for something that was not given. It is no
// reason to refuse and none to admit.
var errNoFact = errors.New("not given")

// trialFacts are the Facts that policy test has: heads of chains that it has
// seen, and files.
type trialFacts struct {
	heads     policy.Heads
	log       bool // a log gave the heads, so that there are no others
	artifacts artifactFiles

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
	if f.artifacts.dir == "" {
		return nil, fmt.Errorf("%w: the content behind the hash envelope; give a directory that has it with --artifacts", errNoFact)
	}
	const coseSHA256 = -16
	if algorithm != coseSHA256 || len(digest) != sha256.Size {
		return nil, nil
	}
	return f.artifacts.find([sha256.Size]byte(digest))
}

// artifactFiles finds files by the hash of their content.
type artifactFiles struct {
	dir   string
	files map[[sha256.Size]byte]string // nil until the first is asked for
}

// find gives the file with this hash; nil when there is none.
func (a *artifactFiles) find(digest [sha256.Size]byte) (*policy.Artifact, error) {
	if a.files == nil {
		if err := a.read(); err != nil {
			return nil, fmt.Errorf("--artifacts: %w", err)
		}
	}
	path, ok := a.files[digest]
	if !ok {
		return nil, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return &policy.Artifact{Size: info.Size(), Read: func() ([]byte, error) { return os.ReadFile(path) }}, nil
}

func (a *artifactFiles) read() error {
	a.files = map[[sha256.Size]byte]string{}
	return filepath.WalkDir(a.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		hash := sha256.New()
		if _, err := io.Copy(hash, file); err != nil {
			return err
		}
		a.files[[sha256.Size]byte(hash.Sum(nil))] = path
		return nil
	})
}
