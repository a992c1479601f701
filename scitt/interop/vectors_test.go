//go:build interop

package interop_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestVectors has the vectors of permanent formats verified, with the Receipt that
// carries a cosigned checkpoint.
func TestVectors(t *testing.T) {
	install(t)
	data, err := os.ReadFile("../../testdata/formats/log.json")
	if err != nil {
		t.Fatal(err)
	}
	var log struct {
		KeySet      string   `json:"key_set"`
		Transparent []string `json:"transparent_statements"`
		Cosigned    string   `json:"cosigned_transparent_statement"`
	}
	if err := json.Unmarshal(data, &log); err != nil {
		t.Fatal(err)
	}
	dir, args := t.TempDir(), []string{"keys.cbor"}
	for name, text := range map[string]string{"keys.cbor": log.KeySet, "plain.cose": log.Transparent[0], "cosigned.cose": log.Cosigned} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, name, b)
		if name != "keys.cbor" {
			args = append(args, name)
		}
	}
	code, stdout, stderr := verify(t, dir, args...)
	if code != 0 || stderr != "" || strings.Count(stdout, "good ") != 2 {
		t.Errorf("exit code %d, stderr %q: %s", code, stderr, stdout)
	}
}
