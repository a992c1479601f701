package client_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
)

func TestSearch(t *testing.T) {
	const (
		find  = "GET https://ts.example/at/search?iss=a+b&limit=3"
		stats = "GET https://ts.example/at/search/stats"
	)
	busy := string((&scitt.Problem{Title: "Search Busy"}).Marshal())
	for _, c := range []struct {
		name  string
		stats bool
		steps []step
		err   string // "" for an answer
	}{
		{name: "an answer", steps: []step{{want: find, status: 200, body: "{}"}}},
		{name: "stats", stats: true, steps: []step{{want: stats, status: 200, body: "{}"}}},
		{name: "busy, later not", steps: []step{
			{want: find, status: 503, header: map[string]string{"Retry-After": "2"}, body: busy},
			{want: find, status: 200, body: "{}", after: 2 * time.Second},
		}},
		{name: "a bad filter is not sent again", steps: []step{{want: find, status: 400, body: problem}}, err: "no such issuer"},
		{name: "no search there", stats: true, steps: []step{{want: stats, status: 404}}, err: "Not Found"},
		{name: "an odd answer", steps: []step{{want: find, status: 204}}, err: "unexpected status 204"},
	} {
		synctest.Test(t, func(t *testing.T) {
			script := &script{t: t, steps: c.steps}
			cl, err := client.New("https://ts.example/at/", client.Options{HTTP: &http.Client{Transport: script}})
			if err != nil {
				t.Fatal(err)
			}
			var body []byte
			if c.stats {
				body, err = cl.SearchStats(t.Context())
			} else {
				body, err = cl.Search(t.Context(), url.Values{"limit": {"3"}, "iss": {"a b"}})
			}
			if script.n != len(c.steps) || (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) || (err == nil && string(body) != "{}") {
				t.Errorf("%s: %q, %v after %d requests", c.name, body, err, script.n)
			}
			if _, ok := errors.AsType[*scitt.Problem](err); len(c.steps) == 1 && c.steps[0].status >= 400 && !ok {
				t.Errorf("%s: %v is no problem", c.name, err)
			}
		})
	}
}
