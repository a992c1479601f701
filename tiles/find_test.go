package tiles_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// TestFind: the newest leaf with a hash is found wherever it is, and no other.
func TestFind(t *testing.T) {
	keys, files := testlog.NewKeys(t), testlog.Files{}
	var entries [][]byte
	for i := range 600 {
		entries = append(entries, fmt.Append(nil, i))
	}
	entries[300] = entries[20]
	files.Publish(t, keys, entries)
	view := testlog.Must(tiles.NewLog(&files, keys.Verifiers).Latest(t.Context()))(t)
	for leaf, want := range map[int]uint64{0: 0, 1: 1, 20: 300, 255: 255, 256: 256, 511: 511, 512: 512, 599: 599} {
		looked := uint64(0)
		index, found, err := view.Find(t.Context(), scitt.LeafHash(entries[leaf]), func(done, _ uint64) { looked = done })
		if err != nil || !found || index != want || looked > 512 {
			t.Errorf("leaf %d: index %d, found %t, after %d, error %v", leaf, index, found, looked, err)
		}
	}
	never := scitt.LeafHash([]byte("never"))
	if _, found, err := view.Find(t.Context(), never, nil); found || err != nil {
		t.Errorf("found %t, error %v", found, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := view.Find(ctx, never, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
