package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
)

// signed are n statements.
func signed(t testing.TB, n int) [][]byte {
	t.Helper()
	key, err := scitt.GenerateKey("EdDSA")
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for i := range n {
		data, err := scitt.SignStatement(key, scitt.SignOptions{Subject: "asset"}, fmt.Append(nil, i))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data)
	}
	return all
}

// taker is a service whose Receipts are tagged copies of the statements' ids.
// It is told how to behave; nil takes everything.
type taker struct {
	t     *testing.T
	n     int             // requests
	sizes []int           // statements in each
	got   []scitt.EntryID // registered, once each
	does  func(n int, items [][]byte) (register int, status int, after *scitt.Problem)
	plain bool // it knows no sequences
}

func (s *taker) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	items := [][]byte{body}
	sequence := r.Header.Get("Content-Type") == "application/cbor-seq"
	if sequence {
		if items, err = scitt.SplitSequence(body); err != nil {
			s.t.Fatal(err)
		}
	}
	s.sizes = append(s.sizes, len(items))
	if sequence && s.plain {
		return s.refuse(w, &scitt.Problem{Status: 400, Title: "Malformed request", Detail: "bytes trail"}), nil
	}
	register, status, problem := len(items), 200, (*scitt.Problem)(nil)
	if s.does != nil {
		register, status, problem = s.does(s.n, items)
	}
	s.n++
	var answer []byte
	for _, item := range items[:register] {
		st, err := scitt.ParseStatement(item)
		if err != nil {
			s.t.Fatal(err)
		}
		id := st.ID()
		if !slices.Contains(s.got, id) {
			s.got = append(s.got, id)
		}
		answer = append(answer, receipt(id)...)
	}
	switch {
	case register == 0 && problem != nil:
		return s.refuse(w, problem), nil
	case !sequence:
		w.Header().Set("Location", r.URL.String()+"/"+s.got[len(s.got)-1].String())
		w.WriteHeader(201)
	case status != 200:
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(status)
		return w.Result(), nil
	}
	if problem != nil {
		answer = append(answer, problem.MarshalItem()...)
	}
	_, _ = w.Write(answer)
	return w.Result(), nil
}

func (s *taker) refuse(w *httptest.ResponseRecorder, p *scitt.Problem) *http.Response {
	w.WriteHeader(p.Status)
	_, _ = w.Write(p.Marshal())
	return w.Result()
}

// receipt stands for one: tag 18 around a byte string.
func receipt(id scitt.EntryID) []byte { return append([]byte{0xd2, 0x58, 32}, id[:]...) }

func TestRegisterAll(t *testing.T) {
	rejected := &scitt.Problem{Status: 400, Title: "Rejected", Detail: "no such issuer"}
	busy := &scitt.Problem{Status: 503, Title: "Log Busy", Detail: "wait"}
	slow := &scitt.Problem{Status: 429, Title: "Too Many Requests"}
	many := &scitt.Problem{Status: 413, Title: "Too Many Statements"}
	all := signed(t, 2300)
	// scripted does one thing after the other, and then everything.
	type act struct {
		register int // statements; -1 for all
		status   int
		problem  *scitt.Problem
	}
	for _, c := range []struct {
		name  string
		n     int
		acts  []act
		plain bool
		sizes []int
		done  int
		err   string
		least time.Duration
	}{
		{name: "nothing", n: 0},
		{name: "one", n: 1, done: 1, sizes: []int{1}},
		{name: "in parts", n: 2300, done: 2300, sizes: []int{1000, 1000, 300}},
		{name: "refused in the middle", n: 1500, acts: []act{{-1, 200, nil}, {200, 200, rejected}}, done: 1200, err: "statement 1201 of 1500: Rejected: no such issuer", sizes: []int{1000, 500}},
		{name: "refused at once", n: 20, acts: []act{{0, 400, rejected}, {0, 400, rejected}}, done: 0, err: "statement 1 of 20: register: Rejected: no such issuer", sizes: []int{20, 1}},
		{name: "refused at once in the second part", n: 1020, acts: []act{{-1, 200, nil}, {0, 400, rejected}, {0, 400, rejected}}, done: 1000, err: "statement 1001 of 1020", sizes: []int{1000, 20, 1}},
		{name: "busy at once", n: 20, acts: []act{{0, 503, busy}, {0, 429, slow}}, done: 20, sizes: []int{20, 20, 20}},
		{name: "busy in the middle", n: 20, acts: []act{{7, 200, busy}, {1, 200, busy}}, done: 20, sizes: []int{20, 13, 12}, least: 100 * time.Millisecond},
		{name: "Receipts come later", n: 20, acts: []act{{-1, 202, nil}, {-1, 202, nil}}, done: 20, sizes: []int{20, 20, 20}, least: 4 * time.Second},
		{name: "smaller requests", n: 20, acts: []act{{0, 413, many}, {0, 413, many}}, done: 20, sizes: []int{20, 10, 5, 5, 5, 5}},
		{name: "no sequences", n: 5, plain: true, done: 5, sizes: []int{5, 1, 4, 1, 1, 1, 1}},
		{name: "405", n: 3, acts: []act{{0, 405, &scitt.Problem{Status: 405}}}, done: 3, sizes: []int{3, 1, 1, 1}},
		{name: "415, and a refusal", n: 3, acts: []act{{0, 415, &scitt.Problem{Status: 415}}, {1, 201, nil}, {0, 400, rejected}}, done: 1, err: "statement 2 of 3", sizes: []int{3, 1, 1}},
		{name: "the head moved meanwhile", n: 2300, acts: []act{{0, 400, rejected}, {-1, 201, nil}}, done: 2300, sizes: []int{1000, 1, 1000, 1000, 299}},
		{name: "too few Receipts", n: 3, acts: []act{{2, 200, nil}}, err: "3 statements with 2 Receipts", sizes: []int{3}},
		{name: "never gets on", n: 3, acts: slices.Repeat([]act{{0, 503, busy}}, 5), err: "Log Busy", sizes: []int{3, 3, 3, 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &taker{t: t, plain: c.plain}
				s.does = func(n int, items [][]byte) (int, int, *scitt.Problem) {
					if n >= len(c.acts) {
						return len(items), 200, nil
					}
					a := c.acts[n]
					if a.register < 0 {
						a.register = len(items)
					}
					return a.register, a.status, a.problem
				}
				cl, err := client.New("https://ts.example", client.Options{HTTP: &http.Client{Transport: s}, Retries: 3})
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				done, err := cl.RegisterAll(t.Context(), all[:c.n])
				if (c.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				if p, ok := errors.AsType[*scitt.Problem](err); strings.Contains(c.err, "Rejected") && (!ok || p.Status != 400) {
					t.Errorf("the error is no problem: %v", err)
				}
				if time.Since(start) < c.least {
					t.Errorf("it took %v, want at least %v", time.Since(start), c.least)
				}
				if !slices.Equal(s.sizes, c.sizes) {
					t.Errorf("requests of %v statements, want %v", s.sizes, c.sizes)
				}
				if len(done) != c.done {
					t.Fatalf("%d registrations, want %d", len(done), c.done)
				}
				for i, r := range done {
					st, err := scitt.ParseStatement(all[i])
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(r.Receipt, receipt(st.ID())) || r.Location != "https://ts.example/entries/"+st.ID().String() || s.got[i] != st.ID() {
						t.Fatalf("registration %d is %+v", i, r)
					}
				}
			})
		})
	}
}

// A service that always wants to be asked again holds nobody longer than the context.
func TestRegisterAllContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &taker{t: t, does: func(int, [][]byte) (int, int, *scitt.Problem) { return 2, 202, nil }}
		cl, err := client.New("https://ts.example", client.Options{HTTP: &http.Client{Transport: s}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := cl.RegisterAll(ctx, signed(t, 2)); !errors.Is(err, client.ErrRunning) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if len(s.sizes) < 20 {
			t.Errorf("only %d requests in a minute", len(s.sizes))
		}
	})
}

// Requests are not larger than a service must take.
func TestRegisterAllSizes(t *testing.T) {
	key, err := scitt.GenerateKey("EdDSA")
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for range 150 {
		data, err := scitt.SignStatement(key, scitt.SignOptions{Subject: "asset"}, make([]byte, 60_000))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data)
	}
	s := &taker{t: t}
	cl, err := client.New("https://ts.example", client.Options{HTTP: &http.Client{Transport: s}})
	if err != nil {
		t.Fatal(err)
	}
	done, err := cl.RegisterAll(t.Context(), all)
	if err != nil || len(done) != len(all) || !slices.Equal(s.sizes, []int{69, 69, 12}) {
		t.Errorf("%d registrations by requests of %v statements, %v", len(done), s.sizes, err)
	}
}
