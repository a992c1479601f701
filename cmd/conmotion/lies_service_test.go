package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/search"
)

// register serves the actor's log, and registers what is sent. Its answers to that are what lie makes
// of them.
func (a *actor) register(t *testing.T, lie func(a *actor, index int, receipt []byte) []byte) string {
	t.Helper()
	log, files, mu := a.says(slices.Clone(a.entries)...), a.files(t), sync.Mutex{}
	files.Serve(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		many := r.Header.Get("Content-Type") == "application/cbor-seq"
		statements := [][]byte{body}
		if many {
			statements = testlog.Must(scitt.SplitSequence(body))(t)
		}
		first := len(log.entries)
		for _, s := range statements {
			log.entries = append(log.entries, testlog.Must(scitt.DecodeStatement(s))(t).Entry())
		}
		files.Publish(t, log.keys, log.entries)
		var answer []byte
		for i := first; i < len(log.entries); i++ {
			answer = append(answer, lie(log, i, log.receipt(t, i))...)
		}
		if many {
			w.Header().Set("Content-Type", "application/cbor-seq")
		} else {
			w.Header().Set("Content-Type", "application/cose")
			w.Header().Set("Location", "/entries/"+testlog.ID(log.entries[first]).String())
			w.WriteHeader(http.StatusCreated)
		}
		_, _ = w.Write(answer)
		return true
	})
	server := httptest.NewServer(files)
	t.Cleanup(server.Close)
	return server.URL
}

func serviceLies() []lie {
	gives := func(lie func(t *testing.T, a *actor, index int, receipt []byte) []byte) func(t *testing.T, w *world) shown {
		return shows("service", func(t *testing.T, w *world) string {
			return w.provider.register(t, func(a *actor, index int, receipt []byte) []byte { return lie(t, a, index, receipt) })
		})
	}
	registering := looks(cli.ExitBad, `receipt is not good`, "submit --log {service} --out {tmp}/t {new}",
		"record inventory create --inline --log {service} --key {provider.pem} --out {tmp}/t {event.json}",
		"endorse --log {service} --entry-log {provider} --key {customer.pem} --scope existence --for 1h 2",
		"ack --log {service} --upstream-log {provider} --key {customer.pem} --asset vm 2")
	return []lie{
		{"a service that answers with another entry's receipt", gives(func(t *testing.T, a *actor, _ int, _ []byte) []byte { return a.receipt(t, webEntry) }), registering},
		{"a service that answers with a receipt by another key", gives(func(t *testing.T, a *actor, index int, _ []byte) []byte {
			b := *a
			b.keys = testlog.NewKeysOf(t, "provider.example")
			return b.receipt(t, index)
		}), registering},
		{"a service that answers with a receipt that does not verify", gives(func(_ *testing.T, _ *actor, _ int, receipt []byte) []byte { return testlog.Garbage(receipt) }), registering},
		{"a service that answers with nonsense", gives(func(*testing.T, *actor, int, []byte) []byte { return []byte{0} }), looks(cli.ExitBad, `receipt is not good`, "submit --log {service} --out {tmp}/t {new}")},
		{"a service whose log went back", func(t *testing.T, w *world) shown {
			return shown{"service": w.provider.says(w.provider.entries[:4]...).register(t, func(_ *actor, _ int, receipt []byte) []byte { return receipt })}
		}, looks(cli.ExitUsage, `rolled back`, "replay --log {provider} && submit --log {service} --out {tmp}/t {new}",
			"replay --log {provider} && record inventory create --inline --log {service} --key {provider.pem} --out {tmp}/t {event.json}")},
	}
}

func searchLies() []lie {
	answers := func(change func(a *search.Answer)) func(t *testing.T, w *world) shown {
		return shows("search", func(t *testing.T, w *world) string { return w.searches(t, change) })
	}
	const all, hits = "search --log {search} --all --verify --static {provider}", "search --log {search} --all --verify=hits --static {provider}"
	return []lie{
		{"an entry left out", answers(func(a *search.Answer) { a.Entries = slices.Delete(a.Entries, 3, 4) }), looks(cli.ExitBad, `left out|stands where`, all)},
		{"the rest left out", answers(func(a *search.Answer) { a.Entries, a.Next = a.Entries[:2], "" }), looks(cli.ExitBad, `left out`, all)},
		{"an entry that was not asked for", shows("search", func(t *testing.T, w *world) string {
			all := testlog.Must(search.Open(t.Context(), w.truth["db"], search.Options{ReadOnly: true}))(t)
			defer all.Close()
			a := testlog.Must(all.Search(t.Context(), search.Query{}))(t)
			return w.searches(t, func(b *search.Answer) { *b = *a })
		}), looks(cli.ExitBad, `does not match|not asked for|does not fit`, all+" --sub inventory/web", hits+" --sub inventory/web")},
		{"another subject", answers(func(a *search.Answer) { a.Entries[3].Subject = "inventory/x" }), looks(cli.ExitBad, `entry 3 is said to be`, all, hits)},
		{"another entry", answers(func(a *search.Answer) { a.Entries[3].Entry = a.Entries[2].Entry }), looks(cli.ExitBad, `entry 3`, all, hits)},
		{"another order", answers(func(a *search.Answer) { slices.Reverse(a.Entries) }), looks(cli.ExitBad, `stands where`, all)},
		{"a checkpoint that the log did not sign", answers(func(a *search.Answer) { a.Checkpoint.Root = make([]byte, 32) }), looks(cli.ExitBad, `does not extend`, all, hits)},
		{"an answer for a log that was empty", answers(func(a *search.Answer) { *a = search.Answer{Entries: []search.Hit{}} }), looks(cli.ExitUsage, `6 more that the log has`, all)},
		{"an answer for a state to come", answers(func(a *search.Answer) { a.Checkpoint.Size++ }), looks(cli.ExitUsage, `newer`, all, hits)},
		{"an index of a log with another history", func(t *testing.T, w *world) shown {
			db := filepath.Join(t.TempDir(), "db")
			if got := w.look(t, "conmotion-index update {later} --db "+db, shown{"later": w.provider.with(dbEntry, w.other(t)).dir(t)}); got.code != cli.ExitGood {
				t.Fatalf("%+v", got)
			}
			return shown{"db": db}
		}, looks(cli.ExitBad, `does not extend|history`, "conmotion-index search --db {db} --all --verify --static {provider}", "conmotion-index search --db {db} --all --verify=hits --static {provider}")},
	}
}

// searches serves a search over the provider's log, whose answers are changed.
func (w *world) searches(t *testing.T, change func(a *search.Answer)) string {
	t.Helper()
	x := testlog.Must(search.Open(t.Context(), w.truth["db"], search.Options{ReadOnly: true}))(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := testlog.Must(x.Search(r.Context(), testlog.Must(search.ParseQuery(r.URL.Query()))(t)))(t)
		change(a)
		_ = json.NewEncoder(w).Encode(a)
	}))
	t.Cleanup(func() {
		server.Close()
		_ = x.Close()
	})
	return server.URL
}
