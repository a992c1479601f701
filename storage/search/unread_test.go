package search

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// unreadable has artifacts of which none can be read.
type unreadable struct{ err error }

func (f unreadable) Artifact(context.Context, reader.Digest, int64) ([]byte, error) {
	return nil, f.err
}

// TestUnreadArtifact: one artifact that cannot be read does not hold up the index; a
// storage that is out of reach does.
func TestUnreadArtifact(t *testing.T) {
	data := testlog.Must(scitt.SignStatement(testlog.Key(t, "EdDSA"), scitt.SignOptions{Subject: "s", Hash: true, ContentType: "application/json"}, []byte("{}")))(t)
	s := testlog.Must(scitt.ParseStatement(data))(t)
	down := errors.New("out of reach")
	for err, want := range map[error]error{down: down, fmt.Errorf("%w: %w", reader.ErrUnread, down): nil} {
		d := &document{}
		if content, got := d.content(t.Context(), s, unreadable{err}); got != want || content != nil || d.Content != contentMissing {
			t.Errorf("%v: %q, %v, %v", err, content, got, d.Content)
		}
	}
}
