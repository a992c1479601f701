package mirror

import (
	"context"
	"net/http"
	"testing"
	"time"
)

// answers counts requests.
type answers int

func (a *answers) RoundTrip(*http.Request) (*http.Response, error) {
	*a++
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

// TestPaced: no request goes before its turn, and none waits longer than its context.
func TestPaced(t *testing.T) {
	var made answers
	p := Paced(&made, 0.001, 2) // the third is due in a thousand seconds
	for n := range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://log.example/checkpoint", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := p.RoundTrip(r)
		if (err == nil) != (n < 2) {
			t.Errorf("request %d: %v", n, err)
		}
		if err == nil {
			resp.Body.Close()
		}
		cancel()
	}
	if made != 2 {
		t.Errorf("%d requests were made", made)
	}
}
