package party

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"

	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/tiles"
)

// FsckReport is what a check of all files of a log came to.
type FsckReport struct {
	OK       bool     `json:"ok"`
	Origin   string   `json:"origin,omitempty"`
	Size     uint64   `json:"size"`
	Root     string   `json:"root,omitempty"`
	Signed   string   `json:"signed,omitempty"` // when, as RFC 3339
	Receipts bool     `json:"receipts"`         // the checkpoint can make them
	Count    int      `json:"problem_count"`
	Problems []string `json:"problems"` // the first hundred
	// Unchecked is what could not be checked, although nothing is wrong.
	Unchecked string `json:"unchecked,omitempty"`

	Wrong  []error `json:"-"` // are Problems
	Unsure error   `json:"-"` // is Unchecked
}

// mostProblems is how many problems are listed; all are counted.
const mostProblems = 100

func (r *FsckReport) found(err error) {
	if r.Count++; r.Count <= mostProblems {
		r.Problems, r.Wrong = append(r.Problems, err.Error()), append(r.Wrong, err)
	}
}

// Fsck checks all files of a log that was opened with [Options.Examine], as [tiles.Fsck]
// does, and that its configuration is in the log. progress, when not nil, is told how many
// entries were checked, and how many problems there are so far. The error is about what kept
// from looking.
func (l *Log) Fsck(ctx context.Context, progress func(done uint64, problems int)) (*FsckReport, error) {
	r := &FsckReport{Problems: []string{}}
	if cp := l.Checkpoint; cp != nil {
		r.Origin, r.Size, r.Root = cp.Origin, cp.Size, hex.EncodeToString(cp.Root)
		if cp.Tree != nil {
			r.Receipts, r.Signed = true, printable.Time(cp.Tree.IssuedAt)
		}
	}
	err := l.fsck(ctx, r, func(done uint64) {
		if progress != nil {
			progress(done, r.Count)
		}
	})
	if err != nil {
		return nil, err
	}
	if r.OK = r.Count == 0; r.Unsure != nil {
		r.Unchecked = r.Unsure.Error()
	}
	return r, nil
}

func (l *Log) fsck(ctx context.Context, r *FsckReport, progress func(done uint64)) error {
	if l.Checkpoint == nil {
		r.found(l.Damage)
		return nil
	}
	err := tiles.Fsck(ctx, l.Files.Source, l.Checkpoint, r.found, progress)
	switch {
	case errors.Is(err, tiles.ErrCorrupt), errors.Is(err, fs.ErrNotExist):
		r.found(err) // a file that the checkpoint covers and that cannot be read
		return nil
	case err == nil && r.Count == 0 && l.Damage != nil:
		r.found(l.Damage) // it was there when the log was opened
		return nil
	case err != nil || r.Count > 0 || l.Configuration == nil:
		return err
	}
	switch err := l.View.CheckConfiguration(ctx, l.Configuration); {
	case errors.Is(err, tiles.ErrConfiguration):
		r.found(err)
	case errors.Is(err, tiles.ErrAhead):
		r.Unsure = err
	default:
		return err
	}
	return nil
}
