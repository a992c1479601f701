package search

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
)

// TestLargeEntries: whoever has subjects and events registered that are as large as may be makes
// pages shorter, and takes nothing from anybody's answers.
func TestLargeEntries(t *testing.T) {
	var l memLog
	const entries = 25
	for i := range entries {
		e := map[string]any{}
		if err := json.Unmarshal(event(i), &e); err != nil {
			t.Fatal(err)
		}
		e["metadata"].(map[string]any)["event_code"] = fmt.Sprint("inventory.", i, strings.Repeat("\x01", 4000))
		l = append(l, jsonStatement(t, "https://provider.example", fmt.Sprint(i, strings.Repeat("\x01", 30_000)), e))
	}
	x := indexed(t, l, Options{})
	h := testlog.Must(NewHandler(HandlerConfig{Searcher: x, Problem: problem}))(t)
	get := func(url string, answer any) {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, url, nil))
		if n := w.Body.Len(); w.Code != http.StatusOK || n > 4<<20 {
			t.Fatalf("%s: status %d, %d bytes", url, w.Code, n)
		}
		if err := json.Unmarshal(w.Body.Bytes(), answer); err != nil {
			t.Fatal(err)
		}
	}
	for _, order := range []string{"asc", "desc", "time-asc", "time-desc"} {
		var got []uint64
		pages := 0
		for next := ""; pages == 0 || next != ""; pages++ {
			var a Answer
			get("/search?limit=1000&order="+order+next, &a)
			got = append(got, indexes(&a)...)
			if next = a.Next; next != "" {
				next = "&after=" + next
			}
		}
		if slices.Sort(got); len(slices.Compact(got)) != entries || pages < 2 {
			t.Errorf("%s: %d pages with %v", order, pages, got)
		}
	}
	var s Stats
	get("/search/stats", &s)
	for _, c := range s.EventCodes {
		if len(c.Key) > maxKey+3 || c.Entries != 1 {
			t.Errorf("%d entries of a key of %d bytes", c.Entries, len(c.Key))
		}
	}
	if len(s.EventCodes) != entries {
		t.Errorf("%d event codes", len(s.EventCodes))
	}
}

// large is a Searcher whose answers are large, or not.
type large struct{ failing }

func (large) Search(_ context.Context, q Query) (*Answer, error) {
	a := &Answer{Entries: []Hit{{Subject: strings.Repeat("x", 1000)}}}
	if q.limit > 1 {
		a.Entries = slices.Repeat(a.Entries, 100)
	}
	return a, nil
}

// slow is a client that does not read before it is told to.
type slow struct {
	httptest.ResponseRecorder
	begun chan struct{}
	read  chan struct{}
}

func (s *slow) Write(p []byte) (int, error) {
	s.begun <- struct{}{}
	<-s.read
	return len(p), nil
}

// TestSlowClients: so many large answers wait in memory for slow clients, and no more; small
// ones are given meanwhile.
func TestSlowClients(t *testing.T) {
	h := testlog.Must(NewHandler(HandlerConfig{Searcher: large{}, Problem: problem}))(t)
	begun, read, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	ask := func(limit int, w http.ResponseWriter) {
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprint("/search?limit=", limit), nil))
	}
	for range mostLarge {
		go func() { ask(100, &slow{*httptest.NewRecorder(), begun, read}); done <- struct{}{} }()
	}
	for range mostLarge {
		<-begun
	}
	for limit, want := range map[int]int{100: http.StatusServiceUnavailable, 1: http.StatusOK} {
		w := httptest.NewRecorder()
		if ask(limit, w); w.Code != want || (want == http.StatusServiceUnavailable) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("limit %d: status %d, %v", limit, w.Code, w.Header())
		}
	}
	close(read)
	for range mostLarge {
		<-done
	}
	w := httptest.NewRecorder()
	if ask(100, w); w.Code != http.StatusOK {
		t.Errorf("when they have read: status %d", w.Code)
	}
}
