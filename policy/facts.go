package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/conmotion/conmotion/scitt"
)

// Facts are what an evaluation may ask beside the statement and the policy:
// only what the log itself or the artifact storage holds, so that a replay
// reads the same. Made for one evaluation, they carry their own context. An
// error says that a fact could not be read; it is no answer.
type Facts interface {
	// ChainHead is the last entry of this issuer's chain with this name, of
	// the entries before the one that is judged; nil when there is none.
	ChainHead(issuer, name string) (*scitt.Head, error)
	// Artifact is the content with this digest in the artifact storage; nil
	// when it is not stored. The algorithm is that of the hash envelope (RFC
	// 9054), such as -16.
	Artifact(algorithm int64, digest []byte) (*Artifact, error)
}

// Artifact is stored content.
type Artifact struct {
	Size int64 // bytes
	// Read gives the content. It is called only when a rule or the OCSF check
	// reads it, and at most MaxArtifact bytes are read.
	Read func() ([]byte, error)
}

// ReadArtifact reads content to its end, and returns it as an evaluation sees it:
// all of it counts, and the first MaxArtifact bytes are kept.
func ReadArtifact(r io.Reader) (*Artifact, error) {
	var content bytes.Buffer
	size, err := io.Copy(&content, io.LimitReader(r, MaxArtifact))
	if err != nil {
		return nil, err
	}
	more, err := io.Copy(io.Discard, r)
	if err != nil {
		return nil, err
	}
	return &Artifact{Size: size + more, Read: func() ([]byte, error) { return content.Bytes(), nil }}, nil
}

// MaxArtifact is the largest artifact in bytes whose content a policy reads.
const MaxArtifact = 1 << 20

// NoFacts are the Facts of an empty log without artifact storage. They are
// enough for a policy whose "chain" and "artifact" are "off".
type NoFacts struct{}

// ChainHead is always nil.
func (NoFacts) ChainHead(issuer, name string) (*scitt.Head, error) { return nil, nil }

// Artifact is always nil.
func (NoFacts) Artifact(algorithm int64, digest []byte) (*Artifact, error) { return nil, nil }

// ErrFacts is wrapped by the errors of an evaluation that could not be
// finished because a fact could not be read: the statement is neither admitted
// nor refused, and may be tried again.
var ErrFacts = errors.New("a fact that the Registration Policy asks for cannot be read")

// ErrPending is the reason for ErrFacts when the head of a chain has no index
// yet: where a rule reads it, and where the chain is the reason to refuse the
// statement, which may be another one when the head does not get into the log.
var ErrPending = errors.New("the head of the chain is not in the log yet")

// chainHeads are Facts about the chains of statements that were added in the order
// of their entries, and nothing else. They are not safe for
// concurrent use.
type chainHeads struct {
	NoFacts
	heads map[[2]string]scitt.Head
}

// Add takes the admitted statement with this index into account.
func (h *chainHeads) Add(s *scitt.Statement, index uint64) {
	if s.Chain == nil {
		return
	}
	if h.heads == nil {
		h.heads = map[[2]string]scitt.Head{}
	}
	h.heads[[2]string{s.Issuer, s.Chain.Name}] = scitt.NewHead(s, index)
}

// ChainHead is the last entry that was added to the chain.
func (h *chainHeads) ChainHead(issuer, name string) (*scitt.Head, error) {
	if head, ok := h.heads[[2]string{issuer, name}]; ok {
		return &head, nil
	}
	return nil, nil
}

// The facts of one evaluation, each asked for at most once.

func (e *evaluation) chainHead() (*scitt.Head, error) {
	if !e.headAsked {
		e.headAsked = true
		if c := e.s.Chain; c != nil {
			e.head, e.headErr = e.facts.ChainHead(e.s.Issuer, c.Name)
		}
		e.note(e.headErr)
	}
	return e.head, e.headErr
}

func (e *evaluation) storedArtifact() (*Artifact, error) {
	if !e.artifactAsked {
		e.artifactAsked = true
		if env := e.s.Envelope; env != nil {
			e.artifact, e.artifactErr = e.facts.Artifact(env.Algorithm, e.s.Payload)
		}
		e.note(e.artifactErr)
	}
	return e.artifact, e.artifactErr
}

// note keeps the first fact that could not be read, so that it is not taken
// for a refusal, even where an expression goes on without it.
func (e *evaluation) note(err error) {
	if err != nil && e.factsErr == nil {
		e.factsErr = fmt.Errorf("%w: %w", ErrFacts, err)
	}
}

var (
	errNotInline = errors.New("the content is not in the statement: its payload is a hash")
	errNotStored = errors.New("the content is not in artifact storage")
)

// artifactContent reads the stored content of a hash envelope and holds it to
// the hash that the issuer signed.
func (e *evaluation) artifactContent() ([]byte, error) {
	if e.stored != nil || e.storedErr != nil {
		return e.stored, e.storedErr
	}
	e.stored, e.storedErr = e.readArtifact()
	return e.stored, e.storedErr
}

func (e *evaluation) readArtifact() ([]byte, error) {
	a, err := e.storedArtifact()
	switch {
	case err != nil:
		return nil, err
	case e.s.Envelope == nil:
		return nil, errors.New("the statement is no hash envelope, its content is the payload")
	case a == nil:
		return nil, errNotStored
	case a.Size > MaxArtifact:
		return nil, fmt.Errorf("the artifact has %d bytes, and a policy reads at most %d", a.Size, MaxArtifact)
	}
	content, err := a.Read()
	if err == nil {
		var ok bool
		if ok, err = e.s.PayloadMatches(content); err == nil && !ok {
			err = errors.New("the stored artifact is not what its hash says")
		}
	}
	e.note(err)
	return content, err
}
