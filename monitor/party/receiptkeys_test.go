package party_test

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/tiles"
)

// clear leaves the keys for Receipts, as a service of other software shows them.
func (r *rotating) clear() {
	keys := testlog.Must(r.files.Get(r.t.Context(), tiles.KeysPath))(r.t)
	r.files.Clear()
	r.files.Put(tiles.KeysPath, keys)
}

// TestOpenService: of the keys that a service shows those count that its log
// announced, the retired ones among them; all of them where there is no log, and
// none was seen.
func TestOpenService(t *testing.T) {
	stranger := testlog.NewKeys(t).Announced.Receipt
	const told = "shows no log that could be remembered"
	for name, c := range map[string]struct {
		seen   bool // before
		change func(*rotating)
		notice string // "" for a log that is opened
		err    error
		text   string
	}{
		"a log":                   {},
		"a log that was seen":     {seen: true},
		"a log that was given":    {change: func(r *rotating) { r.o.VKeys = r.keys.VKeys }},
		"no memory":               {change: func(r *rotating) { r.o.Home = "" }},
		"no files":                {change: func(r *rotating) { r.clear() }, notice: told},
		"no files and no memory":  {change: func(r *rotating) { r.clear(); r.o.Home = "" }, notice: told},
		"another configuration":   {change: func(r *rotating) { r.clear(); r.files.Put(tiles.ConfigurationPath, []byte("{")) }, notice: told},
		"no verifier keys":        {change: func(r *rotating) { r.files.Put(tiles.ConfigurationPath, nil) }, notice: told},
		"no files any more":       {seen: true, change: func(r *rotating) { r.clear() }, err: party.ErrNoLog, text: testlog.Origin + `" was there before`},
		"no files of given keys":  {change: func(r *rotating) { r.clear(); r.o.VKeys = r.keys.VKeys }, err: party.ErrNoLog},
		"no answer":               {change: unavailable, err: client.ErrStatus},
		"no keys":                 {change: func(r *rotating) { r.files.Clear() }, text: "status 404"},
		"no keys of a log":        {change: func(r *rotating) { r.files.Put(tiles.KeysPath, nil) }, err: fs.ErrNotExist},
		"no URL":                  {change: func(r *rotating) { r.url = t.TempDir() }, text: "is not the URL of a service"},
		"other keys":              {seen: true, change: func(r *rotating) { r.keys = testlog.NewKeys(t); r.show() }, err: party.ErrKeysChanged},
		"a malformed one":         {change: func(r *rotating) { r.files.Put(tiles.ConfigurationPath, []byte("{")) }, err: scitt.ErrMalformed},
		"a home that is damaged":  {seen: true, change: func(r *rotating) { r.clear(); damaged(r) }, err: party.ErrDamaged},
		"fewer entries than seen": {seen: true, change: func(r *rotating) { r.entries = r.entries[:3]; r.clear(); r.show() }, err: party.ErrRolledBack},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRotating(t)
			r.rotate()
			r.show()
			if c.seen {
				r.opens(4)
			}
			shown := slices.Concat(r.keys.KeySet(t), stranger) // a new one and a retired one
			if len(shown) != 3 {
				t.Fatalf("%d keys", len(shown))
			}
			r.files.Put(tiles.KeysPath, testlog.Must(shown.Marshal())(t))
			if c.change != nil {
				c.change(r)
			}
			r.notices, r.o.Client.Retries = nil, -1
			l, keys, err := party.OpenService(t.Context(), r.url, r.o)
			fails := c.err != nil || c.text != ""
			switch {
			case (err != nil) != fails, c.err != nil && !errors.Is(err, c.err), fails && !strings.Contains(err.Error(), c.text):
				t.Fatalf("%v, want %v: %s", err, c.err, c.text)
			case fails:
				if keys != nil {
					t.Errorf("%d keys with an error", len(keys))
				}
			case c.notice != "":
				if r.noticed(c.notice); l != nil || len(keys) != 3 {
					t.Errorf("%d keys", len(keys))
				}
				if logs := testlog.Must(r.o.Home.Logs())(t); len(logs) != 0 {
					t.Errorf("remembered %d logs", len(logs))
				}
			case l == nil || l.Checkpoint.Size != 4 || len(keys) != 2 || slices.ContainsFunc(keys, func(k scitt.Key) bool { return string(k.ID) == string(stranger[0].ID) }):
				t.Errorf("%d keys", len(keys))
			}
		})
	}
}

func unavailable(r *rotating) {
	r.files.Serve(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
}

func damaged(r *rotating) {
	for _, file := range testlog.Must(filepath.Glob(filepath.Join(string(r.o.Home), "logs", "*.json")))(r.t) {
		if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
}

// TestCompromisedKeys: a key that the log says is compromised is not a receipt key any
// more, at every later look, and by what is remembered alone.
func TestCompromisedKeys(t *testing.T) {
	r := newRotating(t)
	r.opens(2)
	stolen := r.keys.Announced.Receipt[0].ID
	r.keys, r.entries = r.keys.Compromise(t, r.entries, r.last)
	r.last = r.entries[2]
	r.show()
	check := func(keys scitt.KeySet, err error) {
		t.Helper()
		found, ferr := keys.Find(stolen)
		if err != nil || ferr != nil || len(keys) != 2 || found[0].Public != nil || keys[0].Public == nil {
			t.Errorf("%+v, %v, %v", keys, err, ferr)
		}
	}
	for range 2 {
		l := r.opens(3)
		check(l.ReceiptKeys(t.Context()))
	}
	check(testlog.Must(r.o.Home.Known(testlog.Origin))(t).ReceiptKeys(), nil)
	r.o.Home = ""
	check(r.opens(3).ReceiptKeys(t.Context()))
}
