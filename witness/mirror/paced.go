package mirror

import (
	"net/http"

	"golang.org/x/time/rate"
)

// Paced makes requests at a rate: so many in a second, and burst of them at once. A request
// waits for its turn until its context ends.
func Paced(next http.RoundTripper, perSecond float64, burst int) http.RoundTripper {
	return &paced{next, rate.NewLimiter(rate.Limit(perSecond), burst)}
}

type paced struct {
	next  http.RoundTripper
	limit *rate.Limiter
}

// RoundTrip implements [http.RoundTripper].
func (p *paced) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := p.limit.Wait(r.Context()); err != nil {
		return nil, err
	}
	return p.next.RoundTrip(r)
}
