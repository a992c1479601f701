package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/monitor/party"
)

// scripted is the name by which the test binary is a [scriptTool].
const scripted = "conmotion-scripted"

// TestMain is also conmotion itself, which is in the PATH of all tests, and a [scriptTool].
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "conmotion":
		os.Exit(cli.Main(validated))
	case scripted:
		os.Exit(cli.Main(answerCalls))
	}
	testwait.Together()
	testwait.Quick()
	os.Exit(withTool(m))
}

// withTool runs the tests with conmotion in the PATH.
func withTool(m *testing.M) int {
	dir, err := os.MkdirTemp("", "conmotion-test-")
	if err != nil {
		panic(err) // there is no test that could fail
	}
	defer os.RemoveAll(dir)
	this, err := os.Executable()
	if err == nil {
		err = os.Symlink(this, filepath.Join(dir, "conmotion"))
	}
	if err == nil {
		err = os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	}
	if err != nil {
		panic(err)
	}
	return m.Run()
}

type toolKey struct{}

// scriptTool is a process that runs the commands of one script, one after the other: most
// of them do less than the start of a process.
type scriptTool struct {
	env     []string // as the script begins
	running *exec.Cmd
	in      io.Closer
	calls   *json.Encoder
	answers *json.Decoder
}

// call is a command of a script.
type call struct {
	Dir  string
	Env  map[string]string // what a script may change of it
	Args []string
}

// answer is what a command printed, and how it ended.
type answer struct {
	Code           int
	Stdout, Stderr []byte
}

// cmdConmotion runs a command that succeeds.
func cmdConmotion(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("exit CODE conmotion ... says how it fails")
	}
	if code := callTool(ts, args); code != cli.ExitGood {
		ts.Fatalf("exit code %d", code)
	}
}

// callTool has the tool of a script run a command, and returns its exit code.
func callTool(ts *testscript.TestScript, args []string) int {
	t := ts.Value(toolKey{}).(*scriptTool)
	if t.running == nil {
		ts.Check(t.start())
		ts.Defer(func() { ts.Check(t.stop()) })
	}
	c, a := call{ts.MkAbs("."), map[string]string{}, args}, answer{}
	for _, name := range []string{"CONMOTION_HOME", "CONMOTION_PASSPHRASE", "PATH"} {
		c.Env[name] = ts.Getenv(name)
	}
	ts.Check(t.calls.Encode(c))
	ts.Check(t.answers.Decode(&a))
	_, _ = ts.Stdout().Write(a.Stdout) // to memory
	_, _ = ts.Stderr().Write(a.Stderr)
	return a.Code
}

func (t *scriptTool) start() error {
	this, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(this)
	cmd.Args[0], cmd.Env, cmd.Stderr = scripted, t.env, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	t.in, t.calls, t.answers, t.running = in, json.NewEncoder(in), json.NewDecoder(out), cmd
	return cmd.Start()
}

// stop ends the process as the end of its calls does.
func (t *scriptTool) stop() error { return errors.Join(t.in.Close(), t.running.Wait()) }

// answerCalls is the process of a [scriptTool].
func answerCalls(ctx context.Context, own *cli.App, _ []string) int {
	calls, answers := json.NewDecoder(own.Stdin), json.NewEncoder(own.Stdout)
	for {
		var c call
		switch err := calls.Decode(&c); {
		case errors.Is(err, io.EOF):
			return cli.ExitGood
		case err != nil:
			panic(err)
		}
		err := os.Chdir(c.Dir)
		for name, value := range c.Env {
			err = errors.Join(err, os.Setenv(name, value))
		}
		if err != nil {
			panic(err)
		}
		var stdout, stderr bytes.Buffer
		code := validated(ctx, &cli.App{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Home: c.Env["CONMOTION_HOME"], Among: &party.Among{}}, c.Args)
		if err := answers.Encode(answer{code, stdout.Bytes(), stderr.Bytes()}); err != nil {
			panic(err)
		}
	}
}
