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
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
)

const stopTimeout = 90 * time.Second // longer than a service takes to drain

// find finds a program of this project: beside this one, in the PATH, or built into
// dir from the source in which the demo runs.
func find(ctx context.Context, dir, name string) (string, error) {
	file := name
	if runtime.GOOS == "windows" {
		file += ".exe"
	}
	if self, err := os.Executable(); err == nil {
		if beside, err := exec.LookPath(filepath.Join(filepath.Dir(self), file)); err == nil {
			return beside, nil
		}
	}
	if found, err := exec.LookPath(file); err == nil {
		return filepath.Abs(found)
	}
	built, source := filepath.Join(dir, file), "github.com/conmotion/conmotion/cmd/"+name
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", built, source).CombinedOutput(); err != nil {
		return "", cli.Usage(fmt.Errorf("%s is neither beside this program nor in the PATH, and cannot be built here (go build: %w: %s); "+
			"run the demo in the source tree, or go install %s@latest", name, err, bytes.TrimSpace(out), source))
	}
	return built, nil
}

// process is a service or a witness of the demonstration. It serves until its standard
// input ends: when the demonstration closes that, or is killed.
type process struct {
	what string // for people
	*exec.Cmd
	end context.CancelFunc
}

// run runs a program until it has said what it is waited for. What it has to log goes
// to a file.
func run(ctx context.Context, what, logFile, program string, args []string, said func(line string) bool) (*process, error) {
	if err := os.MkdirAll(filepath.Dir(logFile), 0o755); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	p := &process{what: what}
	ctx, p.end = context.WithCancel(ctx)
	p.Cmd = exec.CommandContext(ctx, program, append(args, "--until-stdin-ends")...)
	p.Stderr, p.WaitDelay = log, stopTimeout
	in, err := p.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	p.Cancel = in.Close
	out, err := p.StdoutPipe()
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s ended at its start, and %s says why", what, logFile), p.stop())
		}
		if said(line) {
			go func() { _, _ = io.Copy(io.Discard, lines) }() // until the process ends
			return p, nil
		}
	}
}

// stop has the process drain, and waits until it has ended. Nothing is done when it
// did not start, or is stopped already.
func (p *process) stop() error {
	if p == nil || p.ProcessState != nil {
		return nil
	}
	p.end()
	if err := p.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", p.what, err)
	}
	return nil
}

// service is a Transparency Service of the demonstration, in a process of
// its own.
type service struct {
	*process
	name, url, dir string
	witness        string // the command that runs the party's witness again
}

// start runs conmotiond and waits until it serves.
func (s *service) start(ctx context.Context, program, listen string, flags ...string) (err error) {
	args := append([]string{"--dir", s.dir, "--listen", listen, "--origin", s.name + ".example/log", "--manage-socket", "off"}, flags...)
	s.process, err = run(ctx, fmt.Sprintf("the %s's service", s.name), filepath.Join(s.dir, "service.log"), program, args, func(line string) bool {
		fields := strings.Fields(line)
		if len(fields) != 2 || fields[0] != "service" {
			return false
		}
		s.url = fields[1]
		return true
	})
	return err
}

func (s *service) public() string { return filepath.Join(s.dir, "public") }

// private is a part of the service's directory that is not for everybody.
func (s *service) private(name string) string { return filepath.Join(s.dir, "private", name) }

// address is where the service listened.
func (s *service) address() string { return strings.TrimPrefix(s.url, "http://") }
