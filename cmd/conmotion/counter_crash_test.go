package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testprogram"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
)

// killPoint is where in a registration the command is killed.
type killPoint string

const (
	killNever    killPoint = ""
	killSigned   killPoint = "signed and not sent"
	killStored   killPoint = "in the log, and no receipt"
	killAnswered killPoint = "a receipt, and nothing printed"
)

// stopper is a service that stops at a point of a registration.
type stopper struct {
	http.Handler
	at      atomic.Value // killPoint
	reached chan struct{}
	mu      sync.Mutex
	sent    [][]byte // what was to be registered
}

// sends returns what was sent since it was called the last time.
func (s *stopper) sends() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := s.sent
	s.sent = nil
	return sent
}

func newStopper(t *testing.T, service string) (*stopper, string) {
	t.Helper()
	s := &stopper{Handler: httputil.NewSingleHostReverseProxy(testlog.Must(url.Parse(service))(t)), reached: make(chan struct{})}
	s.at.Store(killNever)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, server.URL
}

// ServeHTTP implements [http.Handler].
func (s *stopper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := s.at.Load().(killPoint)
	if r.Method != http.MethodPost || r.URL.Path != "/entries" {
		s.Handler.ServeHTTP(w, r)
		return
	}
	// That the client went away is seen only when its request has been read.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.mu.Lock()
	s.sent = append(s.sent, body)
	s.mu.Unlock()
	switch at {
	case killNever:
		s.Handler.ServeHTTP(w, r)
		return
	case killStored:
		s.Handler.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
	case killAnswered:
		s.Handler.ServeHTTP(w, r)
	}
	s.reached <- struct{}{}
	if at != killAnswered {
		<-r.Context().Done()
	}
}

// toolCommand is a call of the tool as a process of its own.
func toolCommand(t *testing.T, home string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testlog.Must(os.Executable())(t), args...)
	cmd.Args[0] = "conmotion"
	cmd.Env = append(os.Environ(), "CONMOTION_HOME="+home)
	return cmd
}

func completeTool(t *testing.T, home string, args ...string) string {
	t.Helper()
	cmd := toolCommand(t, home, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("conmotion %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out)
}

// killTool ends a call with SIGKILL when the service has come to that point.
// Its output goes where nobody reads, so that it cannot get to its end.
func killTool(t *testing.T, s *stopper, at killPoint, home string, args ...string) {
	t.Helper()
	cmd := toolCommand(t, home, args...)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	var full error
	if err := testlog.Must(w.SyscallConn())(t).Write(func(fd uintptr) bool {
		for full == nil {
			_, full = syscall.Write(int(fd), make([]byte, 4096))
		}
		return true
	}); err != nil || !errors.Is(full, syscall.EAGAIN) {
		t.Fatal(err, full)
	}
	cmd.Stdout = w
	s.at.Store(at)
	defer s.at.Store(killNever)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-s.reached:
	case err := <-ended:
		t.Fatalf("it ended before it was %s: %v", at, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Fatal("it was not killed")
	}
}

// TestKilledAttestation kills ack, endorse, dispute and withdraw at each point
// between signing and the end. The same call afterwards ends it, and the log
// has one statement.
func TestKilledAttestation(t *testing.T) {
	t.Parallel()
	daemon := testprogram.Path(t, "conmotiond")
	for name, policy := range map[string]string{
		"alone": `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}}`, "in a chain": `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}, "chain": "required"}`,
	} {
		t.Run(name, func(t *testing.T) {
			work := t.TempDir()
			home := filepath.Join(work, "home")
			s := &service{daemon: daemon, listen: "127.0.0.1:0"}
			rules := filepath.Join(work, "policy.json")
			if err := os.WriteFile(rules, []byte(policy), 0o600); err != nil {
				t.Fatal(err)
			}
			upstream := &service{daemon: daemon, listen: "127.0.0.1:0"}
			other := testlog.Must(upstream.start(filepath.Join(work, "upstream"), nil))(t)
			t.Cleanup(func() { _ = upstream.stop() })
			direct := testlog.Must(s.start(filepath.Join(work, "log"), []string{"--policy", rules}))(t)
			t.Cleanup(func() { _ = s.stop() })
			stop, log := newStopper(t, direct)

			key, record := filepath.Join(work, "key.pem"), filepath.Join(work, "record.cose")
			completeTool(t, home, "keygen", "--out", key)
			completeTool(t, home, "sign", "--key", key, "--type", scitt.TypeRecord, "--content-type", "application/json", "--sub", "inventory/a", "--out", record, filepath.Join("..", "..", "monitor", "testdata", "record.json"))
			completeTool(t, home, "submit", "--log", other, record)
			entry := other + "/entries/2"
			n := 0
			for _, at := range []killPoint{killSigned, killStored, killAnswered} {
				for _, args := range [][]string{
					{"ack", entry, "--asset", "vm " + string(at)},
					{"endorse", entry, "--scope", "existence", "--for", "24h", "--reason", string(at)},
					{"dispute", entry, "--scope", "owner", "--reason", string(at)},
					{"withdraw", "", "--reason", string(at)},
				} {
					if args[0] == "withdraw" { // what was endorsed
						args[1] = log + "/entries/" + newestEndorsement(t, log)
					}
					args = append(args, "--log", log, "--key", key)
					stop.sends()
					killTool(t, stop, at, home, args...)
					signed := stop.sends()
					// Another one of the same kind comes between, and is not taken for it.
					if args[0] == "ack" {
						completeTool(t, home, append(args, "--note", "another")...)
						n++
						stop.sends()
					}
					// A chain that went on without it takes it no more: it is signed again.
					result := "resumed "
					if at == killSigned && args[0] == "ack" && strings.Contains(policy, "chain") {
						result = "registered "
					}
					if out := completeTool(t, home, args...); !strings.HasPrefix(out, result) {
						t.Errorf("%s, %s: %q", args[0], at, out)
					}
					// The first that it sends are the bytes that were signed before the kill.
					if again := stop.sends(); len(signed) != 1 || !bytes.Equal(again[0], signed[0]) {
						t.Errorf("%s, %s: other bytes are sent than those that were signed", args[0], at)
					}
					n++
					if got := attestations(t, log); got != n {
						t.Fatalf("%s, %s: %d statements in the log, not %d", args[0], at, got, n)
					}
					if left := testlog.Must(filepath.Glob(filepath.Join(home, "journal", "*", "*")))(t); len(left) > 0 {
						t.Errorf("%s, %s: left %q", args[0], at, left)
					}
				}
			}
			// What was kept and is damaged is told, and nothing is registered over it.
			spoilt := []string{"dispute", entry, "--scope", "spoilt", "--log", log, "--key", key}
			killTool(t, stop, killSigned, home, spoilt...)
			kept := testlog.Must(filepath.Glob(filepath.Join(home, "journal", "*", "*")))(t)
			if len(kept) != 1 {
				t.Fatalf("kept %q", kept)
			}
			data := testlog.Must(os.ReadFile(kept[0]))(t)
			data[len(data)-1] ^= 1
			if err := os.WriteFile(kept[0], data, 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := toolCommand(t, home, spoilt...).CombinedOutput(); err == nil || !strings.Contains(string(out), "is damaged") {
				t.Errorf("%v: %s", err, out)
			}
			if got := attestations(t, log); got != n {
				t.Errorf("%d statements in the log, not %d", got, n)
			}
			if err := os.Remove(kept[0]); err != nil { // as the message says
				t.Fatal(err)
			}
			// Said again on purpose, it is another statement.
			again := []string{"dispute", entry, "--scope", "owner", "--from", "2026-01-01", "--log", log, "--key", key}
			for range 2 {
				if out := completeTool(t, home, again...); !strings.HasPrefix(out, "registered ") {
					t.Error(out)
				}
			}
		})
	}
}

// TestKilledRecord kills record at each point. The same call afterwards sends
// the bytes that were signed, and no second signature of what they say.
func TestKilledRecord(t *testing.T) {
	t.Parallel()
	r := newRecorders(t)
	_, direct := r.service("log", openPolicy)
	stop, log := newStopper(t, direct)
	for i, at := range []killPoint{killSigned, killStored, killAnswered} {
		args := []string{"record", "inventory", "--log", log, "--key", r.path("k.pem"), r.events("events.jsonl", 0, 3*(i+1))}
		killTool(t, stop, at, r.path("home"), args...)
		signed := stop.sends()
		completeTool(t, r.path("home"), args...)
		again := stop.sends()
		if len(signed) != 1 || at != killAnswered && len(again) != 1 || len(again) > 0 && !bytes.Equal(again[0], signed[0]) {
			t.Errorf("%s: %d requests and then %d, which are not the same bytes", at, len(signed), len(again))
		}
	}
	r.nothingPending("home")
	r.check("log", 9)
}

// TestKilledBetweenLogs kills submit while the second of two services registers.
// The Receipt of the first one is kept, and the same call goes on from it.
func TestKilledBetweenLogs(t *testing.T) {
	t.Parallel()
	daemon := testprogram.Path(t, "conmotiond")
	work := t.TempDir()
	home, key := filepath.Join(work, "home"), filepath.Join(work, "key.pem")
	var urls []string
	for _, name := range []string{"one", "two"} {
		s := &service{daemon: daemon, listen: "127.0.0.1:0"}
		urls = append(urls, testlog.Must(s.start(filepath.Join(work, name), nil))(t))
		t.Cleanup(func() { _ = s.stop() })
	}
	stop, second := newStopper(t, urls[1])
	completeTool(t, home, "keygen", "--out", key)
	for _, at := range []killPoint{killSigned, killStored, killAnswered} {
		out, in := filepath.Join(work, string(at)+".t.cose"), filepath.Join(work, string(at)+".cose")
		completeTool(t, home, "sign", "--key", key, "--sub", string(at), "--type", scitt.TypeEndorsement, "--out", in, key)
		args := []string{"submit", "--log", urls[0], "--also", second, "--out", out, in}
		killTool(t, stop, at, home, args...)
		completeTool(t, home, "verify", "--log", urls[0], out)
		completeTool(t, home, args...)
		completeTool(t, home, "verify", "--quorum", "2", "--log", urls[0], "--log", urls[1], out)
	}
	for _, url := range urls {
		if n := attestations(t, url); n != 3 {
			t.Errorf("%s has %d statements, not 3", url, n)
		}
	}
}

// attestations counts the acknowledgements and endorsements in a log.
func attestations(t *testing.T, log string) (n int) {
	t.Helper()
	each(t, log, func(*scitt.Statement) { n++ })
	return n
}

func newestEndorsement(t *testing.T, log string) (id string) {
	t.Helper()
	each(t, log, func(s *scitt.Statement) {
		if s.Type == scitt.TypeEndorsement {
			id = s.ID().String()
		}
	})
	return id
}

func each(t *testing.T, log string, visit func(*scitt.Statement)) {
	t.Helper()
	l := testlog.Must(party.Open(t.Context(), log, party.Options{}))(t)
	for e, err := range l.View.Entries(t.Context(), 0, l.View.Checkpoint.Size) {
		if err != nil {
			t.Fatal(err)
		}
		if s := testlog.Must(scitt.DecodeStatement(e.Data))(t); s.Type == scitt.TypeAcknowledgement || s.Type == scitt.TypeEndorsement {
			visit(s)
		}
	}
}
