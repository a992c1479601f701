package watch

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
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

// TestEndsDuringDelivery: a receiver that does not answer holds up the end for a moment, and
// gets the alert from the next run.
func TestEndsDuringDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		writeFile(t, filepath.Join(w.dir, "token"), "secret\n")
		w.log("log.example")
		w.host("hook.example", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		stop := w.run(hooked)
		time.Sleep(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took > lastMoment {
			t.Errorf("it took %v", took)
		}
		hook := &receiver{}
		w.host("hook.example", hook)
		stop = w.run(hooked)
		time.Sleep(time.Second)
		stop()
		if len(hook.ids()) != 2 {
			t.Errorf("later it got %q", hook.ids())
		}
	})
}

// TestCommandEnds: a command that goes on when the monitor ends is told to end as well.
func TestCommandEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	alert := testlog.Must(json.Marshal(&Alert{Format: formatAlert, ID: "a"}))(t)
	c := &command{commandConfig{Name: "slow", Run: []string{"sleep", "600"}, Timeout: duration(time.Hour)}, io.Discard}
	if refused, err := c.deliver(ctx, alert); refused || err == nil {
		t.Errorf("refused %v, %v", refused, err)
	}
}
