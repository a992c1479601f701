package party

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

const holdNoon = int64(1_767_268_800_000)

// assetRecord is the draft of an inventory record of an asset in a region, or with content of its configuration.
func assetRecord(t testing.TB, action string, ms int64, uid, content string) Draft {
	t.Helper()
	kind, data := monitor.Inventory, ""
	if content != "" {
		kind, data = monitor.Configuration, `,"data":`+content
	}
	event := fmt.Sprintf(`{"class_uid":5023,"category_uid":5,"activity_id":2,"type_uid":502302,"severity_id":1,"time":%d,
		"metadata":{"version":"1.5.0","event_code":"%s.%s","product":{"name":"test","vendor_name":"test"}},
		"cloud":{"provider":"test","account":{"uid":"1"},"region":"eu"},"resources":[{"uid":%q%s}]}`, ms, kind, action, uid, data)
	r := testlog.Must(monitor.NewRecord([]byte(event), kind, ""))(t)
	payload, o, err := r.ToSign()
	if err != nil {
		t.Fatal(err)
	}
	return Draft{Content: payload, Options: o, Chain: string(kind), Event: r.Event}
}

// TestHold: what is older than what the log says is late, whoever remembers it, or a correction.
func TestHold(t *testing.T) {
	t.Parallel()
	s := newService(t, anybody)
	a := newAuthor(t)
	a.change = func(o *RegistrarOptions) { o.Holds = scitt.TypeRecord }
	r := a.registrar(s)
	r.KeepGoing = true
	stale := []Draft{assetRecord(t, "modify", holdNoon, "a", ""), assetRecord(t, "modify", holdNoon, "a", `1`)}
	a.register(r, "registered registered registered registered registered",
		assetRecord(t, "create", holdNoon-5, "a", ""), assetRecord(t, "create", holdNoon-5, "a", `1`), assetRecord(t, "modify", holdNoon+1, "a", `2`),
		assetRecord(t, "modify", holdNoon+2, "a", `1`), assetRecord(t, "delete", holdNoon+9, "a", ""))
	a.register(r, "unchanged", assetRecord(t, "delete", holdNoon+10, "a", ""))
	if err := r.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := testlog.Must(filepath.Glob(filepath.Join(string(a.home), "replays", "*")))(t)[0]
	if replay, err := monitor.Resume(testlog.Must(os.ReadFile(file))(t)); err != nil || replay.Next() != 2+5 {
		t.Errorf("what is remembered: %v", err)
	}
	for name, change := range map[string]func(){
		"remembered": func() {}, "forgotten": func() { a.home = Home(t.TempDir()) }, "nowhere": func() { a.home = "" },
		"damaged": func() {
			a.home = Home(t.TempDir())
			r := a.registrar(s)
			a.register(r, "known", assetRecord(t, "create", holdNoon-5, "a", ""))
			if err := r.save(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, file := range testlog.Must(filepath.Glob(filepath.Join(string(a.home), "replays", "*")))(t) {
				if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		home := a.home
		change()
		r := a.registrar(s)
		r.KeepGoing = true
		for _, o := range a.register(r, "late late", stale...) {
			if !errors.Is(o.Err(), ErrLate) {
				t.Errorf("%s: %v", name, o.Err())
			}
		}
		a.home = home
	}
	r = a.registrar(s)
	r.AllowLate = true
	a.register(r, "registered registered", stale...)
	again := []Draft{assetRecord(t, "modify", holdNoon, "a", ""), assetRecord(t, "modify", holdNoon, "a", `1`)}
	a.register(r, "known known", again...)
	if !again[0].Event.Correction {
		t.Error("it is no correction")
	}
}

// TestStreamAhead: what the log has already is told while it is read what events are held to; what is new waits for that.
func TestStreamAhead(t *testing.T) {
	t.Parallel()
	s := newService(t, anybody)
	a := newAuthor(t)
	a.change = func(o *RegistrarOptions) { o.Holds = scitt.TypeRecord }
	record := assetRecord(t, "modify", holdNoon, "a", "")
	record.Options.Hash = true
	r := a.registrar(s)
	a.register(r, "registered", record)

	told := make(chan struct{})
	tell := sync.OnceFunc(func() { close(told) })
	defer time.AfterFunc(time.Minute, func() { t.Error("nothing is told"); tell() }).Stop()
	forward := httputil.NewSingleHostReverseProxy(testlog.Must(url.Parse(s.direct))(t))
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/artifacts/") {
			<-told
		}
		forward.ServeHTTP(w, r)
	}))
	defer slow.Close()
	a.home = Home(t.TempDir()) // which remembers nothing
	r = a.registrar(&testService{URL: slow.URL})
	r.KeepGoing = true
	var got []Outcome
	for b, err := range r.Stream(t.Context(), func(yield func(func() Input) bool) {
		if yield(func() Input { return Input{Draft: record} }) {
			<-told
			yield(func() Input { return Input{Draft: assetRecord(t, "modify", holdNoon-1, "a", "")} })
		}
	}, false) {
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range b.Inputs {
			got = append(got, in.Outcome)
		}
		tell()
	}
	if results(got) != "known late" {
		t.Error(results(got))
	}
}

// TestReplayRemembered: a replay is written again when more than a twentieth of it is new, and what it lacks is read again.
func TestReplayRemembered(t *testing.T) {
	t.Parallel()
	s := newService(t, anybody)
	a := newAuthor(t)
	a.change = func(o *RegistrarOptions) { o.Holds = scitt.TypeRecord }
	record := func(n int) Draft { return assetRecord(t, "modify", holdNoon, fmt.Sprint("asset ", n), "") }
	n := 0
	// more registers new records in a run of their own, and returns what is remembered after it.
	more := func(count int) (*Registrar, []byte) {
		t.Helper()
		r := a.registrar(s)
		var all []Draft
		for range count {
			all = append(all, record(n))
			n++
		}
		a.register(r, strings.TrimSpace(strings.Repeat("registered ", count)), all...)
		if err := r.save(t.Context()); err != nil {
			t.Fatal(err)
		}
		return r, testlog.Must(os.ReadFile(r.holding.path))(t)
	}
	_, first := more(50)
	if _, again := more(2); !bytes.Equal(first, again) {
		t.Error("it is written again for 2 records after 50")
	}
	if got := a.registrar(s).holding.remembered().Next(); got < 50 || got > 52 { // the service's own are two
		t.Errorf("%d entries are remembered", got)
	}
	r := a.registrar(s)
	r.Scanning = true
	a.register(r, "unchanged late", assetRecord(t, "modify", holdNoon+1, fmt.Sprint("asset ", n-1), ""), assetRecord(t, "delete", holdNoon-1, fmt.Sprint("asset ", n-2), ""))
	if _, again := more(2); bytes.Equal(first, again) {
		t.Error("it is not written again for 4 records after 50")
	}
}

// TestScan: what did not change is not registered again, another writer's records count, and what was not seen is gone.
func TestScan(t *testing.T) {
	t.Parallel()
	s := newService(t, anybody)
	a := newAuthor(t)
	a.change = func(o *RegistrarOptions) { o.Holds = scitt.TypeRecord }
	r := a.registrar(s)
	r.Scanning = true
	look := func(ms int64, max int, names ...string) (*monitor.Scan, error) {
		t.Helper()
		seen := monitor.Seen{Of: scitt.TypeRecord, Started: time.UnixMilli(ms).UTC(), Ended: time.UnixMilli(ms + 1).UTC(), Assets: map[string]bool{}}
		for _, n := range names {
			seen.Assets[n] = true
		}
		scan, _, err := r.Scan(t.Context(), seen, max)
		return scan, err
	}
	a.register(r, "registered registered registered", assetRecord(t, "modify", holdNoon, "a", ""), assetRecord(t, "modify", holdNoon, "b", ""), assetRecord(t, "modify", holdNoon, "a", `1`))
	if scan, err := look(holdNoon+1, 0, "a", "b"); err != nil || scan.Count != 2 || scan.Previous != nil {
		t.Fatalf("%+v, %v", scan, err)
	}
	a.register(r, "unchanged unchanged registered", assetRecord(t, "modify", holdNoon+5, "a", ""), assetRecord(t, "modify", holdNoon+5, "a", `1`), assetRecord(t, "modify", holdNoon+5, "a", `2`))
	// Another process of the same issuer, which the first one has not read.
	other := newAuthor(t)
	other.key, other.change = a.key, a.change
	other.register(other.registrar(s), "registered", assetRecord(t, "modify", holdNoon+6, "c", ""))
	if _, err := look(holdNoon+100, 33, "a", "c"); err != nil {
		t.Fatal(err)
	}
	if _, err := look(holdNoon+200, 33, "a"); !errors.Is(err, ErrGone) {
		t.Fatal(err)
	}
	scan, err := look(holdNoon+200, 50, "a")
	if err != nil || fmt.Sprint(scan.Gone) != "[c]" || scan.Previous == nil {
		t.Fatalf("%+v, %v", scan, err)
	}
	if scan, err := look(holdNoon+200, 0, "a"); scan != nil || err != nil {
		t.Fatalf("%+v, %v", scan, err)
	}
	l := testlog.Must(Open(t.Context(), s.URL, Options{}))(t)
	replay := monitor.NewReplay(monitor.Filter{}, nil)
	if err := replay.Advance(t.Context(), l.Monitor(), 1<<40); err != nil {
		t.Fatal(err)
	}
	if list, more := replay.Anomalies(); len(replay.Assets()) != 1 || len(list) != 0 || more != 0 {
		t.Errorf("%+v %+v", replay.Assets(), list)
	}
}
