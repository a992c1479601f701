package main

import (
	"bytes"
	"context"
	"crypto"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testprogram"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
)

// postAll registers statements in one request: the status, the Receipts and
// the problem behind them.
func (p *process) postAll(ctx context.Context, all [][]byte, prefer string) (status int, receipts [][]byte, problem *scitt.Problem, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/entries", bytes.NewReader(bytes.Join(all, nil)))
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Prefer", prefer)
	req.Header.Set("Content-Type", "application/cbor-seq")
	status, body, err := roundTrip(req)
	if err != nil || status == http.StatusAccepted {
		return status, nil, nil, err
	}
	if status != http.StatusOK {
		problem, err = scitt.ParseProblem(status, body)
		return status, nil, problem, err
	}
	if receipts, err = scitt.SplitSequence(body); err != nil {
		return status, nil, nil, err
	}
	if n := len(receipts); n > 0 {
		if item, err := scitt.ParseProblemItem(receipts[n-1]); err == nil {
			problem, receipts = item, receipts[:n-1]
		}
	}
	return status, receipts, problem, nil
}

// writer continues one chain in requests of many, over all lives of a service.
type writer struct {
	key  crypto.Signer
	name string
	sent [][]byte // signed and not acknowledged: they may be in the log or not
	link scitt.ChainLink
}

func newWriter(t *testing.T, name string) *writer {
	return &writer{key: testlog.Key(t, "ES256"), name: name, link: scitt.ChainLink{Name: name}}
}

// fill signs until n are unacknowledged.
func (w *writer) fill(t *testing.T, n int) {
	for len(w.sent) < n {
		link := w.link
		data, err := scitt.SignStatement(w.key, scitt.SignOptions{Subject: "asset", Chain: &link}, make([]byte, 500))
		if err != nil {
			t.Error(err)
			return
		}
		st, err := scitt.ParseStatement(data)
		if err != nil {
			t.Error(err)
			return
		}
		id := st.ID()
		w.link.Seq, w.link.Prev = link.Seq+1, id[:]
		w.sent = append(w.sent, data)
	}
}

// load sends until the context ends. What was not acknowledged is sent again,
// with more behind it.
func (w *writer) load(ctx context.Context, t *testing.T, p *process, a *acknowledged) {
	for ctx.Err() == nil {
		w.fill(t, 20+rand.IntN(100))
		prefer := "wait=60"
		if rand.IntN(2) == 1 {
			prefer = "respond-async"
		}
		status, receipts, problem, err := p.postAll(ctx, w.sent, prefer)
		switch {
		case err != nil: // the service is gone
		case status == http.StatusAccepted:
			a.mu.Lock()
			for _, s := range w.sent {
				a.accepted = append(a.accepted, string(s))
			}
			a.mu.Unlock()
			w.sent = nil
		case problem != nil && problem.Status != http.StatusServiceUnavailable:
			t.Errorf("chain %s: %d, %d receipts, %v\n%s", w.name, status, len(receipts), problem, p.stderr)
			return
		default:
			a.mu.Lock()
			for i, r := range receipts {
				a.receipts[string(w.sent[i])] = r
			}
			a.mu.Unlock()
			w.sent = w.sent[len(receipts):]
		}
	}
}

// tool gives commands of the tool, which remember no log of another test.
func tool(t *testing.T) func(args ...string) *exec.Cmd {
	t.Helper()
	program, home := testprogram.Path(t, "conmotion"), t.TempDir()
	return func(args ...string) *exec.Cmd {
		cmd := exec.Command(program, args...)
		cmd.Env = append(os.Environ(), "CONMOTION_HOME="+home)
		return cmd
	}
}

// auditor replays a log with the tool, and says what it finds.
func auditor(t *testing.T) func(dir string) {
	t.Helper()
	conmotion := tool(t)
	return func(dir string) {
		t.Helper()
		if out, err := conmotion("audit", filepath.Join(dir, "public")).CombinedOutput(); err != nil {
			t.Errorf("audit: %v\n%s", err, out)
		}
	}
}

func chainsRequired(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, []byte(`{"version":1,"trust_anchors":{"self_certifying":["did:jwk"]},"chain":"required"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestKillBulk ends the service with SIGKILL while chains grow by requests of
// many. Over all of its lives nothing that it acknowledged is lost, no chain
// has a gap, and each goes on where it was.
func TestKillBulk(t *testing.T) {
	t.Parallel()
	audit := auditor(t)
	dir := t.TempDir()
	args := []string{"--dir", dir, "--listen", testwait.Address(t), "--rate", "0", "--batch-max-size", "64", "--policy", chainsRequired(t)} // a request is of one batch or several
	a := &acknowledged{receipts: map[string][]byte{}}
	writers := []*writer{newWriter(t, "a"), newWriter(t, "b"), newWriter(t, "c")}
	var checker *testlog.Checker
	for round := range testprogram.Kills(3) {
		p := start(t, nil, nil, args...)
		if checker == nil {
			checker = p.checker(dir)
		}
		ctx, cancel := context.WithCancel(t.Context())
		receipts, accepted := len(a.receipts), len(a.accepted)
		var group sync.WaitGroup
		for _, w := range writers {
			group.Go(func() { w.load(ctx, t, p, a) })
		}
		a.await(t, receipts+100, accepted+100, 0) // so that every life has promised something
		moment := time.Duration(rand.IntN(400)) * time.Millisecond
		select {
		case <-time.After(moment):
		case <-t.Context().Done():
		}
		p.signal(syscall.SIGKILL)
		cancel()
		group.Wait()
		t.Logf("life %d: killed after %v, %d receipts and %d acceptances so far", round, moment, len(a.receipts), len(a.accepted))
	}
	p := start(t, nil, nil, args...)
	// What had no answer is sent once more, and each chain is whole.
	for _, w := range writers {
		w.fill(t, 1)
		status, receipts, problem, err := p.postAll(t.Context(), w.sent, "wait=60")
		if err != nil || problem != nil || len(receipts) != len(w.sent) {
			t.Errorf("chain %s does not go on: %d, %d of %d receipts, %v %v", w.name, status, len(receipts), len(w.sent), problem, err)
		}
	}
	a.check(t, p, checker)
	audit(dir)
	if len(a.receipts) < 100 || len(a.accepted) == 0 {
		t.Errorf("only %d receipts and %d acceptances: this was no test", len(a.receipts), len(a.accepted))
	}
}
