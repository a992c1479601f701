package main

import (
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
)

// TestAdmin: what only the operator may see is on its own address, says what
// the service does, and is not on the public one.
func TestAdmin(t *testing.T) {
	t.Parallel()
	admin := testwait.Address(t)
	p := start(t, nil, nil, "--dir", t.TempDir(), "--listen", "127.0.0.1:0", "--admin-listen", admin, "--log-format", "json")
	statement := testlog.Statement(t, testlog.Key(t, "ES256"), "asset", nil)
	for _, want := range []int{http.StatusCreated, http.StatusCreated} { // the second is a duplicate
		if status, body, err := p.post(t.Context(), statement, "wait=60"); err != nil || status != want {
			t.Fatalf("status %d %q %v", status, body, err)
		}
	}
	if status, _, err := p.post(t.Context(), []byte("x"), ""); err != nil || status != http.StatusBadRequest {
		t.Fatalf("status %d %v", status, err)
	}
	operator := &process{t: t, url: "http://" + admin}
	for path, want := range map[string][]string{
		"/healthz":              {"ok"},
		"/readyz":               {"ok"},
		"/debug/pprof/":         {"goroutine"},
		"/debug/pprof/cmdline":  {"--admin-listen"},
		"/debug/pprof/symbol":   {"num_symbols"},
		"/debug/pprof/heap?d=1": {""},
		"/metrics": {
			`conmotion_registrations_total{result="registered"} 1`, `conmotion_registrations_total{result="duplicate"} 1`, `conmotion_registrations_total{result="refused"} 1`,
			`conmotion_registration_duration_seconds_count{stage="sequenced"} 2`, `conmotion_registration_duration_seconds_count{stage="published"} 2`,
			`conmotion_registration_duration_seconds_count{stage="receipt"} 2`,
			"conmotion_index_lag ", "conmotion_checkpoint_age_seconds ", "conmotion_checkpoint_late_seconds 0", "conmotion_checkpoint_size 3", "conmotion_signatures_total ", "tessera_", "process_resident_memory_bytes ",
		},
	} {
		status, body := operator.get(path)
		if status != http.StatusOK {
			t.Errorf("%s: status %d %q", path, status, body)
		}
		for _, w := range want {
			if !strings.Contains(string(body), w) {
				t.Errorf("%s has no %s", path, w)
			}
		}
		if status, _ := p.get(path); status != http.StatusNotFound {
			t.Errorf("%s is public: status %d", path, status)
		}
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	for line := range strings.Lines(p.stderr.String()) {
		if !strings.HasPrefix(line, `{"time":`) {
			t.Errorf("--log-format json: %q", line)
		}
	}
}
