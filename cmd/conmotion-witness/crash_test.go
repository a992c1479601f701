package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness/conformance"
)

// The test binary is the program when its environment says so.
const (
	beWitness = "CONMOTION_WITNESS_TEST_MAIN"
	// manyKills is how often TestKill kills, beside CI's ten.
	manyKills = "CONMOTION_WITNESS_KILLS"
)

func TestMain(m *testing.M) {
	if os.Getenv(beWitness) != "" {
		os.Exit(cli.Main(run))
	}
	testwait.Together()
	testwait.Quick()
	os.Exit(m.Run())
}

// startWitness runs the program and returns it with its address.
func startWitness(t *testing.T, dir string, args ...string) (cmd *exec.Cmd, url string, stderr *output) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(exe, append([]string{"--dir", dir, "--listen", "127.0.0.1:0", "--name", "witness.example"}, args...)...)
	url, stderr = begin(t, cmd)
	return cmd, url, stderr
}

// begin starts a command that becomes the program, and waits until it answers.
func begin(t *testing.T, cmd *exec.Cmd) (url string, stderr *output) {
	t.Helper()
	cmd.Env = append(os.Environ(), beWitness+"=1")
	stderr = &output{}
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	first, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
		t.Fatalf("%v\n%s", err, stderr)
	}
	_, rest, _ := strings.Cut(first, " at ")
	url, _, _ = strings.Cut(rest, ",")
	return url, stderr
}

// output is what a program that may still run has said.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// observer keeps every cosigned checkpoint that anybody was given.
type observer struct {
	mu   sync.Mutex
	seen map[string]map[uint64][]byte // roots by origin and size
	last map[string]uint64
}

func (o *observer) saw(t *testing.T, cp *scitt.Checkpoint) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen[cp.Origin] == nil {
		o.seen[cp.Origin] = map[uint64][]byte{}
	}
	if root := o.seen[cp.Origin][cp.Size]; root != nil && !bytes.Equal(root, cp.Root) {
		t.Errorf("two roots of %s at size %d carry the witness's signature", cp.Origin, cp.Size)
	}
	o.seen[cp.Origin][cp.Size] = cp.Root
	o.last[cp.Origin] = max(o.last[cp.Origin], cp.Size)
}

// histories reports logs of which both histories were cosigned.
func (o *observer) histories(t *testing.T, logs []*conformance.Log) {
	for _, l := range logs {
		var of [2]int
		for size, root := range o.seen[l.Origin] {
			for h := range of {
				cp, _, err := scitt.OpenNote(l.Growing(h, 0, size).Checkpoint)
				if err != nil {
					t.Fatal(err)
				}
				other, _, err := scitt.OpenNote(l.Growing(1-h, 0, size).Checkpoint)
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Equal(cp.Root, root) && !bytes.Equal(other.Root, root) {
					of[h]++
				}
			}
		}
		if of[0] > 0 && of[1] > 0 {
			t.Errorf("both histories of %s carry the witness's signature: %d and %d sizes", l.Origin, of[0], of[1])
		}
	}
}

// grow asks for cosignatures of one log after another until the witness is gone.
func (o *observer) grow(t *testing.T, url string, logs []*conformance.Log, random *rand.Rand) {
	for {
		l := logs[random.IntN(len(logs))]
		o.mu.Lock()
		last := o.last[l.Origin] // before it is asked: others ask for more meanwhile
		o.mu.Unlock()
		_, size, err := ask(url, l, 0, 0, 1)
		if err != nil {
			return
		}
		if size < last {
			t.Errorf("the witness has size %d of %s, and it cosigned %d before", size, l.Origin, last)
		}
		h := random.IntN(2)
		cp, _, err := ask(url, l, h, size, min(size+1+random.Uint64N(4), conformance.Leaves))
		if err != nil {
			return
		}
		if cp != nil {
			o.saw(t, cp)
		}
	}
}

// ask returns the checkpoint that was cosigned, or the size that the witness has.
func ask(url string, l *conformance.Log, history int, old, size uint64) (*scitt.Checkpoint, uint64, error) {
	r := l.Growing(history, old, size)
	resp, err := http.Post(url+"/add-checkpoint", "", bytes.NewReader(r.Marshal()))
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, 0, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		cp, _, err := scitt.OpenNote(append(bytes.Clone(r.Checkpoint), body...))
		return cp, size, err
	case http.StatusConflict:
		size, err := strconv.ParseUint(strings.TrimSpace(string(body)), 10, 64)
		return nil, size, err
	}
	return nil, old, nil
}

// TestKill kills the witness at random moments while logs ask for two histories. An
// observer who keeps every answer never sees two that contradict each other.
// CONMOTION_WITNESS_KILLS=200 go test ./cmd/conmotion-witness -run TestKill
func TestKill(t *testing.T) {
	t.Parallel()
	kills := 10
	if n, err := strconv.Atoi(os.Getenv(manyKills)); err == nil {
		kills = n
	}
	dir := t.TempDir()
	list := []byte("logs/v0\n")
	var logs []*conformance.Log
	for i := range 40 {
		l, err := conformance.NewLog(fmt.Sprintf("log%d.example", i), []byte("seed"))
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, l)
		list = fmt.Appendf(list, "vkey %s\nqpd 2147483647\ncontact c\n", l.VKey)
	}
	file := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		t.Fatal(err)
	}
	o := &observer{seen: map[string]map[uint64][]byte{}, last: map[string]uint64{}}
	for kill := 0; kill < kills || kill < 200 && len(o.seen) == 0; kill++ {
		cmd, url, _ := startWitness(t, dir, "--logs", file, "--rate", "0")
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() { o.grow(t, url, logs, rand.New(rand.NewPCG(uint64(kill), uint64(i)))) })
		}
		<-time.After(time.Duration(20+rand.IntN(150)+5*kill) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		_ = cmd.Wait() // it was killed
	}
	o.histories(t, logs)
	sizes := 0
	for _, of := range o.seen {
		sizes += len(of)
	}
	if sizes == 0 {
		t.Error("nothing was cosigned between the kills")
	}
	t.Logf("%d kills, %d sizes of %d logs were cosigned", kills, sizes, len(o.seen))
}

// TestLogAdd adds a log to a witness that runs, and ends it well.
func TestLogAdd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, url, stderr := startWitness(t, dir)
	l, err := conformance.NewLog("log.example", []byte("seed"))
	if err != nil {
		t.Fatal(err)
	}
	status := func() int {
		t.Helper()
		resp, err := http.Post(url+"/add-checkpoint", "", bytes.NewReader(l.Growing(0, 0, 3).Marshal()))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := status(); got != http.StatusNotFound {
		t.Errorf("before it is added: status %d", got)
	}
	var out bytes.Buffer
	if code := run(t.Context(), &cli.App{Stdout: &out, Stderr: &out}, []string{"log", "add", "--dir", dir, l.VKey}); code != cli.ExitGood || !strings.Contains(out.String(), l.VKey) {
		t.Fatalf("log add: exit code %d\n%s", code, &out)
	}
	testwait.Until(t, func() bool { return status() == http.StatusOK }, "the log is taken: ", stderr)
	for _, args := range [][]string{{"log", "add", "--dir", dir, "nonsense"}, {"log", "remove", "--dir", dir, "other.example"}} {
		if code := run(t.Context(), &cli.App{Stdout: &out, Stderr: &out}, args); code != cli.ExitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v\n%s", err, stderr)
	}
	// The keys without the database sign nothing.
	if err := os.Remove(filepath.Join(dir, "witness.db")); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if code := run(t.Context(), &cli.App{Stdout: &out, Stderr: &out}, []string{"--dir", dir, "--listen", "127.0.0.1:0"}); code == cli.ExitGood || !strings.Contains(out.String(), "must not sign again") {
		t.Errorf("without the database: exit code %d\n%s", code, &out)
	}
	if _, err := os.Stat(filepath.Join(dir, "witness.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a database was made for keys that have signed: %v", err)
	}
}
