package party

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
)

// failingKey fails each call for which fails is true of its number, from 1.
type failingKey struct {
	crypto.Signer
	calls atomic.Int64
	fails func(call int64) bool
}

func (k *failingKey) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if k.fails(k.calls.Add(1)) {
		return nil, errors.New("the key is away")
	}
	return k.Signer.Sign(random, digest, opts)
}

// TestKeyFails: what a key does not sign is refused, and the chain goes on without it.
func TestKeyFails(t *testing.T) {
	t.Parallel()
	s := newService(t, chained)
	a := newAuthor(t)
	key := &failingKey{Signer: a.key, fails: func(int64) bool { return true }}
	a.key = key
	r := a.registrar(s)
	all := drafts("a", "b", "c", "d", "e", "f", "g", "h")
	o := a.register(r, "refused unreached unreached", all[:3]...)
	if err := o[0].Err(); err == nil || !strings.Contains(err.Error(), "the key is away") {
		t.Error(err)
	}
	r.KeepGoing = true
	a.register(r, "refused refused refused", all[:3]...)
	s.contents()

	key.calls.Store(0)
	key.fails = func(call int64) bool { return call%3 == 0 }
	outcomes, err := r.Register(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	var want []string // of the log
	for i, o := range outcomes {
		if o.At[0].Result == Registered {
			want = append(want, string(all[i].Content))
		}
	}
	if n := strings.Count(results(outcomes), "refused"); n == 0 || n+len(want) != len(all) {
		t.Fatal(results(outcomes))
	}
	s.contents(want...)
	key.fails = func(int64) bool { return false }
	a.register(r, strings.ReplaceAll(strings.ReplaceAll(results(outcomes), "registered", "known"), "refused", "registered"), all...)
	a.left(0)
}

// TestRace: several writers of one issuer, each with its own home and idea of the
// chain, make one chain without gap or fork.
func TestRace(t *testing.T) {
	t.Parallel()
	s := newService(t, chained)
	key := testlog.Key(t, "ES256")
	const writers, each = 3, 8
	var group sync.WaitGroup
	for w := range writers {
		a := &author{t: t, key: key, home: Home(t.TempDir())}
		r := a.registrar(s)
		group.Go(func() {
			for i := range each {
				for {
					outcomes, err := r.Register(t.Context(), drafts(fmt.Sprintf("%d-%d", w, i)))
					if errors.Is(err, ErrContended) {
						continue
					}
					if got := results(outcomes); err != nil || got != "registered" {
						t.Errorf("%s, %v", got, err)
					}
					break
				}
			}
		})
	}
	group.Wait()
	seen := map[string]bool{}
	all := s.holds()
	for i, st := range all {
		if seen[string(st.Payload)] = true; st.Chain.Seq != uint64(i) {
			t.Errorf("entry %d has seq %d", i+2, st.Chain.Seq)
		}
	}
	if len(seen) != writers*each || len(all) != len(seen) {
		t.Errorf("%d contents in %d entries", len(seen), len(all))
	}
}

// TestContended: when another writer is always faster that is the error, and nothing is
// left that could be registered later.
func TestContended(t *testing.T) {
	t.Parallel()
	s := newService(t, chained)
	a := newAuthor(t)
	other := &author{t: t, key: a.key, home: Home(t.TempDir())}
	faster := other.registrar(&testService{URL: s.direct})
	n := 0
	r := a.registrar(s)
	s.first(func() {
		n++
		other.register(faster, "registered", drafts(fmt.Sprint(n))...)
	})
	outcomes, err := r.Register(t.Context(), drafts("mine"))
	if !errors.Is(err, ErrContended) || n != maxAttempts || outcomes[0].At[0].Result != Unreached {
		t.Errorf("%s after %d attempts, %v", results(outcomes), n, err)
	}
	s.first(nil)
	a.left(0)
	a.register(r, "registered", drafts("mine")...)
	if got := len(s.holds()); got != maxAttempts+1 {
		t.Errorf("%d statements", got)
	}
}
