package demo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
)

const (
	servicePackage = "github.com/conmotion/conmotion/cmd/conmotiond"
	stopTimeout    = 90 * time.Second // longer than a service takes to drain
)

// findService finds the program conmotiond: beside this one, in the PATH, or
// built into dir from the source in which the demo runs.
func findService(ctx context.Context, dir string) (string, error) {
	name := "conmotiond"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if self, err := os.Executable(); err == nil {
		if beside, err := exec.LookPath(filepath.Join(filepath.Dir(self), name)); err == nil {
			return beside, nil
		}
	}
	if found, err := exec.LookPath(name); err == nil {
		return filepath.Abs(found)
	}
	built := filepath.Join(dir, name)
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", built, servicePackage).CombinedOutput(); err != nil {
		return "", cli.Usage(fmt.Errorf("conmotiond is neither beside this program nor in the PATH, and cannot be built here (go build: %w: %s); "+
			"run the demo in the source tree, or go install %s@latest", err, bytes.TrimSpace(out), servicePackage))
	}
	return built, nil
}

// service is a Transparency Service of the demonstration, in a process of
// its own.
type service struct {
	name, url, dir string
	process        *exec.Cmd
	end            context.CancelFunc
}

// startService runs conmotiond on a free port and waits until it serves. What
// it has to say goes to a file in its directory.
func startService(ctx context.Context, program, dir, name string) (*service, error) {
	s := &service{name: name, dir: filepath.Join(dir, name)}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(s.dir, "service.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	ctx, s.end = context.WithCancel(ctx)
	s.process = exec.CommandContext(ctx, program, "--dir", s.dir, "--listen", "127.0.0.1:0", "--origin", name+".example/log", "--manage-socket", "off")
	s.process.Stderr, s.process.WaitDelay = log, stopTimeout
	s.process.Cancel = func() error {
		if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
			return s.process.Process.Kill() // where it cannot be asked to end
		}
		return nil
	}
	out, err := s.process.StdoutPipe()
	if err == nil {
		err = s.process.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("the %s's service: %w", name, err)
	}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return nil, errors.Join(fmt.Errorf("the %s's service ended at its start, and %s says why", name, log.Name()), s.stop())
		}
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "service" {
			s.url = fields[1]
			go func() { _, _ = io.Copy(io.Discard, lines) }() // until the process ends
			return s, nil
		}
	}
}

// stop has the service drain, and waits until its process has ended.
func (s *service) stop() error {
	s.end()
	if err := s.process.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("the %s's service: %w", s.name, err)
	}
	return nil
}

func (s *service) public() string { return filepath.Join(s.dir, "public") }

// private is a part of the service's directory that is not for everybody.
func (s *service) private(name string) string { return filepath.Join(s.dir, "private", name) }

// address is where the service listened.
func (s *service) address() string { return strings.TrimPrefix(s.url, "http://") }
