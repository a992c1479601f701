package personality

import (
	"fmt"
	"net"
	"net/http"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/conmotion/conmotion/scitt"
)

// rememberClients is how many client addresses have a rate of their own; the
// one that was seen longest ago starts anew.
const rememberClients = 16 << 10

// limits gives each client address its rate.
//
// SCRAPI section 4.3: "If Authentication is not implemented, rate limiting or
// other denial of service mitigations MUST be implemented."
type limits struct {
	perSecond rate.Limit
	burst     int
	clients   *lru.Cache[string, *rate.Limiter]
}

func newLimits(perSecond float64, burst int) (*limits, error) {
	clients, err := lru.New[string, *rate.Limiter](rememberClients)
	if err != nil {
		return nil, fmt.Errorf("rate limits: %w", err)
	}
	return &limits{rate.Limit(perSecond), max(burst, 1), clients}, nil
}

// take counts a request. The problem says when the next one is welcome.
func (l *limits) take(r *http.Request) *scitt.Problem {
	if l.perSecond == 0 {
		return nil
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	limiter, ok := l.clients.Get(host)
	if !ok {
		limiter = rate.NewLimiter(l.perSecond, l.burst)
		if old, raced, _ := l.clients.PeekOrAdd(host, limiter); raced {
			limiter = old
		}
	}
	reservation := limiter.Reserve()
	delay := reservation.Delay()
	if delay == 0 {
		return nil
	}
	reservation.Cancel()
	return &scitt.Problem{
		Status: http.StatusTooManyRequests, Title: "Too Many Requests",
		Detail:     fmt.Sprintf("Only %g requests per second are allowed, %d at once.", float64(l.perSecond), l.burst),
		RetryAfter: max(delay, time.Second),
	}
}

// RateLimit gives each client address its rate of requests to a handler; 0 is
// no limit.
func RateLimit(perSecond float64, burst int, next http.Handler) (http.Handler, error) {
	l, err := newLimits(perSecond, burst)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := l.take(r)
		if p == nil {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Retry-After", seconds(p.RetryAfter))
		w.Header().Set("Content-Type", scitt.ProblemMediaType)
		w.WriteHeader(p.Status)
		_, _ = w.Write(p.Marshal()) // the client is gone: nobody to tell
	}), nil
}
