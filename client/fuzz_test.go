package client

import (
	"net/http"
	"net/url"
	"testing"
)

// FuzzAnswer reads everything of an answer that is read.
func FuzzAnswer(f *testing.F) {
	f.Add("120", "", "/entries/e1", "text/plain", []byte("busy"))
	f.Add("Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:50 GMT", "http://ts.example/entries/e1", "", []byte{0xa1, 0x20, 0x61, 'x'})
	f.Add("99999999999999999999", "x", "//user@evil.example/", "application/concise-problem-details+cbor", []byte{0xa0})
	f.Fuzz(func(t *testing.T, retryAfter, date, location, media string, body []byte) {
		a := &answer{
			status: http.StatusServiceUnavailable, body: body,
			url:    &url.URL{Scheme: "https", Host: "ts.example", Path: "/entries"},
			header: http.Header{"Retry-After": {retryAfter}, "Date": {date}, "Location": {location}, "Content-Type": {media}},
		}
		if a.retryAfter() < 0 {
			t.Errorf("Retry-After %q is before now", retryAfter)
		}
		u, err := a.location()
		if err == nil && u != nil && (u.Scheme != "https" || u.Host == "" || u.User != nil) {
			t.Errorf("Location %q leads to %s", location, u)
		}
		if p := a.problem(); p.Title == "" {
			t.Errorf("problem %+v", p)
		}
	})
}
