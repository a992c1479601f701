package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/cloudtest/parts"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

var cloud parts.Tests

// load is what clients registered, and their Receipts.
type load struct {
	mu       sync.Mutex
	more     sync.Cond
	receipts map[string][]byte
}

// clients register statements at a process until the function that they return is
// called.
func (l *load) clients(t *testing.T, p *process, name string) (stop func()) {
	key := testlog.Key(t, "ES256")
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for c := range 16 {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				statement := testlog.Statement(t, key, "asset", fmt.Appendf(nil, "%s %d %d", name, c, i))
				if status, body, err := p.post(ctx, statement, "wait=10"); err == nil && status == http.StatusCreated {
					l.mu.Lock()
					l.receipts[string(statement)] = body
					l.mu.Unlock()
					l.more.Broadcast()
				}
			}
		})
	}
	return func() { cancel(); group.Wait() }
}

// await waits for this many more Receipts.
func (l *load) await(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n += len(l.receipts); len(l.receipts) < n; {
		l.more.Wait()
	}
}

// TestTakeOver: of two instances with a log in a bucket the second one goes on when
// the first one stands still or is killed under load. The one that stood still and
// wakes up adds nothing. In the end the bucket alone, with both of them off, has every
// entry that was acknowledged, once, and all Receipts verify.
func TestTakeOver(t *testing.T) {
	servers := cloud.Parts(t)
	bucket := testlog.Must(servers.NewBucket(t.Context(), true))(t)
	flags := []string{"--issuer", "http://transparency.example", "--search=false", "--writer-lease", "2s",
		"--storage", bucket.Location, "--database", testlog.Must(servers.NewDatabase(t.Context()))(t)}
	dirs := [2]string{t.TempDir(), t.TempDir()}
	run := func(i int) *process {
		address := freeAddress(t)
		p := start(t, nil, nil, append(flags, "--dir", dirs[i], "--listen", address)...)
		p.url = "http://" + address // the issuer is not where it listens
		return p
	}
	l := &load{receipts: map[string][]byte{}}
	l.more.L = &l.mu
	now := run(0)
	_, body := now.get("/.well-known/transparency-configuration")
	checker := testlog.NewChecker(t, bucket.URL, testlog.Must(scitt.ParseConfiguration(body))(t).CheckpointKeys, now.keys())
	if err := os.MkdirAll(filepath.Join(dirs[1], "private"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"service.json", "checkpoint-key.pem", "receipt-key.pem", "service-key.pem"} {
		data := testlog.Must(os.ReadFile(filepath.Join(dirs[0], "private", name)))(t)
		if err := os.WriteFile(filepath.Join(dirs[1], "private", name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for round, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
		stop := l.clients(t, now, fmt.Sprint(round))
		l.await(60)
		old, began := now, time.Now()
		if err := old.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if sig == syscall.SIGKILL {
			_ = old.signal(sig) // it was killed
		}
		now = run(1 - round%2)
		t.Logf("%v: the next one serves after %v", sig, time.Since(began).Round(10*time.Millisecond))
		if sig == syscall.SIGSTOP {
			// It wakes up with entries in its queue, and with clients that wait. It ends.
			sig = syscall.SIGCONT
			if err := old.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			late := testlog.Statement(t, testlog.Key(t, "ES256"), "asset", []byte("late"))
			if status, body, err := old.post(t.Context(), late, "wait=2"); err == nil && status/100 == 2 {
				t.Errorf("the old writer answers %d %x", status, body)
			}
		}
		stop()
		if err := old.signal(sig); sig == syscall.SIGCONT && (err == nil || !strings.Contains(old.stderr.String(), "it took over")) {
			t.Errorf("the old writer ends with %v\n%s", err, old.stderr)
		}
		stop = l.clients(t, now, fmt.Sprint("after ", round))
		l.await(60)
		stop()
		checker.Check(t, l.receipts)
	}
	if err := now.signal(syscall.SIGTERM); err != nil {
		t.Errorf("%v\n%s", err, now.stderr)
	}
	view := checker.Check(t, l.receipts)
	t.Logf("%d entries, %d acknowledged", view.Checkpoint.Size, len(l.receipts))
}
