package daemon_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/vectors"
	"github.com/conmotion/conmotion/scitt"
)

// twin is the same content with another valid signature.
func twin(t testing.TB, key crypto.Signer, statement []byte) []byte {
	t.Helper()
	return testlog.Must(vectors.Twin(key, statement))(t)
}

// garbage is the same content with a signature that does not verify.
func garbage(statement []byte) []byte {
	out := slices.Clone(statement)
	out[len(out)-1] ^= 1
	return out
}

func parsed(t testing.TB, statement []byte) *scitt.Statement {
	t.Helper()
	return testlog.Must(scitt.ParseStatement(statement))(t)
}

// conflicts holds an answer to what docs/formats.md says of another signature.
func (s *service) conflicts(a answer, statement []byte) {
	s.t.Helper()
	p := a.problem(s.t)
	location := s.Issuer + "/entries/" + parsed(s.t, statement).ID().String()
	if p == nil || p.Status != http.StatusConflict || p.Title != "Already Registered" || !strings.Contains(p.Detail, location+"/statement") ||
		a.Header.Get("Location") != location || a.Header.Get("Cache-Control") != "no-store" {
		s.t.Errorf("another signature: %s, Location %q: %v", a.Status, a.Header.Get("Location"), p)
	}
}

// holds says which statement is at the place of its id.
func (s *service) holds(statement []byte) {
	s.t.Helper()
	st := parsed(s.t, statement)
	a := s.get("/entries/" + st.ID().String() + "/statement")
	if a.StatusCode != http.StatusOK || !bytes.Equal(parsed(s.t, a.body).Entry(), st.Entry()) {
		s.t.Errorf("entry %s: %s, and not the one that is registered", st.ID(), a.Status)
	}
}

func signers(t testing.TB) map[string]crypto.Signer {
	t.Helper()
	return map[string]crypto.Signer{
		"ES256": testlog.Key(t, "ES256"), "ES384": testlog.Key(t, "ES384"), "EdDSA": testlog.Key(t, "EdDSA"),
		"PS256": testlog.Must(rsa.GenerateKey(rand.Reader, 2048))(t),
	}
}

func (s *service) post(statement []byte, headers ...string) answer {
	s.t.Helper()
	return s.do(http.MethodPost, "/entries", statement, headers...)
}

// TestTwin: one content is one entry, whoever comes first with whatever
// signature, and after a restart too.
func TestTwin(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	receipts := map[string][]byte{}
	var order [][2][]byte
	for alg, key := range signers(t) {
		for i, swap := range []bool{false, true} {
			first := testlog.Statement(t, key, "asset", fmt.Append(nil, alg, i))
			second := twin(t, key, first)
			if swap {
				first, second = second, first
			}
			// Nothing that does not verify decides what the id is.
			if p := s.post(garbage(first)).problem(t); p == nil || p.Status != 400 || p.Title != "Rejected" {
				t.Errorf("%s: garbage: %v", alg, p)
			}
			if p := s.get("/entries/" + parsed(t, first).ID().String()).problem(t); p == nil || p.Status != 404 || p.Title != "Not Found" {
				t.Errorf("%s: the id after garbage: %v", alg, p)
			}
			receipts[string(first)] = s.register(first)
			order = append(order, [2][]byte{first, second})
		}
	}
	for range 2 {
		for _, o := range order {
			s.conflicts(s.post(o[1]), o[1])
			s.conflicts(s.post(o[1], "Prefer", "respond-async"), o[1])
			s.holds(o[0])
			if p := s.post(garbage(o[0])).problem(t); p == nil || p.Status != 400 || p.Title != "Rejected" || !strings.Contains(p.Detail, "another signature") {
				t.Errorf("garbage over what is registered: %v", p)
			}
			if err := s.verify(o[0], s.register(o[0])); err != nil {
				t.Errorf("the same bytes again: %v", err)
			}
			// What is not signed makes no difference.
			if err := s.verify(o[0], s.register(scitt.AttachReceipts(parsed(t, o[0]), []byte("x")))); err != nil {
				t.Error(err)
			}
		}
		if view := s.checker().Check(t, receipts); view.Checkpoint.Size != 10 {
			t.Errorf("the log has %d entries", view.Checkpoint.Size)
		}
		s.stop()
		s.start()
	}
}

// TestTwinsTogether sends a statement and its twin at once, and each twice: one
// of them is registered, and the other one never is, nor is it accepted.
func TestTwinsTogether(t *testing.T) {
	t.Parallel()
	const pairs, workers = 1000, 20 // workers for each key
	s := newService(t, nil)
	var mu sync.Mutex
	receipts := map[string][]byte{}
	var group sync.WaitGroup
	for _, key := range []crypto.Signer{testlog.Key(t, "ES256"), testlog.Key(t, "EdDSA")} {
		for w := range workers {
			group.Go(func() {
				for i := range pairs / 2 / workers {
					first := testlog.Statement(t, key, "asset", fmt.Appendf(nil, "%d %d", w, i))
					forms := [][]byte{first, twin(t, key, first)}
					answers := make([][]answer, len(forms))
					var together sync.WaitGroup
					var guard sync.Mutex
					for n := range 4 {
						together.Go(func() {
							form := (n + i) % 2
							var headers []string
							if (i/2)%2 == 1 {
								headers = []string{"Prefer", "respond-async"}
							}
							a := s.post(forms[form], headers...)
							guard.Lock()
							defer guard.Unlock()
							answers[form] = append(answers[form], a)
						})
					}
					together.Wait()
					winner := 0
					if answers[0][0].StatusCode == http.StatusConflict {
						winner = 1
					}
					for _, a := range answers[winner] {
						if a.StatusCode != http.StatusCreated && a.StatusCode != http.StatusAccepted {
							t.Errorf("one of the two: %s %v", a.Status, a.problem(t))
						}
						if a.StatusCode == http.StatusCreated {
							mu.Lock()
							receipts[string(forms[winner])] = a.body
							mu.Unlock()
						}
					}
					for _, a := range answers[1-winner] {
						s.conflicts(a, first)
					}
				}
			})
		}
	}
	group.Wait()
	view := s.checker().Check(t, receipts)
	if want := uint64(2 + pairs); view.Checkpoint.Size != want || len(receipts) < pairs/4 {
		t.Errorf("the log has %d entries, want %d; %d receipts", view.Checkpoint.Size, want, len(receipts))
	}
}

// TestTwinInBatch: in one request the second of two signatures is where it
// ends, with 4.09; the same bytes twice are fine.
func TestTwinInBatch(t *testing.T) {
	t.Parallel()
	key := testlog.Key(t, "ES256")
	s := newService(t, nil)
	checker := s.checker()
	for i, c := range []struct {
		sent    string // letters are statements, capitals their twins, x garbage of a
		good    int
		code    byte // of the problem
		grown   int
		earlier string // sent before, by itself
	}{
		{"aA", 1, 0x89, 1, ""}, {"Aa", 1, 0x89, 1, ""}, {"abAc", 2, 0x89, 2, ""}, {"aab", 3, 0, 2, ""}, {"aaAb", 2, 0x89, 1, ""},
		{"axb", 1, 0x80, 1, ""}, {"bcA", 2, 0x89, 2, "a"}, {"bac", 3, 0, 2, "a"}, {"bAc", 3, 0, 2, "A"}, {"bxc", 1, 0x80, 1, "a"},
	} {
		make1 := func(r rune) []byte {
			data := testlog.Must(scitt.SignStatement(key, scitt.SignOptions{Subject: "asset"}, fmt.Append(nil, i, strings.ToLower(strings.ReplaceAll(string(r), "x", "a")))))(t)
			return data
		}
		made := map[rune][]byte{}
		for _, r := range "abc" {
			made[r] = make1(r)
			made[r-'a'+'A'] = twin(t, key, made[r])
		}
		made['x'] = garbage(made['a'])
		if c.earlier != "" {
			s.register(made[rune(c.earlier[0])])
		}
		before := checker.Check(t, nil).Checkpoint.Size
		var sent [][]byte
		for _, r := range c.sent {
			sent = append(sent, made[r])
		}
		a, receipts, problem := s.bulk(sent)
		if a.StatusCode != http.StatusOK || len(receipts) != c.good {
			t.Errorf("%s: %s, %d receipts, %v", c.sent, a.Status, len(receipts), problem)
			continue
		}
		for n, r := range receipts {
			if err := s.verify(sent[n], r); err != nil {
				t.Errorf("%s: %v", c.sent, err)
			}
		}
		if (problem == nil) != (c.code == 0) || problem != nil && (problem.Status%100 != int(c.code&31) || problem.Status/100 != int(c.code>>5)) {
			t.Errorf("%s: %v, want code %#x", c.sent, problem, c.code)
		}
		if after := checker.Check(t, nil).Checkpoint.Size; after != before+uint64(c.grown) {
			t.Errorf("%s: the log grew by %d entries", c.sent, after-before)
		}
	}
	// The very first: the answer is that of a single statement.
	first := testlog.Statement(t, key, "asset", []byte("alone"))
	s.register(first)
	a, _, _ := s.bulk([][]byte{twin(t, key, first), testlog.Statement(t, key, "asset", []byte("behind"))})
	s.conflicts(a, first)
}

// TestTwinAttacks: what a stranger could do with copies of statements.
func TestTwinAttacks(t *testing.T) {
	t.Parallel()
	provider, admin, other := testlog.Key(t, "ES256"), testlog.Key(t, "ES256"), testlog.Key(t, "ES256")
	s := newService(t, withPolicy(t, document(t, provider, admin, "", map[string]any{"chain": "optional"})))
	records := chain(t, provider, "assets", nil, 3)
	for _, r := range records {
		s.register(r)
	}
	// A copy of a record is no second record, and not the head of the chain.
	for _, r := range records {
		s.conflicts(s.post(twin(t, provider, r)), r)
	}
	for _, next := range chain(t, provider, "assets", records[2], 1) {
		s.register(next)
	}
	// A copy of a policy changes nothing, also when it comes while the policy
	// itself is on its way; nor does one of the service's keys.
	before := s.InForce()
	doc := document(t, other, admin, before.ID.String(), nil)
	change := s.signPolicy(admin, doc)
	s.register(change)
	if s.InForce().ID == before.ID {
		t.Fatal("the policy did not change")
	}
	inForce := s.InForce()
	s.conflicts(s.post(twin(t, admin, change)), change)
	for _, index := range []string{"0", "1"} {
		// Entries 0 and 1 are ES256 too: a stranger needs no key for their twin.
		own := parsed(t, s.get("/entries/"+index+"/statement").body).Entry()
		s.conflicts(s.post(twin(t, testlog.Key(t, "ES256"), own)), own)
		s.register(own) // the same bytes
	}
	if s.InForce() != inForce {
		t.Error("a copy changed the policy")
	}
	// The same bytes are known whatever the policy is now; another signature
	// cannot be verified without the issuer's key.
	if err := s.verify(records[0], s.register(records[0])); err != nil {
		t.Error(err)
	}
	if p := s.post(twin(t, provider, records[0])).problem(t); p == nil || p.Status != 400 || p.Title != "Rejected" || !strings.Contains(p.Detail, "does not list the issuer") {
		t.Errorf("another signature of an issuer that is not in the policy any more: %v", p)
	}
	s.checker().Check(t, nil)
	replay(t, s)
}

// TestTwinElsewhere: in a log that asks for low s a copy is not there before
// the issuer; in another one it may be, and the content is the same.
func TestTwinElsewhere(t *testing.T) {
	t.Parallel()
	provider, admin := testlog.Key(t, "ES256"), testlog.Key(t, "ES256")
	record := testlog.Statement(t, provider, "asset", []byte("{}"))
	low := newService(t, withPolicy(t, document(t, provider, admin, "", map[string]any{"signature": "low-s"})))
	if p := low.post(twin(t, provider, record)).problem(t); p == nil || p.Status != 400 || p.Title != "Rejected" || !strings.Contains(p.Detail, "replace s by n-s") {
		t.Errorf("high s: %v", p)
	}
	low.register(record)
	low.conflicts(low.post(twin(t, provider, record)), record) // it is about who signed
	open := newService(t, nil)
	open.register(twin(t, provider, record))
	open.conflicts(open.post(record), record)
	open.holds(twin(t, provider, record))
}

// TestIndexOfOldVersion: an index in which ids were others is built anew.
func TestIndexOfOldVersion(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := newService(t, func(c *daemon.Config) { c.Logger = testLogger(&log) })
	key := testlog.Key(t, "ES256")
	statement := testlog.Statement(t, key, "asset", nil)
	s.register(statement)
	s.stop()
	oldIndex(t, s.config.Dir)
	s.start()
	if !strings.Contains(log.String(), "made anew from the log") || !strings.Contains(log.String(), "made by an older version (1, and this is ") {
		t.Errorf("the log does not say why: %s", log.String())
	}
	s.holds(statement)
	s.conflicts(s.post(twin(t, key, statement)), statement)
}

func testLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// oldIndex makes the index one of the version before.
func oldIndex(t *testing.T, dir string) {
	t.Helper()
	db := testlog.Must(sql.Open("sqlite", filepath.Join(dir, "private", "index.db")))(t)
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "PRAGMA user_version = 1"); err != nil {
		t.Fatal(err)
	}
}
