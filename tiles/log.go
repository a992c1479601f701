package tiles

import (
	"context"
	"fmt"

	"github.com/conmotion/conmotion/scitt"
)

// Log is a log to a Relying Party: files that it does not trust and keys that
// it does.
type Log struct {
	Source    Source
	Verifiers scitt.CheckpointVerifiers
	tree      *Tree
}

// NewLog reads the log in src and trusts these verifiers.
func NewLog(src Source, verifiers scitt.CheckpointVerifiers) *Log {
	return &Log{src, verifiers, NewTree(src)}
}

// Checkpoint reads and verifies the log's newest checkpoint.
func (l *Log) Checkpoint(ctx context.Context) (*scitt.Checkpoint, error) {
	raw, err := l.Source.Get(ctx, CheckpointPath)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return l.Verifiers.Open(raw)
}

// At is the log as a verified checkpoint commits to it.
func (l *Log) At(ctx context.Context, cp *scitt.Checkpoint) (*View, error) {
	return l.tree.At(ctx, cp)
}

// Latest is the log as its newest checkpoint commits to it.
func (l *Log) Latest(ctx context.Context) (*View, error) {
	cp, err := l.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	return l.At(ctx, cp)
}
