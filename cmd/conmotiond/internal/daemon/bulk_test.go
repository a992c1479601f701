package daemon_test

import (
	"bytes"
	"crypto"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// made counts the statements of chains: each has content of its own.
var made atomic.Int64

// chain signs n statements that follow a head in a chain; nil begins it.
func chain(t testing.TB, key crypto.Signer, name string, head []byte, n int) [][]byte {
	t.Helper()
	var link scitt.ChainLink
	if head != nil {
		st := testlog.Must(scitt.ParseStatement(head))(t)
		id := st.ID()
		link = scitt.ChainLink{Seq: st.Chain.Seq + 1, Prev: id[:]}
	}
	link.Name = name
	var all [][]byte
	for range n {
		l := link
		data := testlog.Must(scitt.SignStatement(key, scitt.SignOptions{Subject: "asset", Chain: &l}, fmt.Appendf(nil, "%s %d %d", name, l.Seq, made.Add(1))))(t)
		id := testlog.Must(scitt.ParseStatement(data))(t).ID()
		link.Seq, link.Prev = link.Seq+1, id[:]
		all = append(all, data)
	}
	return all
}

const cborSeq = "application/cbor-seq"

// bulk sends statements in one request, and takes the answer apart.
func (s *service) bulk(all [][]byte, headers ...string) (a answer, receipts [][]byte, problem *scitt.Problem) {
	s.t.Helper()
	a = s.do(http.MethodPost, "/entries", slices.Concat(all...), append([]string{"Content-Type", cborSeq}, headers...)...)
	if a.StatusCode != http.StatusOK {
		return a, nil, a.problem(s.t)
	}
	if a.Header.Get("Content-Type") != cborSeq || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Location") != "" {
		s.t.Errorf("the answer has the header %v", a.Header)
	}
	receipts = testlog.Must(scitt.SplitSequence(a.body))(s.t)
	if n := len(receipts); n > 0 && receipts[n-1][0] != 0xd2 {
		problem = testlog.Must(scitt.ParseProblemItem(receipts[n-1]))(s.t)
		receipts = receipts[:n-1]
	}
	return a, receipts, problem
}

// verifyAll holds Receipts to their statements: one after the other in the
// log, and of one checkpoint.
func (s *service) verifyAll(all, receipts [][]byte, consecutive bool) {
	s.t.Helper()
	if len(all) != len(receipts) {
		s.t.Fatalf("%d receipts for %d statements", len(receipts), len(all))
	}
	keys := s.keys()
	var size, last uint64
	for i, receipt := range receipts {
		r := testlog.Must(scitt.ParseReceipt(receipt))(s.t)
		st := testlog.Must(scitt.ParseStatement(all[i]))(s.t)
		if err := r.Verify(keys[0].Public, st.Entry()); err != nil {
			s.t.Fatalf("receipt %d: %v", i, err)
		}
		p := r.Proofs[0]
		if i > 0 && (p.Size != size || consecutive && p.Index != last+1) {
			s.t.Fatalf("receipt %d is of entry %d in a tree of %d, the one before of %d in %d", i, p.Index, p.Size, last, size)
		}
		size, last = p.Size, p.Index
	}
}

// chained is a service whose policy asks everybody for a chain.
func chained(t testing.TB, key crypto.Signer, more map[string]any) (s *service, admin crypto.Signer) {
	t.Helper()
	admin = testlog.Key(t, "EdDSA")
	fields := map[string]any{"chain": "required"}
	for name, value := range more {
		fields[name] = value
	}
	return newService(t, withPolicy(t, document(t, key, admin, "", fields))), admin
}

func TestBulk(t *testing.T) {
	t.Parallel()
	key := testlog.Key(t, "ES256")
	s, _ := chained(t, key, nil)
	all := chain(t, key, "inventory", nil, 1000)
	_, receipts, problem := s.bulk(all)
	if problem != nil {
		t.Fatal(problem)
	}
	s.verifyAll(all, receipts, true)
	// Again, with what comes next, and some of it twice.
	more := chain(t, key, "inventory", all[999], 100)
	again := slices.Concat(all[990:], more[:50], all[:2], more[49:], more[99:])
	_, receipts, problem = s.bulk(again)
	if problem != nil {
		t.Fatal(problem)
	}
	s.verifyAll(again, receipts, false)
	// The single way, and a restart, go on where this ended.
	s.stop()
	s.start()
	next := chain(t, key, "inventory", more[99], 2)
	s.register(next[0])
	if _, receipts, problem = s.bulk(next[1:]); problem != nil || len(receipts) != 1 {
		t.Errorf("%d receipts, %v", len(receipts), problem)
	}
	if size := s.size(); size != 2+1102 {
		t.Errorf("the log has %d entries", size)
	}
	replay(t, s)
}

// TestBulkAnswers: what is registered, and what the client is told.
func TestBulkAnswers(t *testing.T) {
	t.Parallel()
	key, stranger := testlog.Key(t, "ES256"), testlog.Key(t, "ES256")
	s, admin := chained(t, key, nil)
	checker := s.checker()
	broken := []byte{0xd2, 0x84, 0xff}
	large := newSign1(t)
	large.payload = make([]byte, 65_500)
	huge := large.bytes()
	head := func(c [][]byte, i int) string {
		return testlog.Must(scitt.ParseStatement(c[i]))(t).ID().String()
	}
	for i, c := range []struct {
		name   string
		build  func(c [][]byte) [][]byte // of a new chain of six
		good   int                       // statements in the log then
		status int
		title  string
		detail func(c [][]byte) string
	}{
		{"all", func(c [][]byte) [][]byte { return c }, 6, 200, "", nil},
		{"one", func(c [][]byte) [][]byte { return c[:1] }, 1, 200, "", nil},
		{"nothing", func(c [][]byte) [][]byte { return nil }, 0, 400, "Malformed request", func([][]byte) string { return "the body is empty" }},
		{"one left out", func(c [][]byte) [][]byte { return slices.Delete(c, 3, 4) }, 3, 400, "Rejected",
			func(c [][]byte) string { return "gap: seq is 4 where 3 comes next; the head of the chain" }},
		{"the head is named", func(c [][]byte) [][]byte { return append(c[:2:2], c[0], c[3]) }, 2, 400, "Rejected", func(c [][]byte) string { return head(c, 1) }},
		{"it does not begin", func(c [][]byte) [][]byte { return c[1:] }, 0, 400, "Rejected", func([][]byte) string { return "gap" }},
		{"a stranger", func(c [][]byte) [][]byte { return slices.Insert(c, 2, chain(t, stranger, "x", nil, 1)[0]) }, 2, 400, "Rejected", func([][]byte) string { return "does not list the issuer" }},
		{"the stranger first", func(c [][]byte) [][]byte { return slices.Insert(c, 0, chain(t, stranger, "x", nil, 1)[0]) }, 0, 400, "Rejected", func([][]byte) string { return "does not list the issuer" }},
		{"a broken signature", func(c [][]byte) [][]byte { c[4][len(c[4])-1] ^= 1; return c }, 4, 400, "Rejected", func([][]byte) string { return "signature" }},
		{"not CBOR", func(c [][]byte) [][]byte { return slices.Insert(c, 5, broken) }, 5, 400, "Malformed request", func([][]byte) string { return "item 5 of the CBOR sequence" }},
		{"not CBOR at first", func(c [][]byte) [][]byte { return slices.Insert(c, 0, broken) }, 0, 400, "Malformed request", func([][]byte) string { return "item 0" }},
		{"other CBOR", func(c [][]byte) [][]byte { return slices.Insert(c, 1, []byte{0xf6}) }, 1, 400, "Malformed request", func([][]byte) string { return "not a COSE_Sign1" }},
		{"too large", func(c [][]byte) [][]byte { return slices.Insert(c, 1, huge) }, 1, 413, "Statement Too Large", func([][]byte) string { return "hash envelope" }},
		{"the first too large", func(c [][]byte) [][]byte { return slices.Insert(c, 0, huge) }, 0, 413, "Statement Too Large", func([][]byte) string { return "hash envelope" }},
		{"a policy", func(c [][]byte) [][]byte {
			return slices.Insert(c, 3, s.signPolicy(admin, document(t, key, admin, s.InForce().ID.String(), nil)))
		}, 3, 400, "Rejected", func([][]byte) string { return "send it by itself" }},
		{"too many", func(c [][]byte) [][]byte { return slices.Concat(c, slices.Repeat(c[:1], 995)) }, 0, 413, "Too Many Statements", func([][]byte) string { return "more than 1000 statements" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := checker.Check(t, nil).Checkpoint.Size
			all := chain(t, key, fmt.Sprint(i), nil, 6)
			sent := c.build(slices.Clone(all))
			a, receipts, problem := s.bulk(sent)
			after := checker.Check(t, nil).Checkpoint.Size
			if after != before+uint64(c.good) {
				t.Errorf("the log grew by %d entries, want %d", after-before, c.good)
			}
			if c.title == "" {
				if problem != nil || a.StatusCode != http.StatusOK {
					t.Fatalf("%s %v", a.Status, problem)
				}
			} else {
				if problem == nil || problem.Status != c.status || problem.Title != c.title || !strings.Contains(problem.Detail, c.detail(all)) {
					t.Fatalf("%s: %v, want %d %q with %q", a.Status, problem, c.status, c.title, c.detail(all))
				}
				if (a.StatusCode == http.StatusOK) != (len(receipts) > 0) {
					t.Errorf("%s with %d receipts", a.Status, len(receipts))
				}
			}
			if len(receipts) > 0 {
				s.verifyAll(sent[:len(receipts)], receipts, false)
			}
		})
	}
	// A refused one in the middle leaves nothing behind: anybody can send one
	// with somebody else's id.
	gap := chain(t, key, "late", nil, 4)
	s.bulk([][]byte{gap[0], gap[2], gap[3]})
	if p := s.get("/entries/" + head(gap, 2)).problem(t); p == nil || p.Title != "Not Found" {
		t.Errorf("the refused one: %v", p)
	}
	if p := s.get("/entries/" + head(gap, 3)).problem(t); p == nil || p.Title != "Not Found" {
		t.Errorf("the one behind it: %v", p)
	}
	// Any other content type is the single way.
	two := chain(t, key, "single", nil, 2)
	for _, media := range []string{"application/cose", "", "application/cbor", "application/cbor-seq-not"} {
		if p := s.do(http.MethodPost, "/entries", slices.Concat(two...), "Content-Type", media).problem(t); p == nil || !strings.Contains(p.Detail, "trail the COSE_Sign1") {
			t.Errorf("two statements as %q: %v", media, p)
		}
	}
	if a := s.do(http.MethodPost, "/entries", slices.Concat(two...), "Content-Type", "Application/CBOR-Seq; x=y"); a.StatusCode != http.StatusOK {
		t.Errorf("with a parameter: %s", a.Status)
	}
	// Too much; not over a connection, which is closed before all of it is sent.
	r := httptest.NewRequest(http.MethodPost, "/entries", bytes.NewReader(append(two[0], make([]byte, 4<<20)...)))
	r.Header.Set("Content-Type", cborSeq)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if p := testlog.Must(scitt.ParseProblem(w.Code, w.Body.Bytes()))(t); p.Status != 413 || p.Title != "Too Many Statements" || !strings.Contains(p.Detail, "4194304 bytes") {
		t.Errorf("too much: %v", p)
	}
	replay(t, s)
}

// TestBulkLater: an answer that does not wait for Receipts is given when all
// is durable, and the same request again gives them.
func TestBulkLater(t *testing.T) {
	t.Parallel()
	key := testlog.Key(t, "ES256")
	admin := testlog.Key(t, "ES256")
	policy := withPolicy(t, document(t, key, admin, "", map[string]any{"chain": "required"}))
	s := newService(t, func(c *daemon.Config) { policy(c); c.CheckpointInterval = time.Second })
	var all, sent [][]byte
	var a answer
	for n := range 500 { // until the checkpoint does not come just then
		all = chain(t, key, fmt.Sprint("c", n), nil, 20)
		sent = slices.Concat(all[:10], all[15:16])
		if a, _, _ = s.bulk(sent, "Prefer", "respond-async"); a.StatusCode == http.StatusAccepted {
			break
		}
	}
	if a.StatusCode != http.StatusAccepted || len(a.body) != 0 || a.Header.Get("Retry-After") == "" {
		t.Fatalf("%s, %d bytes, Retry-After %q", a.Status, len(a.body), a.Header.Get("Retry-After"))
	}
	_, receipts, problem := s.bulk(sent)
	if problem == nil || !strings.Contains(problem.Detail, "gap") {
		t.Errorf("again: %v", problem)
	}
	s.verifyAll(all[:10], receipts, true)
	// Published is published, also for a client that does not wait, and after a restart:
	// when tiles have to be read that the start has no need for.
	more := chain(t, key, "more", nil, 600)
	s.bulk(more)
	s.stop()
	s.start()
	if a, receipts, problem := s.bulk(more[300:310], "Prefer", "respond-async"); a.StatusCode != http.StatusOK || len(receipts) != 10 {
		t.Errorf("after a restart: %s %v", a.Status, problem)
	}
	s.stop()
	s.start()
	if a := s.do(http.MethodPost, "/entries", more[300], "Prefer", "respond-async"); a.StatusCode != http.StatusCreated {
		t.Errorf("one after a restart: %s %v", a.Status, a.problem(t))
	}
}

// TestBulkFork: of many that continue one chain at once, with one request
// each, one wins all of it and the others nothing.
func TestBulkFork(t *testing.T) {
	t.Parallel()
	key := testlog.Key(t, "ES256")
	s, _ := chained(t, key, nil)
	var head []byte
	for round := range 5 {
		var won, lost atomic.Int64
		var winner atomic.Pointer[[][]byte]
		var group sync.WaitGroup
		for range 6 {
			group.Go(func() {
				all := chain(t, key, "c", head, 40)
				a, receipts, problem := s.bulk(all)
				switch {
				case a.StatusCode == http.StatusOK && problem == nil && len(receipts) == 40:
					won.Add(1)
					winner.Store(&all)
				case a.StatusCode == http.StatusBadRequest && strings.Contains(problem.Detail, "the head of the chain"):
					lost.Add(1)
				default:
					t.Errorf("%s, %d receipts, %v", a.Status, len(receipts), problem)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 || lost.Load() != 5 {
			t.Fatalf("round %d: %d won and %d lost", round, won.Load(), lost.Load())
		}
		head = (*winner.Load())[39]
	}
	if size := s.size(); size != 2+5*40 {
		t.Errorf("the log has %d entries", size)
	}
	replay(t, s)
}

// TestBulkOfManyChains: requests that want the same chains in another order do
// not wait for each other for ever, and one has all of them at a time.
func TestBulkOfManyChains(t *testing.T) {
	t.Parallel()
	key := testlog.Key(t, "ES256")
	s, _ := chained(t, key, nil)
	for round := range 10 {
		var won atomic.Int64
		var group sync.WaitGroup
		for w := range 4 {
			group.Go(func() {
				var all [][]byte
				for i := range 4 {
					all = append(all, chain(t, key, fmt.Sprint(round, (w+i)%4), nil, 1)...)
				}
				a, receipts, problem := s.bulk(all)
				switch {
				case problem == nil && len(receipts) == 4:
					won.Add(1)
				case a.StatusCode != http.StatusBadRequest:
					t.Errorf("%s, %d receipts, %v", a.Status, len(receipts), problem)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 {
			t.Errorf("round %d: %d won", round, won.Load())
		}
	}
	replay(t, s)
}
