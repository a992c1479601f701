package tiles_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// TestFollowKeys: what a log lists of its keys is followed from entry 0, or
// refused. Package monitor/party has the same for logs that are remembered.
func TestFollowKeys(t *testing.T) {
	var files testlog.Files
	keys := testlog.NewKeys(t)
	entries := keys.Begin(t, "{}")
	keys, entries = keys.Rotate(t, entries, entries[0])
	files.Publish(t, keys, entries)
	c := testlog.Must(scitt.ParseConfiguration(testlog.Must(files.Get(t.Context(), tiles.ConfigurationPath))(t)))(t)
	view := testlog.Must(tiles.NewLog(&files, keys.Verifiers).Latest(t.Context()))(t)
	got := testlog.Must(view.FollowKeys(t.Context(), nil, c.Keys))(t)
	if len(got) != 2 || got[0].ID != testlog.ID(entries[0]) || got[1].ID != testlog.ID(entries[2]) {
		t.Errorf("got %+v", got)
	}
	if got := testlog.Must(view.FollowKeys(t.Context(), &c.Keys[1], c.Keys))(t); len(got) != 1 || got[0].ID != testlog.ID(entries[2]) {
		t.Errorf("got %+v", got)
	}
	policy := scitt.ConfigurationKeys{EntryID: testlog.ID(entries[1]).String(), Index: 1}
	for name, tc := range map[string]struct {
		known *scitt.ConfigurationKeys
		list  []scitt.ConfigurationKeys
		text  string
	}{
		"nothing":            {nil, nil, "does not list the one"},
		"not from entry 0":   {nil, c.Keys[1:], "and not at entry 0"},
		"a policy":           {nil, []scitt.ConfigurationKeys{c.Keys[0], policy}, "typ"},
		"a policy is known":  {&policy, []scitt.ConfigurationKeys{policy}, "typ"},
		"another id":         {nil, []scitt.ConfigurationKeys{{EntryID: policy.EntryID}}, "is listed there"},
		"without a handover": {nil, []scitt.ConfigurationKeys{c.Keys[0], {EntryID: c.Keys[1].EntryID, Index: 2}}, "not signed by the note key before it"},
	} {
		if got, err := view.FollowKeys(t.Context(), tc.known, tc.list); !errors.Is(err, tiles.ErrKeys) || !strings.Contains(err.Error(), tc.text) || got != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	// Files that are out of reach or damaged are no fault of the keys.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := view.FollowKeys(ctx, nil, c.Keys); !errors.Is(err, context.Canceled) || errors.Is(err, tiles.ErrKeys) {
		t.Error(err)
	}
	files.Put(tiles.BundlePath(0, 3), []byte{0, 1, 'x', 0, 1, 'y', 0, 1, 'z'})
	if _, err := view.FollowKeys(t.Context(), nil, c.Keys); !errors.Is(err, tiles.ErrCorrupt) || errors.Is(err, tiles.ErrKeys) {
		t.Error(err)
	}
}
