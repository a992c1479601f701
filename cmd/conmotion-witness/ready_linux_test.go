package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/witness/cosigner"
)

// TestStarting: a witness that starts answers 503, in public and to its operator.
func TestStarting(t *testing.T) {
	t.Parallel()
	keys := filepath.Join(t.TempDir(), "keys")
	if err := syscall.Mkfifo(keys, 0o600); err != nil { // the start waits for a writer of it
		t.Fatal(err)
	}
	f := serveFlags{dir: t.TempDir(), keys: keys, interval: 1 << 40, burst: 1}
	f.server.Listen, f.server.AdminListen = testwait.Address(t), testwait.Address(t)
	f.server.Logger = slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, f, func(*cosigner.Witness, string) { t.Error("it began without keys") }) }()
	for address, want := range map[string]string{f.server.Listen + "/": "Starting", f.server.AdminListen + "/readyz": "starting\n"} {
		testwait.Until(t, func() bool {
			resp, err := http.Get("http://" + address)
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			body := testlog.Must(io.ReadAll(resp.Body))(t)
			return resp.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(body), want)
		}, address, " says ", want)
	}
	stop()
	if err := <-ended; err == nil {
		t.Error("it ended well without keys")
	}
}

// TestListIsFile: a list of logs that is read again and again is a file.
func TestListIsFile(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list")
	if err := syscall.Mkfifo(list, 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSources(serveFlags{dir: t.TempDir(), logs: []string{list}}, func(cosigner.List) error { return nil })
	if err := s.start(); err == nil || !strings.Contains(err.Error(), plain.ErrNotPlain.Error()) {
		t.Errorf("%v", err)
	}
}
