package main

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// TestReadersFollow: every reader that remembers a log follows the changes of its keys that it
// slept over, and none follows a thief with the service key, who cannot hand over.
func TestReadersFollow(t *testing.T) {
	keys := testlog.NewKeys(t)
	statement := testlog.Statement(t, testlog.Key(t, "ES256"), "asset", nil)
	entries := append(keys.Begin(t, `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}}`), entryOf(t, statement))
	var before testlog.Files
	before.Publish(t, keys, entries)
	receipt := testlog.Must(testlog.Must(tiles.NewLog(&before, keys.Verifiers).Latest(t.Context()))(t).Receipt(t.Context(), 2, scitt.LeafHash(entries[2])))(t)
	file := filepath.Join(t.TempDir(), "transparent.cose")
	if err := os.WriteFile(file, scitt.AttachReceipts(testlog.Must(scitt.ParseStatement(statement))(t), receipt), 0o600); err != nil {
		t.Fatal(err)
	}
	now, later := keys, entries
	for range 3 {
		last := later[len(later)-1]
		if now == keys {
			last = later[0]
		}
		now, later = now.Rotate(t, later, last)
	}
	thief := *now
	thief.Handovers = nil
	for name, args := range map[string]string{
		"verify --log":    "verify --log URL FILE",
		"verify --static": "verify --static URL FILE",
		"fsck":            "fsck URL",
		"audit":           "audit --state DIR/state URL",
		"replay":          "replay --log URL",
		"policy show":     "policy show --log URL",
		"export":          "export --log URL --out DIR/export",
		"receipt":         "receipt --static URL --statement FILE --out DIR/receipt",
		"monitor":         "monitor --config DIR/monitor.yaml --once",
	} {
		t.Run(name, func(t *testing.T) {
			var files testlog.Files
			server := httptest.NewServer(&files)
			defer server.Close()
			dir := t.TempDir()
			config := fmt.Sprintf("state: %s\nlogs:\n  - name: log\n    location: %s\n", filepath.Join(dir, "watched"), server.URL)
			if err := os.WriteFile(filepath.Join(dir, "monitor.yaml"), []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			run := func() (int, string) {
				var out bytes.Buffer
				a := strings.Fields(strings.NewReplacer("URL", server.URL, "FILE", file, "DIR", dir).Replace(args))
				if a[0] != "monitor" {
					a = append(a, "--home", filepath.Join(dir, "home"))
				}
				code := runIn(t.Context(), a, strings.NewReader(""), &out, &out)
				return code, out.String()
			}
			files.Publish(t, keys, entries)
			if code, out := run(); code != cli.ExitGood {
				t.Fatalf("before: exit code %d: %s", code, out)
			}
			files.Clear()
			files.Publish(t, &thief, later)
			if code, out := run(); code == cli.ExitGood {
				t.Errorf("a thief is followed: %s", out)
			}
			files.Clear()
			files.Publish(t, now, later)
			if code, out := run(); code != cli.ExitGood {
				t.Errorf("exit code %d: %s", code, out)
			}
		})
	}
}
