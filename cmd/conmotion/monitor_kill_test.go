package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testprogram"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/monitor/watch"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
)

// hook is a receiver of alerts that is down now and then.
type hook struct {
	mu    sync.Mutex
	flaky bool
	got   map[string]int // by id
	first map[string]string
	wrong int
}

// ServeHTTP implements [http.Handler].
func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	a, perr := watch.ParseAlert(data)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || perr != nil {
		return // the sender was killed
	}
	if h.flaky && rand.IntN(4) == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if old, ok := h.first[a.ID]; ok && old != string(data) {
		h.wrong++
	}
	h.first[a.ID] = string(data)
	h.got[a.ID]++
}

// serviceToWatch runs a real conmotiond and gives its URL.
func serviceToWatch(t *testing.T) string {
	t.Helper()
	s := &service{daemon: testprogram.Path(t, "conmotiond"), listen: "127.0.0.1:0"}
	url := testlog.Must(s.start(filepath.Join(t.TempDir(), "log"), []string{"--rate", "0", "--batch-max-age", "5ms"}))(t)
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return url
}

// TestMonitorKill ends the monitor with SIGKILL at random moments while a real
// service grows and a receiver is down now and then. Over all of its lives each
// alert reached each receiver, none is missing, and none is another's.
func TestMonitorKill(t *testing.T) {
	t.Parallel()
	rounds := testprogram.Kills(6)
	url := serviceToWatch(t)
	h := &hook{flaky: true, got: map[string]int{}, first: map[string]string{}}
	server := httptest.NewServer(h)
	defer server.Close()
	key := testlog.Key(t, "ES256")
	dir := t.TempDir()
	config := filepath.Join(dir, "monitor.yaml")
	text := fmt.Sprintf(`
interval: 50ms
alerts: {webhooks: [{name: hook, url: %s}]}
logs:
  - name: log
    location: %s
    from: start
    admission: {}
    records: [{name: mine, issuers: [%q]}]
    expected: [{name: never, subjects: [nobody], every: 50ms}]
`, server.URL, url, testlog.DIDJWK(t, key))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := testlog.Must(os.OpenFile(filepath.Join(dir, "lines"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600))(t)
	defer lines.Close()
	var stderr bytes.Buffer
	monitor := func(more ...string) *exec.Cmd {
		cmd := exec.Command(testlog.Must(os.Executable())(t))
		cmd.Args = append([]string{"conmotion", "monitor", "--json", "--config", config}, more...) // see TestMain
		cmd.Stdout, cmd.Stderr = lines, &stderr
		return cmd
	}

	// The service grows as long as the monitor is being killed.
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var mu sync.Mutex
	registered := map[string]bool{} // entry ids
	c := testlog.Must(client.New(url, client.Options{}))(t)
	for worker := range 4 {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				data := testlog.Statement(t, key, "asset", fmt.Appendf(nil, "%d %d", worker, i))
				if _, err := c.Register(t.Context(), data); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				registered[testlog.Must(scitt.ParseStatement(data))(t).ID().String()] = true
				mu.Unlock()
			}
		})
	}
	for round := range rounds {
		cmd := monitor()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		moment := time.Duration(50+rand.IntN(500)) * time.Millisecond
		select {
		case <-time.After(moment):
		case <-t.Context().Done():
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		h.mu.Lock()
		t.Logf("life %d: killed after %v, %d alerts so far", round, moment, len(h.got))
		h.mu.Unlock()
	}
	testwait.Until(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(registered) >= 3*rounds || t.Failed()
	}, "it was used")
	cancel()
	group.Wait()
	h.mu.Lock()
	h.flaky = false
	h.mu.Unlock()
	// Its last life ends by itself: the expected record never came.
	if err := monitor("--once").Run(); exitOf(err) != cli.ExitBad {
		t.Errorf("the last run: %v\n%s", err, &stderr)
	}
	if err := monitor("--once").Run(); exitOf(err) != cli.ExitBad {
		t.Errorf("and one more: %v\n%s", err, &stderr)
	}

	printed := map[string]int{}
	alerts := map[string]*watch.Alert{}
	for dec := json.NewDecoder(bytes.NewReader(testlog.Must(os.ReadFile(lines.Name()))(t))); dec.More(); {
		var a watch.Alert
		if err := dec.Decode(&a); err != nil {
			t.Fatalf("a line is torn: %v", err)
		}
		printed[a.ID]++
		alerts[a.ID] = &a
	}
	entries, expected := map[string]string{}, 0
	for id, a := range alerts {
		switch a.Check {
		case "record":
			if other, ok := entries[a.Entry.EntryID]; ok {
				t.Errorf("entry %d has the alerts %s and %s", a.Entry.Index, id, other)
			}
			entries[a.Entry.EntryID] = id
		case "expected":
			expected++
		default:
			t.Errorf("told %+v", a)
		}
		if h.got[id] == 0 {
			t.Errorf("the webhook never got %+v", a)
		}
	}
	for id := range registered {
		if entries[id] == "" {
			t.Errorf("entry %s was never told", id)
		}
	}
	if len(registered) < 3*rounds || len(entries) != len(registered) || expected != 1 || len(h.got) != len(alerts) || h.wrong > 0 {
		t.Errorf("%d registered, %d told, %d about the expected record, %d at the webhook, %d with another content", len(registered), len(entries), expected, len(h.got), h.wrong)
	}
	again := 0
	for _, n := range h.got {
		again += n - 1
	}
	reprinted := 0
	for _, n := range printed {
		reprinted += n - 1
	}
	// A webhook is noted after each alert, or after 100 when more than 100 wait.
	most := rounds
	if len(alerts) > 100 {
		most *= 100
	}
	if again > most {
		t.Errorf("%d repetitions at the webhook, of %d kills", again, rounds)
	}
	t.Logf("%d alerts; %d repetitions at the webhook, %d on lines", len(alerts), again, reprinted)
}

// TestMonitorInterrupt: an interrupt ends it in order; what it had told is not
// told again.
func TestMonitorInterrupt(t *testing.T) {
	keys := testlog.NewKeys(t)
	var files testlog.Files
	files.Publish(t, keys, keys.Begin(t, "{}"))
	dir := t.TempDir()
	files.WriteTo(t, filepath.Join(dir, "log"))
	config := filepath.Join(dir, "monitor.yaml")
	if err := os.WriteFile(config, []byte("logs: [{name: files, location: log, from: start, records: [{name: all}]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- runIn(ctx, []string{"monitor", "--config", config}, strings.NewReader(""), w, io.Discard)
		w.Close()
	}()
	out := bufio.NewReader(r)
	for _, want := range []string{"INFORMATIONAL  files  record (all): new keys, entry 0: ", "INFORMATIONAL  files  record (all): new policy, entry 1: "} {
		if line := testlog.Must(out.ReadString('\n'))(t); !strings.Contains(line, want) {
			t.Errorf("told %q", line)
		}
	}
	cancel()
	if rest := testlog.Must(io.ReadAll(out))(t); <-code != cli.ExitGood || len(rest) > 0 {
		t.Errorf("told %q", rest)
	}
	if got := runTool(t, "monitor", "--config", config, "--once"); got.code != cli.ExitGood || got.stdout != "" {
		t.Errorf("%+v", got)
	}
}

func exitOf(err error) int {
	if err == nil {
		return cli.ExitGood
	}
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return e.ExitCode()
	}
	return -1
}
