package watch

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
)

// moment is what a kill at one moment leaves: the state, and what receivers have.
type moment struct {
	what           string
	dir            string
	lines, webhook map[string]*Alert // by id
}

// TestEveryCrashPoint takes the state as a kill would leave it after every
// single write and every single delivery, goes on from each, and holds what
// the receivers then have to the promise: nothing missing, nothing twice under
// another id.
func TestEveryCrashPoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const config = `
alerts: {webhooks: [{name: hook, url: http://hook.example/}]}
logs:
  - name: log
    location: http://log.example
    from: start
    admission: {}
    records: [{name: all}, {name: fillers, subjects: [filler]}]
    expected: [{name: never, subjects: [nobody], every: 1h}]
`
		w := newWorld(t)
		s := &site{w: w, keys: testlog.NewKeysOf(t, "log.example")}
		s.entries = s.keys.Begin(t, `{"version": 1, "issuers": [{"issuer": "https://alice.example"}]}`) // fillers are not admitted
		s.publish()
		w.host("log.example", &s.files)

		var moments []moment
		lines, hooked := map[string]*Alert{}, map[string]*Alert{}
		take := func(what string) {
			m := moment{fmt.Sprintf("%d: %s", len(moments), what), filepath.Join(t.TempDir(), "world"), maps.Clone(lines), maps.Clone(hooked)}
			if err := os.CopyFS(filepath.Join(m.dir, "state"), os.DirFS(w.state(""))); err != nil {
				t.Fatal(err)
			}
			moments = append(moments, m)
		}
		var watcher *Watcher
		hook := func(into func(*Alert)) http.Handler {
			return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				var a Alert
				if err := strictJSON(testlog.Must(readAll(r))(t), &a); err != nil {
					t.Error(err)
				}
				into(&a)
			})
		}
		down := true
		w.host("hook.example", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if down {
				rw.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			hook(func(a *Alert) { hooked[a.ID] = a; take("a webhook got " + a.Message) }).ServeHTTP(rw, r)
		}))
		w.printer = func(a *Alert) error { lines[a.ID] = a; take("printed " + a.Message); return nil }
		look := func() {
			// One after the other, so that the order of writes is always the same.
			for _, f := range watcher.followers {
				f.book.wrote = func() { take("wrote the state") }
				f.lookOnce(t.Context())
			}
			for _, d := range watcher.deliver {
				_, _ = d.round(t.Context()) // the webhook may be down
			}
		}
		for round := range 4 {
			watcher = w.watch(config)
			watcher.bounds.chunk = 2
			look()
			s.fill(2)
			time.Sleep(40 * time.Minute)
			down = round%2 == 0
			if err := watcher.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if len(moments) < 40 {
			t.Fatalf("only %d moments", len(moments))
		}
		for _, m := range moments {
			again := newWorld(t)
			again.dir, again.hosts = m.dir, map[string]http.Handler{"log.example": &s.files, "hook.example": hook(func(a *Alert) { m.webhook[a.ID] = a })}
			again.printer = func(a *Alert) error { m.lines[a.ID] = a; return nil }
			watcher := again.watch(config)
			if r := watcher.Once(t.Context()); r.Undelivered != 0 {
				t.Errorf("%s: %+v", m.what, r)
			}
			if err := watcher.Close(); err != nil {
				t.Fatal(err)
			}
			for sink, got := range map[string]map[string]*Alert{"lines": m.lines, "webhook": m.webhook} {
				count := map[string]int{}
				for _, a := range got {
					key := fmt.Sprint(a.Check, " ", a.Rule, " ", a.Status)
					if a.Entry != nil {
						key += fmt.Sprint(" ", a.Entry.Index)
					}
					if count[key]++; count[key] > 1 {
						t.Errorf("after %s: %s has %s twice, under two ids", m.what, sink, key)
					}
				}
				want := 1 // the expected record
				for i := range s.entries {
					want++
					if count[fmt.Sprint("record all event ", i)] != 1 {
						t.Errorf("after %s: %s lacks entry %d", m.what, sink, i)
					}
					if i >= 2 {
						want += 2 // the second rule, and the policy
					}
				}
				if len(count) != want || count["expected never fired"] != 1 {
					t.Errorf("after %s: %s has %d alerts and not %d: %v", m.what, sink, len(count), want, count)
				}
			}
			if t.Failed() {
				return
			}
		}
		t.Logf("%d moments", len(moments))
	})
}
