package main

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testprogram"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/internal/vectors"
	"github.com/conmotion/conmotion/scitt"
)

// acknowledged is what a service promised over all of its lives.
type acknowledged struct {
	mu       sync.Mutex
	key      crypto.Signer     // of all issuers
	receipts map[string][]byte // by statement; 201
	accepted []string          // statements; 202
	unsure   []string          // no answer: they may be in the log or not
	twins    map[string]string // other signatures of the same content, both ways
	lost     []string          // statements whose twin is in the log; 409
	faults   bool              // the disk fails, also under what is read
}

// made makes the content of every statement another.
var made atomic.Int64

// load sends statements until the context ends, half of them for a receipt
// later, some together with another signature of theirs, and statements without
// an answer of an earlier life again.
func (a *acknowledged) load(ctx context.Context, t *testing.T, p *process, workers int) {
	if a.key == nil {
		a.key = testlog.Key(t, "ES256")
	}
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				statement := a.again()
				if statement == "" {
					statement = string(testlog.Statement(t, a.key, "asset", fmt.Appendf(nil, "%d %d %d", w, i, made.Add(1))))
				}
				prefer := "wait=60"
				if i%2 == 1 {
					prefer = "respond-async"
				}
				var together sync.WaitGroup
				if i%3 == 0 {
					other := a.twin(t, statement)
					together.Go(func() {
						status, body, err := p.post(ctx, []byte(other), prefer)
						a.note(t, other, status, body, err)
					})
				}
				status, body, err := p.post(ctx, []byte(statement), prefer)
				a.note(t, statement, status, body, err)
				together.Wait()
			}
		})
	}
	group.Wait()
}

// await waits until there are so many receipts, acceptances and lost twins.
func (a *acknowledged) await(t *testing.T, receipts, accepted, lost int) {
	t.Helper()
	testwait.Until(t, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.receipts) >= receipts && len(a.accepted) >= accepted && len(a.lost) >= lost || t.Failed()
	}, "more is acknowledged")
}

// twin makes another signature of the content, or finds it.
func (a *acknowledged) twin(t *testing.T, statement string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if other, ok := a.twins[statement]; ok {
		return other
	}
	if a.twins == nil {
		a.twins = map[string]string{}
	}
	other := string(testlog.Must(vectors.Twin(a.key, []byte(statement)))(t))
	a.twins[statement], a.twins[other] = other, statement
	return other
}

func (a *acknowledged) again() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.unsure) == 0 {
		return ""
	}
	statement := a.unsure[0]
	a.unsure = a.unsure[1:]
	return statement
}

func (a *acknowledged) note(t *testing.T, statement string, status int, body []byte, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err != nil || status == http.StatusServiceUnavailable || a.faults && status == http.StatusInternalServerError:
		a.unsure = append(a.unsure, statement)
	case status == http.StatusCreated:
		a.receipts[statement] = body
	case status == http.StatusAccepted:
		a.accepted = append(a.accepted, statement)
	case status == http.StatusConflict && a.twins[statement] != "":
		a.lost = append(a.lost, statement)
	default:
		t.Errorf("status %d: %q", status, body)
	}
}

// check holds the log, and the service that serves it now, to all promises.
func (a *acknowledged) check(t *testing.T, p *process, checker *testlog.Checker) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	checker.Check(t, a.receipts)
	v := scitt.Verifier{LogKeys: p.keys()}
	find := func(statement string) {
		st := testlog.Must(scitt.ParseStatement([]byte(statement)))(t)
		status, body := p.get("/entries/" + st.ID().String())
		if status != http.StatusOK {
			t.Fatalf("an acknowledged statement is not found: status %d", status)
		}
		out := testlog.Must(v.Verify(scitt.AttachReceipts(st, body)))(t)
		if err := out.Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, statement := range a.lost {
		find(a.twins[statement])
	}
	for _, statement := range a.accepted {
		find(statement)
	}
	for statement := range a.receipts {
		find(statement)
	}
}

// TestKill ends the service with SIGKILL at random moments under load. Over
// all of its lives nothing that it acknowledged is lost or doubled.
func TestKill(t *testing.T) {
	t.Parallel()
	rounds := testprogram.Kills(5)
	dir := t.TempDir()
	args := []string{"--dir", dir, "--listen", testwait.Address(t), "--batch-max-age", "5ms", "--rate", "0"}
	a := &acknowledged{receipts: map[string][]byte{}}
	var checker *testlog.Checker
	for round := range rounds {
		p := start(t, nil, nil, args...)
		if checker == nil {
			checker = p.checker(dir)
		}
		if round%max(1, rounds/20) == 0 { // a look at everything takes longer with each life
			a.check(t, p, checker)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { a.load(ctx, t, p, 16) })
		a.await(t, 5*(round+1), 5*(round+1), round+1) // so that every life has promised something
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
	a.check(t, p, checker)
	if len(a.receipts) < rounds || len(a.accepted) < rounds || len(a.lost) < rounds {
		t.Errorf("only %d receipts, %d acceptances and %d other signatures: this was no test", len(a.receipts), len(a.accepted), len(a.lost))
	}
	// The index is disposable: without it the answers are the same.
	if err := p.signal(syscall.SIGTERM); err != nil {
		t.Fatalf("SIGTERM: %v\n%s", err, p.stderr)
	}
	for _, name := range testlog.Must(filepath.Glob(filepath.Join(dir, "private", "index.db*")))(t) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	p = start(t, nil, nil, args...)
	a.check(t, p, checker)
}

// TestKillFirstStart ends first starts with SIGKILL at random moments. The next
// ones complete what is there, and announce the keys that are there.
func TestKillFirstStart(t *testing.T) {
	t.Parallel()
	finished := 0
	for range 8 {
		dir := t.TempDir()
		args := []string{"--dir", dir, "--listen", testwait.Address(t)}
		for range 3 {
			cmd := exec.Command(testlog.Must(os.Executable())(t), args...)
			cmd.Env = append(os.Environ(), beConmotiond+"=1")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-time.After(time.Duration(rand.IntN(150)) * time.Millisecond):
			case <-t.Context().Done():
			}
			_ = cmd.Process.Kill() // it may have ended
			_ = cmd.Wait()
		}
		private := func(name string) string { return filepath.Join(dir, "private", name) }
		files := testlog.Must(filepath.Glob(private("*-key.pem")))(t)
		var before [][]byte
		for _, name := range files {
			before = append(before, testlog.Must(os.ReadFile(name))(t))
		}
		p := start(t, nil, nil, args...)
		view := p.checker(dir).Check(t, nil)
		first := testlog.Must(scitt.ParseStatement(testlog.Must(view.Entry(t.Context(), 0))(t)))(t)
		k := testlog.Must(scitt.FirstKeys(first, view.Checkpoint.Origin))(t)
		recovery := testlog.Must(scitt.ParsePrivateKey(testlog.Must(os.ReadFile(private("recovery-key.pem")))(t)))(t)
		if view.Checkpoint.Size != 2 || !bytes.Equal(testlog.KeySet(t, recovery)[0].ID, k.Recovery[0]) {
			t.Errorf("%d entries, recovery %x", view.Checkpoint.Size, k.Recovery)
		}
		for i, name := range files {
			if now := testlog.Must(os.ReadFile(name))(t); !bytes.Equal(now, before[i]) {
				t.Errorf("%s was replaced", name)
			}
		}
		if len(files) == 4 {
			finished++
		}
		if err := p.signal(syscall.SIGTERM); err != nil {
			t.Errorf("SIGTERM: %v\n%s", err, p.stderr)
		}
	}
	t.Logf("%d of 8 had all keys before their last start", finished)
}

// TestDrain: SIGTERM under load loses nothing, and every client that waits
// gets its answer.
func TestDrain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{"--dir", dir, "--listen", testwait.Address(t), "--checkpoint-interval", "1s", "--rate", "0"}
	p := start(t, nil, nil, args...)
	checker := p.checker(dir)
	key := testlog.Key(t, "ES256")
	a := &acknowledged{receipts: map[string][]byte{}}
	var group sync.WaitGroup
	var ids []string
	var answered atomic.Int64
	for i := range 40 {
		statement := testlog.Statement(t, key, "asset", fmt.Append(nil, i))
		ids = append(ids, testlog.Must(scitt.ParseStatement(statement))(t).ID().String())
		group.Go(func() {
			status, body, err := p.post(t.Context(), statement, "wait=60")
			answered.Add(1)
			if err != nil || status != http.StatusCreated {
				t.Errorf("a waiting client got %d %q, %v", status, body, err)
			}
			a.note(t, string(statement), status, body, err)
		})
	}
	// Once all of them are at the service, and most of them wait.
	for _, id := range ids {
		for status := http.StatusNotFound; status == http.StatusNotFound && !t.Failed(); {
			status, _ = p.get("/entries/" + id)
		}
	}
	t.Logf("%d of %d clients had their answer before the signal", answered.Load(), len(ids))
	if err := p.signal(syscall.SIGTERM); err != nil {
		t.Errorf("the service ended with %v\n%s", err, p.stderr)
	}
	group.Wait()
	checker.Check(t, a.receipts)
	p = start(t, nil, nil, args...)
	a.check(t, p, checker)
}
