package search

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

func problem(w http.ResponseWriter, _ *http.Request, status int, title, detail string) {
	p := &scitt.Problem{Status: status, Title: title, Detail: detail}
	w.Header().Set("Content-Type", scitt.ProblemMediaType)
	w.WriteHeader(status)
	_, _ = w.Write(p.Marshal())
}

func TestHandler(t *testing.T) {
	l := eventLog(t, 0, 300)
	x := indexed(t, l, Options{Service: "https://service.example"})
	h := testlog.Must(NewHandler(HandlerConfig{Searcher: x, Problem: problem}))(t)
	for _, c := range []struct {
		method, url string
		status      int
		says        string
	}{
		{"GET", "/search", 200, `"next":"49"`},
		{"HEAD", "/search", 200, ""},
		{"GET", "/search?class_uid=5023&event_code=inventory.create&limit=1", 200, `"receipt":"https://service.example/entries/` + idOf(l[0]).String()},
		{"GET", "/search?q=nothing+such", 200, `"entries":[]`},
		{"GET", "/search/stats", 200, `"class_uids":[{"key":"2004","entries":60}`},
		{"GET", "/search?limit=many", 400, `parameter "limit"`},
		{"GET", "/search?f.a=%3E%3Db", 400, `parameter "f.a"`},
		{"GET", "/search?a=1;b=2", 400, "query of the URL"},
		{"GET", "/search?iss=%zz", 400, "query of the URL"},
		{"GET", "/search/stats?limit=1", 400, `parameter "limit"`},
		{"POST", "/search", 405, "use GET"},
		{"GET", "/search/other", 404, "/search"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.url, nil))
		body := w.Body.String()
		if w.Code != c.status {
			t.Errorf("%s %s: %d %s", c.method, c.url, w.Code, body)
		}
		if c.status != 200 {
			p, err := scitt.ParseProblem(w.Code, w.Body.Bytes())
			if err != nil || !strings.Contains(p.Detail, c.says) {
				t.Errorf("%s %s: %v, %v", c.method, c.url, p, err)
			}
			continue
		}
		if !strings.Contains(body, c.says) || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: %v %.500s", c.method, c.url, w.Header(), body)
		}
		var v any
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
			t.Errorf("%s %s: %v", c.method, c.url, err)
		}
	}
}

// failing is a Searcher in trouble.
type failing struct{ err error }

func (f failing) Search(ctx context.Context, _ Query) (*Answer, error) {
	if f.err == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, f.err
}

func (f failing) Stats(context.Context) (*Stats, error) { return nil, f.err }

func TestHandlerFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			err    error
			status int
			says   string
		}{
			{nil, 503, "narrow your query"}, // the time is over
			{io.ErrUnexpectedEOF, 500, "log says why"},
			{ErrTooBroad, 500, "log says why"}, // the index wraps it in a problem
			{errors.Join(ErrTooBroad, &scitt.Problem{Status: 400, Title: "Query Too Broad", Detail: "narrow"}), 400, "narrow"},
			{&scitt.Problem{Status: 503, Title: "Search Unavailable", Detail: "rebuilt", RetryAfter: 10 * time.Second}, 503, "rebuilt"},
		} {
			h := testlog.Must(NewHandler(HandlerConfig{Searcher: failing{c.err}, Problem: problem}))(t)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", "/search", nil))
			p, err := scitt.ParseProblem(w.Code, w.Body.Bytes())
			if err != nil || w.Code != c.status || !strings.Contains(p.Detail, c.says) || strings.Contains(p.Detail, "EOF") {
				t.Errorf("%v: %d %v %v", c.err, w.Code, p, err)
			}
			if w.Code == 503 && w.Header().Get("Retry-After") == "" {
				t.Errorf("%v: no Retry-After", c.err)
			}
		}
	})
	if _, err := NewHandler(HandlerConfig{}); err == nil {
		t.Error("a handler of nothing was made")
	}
}

// gathering lets nobody search before all are there.
type gathering struct {
	*Index
	here, all atomic.Int64
	start     chan struct{}
}

func (g *gathering) Search(ctx context.Context, q Query) (*Answer, error) {
	if g.here.Add(1) == g.all.Load() {
		close(g.start)
	}
	select {
	case <-g.start:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return g.Index.Search(ctx, q)
}

// TestTenThousandRequests: ten thousand requests are in the handler at the
// same time. A few connections to the database answer each of them; with less
// time, those whose turn does not come are told to try again.
func TestTenThousandRequests(t *testing.T) {
	requests := int64(10_000)
	if testlog.Race {
		requests = 1000
	}
	l := eventLog(t, 0, 300)
	g := &gathering{Index: indexed(t, l, Options{})}
	g.all.Store(requests)
	want := map[string]string{}
	urls := []string{
		"/search?iss=https://provider-3.example&sub=asset/1", "/search?class_uid=5023&event_code=inventory.create&limit=3", "/search?f.severity_id=%3E%3D5&limit=2",
		"/search?q=tenant+17&limit=2", "/search?order=time-desc&limit=1", "/search?entry=" + idOf(l[77]).String(),
	}
	for _, u := range urls {
		_, query, _ := strings.Cut(u, "?")
		want[u] = string(testlog.Must(json.Marshal(ask(t, g.Index, query)))(t)) + "\n"
	}
	for _, timeout := range []time.Duration{5 * time.Minute, time.Second} {
		g.here.Store(0)
		g.start = make(chan struct{})
		h := testlog.Must(NewHandler(HandlerConfig{Searcher: g, Problem: problem, timeout: timeout}))(t)
		var right, later atomic.Int64
		var group sync.WaitGroup
		for i := range requests {
			group.Go(func() {
				u := urls[i%int64(len(urls))]
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest("GET", u, nil))
				switch {
				case w.Code == http.StatusOK && w.Body.String() == want[u]:
					right.Add(1)
				case w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") != "":
					later.Add(1)
				default:
					t.Errorf("%s: %d %.300s", u, w.Code, w.Body)
				}
			})
		}
		group.Wait()
		t.Logf("in %v: %d answers, %d to come again", timeout, right.Load(), later.Load())
		if right.Load()+later.Load() != requests || (timeout > time.Minute && later.Load() > 0) {
			t.Errorf("in %v: %d answers, %d to come again", timeout, right.Load(), later.Load())
		}
	}
	var stats sql.DBStats
	if err := g.Use(t.Context(), func(db *sql.DB) error { stats = db.Stats(); return nil }); err != nil {
		t.Fatal(err)
	}
	if stats.MaxOpenConnections == 0 || stats.OpenConnections > stats.MaxOpenConnections || stats.WaitCount == 0 {
		t.Errorf("the database was used by %+v", stats)
	}
}
