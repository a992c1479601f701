package watch

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
)

const hooked = `
alerts:
  webhooks: [{name: hook, url: http://hook.example/alerts, token_file: token}]
logs:
  - {name: log, location: http://log.example, from: start, records: [{name: all}]}
`

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
}

// TestWebhookMoved: a redirect is no delivery, and gets neither the alert nor the token.
func TestWebhookMoved(t *testing.T) {
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			writeFile(t, filepath.Join(w.dir, "token"), "secret\n")
			w.log("log.example")
			w.host("hook.example", http.RedirectHandler("http://elsewhere.example/", status))
			w.host("elsewhere.example", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				t.Errorf("status %d was followed: %s %s %v", status, r.Method, r.URL, r.Header)
			}))
			stop := w.run(hooked)
			time.Sleep(10 * time.Minute)
			w.expect("log record event", "log record event")
			stop()
			hook := &receiver{}
			w.host("hook.example", hook)
			stop = w.run(hooked)
			time.Sleep(time.Second)
			stop()
			if len(hook.ids()) != 2 {
				t.Errorf("status %d: later it got %q", status, hook.ids())
			}
		})
	}
}

// TestWebhookDown: a receiver that is down gets everything when it is up
// again, in order and once, over restarts of the monitor.
func TestWebhookDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		writeFile(t, filepath.Join(w.dir, "token"), "secret\n")
		s, hook := w.log("log.example"), &receiver{}
		stop := w.run(hooked) // nobody is there
		time.Sleep(10 * time.Minute)
		w.expect("log record event", "log record event")
		w.host("hook.example", hook)
		hook.set(http.StatusServiceUnavailable)
		s.fill(3)
		time.Sleep(10 * time.Minute)
		w.expect("log record event", "log record event", "log record event")
		stop()
		if len(hook.ids()) != 0 {
			t.Fatalf("got %q", hook.ids())
		}
		// The next run delivers what is left, and prints nothing again.
		hook.set(0)
		stop = w.run(hooked)
		time.Sleep(time.Second)
		s.fill(1)
		time.Sleep(2 * time.Minute)
		w.expect("log record event")
		stop()
		ids := hook.ids()
		if len(ids) != 6 || len(slices.Compact(slices.Sorted(slices.Values(ids)))) != 6 || hook.tokens[0] != "Bearer secret" {
			t.Errorf("got %q", ids)
		}
		for i, id := range ids {
			if a := testlog.Must(ParseAlert(hook.bodies[id]))(t); a.Entry.Index != uint64(i) || a.ID != id {
				t.Errorf("at %d: %+v", i, a)
			}
		}
		if n := len(w.notices); n < 2 || !strings.Contains(strings.Join(w.notices, "\n"), "hook does not take alerts; they wait until it does") {
			t.Errorf("notices %q", w.notices)
		}
	})
}

// TestWebhookRefuses: an alert that a receiver does not like does not keep
// others from it.
func TestWebhookRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		writeFile(t, filepath.Join(w.dir, "token"), "secret\n")
		s, hook := w.log("log.example"), &receiver{}
		picky := true
		w.host("hook.example", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if picky && r.Header.Get("Idempotency-Key") == idOf("log", "record", "all", s.ref(1).EntryID, "1") {
				rw.WriteHeader(http.StatusBadRequest)
				return
			}
			hook.ServeHTTP(rw, r)
		}))
		s.fill(2)
		r, _ := w.once(hooked, "log record event", "log record event", "log record event", "log record event")
		if len(hook.ids()) != 3 || r.Undelivered != 1 {
			t.Errorf("got %q, %+v", hook.ids(), r)
		}
		picky = false
		if r, _ := w.once(hooked); len(hook.ids()) != 4 || r.Undelivered != 0 || r.Alerts != 0 {
			t.Errorf("got %q, %+v", hook.ids(), r)
		}
	})
}

// TestPrinterFails: lines that cannot be written are not lost either.
func TestPrinterFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.log("log.example")
		const config = "logs: [{name: log, location: http://log.example, from: start, records: [{name: all}]}]\n"
		n := 0
		w.printer = func(*Alert) error {
			if n++; n > 1 {
				return errors.New("broken pipe")
			}
			return nil
		}
		if r, _ := w.once(config, "log record event"); r.Undelivered != 1 {
			t.Errorf("%+v", r)
		}
		w.printer = nil
		w.once(config, "log record event")
	})
}

// TestStateFails: while the state cannot be written nothing is delivered, and
// afterwards everything is, once.
func TestStateFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.log("log.example")
		const config = "logs: [{name: log, location: http://log.example, from: start, records: [{name: all}]}]\n"
		watcher := w.watch(config)
		watcher.Once(t.Context())
		w.expect("log record event", "log record event")
		// A directory in the file's place cannot be replaced.
		removeFile(t, w.state("log.json"))
		if err := os.MkdirAll(w.state("log.json/x"), 0o700); err != nil {
			t.Fatal(err)
		}
		s.fill(2)
		watcher.Once(t.Context())
		w.expect()
		if !strings.Contains(strings.Join(w.notices, "\n"), "nothing is delivered until its state can be written") {
			t.Errorf("notices %q", w.notices)
		}
		if err := os.RemoveAll(w.state("log.json")); err != nil {
			t.Fatal(err)
		}
		s.fill(1)
		watcher.Once(t.Context())
		w.expect("log record event", "log record event", "log record event")
		if err := watcher.Close(); err != nil {
			t.Fatal(err)
		}
		w.once(config)
	})
}

// TestCommand: a program gets each alert on its standard input until it ends
// well. It is a real process, so time is real too.
func TestCommand(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip(err)
	}
	w := newWorld(t)
	w.log("log.example")
	out := filepath.Join(w.dir, "out")
	script := filepath.Join(w.dir, "page")
	writeFile(t, script, fmt.Sprintf("#!/bin/sh\nread line\necho \"$1 $line\" >> %s\ntest -e %s/good\n", out, w.dir))
	config := fmt.Sprintf(`
alerts:
  commands: [{name: pager, run: [%q, page], timeout: 10s}, {name: slow, run: [sleep, "600"], timeout: 50ms}, {name: none, run: [/no/such/program]}]
logs: [{name: log, location: http://log.example, from: start, records: [{name: keys, subjects: ["*/keys"]}]}]
`, script)
	r, _ := w.once(config, "log record event")
	if r.Undelivered != 3 {
		t.Errorf("%+v", r)
	}
	lines := strings.Split(strings.TrimSpace(string(testlog.Must(os.ReadFile(out))(t))), "\n")
	if len(lines) != onceAttempts || lines[0] != lines[1] || !strings.HasPrefix(lines[0], `page {"format":"conmotion-alert/1"`) {
		t.Errorf("got %q", lines)
	}
	notices := strings.Join(w.notices, "\n")
	for _, want := range []string{"pager does not take alerts", "slow does not take alerts; they wait until it does: sleep: not done after 50ms", "none does not take alerts"} {
		if !strings.Contains(notices, want) {
			t.Errorf("%q is not in %q", want, notices)
		}
	}
	writeFile(t, filepath.Join(w.dir, "good"), "")
	// Sinks that are no more are owed nothing.
	one := config[:strings.Index(config, ", {name: slow")] + "]\n" + config[strings.Index(config, "logs:"):]
	if r, _ := w.once(one); r.Undelivered != 0 {
		t.Errorf("%+v", r)
	}
	w.once(one)
	lines = strings.Split(strings.TrimSpace(string(testlog.Must(os.ReadFile(out))(t))), "\n")
	if len(lines) != onceAttempts+1 {
		t.Errorf("got %d lines", len(lines))
	}
}

// TestFlood: when nobody takes alerts, a log is read no further than can be
// remembered; nothing of it is passed over.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.log("log.example")
		s.fill(300)
		const config = "logs: [{name: log, location: http://log.example, from: start, records: [{name: all}]}]\n"
		w.printer = func(*Alert) error { return errors.New("full") }
		watcher := w.watch(config)
		watcher.bounds = bounds{chunk: 50, waiting: 120}
		watcher.Once(t.Context())
		f := watcher.followers[0]
		if n := f.book.waiting(); n != 150+1 || f.look.Rules["records/all"].Next != 150 {
			t.Errorf("%d alerts wait", n)
		}
		w.printer = nil
		for range 3 {
			watcher.Once(t.Context())
		}
		// That not all is read is told as well, and its end.
		if got := w.taken(); len(got) != len(s.entries)+2 || !slices.Contains(got, "log error fired") || !slices.Contains(got, "log error resolved") {
			t.Errorf("%d lines for %d entries: %q", len(got), len(s.entries), got[:2])
		}
	})
}

// TestDeadReceiver: a receiver that takes nothing does not keep from others that the log is
// not read on, and nobody is accused of what may stand in the entries that were not read.
func TestDeadReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		writeFile(t, filepath.Join(w.dir, "token"), "secret\n")
		s, alice := w.log("log.example"), newIssuer(t)
		watcher := w.watch(strings.Replace(hooked, "}]}\n", "}], expected: [{name: hourly, issuers: ["+alice.did+"], every: 1h}]}\n", 1)) // nobody is at the hook
		watcher.bounds.waiting = 2
		s.add(alice.record(monitor.Create, "i-1"))
		watcher.Once(t.Context())
		w.expect("log record event", "log record event", "log record event")
		time.Sleep(50 * time.Minute)
		s.add(alice.record(monitor.Modify, "i-1"))
		time.Sleep(50 * time.Minute)
		watcher.Once(t.Context())
		w.expect("log error fired")
		w.host("hook.example", &receiver{})
		watcher.Once(t.Context()) // delivers
		watcher.Once(t.Context()) // and reads on
		w.expect("log error resolved", "log record event")
	})
}

// TestWebhookFails: whoever brings about an alert that a receiver fails with does not
// keep it from those that come before or after.
func TestWebhookFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		writeFile(t, filepath.Join(w.dir, "token"), "secret\n")
		s, hook := w.log("log.example"), &receiver{}
		bad, well := map[string]bool{}, atomic.Bool{}
		for i := range 2 {
			bad[idOf("log", "record", "all", s.ref(i).EntryID, fmt.Sprint(i))] = true
		}
		w.host("hook.example", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if bad[r.Header.Get("Idempotency-Key")] && !well.Load() {
				rw.WriteHeader(http.StatusInternalServerError)
				return
			}
			hook.ServeHTTP(rw, r)
		}))
		s.fill(2)
		if r, _ := w.once(hooked, "log record event", "log record event", "log record event", "log record event"); len(hook.ids()) != 2 || r.Undelivered != 2 {
			t.Errorf("got %q, %+v", hook.ids(), r)
		}
		stop := w.run(hooked)
		time.Sleep(time.Hour)
		s.fill(1)
		time.Sleep(2 * time.Minute) // the next look
		if len(hook.ids()) != 3 {
			t.Errorf("got %q", hook.ids())
		}
		well.Store(true)
		time.Sleep(6 * time.Minute)
		stop()
		if len(hook.ids()) != 5 {
			t.Errorf("got %q", hook.ids())
		}
	})
}

// TestOpenState: damaged states are neither believed nor forgotten, and only
// one monitor uses one.
func TestOpenState(t *testing.T) {
	w := newWorld(t)
	w.log("log.example")
	const config = "state: state\nlogs: [{name: log, location: http://log.example}]\n"
	open := func() error {
		c := testlog.Must(ParseConfig([]byte(config)))(t)
		c.Resolve(w.dir)
		watcher, err := New(t.Context(), c, Options{Line: w.line, Transport: w})
		if err == nil {
			err = watcher.Close()
		}
		return err
	}
	first := w.watch("logs: [{name: log, location: http://log.example}]\n")
	if err := open(); err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Errorf("a second monitor: %v", err)
	}
	first.Once(t.Context())
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	good := string(testlog.Must(os.ReadFile(w.state("log.json")))(t))
	for _, bad := range []string{"", "{}", "[]", good[:len(good)/2], strings.Replace(good, `"look":{`, `"look":{"x":1,`, 1), strings.Replace(good, `"version":2`, `"version":1`, 1)} {
		writeFile(t, w.state("log.json"), bad)
		if err := open(); err == nil || !strings.Contains(err.Error(), "log log: state ") {
			t.Errorf("%.40q: %v", bad, err)
		}
		if got := string(testlog.Must(os.ReadFile(w.state("log.json")))(t)); got != bad {
			t.Error("it was overwritten")
		}
	}
	writeFile(t, w.state("log.json"), good)
	if err := open(); err != nil {
		t.Error(err)
	}
}
