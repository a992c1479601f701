package watch

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/tiles"
)

const oneLog = "logs: [{name: log, location: http://log.example, max_age: 30d}]\n"

// edges are two copies of a log behind one address: the second has the first
// entries of the log, or others.
func edges(t *testing.T, forked bool) (w *world, s, old *site) {
	w = newWorld(t)
	s = w.log("log.example")
	old = &site{w: w, keys: s.keys, entries: s.entries}
	old.fill(241)
	old.publish()
	s.entries = old.entries
	if forked {
		s.entries = s.entries[:200]
	}
	s.fill(463 - len(s.entries))
	return w, s, old
}

// TestEdges: two edges of a CDN show a log at two sizes in turn. That is nothing,
// with the tiles of the larger tree at hand or without, and however long it goes on.
func TestEdges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, old := edges(t, false)
		for range 30 {
			w.host("log.example", &s.files)
			w.once(oneLog)
			w.host("log.example", &old.files)
			if r, _ := w.once(oneLog); r.Alerts+r.Holding != 0 {
				t.Errorf("%+v", r)
			}
			time.Sleep(8 * time.Minute)
		}
	})
}

// TestBehind: a smaller log is told when it lasts: as behind where it is proven to
// be an older state, and else as rolled back, which says that it is not known.
func TestBehind(t *testing.T) {
	for _, c := range []struct {
		tiles   bool // of the larger tree are still there
		check   Check
		level   monitor.Severity
		message string
	}{
		{true, checkBehind, monitor.Medium, "both are one history"},
		{false, checkRolledBack, monitor.Critical, "cannot be checked here"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w, s, old := edges(t, false)
			w.once(oneLog)
			if c.tiles {
				s.entries = old.entries
				s.publish()
			} else {
				w.host("log.example", &old.files)
			}
			w.once(oneLog)
			time.Sleep(9 * time.Minute)
			w.once(oneLog)
			time.Sleep(2 * time.Minute)
			r, alerts := w.once(oneLog, "log "+string(c.check)+" fired")
			if a := alerts[0]; r.Holding != 1 || a.Severity != c.level || !strings.Contains(a.Message, c.message) || strings.Contains(a.Message, "forked") {
				t.Errorf("%+v: %+v", r, a)
			}
			w.once(oneLog)
			w.host("log.example", &s.files)
			s.entries = old.entries
			s.files.Clear()
			s.fill(300) // another history from here on, which shows as soon as it is as large
			w.once(oneLog, "log fork fired")
		})
	}
}

// TestForkedEdge: what cannot be told of a smaller tree when it is shown is held to
// the larger one as soon as that is there again.
func TestForkedEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, old := edges(t, true)
		w.once(oneLog)
		w.host("log.example", &old.files)
		w.once(oneLog)
		w.host("log.example", &s.files)
		_, alerts := w.once(oneLog, "log fork fired")
		e := testlog.Must(tiles.ParseEquivocation([]byte(alerts[0].Proof)))(t)
		if older, newer, err := e.Verify(s.keys.Verifiers); err != nil || older.Size != 243 || newer.Size != 463 {
			t.Errorf("%+v, %+v, %v", older, newer, err)
		}
		w.once(oneLog, "log fork resolved")
	})
}

// undated takes the tree signature from the checkpoint, which has the date.
func (s *site) undated() {
	s.w.t.Helper()
	data := testlog.Must(s.files.Get(s.w.t.Context(), tiles.CheckpointPath))(s.w.t)
	s.files.Put(tiles.CheckpointPath, data[:bytes.LastIndexByte(data[:len(data)-1], '\n')+1])
}

// TestFresh: an unknown age is not fresh, nor is a date in the future; and to sign
// the same tree again does not make it newer.
func TestFresh(t *testing.T) {
	const config = "logs: [{name: log, location: http://log.example, max_age: 1d}]\n"
	run := func(name string, f func(t *testing.T, w *world, s *site)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				f(t, w, w.log("log.example"))
			})
		})
	}
	again := func(s *site) { s.keys.NewTree(s.w.t); s.publish() }
	run("undated", func(t *testing.T, w *world, s *site) {
		s.undated()
		_, alerts := w.once(config, "log stale fired")
		if !strings.Contains(alerts[0].Message, "its age is not known") {
			t.Errorf("%+v", alerts[0])
		}
		time.Sleep(48 * time.Hour)
		again(s) // it has a date now, and was seen two days ago
		w.once(config)
		s.fill(1)
		w.once(config, "log stale resolved")
		s.fill(1)
		s.undated()
		w.once(config, "log stale fired")
	})
	run("signed again", func(t *testing.T, w *world, s *site) {
		w.once(config)
		for range 24 {
			time.Sleep(time.Hour)
			again(s)
			w.once(config)
		}
		time.Sleep(time.Hour)
		again(s)
		w.once(config, "log stale fired")
		again(s)
		w.once(config)
	})
	run("in the future", func(t *testing.T, w *world, s *site) {
		watcher := w.watch(config)
		defer watcher.Close()
		behind := -time.Hour
		watcher.o.now = func() time.Time { return time.Now().Add(behind) }
		watcher.Once(t.Context())
		w.expect("log clock fired", "log stale fired")
		behind = 0
		watcher.Once(t.Context())
		w.expect("log clock resolved", "log stale resolved")
		time.Sleep(25 * time.Hour)
		watcher.Once(t.Context())
		w.expect("log stale fired")
	})
}
