package daemon_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
)

// TestBulkHeadIndex: a rule that reads where the head is in the log is judged
// with what the log says in the end, also within a request.
func TestBulkHeadIndex(t *testing.T) {
	t.Parallel()
	key := testlog.Key(t, "ES256")
	s, _ := chained(t, key, map[string]any{"rules": []any{map[string]any{
		"id": "early", "expr": "!head.present || head.index < 12", "message": "the chain is long enough"}}})
	all := chain(t, key, "c", nil, 30)
	_, receipts, problem := s.bulk(all)
	// Entries 2 to 12: the one whose head is at 11 is the last.
	if len(receipts) != 11 || problem == nil || !strings.Contains(problem.Detail, "long enough") {
		t.Errorf("%d receipts, %v", len(receipts), problem)
	}
	s.verifyAll(all[:len(receipts)], receipts, true)
	replay(t, s)
}

// TestBulkWhilePolicyChanges: policies change in the middle of requests, and
// do not wait for their end. Whatever was admitted was admitted by the policy
// at its place.
func TestBulkWhilePolicyChanges(t *testing.T) {
	t.Parallel()
	const switches = 10 // at least: it goes on until one came within a request
	one, two := testlog.Key(t, "ES256"), testlog.Key(t, "ES256")
	s, admin := chained(t, one, nil)
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var whole, partly, refused atomic.Int64
	for w, key := range []crypto.Signer{one, two, one, two} {
		group.Go(func() {
			var head []byte
			for ctx.Err() == nil {
				all := chain(t, key, fmt.Sprint(w), head, 200)
				a, receipts, problem := s.bulk(all)
				switch {
				case a.StatusCode == http.StatusOK && problem == nil:
					whole.Add(1)
				case a.StatusCode == http.StatusOK && problem.Status == http.StatusBadRequest:
					partly.Add(1)
				case a.StatusCode == http.StatusBadRequest:
					refused.Add(1)
				default:
					t.Errorf("%s: %v", a.Status, problem)
				}
				if n := len(receipts); n > 0 {
					head = all[n-1]
				}
			}
		})
	}
	changes := 0
	for ; changes < switches || changes < 60*switches && (partly.Load() == 0 || refused.Load() == 0); changes++ {
		admits := two
		if changes%2 == 1 {
			admits = one
		}
		doc := document(t, admits, admin, s.InForce().ID.String(), map[string]any{"chain": "required"})
		s.register(s.signPolicy(admin, doc))
	}
	stop()
	group.Wait()
	if policies := replay(t, s); policies != changes+1 {
		t.Errorf("the log has %d policies, want %d", policies, changes+1)
	}
	t.Logf("requests: %d whole, %d in part, %d refused", whole.Load(), partly.Load(), refused.Load())
	if partly.Load() == 0 || refused.Load() == 0 {
		t.Error("no policy changed within a request: this was no test")
	}
}

func TestBulkRate(t *testing.T) {
	t.Parallel()
	key := testlog.Key(t, "ES256")
	s := newService(t, func(c *daemon.Config) { c.Rate, c.Burst = 0.01, 10 })
	all := chain(t, key, "c", nil, 20)
	if _, _, p := s.bulk(all[:11]); p == nil || p.Status != http.StatusRequestEntityTooLarge || !strings.Contains(p.Detail, "at most 10 statements") {
		t.Errorf("more than fit into the limit: %v", p)
	}
	// That was one request.
	if _, receipts, p := s.bulk(all[:6]); p != nil || len(receipts) != 6 {
		t.Errorf("%d receipts, %v", len(receipts), p)
	}
	a, _, p := s.bulk(all[6:10])
	if p == nil || p.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
		t.Errorf("four where three are left: %s %v", a.Status, p)
	}
}

// TestBulkPushback: a log that takes less at once than a request brings takes
// it in parts, and the client sees to that.
func TestBulkPushback(t *testing.T) {
	t.Parallel()
	key := testlog.Key(t, "ES256")
	s := newService(t, func(c *daemon.Config) { c.Pushback = 10 })
	all := chain(t, key, "c", nil, 300)
	parts := 0
	c := testlog.Must(client.New(s.server.URL, client.Options{Waiting: func(_ time.Duration, why error) {
		if p, ok := errors.AsType[*scitt.Problem](why); !ok || p.Title != "Log Busy" {
			t.Errorf("waiting for %v", why)
		}
		parts++
	}}))(t)
	done, err := c.RegisterAll(t.Context(), all)
	if err != nil || len(done) != len(all) {
		t.Fatalf("%d registrations, %v", len(done), err)
	}
	for i, r := range done {
		if err := s.verify(all[i], r.Receipt); err != nil {
			t.Fatalf("statement %d: %v", i, err)
		}
		// The last one may have gone alone, and its address is the issuer's then.
		if !strings.HasSuffix(r.Location, "/entries/"+testlog.Must(scitt.ParseStatement(all[i]))(t).ID().String()) {
			t.Fatalf("statement %d is at %s", i, r.Location)
		}
	}
	if parts == 0 {
		t.Error("the log took all at once: this was no test")
	}
	replay(t, s)
}
