package watch

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// TestHidesNothing: whoever serves an artifact and lets nobody read it hides with it neither
// what the audit finds, nor that history changed, nor for ever what a rule asks for behind it.
func TestHidesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, alice := w.log("log.example"), newIssuer(t)
		const config = `
logs:
  - name: log
    location: http://log.example
    artifacts: http://store.example
    reread: 1h
    admission: {}
    records: [{name: deletions, kinds: [inventory], actions: [delete]}]
`
		s.fill(3 * tiles.Width)
		w.once(config)
		w.host("store.example", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
		s.add(alice.sign(scitt.SignOptions{Type: scitt.TypeRecord, Subject: "inventory/i-1", Hash: true}, inventoryEvent(t, monitor.Delete, "i-1")))
		time.Sleep(2 * time.Hour)
		w.once(config, "log error fired")
		s.add(alice.record(monitor.Delete, "i-2"), alice.sign(scitt.SignOptions{Issuer: "https://nobody.example", Subject: "x"}, []byte("{}")))
		path := tiles.BundlePath(1, 0)
		good := testlog.Must(s.files.Get(t.Context(), path))(t)
		s.files.Put(path, append([]byte{0, 1}, good...))
		time.Sleep(2 * time.Hour)
		w.once(config, "log admission event", "log history fired")
		for looks := 2; ; looks++ {
			if looks*attempts == maxTries {
				break
			}
			w.once(config)
		}
		w.once(config, "log content event", "log record event", "log error resolved")
	})
}
