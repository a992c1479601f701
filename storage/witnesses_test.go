package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/internal/testwitness"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/witness"
	"github.com/conmotion/conmotion/witness/ask"
)

// witnessed is a log with three witnesses, of which two are needed.
type witnessed struct {
	*service
	w      []*testwitness.Witness
	policy *witness.Policy
	ask    *ask.Witnesses
	key    int
}

const timeout = 2 * time.Second

func newWitnessed(t testing.TB) *witnessed {
	t.Helper()
	s := &witnessed{service: &service{t: t, path: testwait.Dir(t), keys: testlog.NewKeys(t)}}
	for i := range 3 {
		s.w = append(s.w, testwitness.Start(t, fmt.Sprintf("w%d.example", i), s.keys.VKeys[0]))
	}
	s.policy = testlog.Must(witness.ParsePolicy([]byte(testwitness.Policy(2, s.w...))))(t)
	s.change = func(o *storage.Options) {
		s.ask = testlog.Must(ask.New(s.policy, s.keys.VKeys[0], ask.Options{Timeout: timeout, Logger: o.Logger}))(t)
		o.Witnesses = s.ask
	}
	t.Cleanup(s.close)
	return s
}

func (s *witnessed) cosigned(raw []byte) *witness.Cosigned {
	s.t.Helper()
	return testlog.Must(s.policy.Open(raw))(s.t)
}

// public is the public checkpoint; nil for none.
func (s *witnessed) public() []byte {
	raw, err := os.ReadFile(s.dir.Public("checkpoint"))
	if err != nil {
		return nil
	}
	return raw
}

// statement is another one each time.
func (s *witnessed) statement() []byte {
	s.key++
	return testlog.Statement(s.t, testlog.Key(s.t, "ES256"), "asset", fmt.Append(nil, s.key))
}

// answers makes a fault out of what a witness answers to a request.
func answers(status int, body string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		rw.WriteHeader(status)
		io.WriteString(rw, body)
	}
}

// hangs does not answer for as long as the client waits.
func hangs(_ http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// signs answers with a line over what the checkpoint is changed to, at a time.
func signs(key *scitt.Cosigner, change func(body string) string, at func() time.Time) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		req, err := witness.ParseAddCheckpoint(data)
		if err != nil {
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		body, _, _ := strings.Cut(string(req.Checkpoint), "\n\n")
		line, err := key.Cosign([]byte(change(body+"\n")), at())
		if err != nil {
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(rw, "— %s %s\n", line.Name, line.Base64)
	}
}

func same(body string) string { return body }

// TestWitnessFaults: whatever one witness of three does, checkpoints are published with the
// cosignatures of the two others, and Receipts carry them. It is never counted,
// and when it behaves again its cosignatures are there.
func TestWitnessFaults(t *testing.T) {
	stranger := testlog.NewCosigner(t, "stranger.example", "Ed25519")
	for name, fault := range map[string]func(key *scitt.Cosigner) http.HandlerFunc{
		"it hangs":             func(*scitt.Cosigner) http.HandlerFunc { return hangs },
		"500":                  func(*scitt.Cosigner) http.HandlerFunc { return answers(500, "out of order") },
		"404":                  func(*scitt.Cosigner) http.HandlerFunc { return answers(404, "") },
		"302":                  func(*scitt.Cosigner) http.HandlerFunc { return answers(302, "") },
		"200 with nothing":     func(*scitt.Cosigner) http.HandlerFunc { return answers(200, "") },
		"200 with garbage":     func(*scitt.Cosigner) http.HandlerFunc { return answers(200, "fine\n") },
		"200 without end":      func(*scitt.Cosigner) http.HandlerFunc { return answers(200, strings.Repeat("— x eA==\n", 10000)) },
		"409 with a huge size": func(*scitt.Cosigner) http.HandlerFunc { return answers(409, "18446744073709551615\n") },
		"409 with size 0":      func(*scitt.Cosigner) http.HandlerFunc { return answers(409, "0\n") },
		"409 with size 1":      func(*scitt.Cosigner) http.HandlerFunc { return answers(409, "1\n") },
		"409 without a size":   func(*scitt.Cosigner) http.HandlerFunc { return answers(409, "") },
		"409 with no number":   func(*scitt.Cosigner) http.HandlerFunc { return answers(409, "-1\n") },
		"another tree": func(k *scitt.Cosigner) http.HandlerFunc {
			return signs(k, func(b string) string { return strings.Replace(b, "\n", "\n1", 1) }, time.Now)
		},
		"another log": func(k *scitt.Cosigner) http.HandlerFunc {
			return signs(k, func(b string) string { return "x" + b }, time.Now)
		},
		"an unknown key": func(*scitt.Cosigner) http.HandlerFunc { return signs(stranger, same, time.Now) },
		"an old timestamp": func(k *scitt.Cosigner) http.HandlerFunc {
			return signs(k, same, func() time.Time { return time.Now().Add(-time.Hour) })
		},
		"a timestamp to come": func(k *scitt.Cosigner) http.HandlerFunc {
			return signs(k, same, func() time.Time { return time.Now().Add(time.Hour) })
		},
		"the connection breaks": func(*scitt.Cosigner) http.HandlerFunc {
			return func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newWitnessed(t)
			s.w[1].Fail(fault(s.w[1].Key))
			s.open()
			for range 2 {
				s.add(s.statement())
				if _, _, receipt := s.add(s.statement()); !bytes.Contains(receipt, []byte("w0.example")) || !bytes.Contains(receipt, []byte("w2.example")) {
					t.Errorf("the receipt does not carry the two: %q", receipt)
				}
			}
			if c := s.cosigned(s.public()); c.Quorum() != nil || len(c.By) != 2 {
				t.Errorf("cosigned by %s", c)
			}
			if name != "it hangs" {
				testwait.Until(t, func() bool { return s.ask.States()[1].Err != nil }, "something is wrong with w1")
			}
			// It is good again: the same tree gets its line too, and Receipts with it.
			size := s.log.PublishedSize()
			s.w[1].Fail(nil)
			testwait.Until(t, func() bool { return len(s.cosigned(s.log.Published().Checkpoint.Raw).By) == 3 }, "the late cosignature is not added")
			if s.log.PublishedSize() != size || !bytes.Equal(s.public(), s.log.Published().Checkpoint.Raw) {
				t.Errorf("%d entries, not %d: %s", s.log.PublishedSize(), size, s.public())
			}
			s.checker().Check(t, nil)
		})
	}
}

// TestWitnessClosed: without the quorum nothing is public and no Receipt is given.
// The log goes on with it, also after a restart meanwhile.
func TestWitnessClosed(t *testing.T) {
	t.Parallel()
	s := newWitnessed(t)
	s.open()
	s.add(s.statement())
	s.add(s.statement())
	testwait.Until(t, func() bool { return len(s.cosigned(s.public()).By) == 3 }, "all cosign")
	before := s.public()
	s.w[0].Fail(answers(500, ""))
	s.w[2].Fail(hangs)
	entry := testlog.Must(scitt.ParseStatement(s.statement()))(t).Entry()
	wait := testlog.Must(s.log.Append(t.Context(), entry))(t)
	index, _, err := wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	none, cancel := context.WithTimeout(t.Context(), timeout+time.Second)
	defer cancel()
	if view, err := s.log.Await(none, index); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("published without a quorum: %+v, %v", view, err)
	}
	if err := s.log.Settle(t.Context(), index); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(s.public(), before) {
		t.Errorf("the public checkpoint changed: %s", s.public())
	}
	s.close()
	s.open()
	if err := s.log.Settle(t.Context(), index); err != nil || !bytes.Equal(s.public(), before) {
		t.Errorf("after a restart: %v: %s", err, s.public())
	}
	s.w[0].Fail(nil)
	view := testlog.Must(s.log.Await(t.Context(), index))(t)
	if c := s.cosigned(view.Checkpoint.Raw); c.Quorum() != nil {
		t.Errorf("cosigned by %s", c)
	}
}

// TestWitnessOpen: in open mode checkpoints are public without the quorum, and
// get it when it comes.
func TestWitnessOpen(t *testing.T) {
	t.Parallel()
	s := newWitnessed(t)
	closed := s.change
	var log bytes.Buffer
	s.change = func(o *storage.Options) {
		closed(o)
		o.Unwitnessed = true
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	}
	for _, w := range s.w {
		w.Fail(answers(503, "later"))
	}
	s.open()
	s.add(s.statement())
	s.add(s.statement())
	if c := s.cosigned(s.public()); len(c.By) != 0 {
		t.Errorf("cosigned by %s", c)
	}
	for _, w := range s.w {
		w.Fail(nil)
	}
	testwait.Until(t, func() bool { return len(s.cosigned(s.public()).By) == 3 }, "the cosignatures are not added")
	s.close()
	if !strings.Contains(log.String(), "published without the quorum") {
		t.Errorf("nothing is said: %s", &log)
	}
}

// TestWitnessesLater: a log that had none does not open, so that no Receipt is made,
// before a quorum cosigned the checkpoint that it has.
func TestWitnessesLater(t *testing.T) {
	t.Parallel()
	s := newWitnessed(t)
	later := s.change
	s.change = nil
	s.open()
	s.add(s.statement())
	s.add(s.statement())
	s.close()
	s.change = later
	before := s.public()
	for _, w := range s.w[1:] {
		w.Fail(answers(503, "later"))
	}
	opened := make(chan error)
	go func() { opened <- s.tryOpen() }()
	select {
	case err := <-opened:
		t.Fatalf("it opens without a quorum: %v", err)
	case <-time.After(time.Second):
	}
	if !bytes.Equal(s.public(), before) {
		t.Errorf("the public checkpoint changed: %s", s.public())
	}
	s.w[1].Fail(nil)
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	if c := s.cosigned(s.public()); c.Quorum() != nil || !bytes.Equal(s.public(), s.log.Published().Checkpoint.Raw) {
		t.Errorf("cosigned by %s", c)
	}
	s.w[2].Fail(nil)
	testwait.Until(t, func() bool { return len(s.cosigned(s.public()).By) == 3 }, "not everybody cosigns what is there")
}

// TestWitnessPolicies that a log cannot use are refused at once.
func TestWitnessPolicies(t *testing.T) {
	keys, w := testlog.NewKeys(t), testlog.NewCosigner(t, "w.example", "Ed25519")
	mirror := "witness m " + testlog.NewCosigner(t, "m.example", "Ed25519").String() // its key signs what is public, so it has no URL
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	for text, want := range map[string]string{
		"witness w " + w.String() + "\nquorum w\n":                                                             "the witnesses with a URL are []",
		"witness w " + w.String() + " ftp://w.example\nquorum w\n":                                             "not the URL of a witness",
		"log " + testlog.NewKeys(t).VKeys[0] + "\nwitness w " + w.String() + " " + server.URL + "\nquorum w\n": "its logs are others",
		"log " + keys.VKeys[0] + "\nwitness w " + w.String() + " " + server.URL + "\nquorum w\n":               "",
		mirror + "\nquorum m\n": "the key of a mirror has none, since it signs what is public already",
		"witness w " + testlog.NewCosigner(t, "w.example/mirror", "Ed25519").String() + " " + server.URL + "\nquorum w\n": "", // a name says nothing
		mirror + "\nwitness w " + w.String() + " " + server.URL + "\ngroup g any m w\nquorum g\n":                         "",
		"quorum none\n": "",
	} {
		p := testlog.Must(witness.ParsePolicy([]byte(text)))(t)
		_, err := ask.New(p, keys.VKeys[0], ask.Options{})
		if want == "" && err != nil || want != "" && (!errors.Is(err, witness.ErrPolicy) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
