package main

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
)

// managerOn speaks to a management socket.
func managerOn(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
}

// TestDrainManagement: who waits for a policy to be registered gets the answer
// from a service that was told to end.
func TestDrainManagement(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	p := start(t, nil, nil, "--dir", t.TempDir(), "--listen", "127.0.0.1:0", "--checkpoint-interval", "1s", "--manage-socket", socket)
	answer := make(chan string, 1)
	go func() {
		resp, err := managerOn(socket).Post("http://manage/policy", "application/json", strings.NewReader(`{"version":1,"trust_anchors":{"self_certifying":["did:key"]}}`))
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		answer <- fmt.Sprint(resp.Status, " ", string(body), " ", err)
	}()
	for inForce := uint64(1); inForce < 2; { // in force is before published
		_, body := p.get("/.well-known/transparency-configuration")
		inForce = testlog.Must(scitt.ParseConfiguration(body))(t).Policy.Index
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		t.Errorf("SIGTERM: %v\n%s", err, p.stderr)
	}
	if got := <-answer; !strings.HasPrefix(got, `200 OK {"entry_id":`) {
		t.Errorf("the answer is %s", got)
	}
}

// chainWriter continues one chain over all lives of a service. A statement
// whose fate is not known is sent again until it is.
type chainWriter struct {
	key     crypto.Signer
	link    scitt.ChainLink // of the next statement
	next    atomic.Uint64   // its seq
	pending []byte
}

func (w *chainWriter) write(ctx context.Context, t *testing.T, p *process) {
	for ctx.Err() == nil {
		if w.pending == nil {
			link := w.link
			w.pending = testlog.Must(scitt.SignStatement(w.key, scitt.SignOptions{Subject: "asset", Chain: &link}, fmt.Append(nil, link.Seq)))(t)
		}
		status, body, err := p.post(ctx, w.pending, "respond-async")
		switch {
		case err != nil || status == http.StatusServiceUnavailable:
			continue
		case status != http.StatusCreated && status != http.StatusAccepted:
			t.Errorf("statement %d of the chain: status %d %q", w.link.Seq, status, body)
			return
		}
		id := testlog.Must(scitt.ParseStatement(w.pending))(t).ID()
		w.link, w.pending = scitt.ChainLink{Name: w.link.Name, Seq: w.link.Seq + 1, Prev: id[:]}, nil
		w.next.Store(w.link.Seq)
	}
}

// TestKillWhilePolicyChanges ends the service with SIGKILL while its policy is
// changed under load, and a chain grows. Whatever the moment, the log has a policy or has not:
// the audit of the files finds every entry admitted by the policy at its
// place, and the next start has the last one in force.
func TestKillWhilePolicyChanges(t *testing.T) {
	t.Parallel()
	conmotion := tool(t)
	dir := t.TempDir()
	socket := filepath.Join(t.TempDir(), "s")
	args := []string{"--dir", dir, "--listen", testwait.Address(t), "--batch-max-age", "5ms", "--rate", "0", "--manage-socket", socket}
	manager := managerOn(socket)
	changed := make(chan struct{}, 1)
	chain := &chainWriter{key: testlog.Key(t, "ES256"), link: scitt.ChainLink{Name: "c"}}
	for range 5 {
		p := start(t, nil, nil, args...)
		seq := chain.next.Load()
		ctx, cancel := context.WithCancel(t.Context())
		a := &acknowledged{receipts: map[string][]byte{}}
		var group sync.WaitGroup
		group.Go(func() { a.load(ctx, t, p, 4) })
		group.Go(func() { chain.write(ctx, t, p) })
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				// Two policies in turn that both admit the load, with a rule each.
				doc := fmt.Sprintf(`{"version":1,"description":"%d","chain":"optional","trust_anchors":{"self_certifying":["did:jwk"]},"rules":[{"id":"r","expr":"payload_size < %d","message":"small"}]}`, i, 1000+i)
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://manage/policy", bytes.NewReader([]byte(doc)))
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := manager.Do(req)
				if err != nil {
					continue // the service is gone
				}
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					if resp.StatusCode != http.StatusServiceUnavailable {
						t.Errorf("policy: %s %q", resp.Status, body)
					}
					continue
				}
				select {
				case changed <- struct{}{}:
				case <-ctx.Done():
				}
			}
		})
		for range 3 { // so that every life has seen some
			<-changed
		}
		testwait.Until(t, func() bool { return chain.next.Load() > seq || t.Failed() }, "the chain grows")
		select {
		case <-time.After(time.Duration(rand.IntN(100)) * time.Millisecond):
		case <-t.Context().Done():
		}
		p.signal(syscall.SIGKILL)
		cancel()
		group.Wait()
	}
	p := start(t, nil, nil, args...)
	p.checker(dir).Check(t, nil)
	_, body := p.get("/.well-known/transparency-configuration")
	inForce := testlog.Must(scitt.ParseConfiguration(body))(t).Policy
	public := filepath.Join(dir, "public")
	show := conmotion("policy", "show", "--static", public, "--json")
	show.Stderr = new(buffer)
	out, err := show.Output()
	if err != nil {
		t.Fatalf("%v\n%v", err, show.Stderr)
	}
	var shown struct {
		EntryID string `json:"entry_id"`
	}
	if err := json.Unmarshal(out, &shown); err != nil || shown.EntryID != inForce.EntryID {
		t.Errorf("the service has the policy %s, the log's last one is %s (%v)\n%s", inForce.EntryID, shown.EntryID, err, out)
	}
	if out, err := conmotion("audit", public).CombinedOutput(); err != nil {
		t.Errorf("audit: %v\n%s", err, out)
	}
	if inForce.Index < 10 || chain.link.Seq < 5 {
		t.Errorf("the last policy is entry %d, and the chain has %d statements: this was no test", inForce.Index, chain.link.Seq)
	}
}
