package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// chainLog is a log that holds statements to their chains, as a Registration
// Policy does.
type chainLog struct {
	mu      sync.Mutex
	entries [][]byte
	head    *Head
	answer  func(n int) error // what becomes of the nth registration, before or after
	calls   int
}

func (l *chainLog) Head(context.Context, string, string) (*Head, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head, nil
}

func (l *chainLog) Register(_ context.Context, statement []byte) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := scitt.ParseStatement(statement)
	if err != nil {
		return nil, err
	}
	l.calls++
	if l.answer != nil {
		if err := l.answer(l.calls); err != nil {
			return nil, err
		}
	}
	want := Next("inventory", l.head)
	if s.Chain.Seq != want.Seq || !bytes.Equal(s.Chain.Prev, want.Prev) {
		return nil, fmt.Errorf("register: %w", &scitt.Problem{Status: 400, Title: "Rejected", Detail: "chain: fork"})
	}
	l.head = &Head{s.Chain.Seq, s.ID()}
	l.entries = append(l.entries, s.Entry())
	return statement, nil
}

func signer(t testing.TB, party *party, uid string) func(*scitt.ChainLink) ([]byte, error) {
	r := must(NewRecord(encode(inventory(Create, noon, uid)), Inventory, ""))(t)
	return func(link *scitt.ChainLink) ([]byte, error) {
		return r.Sign(party.key, scitt.SignOptions{IssuedAt: time.Unix(1_800_000_000, 0), Chain: link})
	}
}

// TestChainRace: several writers of one issuer, each with its own idea of the
// chain, make one chain without gap or fork.
func TestChainRace(t *testing.T) {
	p := newParty(t, "provider", scitt.TypeRecord)
	log := &chainLog{}
	const writers, each = 4, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			c := &Chain{Log: log, Issuer: p.issuer(), Name: "inventory"}
			for i := range each {
				for {
					_, transparent, err := c.Append(t.Context(), signer(t, p, fmt.Sprintf("%d-%d", w, i)))
					if errors.Is(err, ErrContended) {
						continue
					}
					if err != nil || transparent == nil {
						t.Error(err)
					}
					break
				}
			}
		})
	}
	wg.Wait()
	p.entries = log.entries
	r := p.replay(nil)
	if list, _ := r.Anomalies(); len(list) > 0 || len(r.Assets()) != writers*each {
		t.Errorf("%d assets, anomalies %+v", len(r.Assets()), list)
	}
	if head, _ := r.Head(p.issuer(), "inventory"); head == nil || *head != *log.head {
		t.Errorf("head %v", head)
	}
}

func TestChainErrors(t *testing.T) {
	p := newParty(t, "provider", scitt.TypeRecord)
	rejected := &scitt.Problem{Status: 400, Title: "Rejected", Detail: "ocsf"}
	down := errors.New("connection reset")
	log := &chainLog{}
	c := &Chain{Log: log, Issuer: p.issuer(), Name: "inventory"}

	log.answer = func(int) error { return rejected }
	if _, _, err := c.Append(t.Context(), signer(t, p, "a")); !errors.Is(err, rejected) || log.calls != 1 {
		t.Errorf("a refusal that no other link would lift: %v after %d calls", err, log.calls)
	}
	log.answer = func(int) error { return down }
	statement, _, err := c.Append(t.Context(), signer(t, p, "a"))
	if !errors.Is(err, down) || statement == nil {
		t.Fatalf("the statement whose fate is unknown is lost: %v", err)
	}
	log.answer = nil
	if _, err := log.Register(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Append(t.Context(), signer(t, p, "b")); err != nil || log.head.Seq != 1 {
		t.Errorf("after an error the head was not read anew: %v", err)
	}
	// Another writer gets in between.
	other := signer(t, p, "c")
	if _, err := log.Register(t.Context(), must(other(Next("inventory", log.head)))(t)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Append(t.Context(), signer(t, p, "d")); err != nil || log.head.Seq != 3 {
		t.Errorf("a lost race: %v, head %v", err, log.head)
	}
	wrong := func(*scitt.ChainLink) ([]byte, error) { return other(Next("inventory", nil)) }
	if _, _, err := c.Append(t.Context(), wrong); !errors.Is(err, ErrMalformed) {
		t.Errorf("signed with another link: %v", err)
	}
	failing := func(*scitt.ChainLink) ([]byte, error) { return nil, down }
	if _, _, err := c.Append(t.Context(), failing); !errors.Is(err, down) {
		t.Error(err)
	}
}
