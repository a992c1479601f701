package party

import (
	"context"
	"errors"
	"io/fs"

	"github.com/conmotion/conmotion/tiles"
)

// Fsck checks all files of a log that was opened with [Options.Examine], as [tiles.Fsck]
// does, and that its configuration is in the log. It gives each problem to report.
// unchecked is what could not be checked although nothing is wrong; the error is about
// what kept from looking.
func (l *Log) Fsck(ctx context.Context, report func(error), progress func(done uint64)) (unchecked, err error) {
	if l.Checkpoint == nil {
		report(l.Damage)
		return nil, nil
	}
	good := true
	problem := func(err error) {
		good = false
		report(err)
	}
	err = tiles.Fsck(ctx, l.Files.Source, l.Checkpoint, problem, progress)
	switch {
	case errors.Is(err, tiles.ErrCorrupt), errors.Is(err, fs.ErrNotExist):
		report(err) // a file that the checkpoint covers and that cannot be read
		return nil, nil
	case err == nil && good && l.Damage != nil:
		report(l.Damage) // it was there when the log was opened
		return nil, nil
	case err != nil || !good || l.Configuration == nil:
		return nil, err
	}
	switch err = l.View.CheckConfiguration(ctx, l.Configuration); {
	case errors.Is(err, tiles.ErrConfiguration):
		report(err)
	case errors.Is(err, tiles.ErrAhead):
		return err, nil
	default:
		return nil, err
	}
	return nil, nil
}
