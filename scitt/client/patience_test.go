package client_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
)

// TestPatience: a log that says that it has no writer at this moment is asked until it has
// one, and one that says so for too long is not.
func TestPatience(t *testing.T) {
	for _, c := range []struct {
		name    string
		without time.Duration // a writer
		header  string
		retries int
		want    string
		after   [2]time.Duration
	}{
		{name: "for half a minute", without: 30 * time.Second, header: "1", after: [2]time.Duration{30 * time.Second, 32 * time.Second}},
		{name: "for ever", without: time.Hour, header: "1", want: "No Writer", after: [2]time.Duration{time.Minute, 62 * time.Second}},
		{name: "and it does not say when to come back", without: 30 * time.Second, want: "No Writer", after: [2]time.Duration{3 * time.Second, 7 * time.Second}},
		{name: "and who asks wants to ask twice only", without: 30 * time.Second, header: "1", retries: 2, want: "No Writer", after: [2]time.Duration{2 * time.Second, 3 * time.Second}},
		{name: "and who asks does not want to wait", without: 30 * time.Second, header: "1", retries: -1, want: "No Writer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				service := inProcess{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if time.Since(began) >= c.without {
						w.WriteHeader(http.StatusCreated)
						_, _ = w.Write([]byte("receipt"))
						return
					}
					if c.header != "" {
						w.Header().Set("Retry-After", c.header)
					}
					w.WriteHeader(http.StatusServiceUnavailable)
					_, _ = w.Write((&scitt.Problem{Title: "No Writer"}).Marshal())
				})}
				cl := testlog.Must(client.New("https://ts.example", client.Options{HTTP: &http.Client{Transport: service}, Retries: c.retries}))(t)
				_, err := cl.Register(t.Context(), []byte("statement"))
				if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want one that says %q", err, c.want)
				}
				if took := time.Since(began); took < c.after[0] || took > c.after[1] {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}
