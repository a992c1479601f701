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

// FuzzContentRange reads where a part of an artifact belongs.
func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-9/10", "bytes 5-9/*", "bytes */10", "bytes 9-5/10", "bytes 0-10/10", "bytes -1-5/10", "bytes 0-9223372036854775807/9223372036854775807", "octets 0-9/10", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, field string) {
		first, size, err := parseContentRange(field)
		if err == nil && (first < 0 || size < -1 || (size >= 0 && first >= size)) {
			t.Errorf("%q: from %d of %d", field, first, size)
		}
	})
}
