package tiles_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// TestCheckConfiguration: a log shows its own issuer and a policy that is in it.
func TestCheckConfiguration(t *testing.T) {
	var files testlog.Files
	keys := testlog.NewKeys(t)
	entries := keys.Begin(t, `{"version":1}`)
	files.Publish(t, keys, entries)
	view := testlog.Must(tiles.NewLog(&files, keys.Verifiers).Latest(t.Context()))(t)
	for name, c := range map[string]struct {
		change func(c *scitt.Configuration)
		err    error
		says   string
	}{
		"as it is":            {func(*scitt.Configuration) {}, nil, ""},
		"no policy":           {func(c *scitt.Configuration) { c.Policy = scitt.ConfigurationPolicy{} }, nil, ""},
		"spaces in it":        {func(c *scitt.Configuration) { c.Policy.Document = json.RawMessage(`{ "version": 1 }`) }, nil, ""},
		"another origin":      {func(c *scitt.Configuration) { c.Origin = "x.example" }, tiles.ErrConfiguration, `the origin "x.example"`},
		"another issuer":      {func(c *scitt.Configuration) { c.Issuer = "https://x.example" }, tiles.ErrConfiguration, `the issuer "https://x.example"`},
		"another document":    {func(c *scitt.Configuration) { c.Policy.Document = json.RawMessage(`{"version":2}`) }, tiles.ErrConfiguration, "another document"},
		"not a document":      {func(c *scitt.Configuration) { c.Policy.Document = json.RawMessage(`{`) }, tiles.ErrConfiguration, "not JSON"},
		"another entry":       {func(c *scitt.Configuration) { c.Policy.Index = 0 }, tiles.ErrConfiguration, "another entry is there"},
		"another id":          {func(c *scitt.Configuration) { c.Policy.EntryID = testlog.ID(entries[0]).String() }, tiles.ErrConfiguration, "another entry is there"},
		"the keys as policy":  {func(c *scitt.Configuration) { c.Policy.Index, c.Policy.EntryID = 0, testlog.ID(entries[0]).String() }, tiles.ErrConfiguration, "another entry is there"},
		"beyond what is read": {func(c *scitt.Configuration) { c.Policy.Index = 2 }, tiles.ErrAhead, "at entry 2, and the checkpoint covers 2"},
	} {
		shown := testlog.Must(scitt.ParseConfiguration(testlog.Must(files.Get(t.Context(), tiles.ConfigurationPath))(t)))(t)
		c.change(shown)
		if err := view.CheckConfiguration(t.Context(), shown); !errors.Is(err, c.err) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
