package helper

import (
	"bufio"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/conmotion/conmotion/keys"
)

// Open opens a key in the signer, which it starts, and starts again when it ended or
// did not answer in time. The URI goes to its standard input: it is not in the list
// of processes.
func Open(ctx context.Context, uri string) (keys.Remote, error) {
	path, err := find()
	if err != nil {
		return nil, err
	}
	return &remote{path: path, uri: uri, ctx: ctx}, nil
}

// Openers are for programs that open these keys in the signer only.
func Openers() map[string]keys.Opener {
	return map[string]keys.Opener{"awskms": Open, "gcpkms": Open, "pkcs11": Open}
}

// find looks beside this program and then in the PATH.
func find() (string, error) {
	if own, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(own), Program)
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return beside, nil
		}
	}
	path, err := exec.LookPath(Program)
	if err != nil {
		return "", fmt.Errorf("this key is opened by the program %s, which is neither beside this program nor in the PATH: go install github.com/conmotion/conmotion/cmd/%[1]s, with -tags pkcs11 for an HSM: %w", Program, err)
	}
	return path, nil
}

type remote struct {
	path, uri string
	ctx       context.Context // of the processes
	process   *process        // nil before the first request
}

type process struct {
	cancel context.CancelFunc
	in     io.WriteCloser
	out    *bufio.Scanner
	stderr *tail
	public crypto.PublicKey
}

// Public implements [keys.Remote].
func (r *remote) Public(ctx context.Context) (crypto.PublicKey, error) {
	p, err := r.running(ctx)
	if err != nil {
		return nil, err
	}
	return p.public, nil
}

// Sign implements [keys.Remote].
func (r *remote) Sign(ctx context.Context, digest []byte, hash crypto.Hash) ([]byte, error) {
	name := ""
	if hash != 0 {
		name = hash.String()
	}
	if _, err := r.running(ctx); err != nil {
		return nil, err
	}
	a, err := r.ask(ctx, request{Sign: digest, Hash: name})
	if err != nil {
		return nil, err
	}
	return a.Signature, nil
}

// running starts the signer unless it runs, and has it open the key.
func (r *remote) running(ctx context.Context) (*process, error) {
	if r.process != nil {
		return r.process, nil
	}
	run, cancel := context.WithCancel(r.ctx)
	cmd := exec.CommandContext(run, r.path)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	stderr := &tail{}
	cmd.Stderr = stderr
	if err := errors.Join(err1, err2); err != nil {
		cancel()
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("start %s: %w", Program, err)
	}
	r.process = &process{cancel: func() { cancel(); _ = cmd.Wait() }, in: in, out: lines(out), stderr: stderr}
	a, err := r.ask(ctx, request{Open: r.uri})
	if err == nil {
		r.process.public, err = keys.ParseSPKI(a.Public)
	}
	if err != nil {
		r.end()
		return nil, err
	}
	return r.process, nil
}

func (r *remote) end() {
	if r.process != nil {
		r.process.cancel()
		r.process = nil
	}
}

// ask sends a request and reads its answer. A signer that gives none is ended: a late
// answer would be taken for that of the next request.
func (r *remote) ask(ctx context.Context, q request) (*answer, error) {
	p, a := r.process, &answer{}
	done := make(chan error, 1)
	go func() {
		err := writeLine(p.in, q)
		if err == nil && !p.out.Scan() {
			err = errors.Join(io.ErrUnexpectedEOF, p.out.Err())
		}
		if err == nil && json.Unmarshal(p.out.Bytes(), a) != nil {
			err = errors.New("its answer is not one")
		}
		done <- err
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		r.end() // which ends the goroutine as well
		return nil, fmt.Errorf("%s: %w%s", Program, err, p.stderr)
	}
	return a, a.err()
}

// tail is the end of what a program said.
type tail struct{ text []byte }

// Write implements [io.Writer].
func (t *tail) Write(b []byte) (int, error) {
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-500):]
	return len(b), nil
}

// String is for the end of an error, after the program ended.
func (t *tail) String() string {
	if text := strings.TrimSpace(string(t.text)); text != "" {
		return ": " + text
	}
	return ""
}
