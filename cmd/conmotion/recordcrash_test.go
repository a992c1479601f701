package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
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
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/tiles"
)

const (
	chainPolicy = `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}, "chain": "required"}`
	openPolicy  = `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}}`
)

// recorders are commands that record events with one key.
type recorders struct {
	t      testing.TB
	dir    string
	daemon string
}

func newRecorders(t testing.TB) *recorders {
	r := &recorders{t: t, dir: t.TempDir(), daemon: testprogram.Path(t, "conmotiond")}
	r.run("keygen", "--out", r.path("k.pem"))
	return r
}

func (r *recorders) path(name string) string { return filepath.Join(r.dir, name) }

// service starts a log with a policy.
func (r *recorders) service(name, policy string) (*service, string) {
	r.t.Helper()
	file := r.path(name + ".json")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		r.t.Fatal(err)
	}
	s := &service{daemon: r.daemon, listen: testwait.Address(r.t)} // it may start again
	url := testlog.Must(s.start(r.path(name), []string{"--policy", file, "--rate", "0"}))(r.t)
	r.t.Cleanup(func() { _ = s.stop() })
	return s, url
}

// event is the n-th one.
func event(n int) string {
	return fmt.Sprintf(`{"activity_id":1,"category_uid":5,"class_uid":5023,"metadata":{"event_code":"inventory.create","product":{"name":"p"},"version":"1.5.0"},`+
		`"resources":[{"uid":"i-%d"}],"severity_id":1,"time":%d,"type_uid":502301}`, n, 1767268755000+n)
}

func (r *recorders) events(name string, from, to int) string {
	var b bytes.Buffer
	for n := from; n < to; n++ {
		fmt.Fprintln(&b, event(n))
	}
	if err := os.WriteFile(r.path(name), b.Bytes(), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return r.path(name)
}

func (r *recorders) command(home string, args ...string) *exec.Cmd {
	cmd := exec.Command("conmotion", args...)
	cmd.Env = append(os.Environ(), "CONMOTION_HOME="+r.path(home), "GORACE=atexit_sleep_ms=0")
	return cmd
}

// run runs a command that has to succeed.
func (r *recorders) run(args ...string) string {
	r.t.Helper()
	cmd := r.command("home", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("conmotion %q: %v\n%s%s", args, err, out, &stderr)
	}
	return string(out)
}

// check holds a log to what is to be in it: each event once, in chains that
// are whole. It gives the entry ids in the log's order.
func (r *recorders) check(name string, events int) (ids []scitt.EntryID) {
	r.t.Helper()
	public := r.path(name) + "/public"
	if out := r.run("audit", public); !strings.Contains(out, "result") || !strings.Contains(out, "good") {
		r.t.Errorf("audit of %s:\n%s", name, out)
	}
	src := testlog.Must(tiles.Open(public, client.Options{}))(r.t)
	config := testlog.Must(src.Get(r.t.Context(), tiles.ConfigurationPath))(r.t)
	c := testlog.Must(scitt.ParseConfiguration(config))(r.t)
	view := testlog.Must(tiles.NewLog(src, testlog.Must(scitt.NewCheckpointVerifiers(c.CheckpointKeys))(r.t)).Latest(r.t.Context()))(r.t)
	seen := map[string]int{}
	next := uint64(0)
	for e, err := range view.Entries(r.t.Context(), 2, view.Checkpoint.Size) {
		if err != nil {
			r.t.Fatal(err)
		}
		s := testlog.Must(scitt.DecodeStatement(e.Data))(r.t)
		digest := s.Payload
		if s.Envelope == nil {
			sum := sha256.Sum256(s.Payload)
			digest = sum[:]
		}
		seen[string(digest)]++
		if s.Chain == nil || s.Chain.Seq != next {
			r.t.Errorf("entry %d has the link %+v, and not seq %d", e.Index, s.Chain, next)
		}
		next++
		ids = append(ids, s.ID())
	}
	for digest, n := range seen {
		if n > 1 {
			r.t.Errorf("the content %x is %d times in %s", digest, n, name)
		}
	}
	if len(seen) != events {
		r.t.Errorf("%s has %d events and not %d", name, len(seen), events)
	}
	return ids
}

// nothingPending holds Home to having nothing left to send. What a kill interrupts in the writing of a file
// begins with a dot, and nothing of it was sent.
func (r *recorders) nothingPending(home string) {
	r.t.Helper()
	left := testlog.Must(filepath.Glob(r.path(home) + "/journal/*/[^.]*"))(r.t)
	if len(left) > 0 {
		r.t.Errorf("still to be sent: %q", left)
	}
}

// TestRecordKill ends the command with SIGKILL at random moments, many times.
// What it is run for at last is in both logs, each event once and in order.
func TestRecordKill(t *testing.T) {
	t.Parallel()
	rounds := testprogram.Kills(4)
	r := newRecorders(t)
	_, provider := r.service("provider", chainPolicy)
	_, auditor := r.service("auditor", chainPolicy)
	args := []string{"record", "inventory", "--log", provider, "--also", auditor, "--key", r.path("k.pem"), "--json", r.path("events.jsonl")}
	killed, events := 0, 0
	for round := 0; round < rounds || round < 100 && killed == 0; round++ {
		events += 250 // so that there is always something to do
		r.events("events.jsonl", 0, events)
		cmd := r.command("home", args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		moment := time.Duration(rand.IntN(400)) * time.Millisecond
		timer := time.AfterFunc(moment, func() { _ = cmd.Process.Kill() })
		if err := cmd.Wait(); err != nil {
			killed++
			t.Logf("killed after %v", moment)
		}
		timer.Stop()
	}
	if killed == 0 {
		t.Errorf("killed %d times of %d: this was no test", killed, rounds)
	}
	for _, want := range []string{"registered or known", "already recorded"} {
		results := map[string]int{}
		for line := range strings.Lines(r.run(args...)) {
			var res recorded
			if err := json.Unmarshal([]byte(line), &res); err != nil || len(res.Also) != 1 {
				t.Fatalf("%s: %q, %v", want, line, err)
			}
			results[res.Result]++
		}
		if results[resultRegistered]+results[resultKnown] != events || want == resultKnown && results[resultKnown] != events {
			t.Errorf("%s: %v", want, results)
		}
	}
	r.nothingPending("home")
	a, b := r.check("provider", events), r.check("auditor", events)
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Fatalf("entry %d of the auditor's log is another one", i+2)
		}
	}
}

// feed is a command that gets one event after the other.
type feed struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	stderr bytes.Buffer
}

func (r *recorders) feed(home string, args ...string) *feed {
	r.t.Helper()
	f := &feed{cmd: r.command(home, append(args, "--key", r.path("k.pem"), "-")...)}
	f.cmd.Stderr = &f.stderr
	f.in = testlog.Must(f.cmd.StdinPipe())(r.t)
	f.out = bufio.NewScanner(testlog.Must(f.cmd.StdoutPipe())(r.t))
	if err := f.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	return f
}

// send sends an event and waits for what became of it; false when the command
// has ended.
func (f *feed) send(n int) bool {
	_, err := fmt.Fprintln(f.in, event(n))
	return err == nil && f.out.Scan()
}

func (f *feed) end() error {
	f.in.Close()
	for f.out.Scan() {
	}
	return f.cmd.Wait()
}

// TestRecordRace: two commands record in one chain at once, and some events
// are the same. Each is recorded once: with a policy of chains from two places,
// and without one where both remember in the same place.
func TestRecordRace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy string
		homes  [2]string
	}{
		"chain":    {chainPolicy, [2]string{"home1", "home2"}},
		"one home": {openPolicy, [2]string{"home", "home"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecorders(t)
			_, url := r.service("log", c.policy)
			const each, shared = 16, 8
			var group sync.WaitGroup
			for w, home := range c.homes {
				f := r.feed(home, "record", "inventory", "--log", url, "--inline")
				group.Go(func() {
					for n := range each {
						if !f.send(w*(each-shared) + n) {
							break
						}
					}
					if err := f.end(); err != nil {
						t.Errorf("%v\n%s", err, &f.stderr)
					}
				})
			}
			group.Wait()
			r.check("log", 2*each-shared)
			for _, home := range c.homes {
				r.nothingPending(home)
			}
		})
	}
}

// TestRecordDown: a service goes away in the middle. The command says so and
// ends; the same command again finishes, and nothing is recorded twice.
func TestRecordDown(t *testing.T) {
	t.Parallel()
	for _, down := range []string{"provider", "auditor"} {
		t.Run(down, func(t *testing.T) {
			r := newRecorders(t)
			first, provider := r.service("provider", chainPolicy)
			second, auditor := r.service("auditor", chainPolicy)
			args := []string{"record", "inventory", "--log", provider, "--also", auditor, "--inline"}
			f := r.feed("home", args...)
			for n := range 3 {
				if !f.send(n) {
					t.Fatalf("event %d: %s", n, &f.stderr)
				}
			}
			s := map[string]*service{"provider": first, "auditor": second}[down]
			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
			f.send(3)
			err := f.end()
			if code := f.cmd.ProcessState.ExitCode(); code != cli.ExitUsage {
				t.Fatalf("exit code %d, %v\n%s", code, err, &f.stderr)
			}
			if said := f.stderr.String(); !strings.Contains(said, "the same command goes on from there") ||
				down == "auditor" && !strings.Contains(said, "not everything that is in the log at "+provider+" is in the one at "+auditor+" yet") {
				t.Errorf("it says %s", said)
			}
			testlog.Must(s.start(r.path(down), []string{"--rate", "0"}))(t)
			out := r.run(append(args, "--key", r.path("k.pem"), r.events("events.jsonl", 0, 6))...)
			if down == "auditor" && strings.Count(out, "already recorded") != 4 || strings.Count(out, ", "+auditor+" entry ") != 6 {
				t.Errorf("the second time:\n%s", out)
			}
			r.nothingPending("home")
			r.check("provider", 6)
			r.check("auditor", 6)
		})
	}
}
