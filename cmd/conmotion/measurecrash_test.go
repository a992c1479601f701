package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testprogram"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/tiles"
)

// killing is a proxy that ends a process with SIGKILL when it registers
// something: before the service gets it, or after.
type killing struct {
	http.Handler
	mu     sync.Mutex
	victim *exec.Cmd // nil: let it live
	after  bool
}

func (k *killing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	victim := k.victim
	if r.Method == http.MethodPost && r.URL.Path == "/entries" && victim != nil {
		k.victim = nil
		k.mu.Unlock()
		if k.after {
			k.Handler.ServeHTTP(httptest.NewRecorder(), r)
		}
		_ = victim.Process.Kill()
		return
	}
	k.mu.Unlock()
	k.Handler.ServeHTTP(w, r)
}

// TestMeasureKill: a measurement that was signed when the command was killed
// is registered by the next one, once.
func TestMeasureKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := &service{daemon: testprogram.Path(t, "conmotiond"), listen: "127.0.0.1:0"}
	log := testlog.Must(s.start(filepath.Join(dir, "auditor"), nil))(t)
	t.Cleanup(func() { _ = s.stop() })
	proxy := &killing{Handler: httputil.NewSingleHostReverseProxy(testlog.Must(url.Parse(log))(t))}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command("conmotion", args...)
		cmd.Env = append(os.Environ(), "CONMOTION_HOME="+filepath.Join(dir, "home"), "GORACE=atexit_sleep_ms=0")
		return cmd
	}
	run := func(args ...string) string {
		t.Helper()
		var stderr strings.Builder
		cmd := command(args...)
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("conmotion %q: %v\n%s%s", args, err, out, stderr.String())
		}
		return string(out)
	}
	public, key, mirror := filepath.Join(dir, "auditor", "public"), filepath.Join(dir, "k.pem"), filepath.Join(dir, "mirror")
	run("keygen", "--out", key)
	run("export", "--log", public, "--out", mirror) // so that what is measured is the same at every run
	measure := []string{"measure", "inventory", "--log", server.URL, "--key", key, "--reported", mirror, "--observed", mirror,
		"--from", "2025-01-01", "--to", "2025-02-01", "--json"}
	for round, after := range []bool{false, true} {
		cmd := command(measure...)
		proxy.mu.Lock()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		proxy.victim, proxy.after = cmd, after
		proxy.mu.Unlock()
		if err := cmd.Wait(); err == nil {
			t.Fatal("it was not killed")
		}
		if out := run(measure...); !strings.Contains(out, `"resumed": true`) {
			t.Errorf("the next run does not say that it finished what was begun: %s", out)
		}
		if n := measurements(t, public); n != round+1 {
			t.Errorf("%d measurements after %d commands that were killed", n, round+1)
		}
	}
	// Nothing is left, so the next one is new. What is left of another grace
	// waits for the one who says it again.
	if out := run(measure...); !strings.Contains(out, `"resumed": false`) {
		t.Errorf("%s", out)
	}
	cmd := command(append(measure, "--grace", "1h")...)
	proxy.mu.Lock()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	proxy.victim, proxy.after = cmd, false
	proxy.mu.Unlock()
	_ = cmd.Wait()
	if out := run(measure...); !strings.Contains(out, `"resumed": false`) {
		t.Errorf("%s", out)
	}
	if out := run(append(measure, "--grace", "1h")...); !strings.Contains(out, `"resumed": true`) || !strings.Contains(out, fmt.Sprintf(`"index": %d`, 6)) {
		t.Errorf("%s", out)
	}
	if n := measurements(t, public); n != 5 {
		t.Errorf("%d measurements, and not 5", n)
	}
}

// measurements counts them in a log.
func measurements(t *testing.T, files string) (n int) {
	t.Helper()
	src := testlog.Must(tiles.Open(files, client.Options{}))(t)
	c := testlog.Must(scitt.ParseConfiguration(testlog.Must(src.Get(t.Context(), tiles.ConfigurationPath))(t)))(t)
	view := testlog.Must(tiles.NewLog(src, testlog.Must(scitt.NewCheckpointVerifiers(c.CheckpointKeys))(t)).Latest(t.Context()))(t)
	for e, err := range view.Entries(t.Context(), 0, view.Checkpoint.Size) {
		if err != nil {
			t.Fatal(err)
		}
		if s := testlog.Must(scitt.DecodeStatement(e.Data))(t); s.Type == scitt.TypeMeasurement {
			n++
		}
	}
	return n
}
