package personality

import (
	"fmt"
	"net/http"
	"net/netip"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/conmotion/conmotion/internal/content"
	"github.com/conmotion/conmotion/scitt"
)

// rememberClients is how many client addresses have a rate of their own; the
// one that was seen longest ago starts anew.
const rememberClients = 16 << 10

// limits gives each client address, or IPv6 network of 64 bits, its rate.
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

// clientOf is whom an address stands for: with IPv6 everybody has a network of
// 64 bits, and would have as many rates as addresses in it.
func clientOf(remote string) string {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	addr := peer.Addr().Unmap()
	if addr.Is4() {
		return addr.String()
	}
	network, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return addr.String()
	}
	return network.String()
}

// take counts a request. The problem says when the next one is welcome.
func (l *limits) take(r *http.Request) *scitt.Problem {
	if l.perSecond == 0 {
		return nil
	}
	return l.reserve(r, 1)
}

// takeAll counts the statements of a request that has been taken as one.
func (l *limits) takeAll(r *http.Request, n int) *scitt.Problem {
	switch {
	case l.perSecond == 0 || n <= 1:
		return nil
	case n > l.burst:
		return &scitt.Problem{Status: http.StatusRequestEntityTooLarge, Title: "Too Many Statements",
			Detail: fmt.Sprintf("The rate limit allows at most %d statements at once; send them in parts.", l.burst)}
	}
	return l.reserve(r, n-1)
}

func (l *limits) reserve(r *http.Request, n int) *scitt.Problem {
	host := clientOf(r.RemoteAddr)
	limiter, ok := l.clients.Get(host)
	if !ok {
		limiter = rate.NewLimiter(l.perSecond, l.burst)
		if old, raced, _ := l.clients.PeekOrAdd(host, limiter); raced {
			limiter = old
		}
	}
	reservation := limiter.ReserveN(time.Now(), n)
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
		content.Problem(w, p)
	}), nil
}
