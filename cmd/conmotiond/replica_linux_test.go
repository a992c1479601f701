package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/cloudtest/parts"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
)

var cloud parts.Tests

// clients are how many register at once: a log in a bucket publishes once a second.
const clients = 64

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
	for c := range clients {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				statement := testlog.Statement(t, key, "asset", fmt.Appendf(nil, "%s %d %d", name, c, i))
				if status, body, err := p.post(ctx, statement, "wait=60"); err == nil && status == http.StatusCreated {
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

// pair are two instances of one log in a bucket.
type pair struct {
	t        *testing.T
	cloud    parts.Cloud
	behind   *strings.Replacer // of addresses that the first one, which writes, reaches by others
	bucket   parts.Bucket
	database string
	flags    []string
	dirs     [2]string
	admin    [2]*process // the operator's side of each
	public   [2]*process
}

// newPair starts an instance, gives its keys to a second one, and starts that.
func newPair(t *testing.T, servers parts.Cloud, more ...string) *pair {
	t.Helper()
	return newPairBehind(t, servers, strings.NewReplacer(), more...)
}

// newPairBehind is newPair with other addresses for the first one.
func newPairBehind(t *testing.T, servers parts.Cloud, behind *strings.Replacer, more ...string) *pair {
	t.Helper()
	p := &pair{t: t, cloud: servers, behind: behind, bucket: testlog.Must(servers.NewBucket(t.Context(), true))(t), dirs: [2]string{t.TempDir(), t.TempDir()}}
	p.database = testlog.Must(servers.NewDatabase(t.Context()))(t)
	artifacts := testlog.Must(servers.NewBucket(t.Context(), false))(t).Location
	p.flags = append([]string{"--issuer", "http://transparency.example", "--artifacts-public", "--writer-lease", "2s", "--trusted-proxies", "127.0.0.1",
		"--storage", p.bucket.Location, "--database", p.database, "--artifacts", artifacts}, more...)
	p.run(0)
	if err := os.MkdirAll(filepath.Join(p.dirs[1], "private"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"service.json", "checkpoint-key.pem", "receipt-key.pem", "service-key.pem"} {
		data := testlog.Must(os.ReadFile(filepath.Join(p.dirs[0], "private", name)))(t)
		if err := os.WriteFile(filepath.Join(p.dirs[1], "private", name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.run(1)
	return p
}

// startBehind runs conmotiond with other addresses of the servers.
func startBehind(t *testing.T, servers parts.Cloud, behind *strings.Replacer, flags ...string) *process {
	t.Helper()
	var env []string
	for name, value := range servers.Environment() {
		env = append(env, name+"="+behind.Replace(value))
	}
	flags = slices.Clone(flags)
	for n := range flags {
		flags[n] = behind.Replace(flags[n])
	}
	return start(t, env, nil, flags...)
}

// run starts an instance.
func (p *pair) run(i int) {
	p.t.Helper()
	address, admin := testwait.Address(p.t), testwait.Address(p.t)
	flags := append(slices.Clone(p.flags), "--dir", p.dirs[i], "--listen", address, "--admin-listen", admin)
	behind := p.behind
	if i > 0 {
		behind = strings.NewReplacer()
	}
	p.public[i] = startBehind(p.t, p.cloud, behind, flags...)
	p.public[i].url = "http://" + address // the issuer is not where it listens
	p.admin[i] = &process{t: p.t, url: "http://" + admin}
}

func (p *pair) checker() *testlog.Checker {
	p.t.Helper()
	_, body := p.public[1].get("/.well-known/transparency-configuration")
	return testlog.NewChecker(p.t, p.bucket.URL, testlog.Must(scitt.ParseConfiguration(body))(p.t).CheckpointKeys, p.public[1].keys())
}

// says waits until a page of the operator's side of an instance has this text.
func (p *pair) says(i int, path, text string) {
	p.t.Helper()
	testwait.Until(p.t, func() bool {
		_, body := p.admin[i].get(path)
		return strings.Contains(string(body), text)
	}, path, " of instance ", i, " says ", text)
}

// ask sends a request and gives the answer with its headers.
func (p *process) ask(method, path string, body []byte, headers ...string) (*http.Response, []byte) {
	p.t.Helper()
	req := testlog.Must(http.NewRequestWithContext(p.t.Context(), method, p.url+path, bytes.NewReader(body)))(p.t)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp := testlog.Must(httpClient.Do(req))(p.t)
	defer resp.Body.Close()
	return resp, testlog.Must(io.ReadAll(resp.Body))(p.t)
}

// TestReplica: a replica answers what the writer answers, and says what it is.
func TestReplica(t *testing.T) { cloud.Each(t, replica) }

func replica(t *testing.T, servers parts.Cloud) {
	p := newPair(t, servers, "--rate", "0.1", "--burst", "300")
	writer, replica := p.public[0], p.public[1]
	p.says(0, "/readyz", "ok\nwriter, term 1")
	p.says(1, "/readyz", "ok\nreplica of "+writer.url+", term 1")
	p.says(0, "/metrics", "conmotion_writer 1")
	p.says(1, "/metrics", "conmotion_writer 0")
	p.says(1, "/metrics", "conmotion_term 1")
	p.says(1, "/metrics", "conmotion_follower_lag_seconds 0.")

	// Registered at the replica, and there at once, also before it has followed.
	statement := testlog.Statement(t, testlog.Key(t, "ES256"), "asset", []byte("one"))
	created, receipt := replica.ask(http.MethodPost, "/entries", statement, "Content-Type", "application/cose")
	if created.StatusCode != http.StatusCreated {
		t.Fatalf("at the replica: %s %s", created.Status, receipt)
	}
	id := testlog.Must(scitt.ParseStatement(statement))(t).ID().String()
	for _, path := range []string{"/entries/" + id, "/entries/" + id + "/statement", "/entries/" + id + "/proof", "/entries/2", "/checkpoint",
		"/.well-known/scitt-keys", "/.well-known/transparency-configuration", "/tile/entries/000.p/3", "/tile/0/000.p/3", "/entries?from=0"} {
		if a, body := replica.ask(http.MethodGet, path, nil); a.StatusCode != http.StatusOK || len(a.Header.Values("Access-Control-Allow-Origin")) != 1 {
			t.Errorf("%s: %s %v %s", path, a.Status, a.Header, body)
		}
	}
	testwait.Until(t, func() bool {
		_, body := p.admin[1].get("/metrics")
		metrics := string(body)
		return strings.Contains(metrics, "conmotion_checkpoint_size 3") && strings.Contains(metrics, "conmotion_index_lag 0")
	}, "the replica has followed")
	// Now from its own index: without a hop.
	if a, body := replica.ask(http.MethodGet, "/entries/"+id, nil, "Via", "1.1 conmotion"); a.StatusCode != http.StatusOK || !bytes.Equal(body, receipt) {
		t.Errorf("the Receipt at the replica: %s", a.Status)
	}
	if a, _ := replica.ask(http.MethodGet, "/search?q=asset", nil); a.StatusCode != http.StatusOK {
		t.Errorf("search at the replica: %s", a.Status)
	}

	// 404 is the writer's word; a request goes one hop.
	unknown := "/entries/" + strings.Repeat("0", 64)
	if a, _ := replica.ask(http.MethodGet, unknown, nil); a.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown id: %s", a.Status)
	}
	for _, path := range []string{unknown, "/entries/99", "/tile/0/001"} {
		if a, _ := replica.ask(http.MethodGet, path, nil, "Via", "1.1 conmotion"); a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s for another replica: %s", path, a.Status)
		}
	}
	if a, body := replica.ask(http.MethodGet, "/nothing", nil, "Via", "1.1 conmotion"); a.StatusCode != http.StatusNotFound {
		t.Errorf("a path that no instance has: %s %s", a.Status, body)
	}

	// The writer counts a client of the replica's as the client that it is.
	var last int
	var direct *http.Response
	for refused := 0; refused < 5; { // a request may be allowed again before the next
		a, _ := replica.ask(http.MethodPost, "/entries", statement, "X-Forwarded-For", "192.0.2.1")
		if last = a.StatusCode; last == http.StatusCreated {
			continue
		}
		refused++
		if direct, _ = writer.ask(http.MethodPost, "/entries", statement, "X-Forwarded-For", "192.0.2.1"); direct.StatusCode != http.StatusCreated {
			break
		}
	}
	other, _ := writer.ask(http.MethodPost, "/entries", statement, "X-Forwarded-For", "192.0.2.2")
	if last != http.StatusTooManyRequests || direct.StatusCode != http.StatusTooManyRequests || other.StatusCode != http.StatusCreated {
		t.Errorf("rates of a client at both: %d, %s, and another client %s", last, direct.Status, other.Status)
	}

	// An artifact is stored by any instance, and each has it.
	if a, _ := replica.ask(http.MethodPost, "/artifacts", []byte("artifact")); a.StatusCode != http.StatusCreated {
		t.Errorf("an artifact: %s", a.Status)
	}
	digest := sha256.Sum256([]byte("artifact"))
	if a, body := writer.ask(http.MethodGet, fmt.Sprintf("/artifacts/sha256/%x", digest), nil); string(body) != "artifact" {
		t.Errorf("the artifact at the writer: %s %s", a.Status, body)
	}

	// No writer: what the replica knows is answered, and nothing else is denied.
	if err := writer.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if a, _ := replica.ask(http.MethodGet, "/entries/"+id, nil); a.StatusCode != http.StatusOK {
		t.Errorf("without a writer: %s", a.Status)
	}
	if a, _ := replica.ask(http.MethodGet, unknown, nil); a.StatusCode == http.StatusServiceUnavailable && a.Header.Get("Retry-After") == "" || a.StatusCode == http.StatusOK {
		t.Errorf("an unknown id without a writer: %s", a.Status)
	}
	p.says(1, "/readyz", "ok\nwriter, term 2")
	_ = writer.signal(syscall.SIGKILL) // it was killed
	if a, body := replica.ask(http.MethodGet, unknown, nil); a.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown id at the new writer: %s %s", a.Status, body)
	}
}

// TestTakeOver: of two instances with a log in a bucket the second one goes on when
// the first one stands still or is killed under load, while clients send to the
// second one only. The one that stood still and wakes up adds nothing. In the end the
// bucket alone, with both of them off, has every entry that was acknowledged, once, and
// all Receipts verify.
func TestTakeOver(t *testing.T) { cloud.Each(t, takeOver) }

func takeOver(t *testing.T, servers parts.Cloud) {
	p := newPair(t, servers, "--search=false")
	checker := p.checker()
	l := &load{receipts: map[string][]byte{}}
	l.more.L = &l.mu
	for round, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
		old, now := p.public[round%2], p.public[1-round%2]
		stop := l.clients(t, now, fmt.Sprint(round))
		l.await(60)
		began := time.Now()
		if err := old.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if sig == syscall.SIGKILL {
			_ = old.signal(sig) // it was killed
		}
		p.says(1-round%2, "/metrics", "conmotion_writer 1")
		l.await(clients + 1) // more than what may have been on its way
		t.Logf("%v: statements are registered again after %v", sig, time.Since(began).Round(10*time.Millisecond))
		if sig == syscall.SIGSTOP {
			// It wakes up with entries in its queue. It ends.
			sig = syscall.SIGCONT
			if err := old.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			late := testlog.Statement(t, testlog.Key(t, "ES256"), "asset", []byte("late"))
			if status, body, err := old.post(t.Context(), late, "wait=2"); err == nil && status/100 == 2 {
				t.Errorf("the old writer answers %d %x", status, body)
			}
		}
		if err := old.signal(sig); sig == syscall.SIGCONT && (err == nil || !strings.Contains(old.stderr.String(), "it took over")) {
			t.Errorf("the old writer ends with %v\n%s", err, old.stderr)
		}
		l.await(60)
		p.run(round % 2) // it follows now
		p.says(round%2, "/readyz", "ok\nreplica of "+now.url)
		stop()
		checker.Check(t, l.receipts)
	}
	for _, instance := range p.public {
		if err := instance.signal(syscall.SIGTERM); err != nil {
			t.Errorf("%v\n%s", err, instance.stderr)
		}
	}
	view := checker.Check(t, l.receipts)
	t.Logf("%d entries, %d acknowledged", view.Checkpoint.Size, len(l.receipts))
}
