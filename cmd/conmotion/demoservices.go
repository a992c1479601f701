//go:build !light

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/klog/v2"

	"github.com/conmotion/conmotion/cmd/internal/daemon"
)

// demoService is a Transparency Service of the demonstration.
type demoService struct {
	name, url, dir string
	daemon         *daemon.Daemon
	server         *http.Server
	failed         chan error
}

// quietTessera is for the whole process, before the first service: Tessera
// logs by itself.
func quietTessera() { klog.SetSlogLogger(slog.New(slog.DiscardHandler)) }

// startDemoService runs a service on a free port, with search and artifact
// storage. What it has to say goes to a file in its directory.
func startDemoService(ctx context.Context, dir, name string) (_ *demoService, err error) {
	s := &demoService{name: name, dir: filepath.Join(dir, name), failed: make(chan error, 1)}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, err
	}
	out, err := os.Create(filepath.Join(s.dir, "service.log"))
	if err != nil {
		return nil, err
	}
	logger := slog.New(slog.NewTextHandler(out, nil))
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.url = "http://" + listener.Addr().String()
	t, err := daemon.NewTelemetry()
	if err == nil {
		s.daemon, err = daemon.Open(ctx, daemon.Config{
			Dir: s.dir, DefaultIssuer: s.url, Origin: name + ".example/log", Search: true, Wait: 10 * time.Second, Burst: 1, Logger: logger,
		}, t)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the %s's service: %w", name, err), listener.Close())
	}
	s.server = &http.Server{Handler: s.daemon.Handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { s.failed <- s.server.Serve(listener) }()
	return s, nil
}

// stop drains the service as conmotiond does.
func (s *demoService) stop(ctx context.Context) error {
	err := s.server.Shutdown(ctx)
	if served := <-s.failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return errors.Join(err, s.daemon.Close())
}

func (s *demoService) public() string { return s.daemon.PublicDir() }

// private is a part of the service's directory that is not for everybody.
func (s *demoService) private(name string) string { return filepath.Join(s.dir, "private", name) }

// address is where the service listened.
func (s *demoService) address() string { return strings.TrimPrefix(s.url, "http://") }
