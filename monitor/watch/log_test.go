package watch

import (
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// twoLogs is a configuration for a log and one that stays good beside it.
const twoLogs = `
logs:
  - name: log
    location: http://log.example
    max_age: 2d
    admission: {}
    records: [{name: fillers, subjects: [nobody]}]
  - name: good
    location: http://good.example
    records: [{name: all}]
`

// history replaces the last n entries of a log by others.
func (s *site) history(n int) {
	s.w.t.Helper()
	s.entries = append([][]byte{}, s.entries[:len(s.entries)-n]...)
	s.fill(n)
}

// TestMisbehaving: whatever a log does wrong is reported once, by its name, and
// told to be over when it is; another log goes on being watched all the time.
func TestMisbehaving(t *testing.T) {
	always := func(h http.HandlerFunc) func(s *site) {
		return func(s *site) {
			s.files.Serve(func(w http.ResponseWriter, r *http.Request) bool { h(w, r); return true })
		}
	}
	change := func(path string, change func([]byte) []byte) func(s *site) {
		return func(s *site) {
			data, err := s.files.Get(s.w.t.Context(), path)
			if err != nil {
				s.w.t.Fatal(err)
			}
			s.files.Put(path, change(append([]byte{}, data...)))
		}
	}
	flip := func(data []byte) []byte { data[len(data)-1] ^= 1; return data }
	grown := func(harm func(*site)) func(*site) { return func(s *site) { s.fill(10); harm(s) } } // to 312
	for name, c := range map[string]struct {
		harm    func(s *site)
		check   Check
		message string
		// heal is what makes it good again; nil publishes the entries from the
		// beginning and 20 more.
		heal func(s *site)
	}{
		"nobody there":   {func(s *site) { s.w.host("log.example", nil) }, checkUnreachable, "no such host", func(s *site) { s.w.host("log.example", &s.files) }},
		"silent":         {always(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), checkTimeout, "does not answer in time", nil},
		"404":            {always(http.NotFound), checkMissing, "no log at the location", nil},
		"500":            {always(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }), checkHTTP, "500", nil},
		"a page":         {change(tiles.CheckpointPath, func([]byte) []byte { return []byte("<html></html>") }), checkCheckpoint, "not signed by the log's key", nil},
		"another signer": {func(s *site) { k := s.keys; s.keys = testlog.NewKeysOf(s.w.t, "log.example"); s.publish(); s.keys = k }, checkKeysChanged, "keys changed", nil},
		"another log": {func(s *site) {
			k := s.keys
			s.keys = testlog.NewKeysOf(s.w.t, "x.example")
			s.publish()
			s.keys = k
			s.files.Put(tiles.ConfigurationPath, nil)
		}, checkOtherLog, `"x.example"`, nil},
		"no keys": {change(tiles.ConfigurationPath, func(b []byte) []byte { return b[:10] }), checkError, "transparency-configuration", nil},
		"another policy": {change(tiles.ConfigurationPath, func(data []byte) []byte {
			c, err := scitt.ParseConfiguration(data)
			if err != nil {
				return nil
			}
			c.Policy.Document = []byte(`{"version":1,"description":"not the one in the log"}`)
			data, _ = c.Marshal()
			return data
		}), checkConfiguration, "another document for the policy", nil},
		"wrong tile":       {grown(change(tiles.TilePath(0, 1, 56), flip)), checkTiles, "tile", nil},
		"wrong upper tile": {grown(change(tiles.TilePath(1, 0, 1), flip)), checkTiles, "tile", nil},
		"missing tile":     {grown(func(s *site) { s.files.Put(tiles.TilePath(0, 1, 56), nil) }), checkTiles, "tile/0/001.p/56", nil},
		"short tile":       {grown(change(tiles.TilePath(0, 1, 56), func(b []byte) []byte { return b[:100] })), checkTiles, "tile of 100 bytes", nil},
		"truncated bundle": {grown(change(tiles.BundlePath(1, 56), func(b []byte) []byte { return b[:len(b)-3] })), checkEntries, "ends within an entry", (*site).publish},
		"missing bundle":   {grown(func(s *site) { s.files.Put(tiles.BundlePath(1, 56), nil) }), checkEntries, "tile/entries/001.p/56", (*site).publish},
		"wrong bundle":     {grown(change(tiles.BundlePath(1, 56), flip)), checkEntries, "does not hash to its leaf", (*site).publish},
		"fork, same size":  {func(s *site) { s.history(100) }, checkFork, "cannot both be true", nil},
		"fork, larger":     {func(s *site) { s.history(100); s.fill(300) }, checkFork, "cannot both be true", nil},
		"a stale edge":     {func(s *site) { s.entries = s.entries[:290]; s.publish() }, "", "", nil},
		"frozen":           {func(s *site) { time.Sleep(50 * time.Hour) }, checkStale, "more than 2d ago", func(s *site) { s.fill(1) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s, good := w.log("log.example"), w.log("good.example")
				s.fill(300)
				begun := s.entries
				w.once(twoLogs)
				good.fill(1)
				w.once(twoLogs, "good record event")

				c.harm(s)
				good.fill(1)
				want := []string{"good record event"}
				if c.check != "" {
					want = append(want, "log "+string(c.check)+" fired")
				}
				r, alerts := w.once(twoLogs, want...)
				if r.Alerts != len(want) || r.Holding != len(want)-1 || r.Undelivered != 0 {
					t.Errorf("%+v", r)
				}
				for _, a := range alerts {
					if a.Log == "log" && (!strings.Contains(a.Message, c.message) || a.Rule != "" || a.Format != formatAlert || a.ID == "") {
						t.Errorf("told %+v", a)
					}
				}
				// It is reported once, and remembered.
				good.fill(1)
				if r, _ := w.once(twoLogs, "good record event"); r.Holding != len(want)-1 {
					t.Errorf("%+v", r)
				}
				if c.heal != nil {
					c.heal(s)
				} else {
					s.files.Serve(nil)
					s.entries = append([][]byte{}, begun...)
					s.publish()
					s.fill(20)
				}
				end := []string{}
				if c.check != "" {
					end = append(end, "log "+string(c.check)+" resolved")
				}
				w.once(twoLogs, end...)
				w.once(twoLogs)
			})
		})
	}
}

// TestForkProof: of a fork the alert and the state directory have the proof.
func TestForkProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.log("log.example")
		s.fill(300)
		const config = "logs: [{name: log, location: http://log.example}]\n"
		w.once(config)
		first := s.entries
		s.history(10)
		_, alerts := w.once(config, "log fork fired")
		e := testlog.Must(tiles.ParseEquivocation([]byte(alerts[0].Proof)))(t)
		if _, _, err := e.Verify(s.keys.Verifiers); err != nil {
			t.Error(err)
		}
		if data := testlog.Must(os.ReadFile(alerts[0].ProofFile))(t); string(data) != alerts[0].Proof || !strings.HasPrefix(alerts[0].ProofFile, w.dir) {
			t.Errorf("%s", alerts[0].ProofFile)
		}
		// The fork goes on: that is nothing new. A transient failure is another thing.
		s.fill(10)
		w.once(config)
		s.files.Serve(func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(503); return true })
		w.once(config, "log http_error fired")
		s.files.Serve(nil)
		w.once(config, "log http_error resolved")
		// Home lost what it remembers; the state has not.
		for _, dir := range []string{"logs", "checkpoints"} {
			if err := os.RemoveAll(w.state(dir)); err != nil {
				t.Fatal(err)
			}
		}
		w.once(config)
		if len(testlog.Must(filepath.Glob(w.state("proofs/*")))(t)) < 2 {
			t.Error("the second look did not see the fork")
		}
		if err := os.RemoveAll(w.state("logs")); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(w.state("checkpoints")); err != nil {
			t.Fatal(err)
		}
		s.files.Clear()
		s.entries = first
		s.fill(30)
		_, alerts = w.once(config, "log fork resolved")
		if !strings.Contains(alerts[0].Message, "stays proven") {
			t.Errorf("%+v", alerts[0])
		}
		s.history(5)
		w.once(config, "log fork fired") // a second one
	})
}

// TestMirror: a mirror that lags is not told, and a mirror with another history
// is, although it is shorter than the log.
func TestMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.log("log.example")
		s.fill(300)
		mirror := &site{w: w, keys: s.keys, entries: s.entries}
		mirror.publish()
		w.host("mirror.example", &mirror.files)
		const config = "logs: [{name: log, location: http://log.example}, {name: mirror, location: http://mirror.example}]\n"
		w.once(config)
		s.fill(10)
		w.once(config)
		w.once(config)
		mirror.entries = append([][]byte{}, mirror.entries...)
		mirror.fill(5)
		_, alerts := w.once(config, "mirror fork fired")
		if alerts[0].Proof == "" {
			t.Errorf("%+v", alerts[0])
		}
		mirror.files.Clear()
		mirror.entries = s.entries
		mirror.publish()
		w.once(config, "mirror fork resolved")
		// What the log does not show any more is told at the log, not at the mirror.
		s.entries = s.entries[:290]
		s.publish()
		w.once(config)
		time.Sleep(11 * time.Minute)
		w.once(config, "log behind fired")
	})
}

// TestAccident: a failure that a second attempt does not see is not told.
func TestAccident(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.log("log.example")
		const config = "logs: [{name: log, location: http://log.example, records: [{name: all}]}]\n"
		w.once(config)
		s.fill(5)
		n := 0
		s.files.Serve(func(w http.ResponseWriter, r *http.Request) bool {
			if n++; n%4 == 1 && n < 8 {
				w.WriteHeader(502)
				return true
			}
			return false
		})
		w.once(config, "log record event", "log record event", "log record event", "log record event", "log record event")
		// Whatever keeps a log from being looked at, it is reported once.
		s.files.Serve(func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(502); return true })
		w.once(config, "log http_error fired")
		w.host("log.example", nil)
		w.once(config)
		w.host("log.example", &s.files)
		s.files.Serve(nil)
		w.once(config, "log http_error resolved")
	})
}

// TestSlowLog: a log that hangs does not hold up another, for whole days.
func TestSlowLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, good := w.log("log.example"), w.log("good.example")
		stop := w.run("interval: 1m\ntimeout: 1h\n" + twoLogs)
		time.Sleep(time.Minute)
		w.expect()
		s.files.Serve(func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
		for range 30 {
			good.fill(1)
			time.Sleep(90 * time.Second)
			w.expect("good record event")
		}
		time.Sleep(time.Hour)
		w.expect("log timeout fired")
		s.files.Serve(nil)
		time.Sleep(2 * time.Hour)
		w.expect("log timeout resolved")
		stop()
	})
}

// TestClocks: a log whose clock is ahead, one that stops growing, and one
// whose checkpoint says nothing about time.
func TestClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.log("log.example")
		const config = "logs: [{name: log, location: http://log.example, max_idle: 1h}]\n"
		watcher := w.watch(config)
		behind := -time.Hour
		watcher.o.now = func() time.Time { return time.Now().Add(behind) }
		watcher.Once(t.Context())
		w.expect("log clock fired")
		behind = 0
		watcher.Once(t.Context())
		w.expect("log clock resolved")
		time.Sleep(61 * time.Minute)
		watcher.Once(t.Context())
		w.expect("log idle fired")
		watcher.Once(t.Context())
		s.fill(1)
		watcher.Once(t.Context())
		w.expect("log idle resolved")
	})
}

// TestHistory: what was there before the first look is no news, unless the
// configuration wants it.
func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, alice := w.log("log.example"), newIssuer(t)
		s.fill(600)
		s.add(alice.record(monitor.Create, "i-1"), alice.record(monitor.Delete, "i-2"))
		const rules = "location: http://log.example, records: [{name: deletions, types: [record], actions: [delete], uids: ['i-*']}]"
		config := "logs: [{name: log, " + rules + "}, {name: all, from: start, " + rules + "}]\n"
		_, alerts := w.once(config, "all record event")
		if a := alerts[0]; a.Rule != "deletions" || a.Subject != "inventory/i-2" || a.Issuer != alice.did || a.Entry.Index != 603 || a.Severity != monitor.Informational ||
			!strings.Contains(a.Message, "record inventory.delete, entry 603: inventory/i-2") {
			t.Errorf("%+v", a)
		}
		s.add(alice.record(monitor.Delete, "i-3"), alice.record(monitor.Delete, "x-3"), alice.record(monitor.Modify, "i-3"))
		w.once(config, "log record event", "all record event")
		// A changed rule begins anew.
		other := strings.ReplaceAll(config, "i-*", "x-*")
		w.once(other, "all record event")
		s.add(alice.record(monitor.Delete, "x-4"))
		w.once(other, "all record event", "log record event")
	})
}

// TestExpected: records that do not come, come late, and come from others.
func TestExpected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, alice, mallory := w.log("log.example"), newIssuer(t), newIssuer(t)
		config := fmt.Sprintf(`
logs:
  - name: log
    location: http://log.example
    expected: [{name: hourly, issuers: [%q], kinds: [inventory], every: 1h, grace: 10m}]
`, alice.did)
		w.once(config)
		time.Sleep(time.Hour)
		w.once(config)
		time.Sleep(11 * time.Minute)
		_, alerts := w.once(config, "log expected fired")
		if !strings.Contains(alerts[0].Message, "expected every 1h, and none was seen since the rule began") {
			t.Errorf("%+v", alerts[0])
		}
		s.add(mallory.record(monitor.Create, "i-1")) // is not hers
		w.once(config)
		s.add(alice.record(monitor.Create, "i-1"))
		_, alerts = w.once(config, "log expected resolved")
		if alerts[0].Resolves == "" || !strings.Contains(alerts[0].Message, "entry 3 came") {
			t.Errorf("%+v", alerts[0])
		}
		// While the monitor was down one came too late and others in time: the
		// gap is reported all the same, once.
		time.Sleep(50 * time.Minute)
		s.add(alice.record(monitor.Modify, "i-1"))
		time.Sleep(3 * time.Hour)
		s.add(alice.record(monitor.Modify, "i-1"))
		time.Sleep(time.Hour)
		s.add(alice.record(monitor.Modify, "i-1"))
		w.once(config, "log expected fired", "log expected resolved")
		w.once(config)
		// An issuer cannot promise for the future.
		s.add(alice.sign(signOptionsAt(time.Now().Add(24*time.Hour)), inventoryEvent(t, monitor.Modify, "i-1")))
		w.once(config)
		time.Sleep(71 * time.Minute)
		w.once(config, "log expected fired")
		// Nor does somebody else's signature count.
		forged := alice.record(monitor.Modify, "i-2")
		forged[len(forged)-1] ^= 1
		s.add(forged)
		w.once(config, "log signature event")
	})
}

// TestFarTimes: a log that says that it was signed in a year that no JSON can write does not
// silence the monitor.
func TestFarTimes(t *testing.T) {
	for _, seconds := range []int64{1 << 40, math.MaxInt64} {
		w := newWorld(t)
		s := w.log("log.example")
		s.keys.Tree = testlog.Must(scitt.NewTreeSigner(s.keys.Receipt, testlog.Issuer, s.keys.Note.Name(), func() time.Time { return time.Unix(seconds, 0) }, nil))(t)
		s.fill(1)
		const config = "logs: [{name: log, location: http://log.example, max_age: 1h}]\n"
		w.once(config, "log clock fired", "log stale fired")
		w.once(config) // it has been told, and the state is there
		if said := strings.Join(w.notices, "\n"); strings.Contains(said, "nothing is delivered") {
			t.Errorf("%d: %s", seconds, said)
		}
	}
}
