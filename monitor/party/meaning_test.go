package party_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"testing"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
)

// TestRefutes: what an error says does not depend on what it is wrapped in. A verdict
// on a log is one whatever could not be checked besides.
func TestRefutes(t *testing.T) {
	for _, c := range []struct {
		err      error
		refutes  bool
		otherLog bool
	}{
		{nil, false, false},
		{errors.New("anything"), false, false},
		{fs.ErrNotExist, false, false},
		{scitt.ErrSignature, true, false},
		{errors.Join(scitt.ErrUnchecked, scitt.ErrUnknownKey), false, false},
		{errors.Join(scitt.ErrUnchecked, party.ErrForked), true, true},
		{errors.Join(party.ErrVKeys, scitt.ErrCheckpoint), false, false},
		{errors.Join(party.ErrRolledBack, scitt.ErrProof), false, false},
		{errors.Join(monitor.ErrResume, tiles.ErrBehind), false, true},
		{tiles.ErrOtherLog, true, true},
		{tiles.ErrCorrupt, true, false},
		{&monitor.WithheldError{}, false, false},
		{monitor.ErrPinned, true, true},
		{monitor.ErrUnverified, false, false},
		{reader.ErrWrong, true, false},
		{&scitt.Problem{Status: http.StatusBadRequest}, true, false},
		{&scitt.Problem{Status: http.StatusTooManyRequests}, false, false},
		{&scitt.Problem{Status: http.StatusServiceUnavailable}, false, false},
		{&scitt.Problem{Status: http.StatusInsufficientStorage}, true, false},
		{&scitt.Problem{Status: http.StatusInternalServerError, Title: reader.TitleDamaged}, true, false},
	} {
		for _, err := range []error{c.err, fmt.Errorf("wrapped: %w", c.err)} {
			if party.Refutes(err) != c.refutes || party.IsOtherLog(err) != c.otherLog {
				t.Errorf("%v: refutes %t, other log %t; want %t, %t", err, party.Refutes(err), party.IsOtherLog(err), c.refutes, c.otherLog)
			}
		}
	}
}
