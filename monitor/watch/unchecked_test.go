package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// TestUnchecked: an entry of an issuer whose key is not known counts for no rule, and
// nobody says that the issuer did not sign it. With the key that is known.
func TestUnchecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, alice, mallory := w.log("log.example"), newIssuer(t), newIssuer(t)
		const iss = "https://alice.example"
		key := filepath.Join(t.TempDir(), "alice.key")
		if err := os.WriteFile(key, []byte(alice.did), 0o600); err != nil {
			t.Fatal(err)
		}
		rules := `
logs:
  - name: log
    location: http://log.example
    records: [{name: hers, issuers: ["` + iss + `"]}]
    expected: [{name: hourly, issuers: ["` + iss + `"], every: 1h}]
`
		record := func(by *issuer, uid string) []byte {
			return by.sign(scitt.SignOptions{Issuer: iss, Type: scitt.TypeRecord, Subject: "inventory/" + uid}, inventoryEvent(t, monitor.Create, uid))
		}
		w.once(rules)
		s.add(record(alice, "i-1"))
		_, alerts := w.once(rules, "log record event", "log unchecked event")
		for _, a := range alerts {
			if !strings.Contains(a.Message, "its issuer's key is not known (issuer_keys)") || strings.Contains(a.Message, "does not verify") {
				t.Errorf("%s", a.Message)
			}
		}
		known := fmt.Sprintf("issuer_keys: {%q: %q}\n", iss, key) + rules
		s.add(record(alice, "i-2"))
		s.add(record(mallory, "i-3"))
		w.once(known, "log record event", "log record event", "log signature event")
	})
}
