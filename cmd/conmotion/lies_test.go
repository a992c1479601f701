package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testprogram"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
)

// shown are the files and addresses that readers are given, by the names that
// command lines have for them in braces.
type shown map[string]string

// lie is something untrue that somebody with the keys of a log, or between the
// log and its readers, shows in the place of the truth.
type lie struct {
	name  string
	tell  func(t *testing.T, w *world) shown // what takes the place of the truth
	looks []look
}

// look is a reader's look at it. Its command line is run twice: with the truth
// it ends with exit code 0, with the lie as is said here.
type look struct {
	// line is a command of the tool, or several with " && " between them that share
	// what is remembered (--home): all but the last one end with 0 both times. "copy A B" makes B the same files as A.
	line string
	code int    // cli.ExitBad where bytes prove the lie, cli.ExitDuplicates where they prove a fault, cli.ExitUsage where it cannot be checked
	says string // regular expression that the output matches, in lines
}

// claims are the claims of docs/security.md, in its order, with the lies about each; and
// behind them what is not known.
var claims = []struct {
	claim string
	lies  func() []lie
}{
	{"inclusion", inclusionLies},
	{"append-only", historyLies},
	{"issuer's signature", signatureLies},
	{"a hidden field", hiddenLies},
	{"admission under policy", admissionLies},
	{"chain continuity", chainLies},
	{"no duplicate", duplicateLies},
	{"completeness of a search", searchLies},
	{"a measurement", measurementLies},
	{"an acknowledgement", acknowledgementLies},
	{"a post-quantum Receipt", postQuantumLies},
	{"a quorum", quorumLies},
	{"a quorum of witnesses", witnessLies},
	{"freshness", freshnessLies},
	{unknowable, func() []lie { return unknowableLies }},
}

// unknowable are lies that docs/security.md says nobody can tell from the files
// at hand: their readers do not claim more than they know.
const unknowable = "what remains unknowable"

var unknowableLies = []lie{
	{"a tree that was not published, offline", carries(func(t *testing.T, w *world) []byte {
		return w.provider.with(dbEntry, w.other(t)).receipt(t, webEntry)
	}), looks(cli.ExitGood, `^not checked +log now `, verifyOffline)},
	{"another history, for those who see no other", shows("provider", func(t *testing.T, w *world) string {
		return w.provider.with(dbEntry, w.other(t)).dir(t)
	}), looks(cli.ExitGood, `keys are taken on first use`, "fsck {provider}", replayBoth)},
	{"an entry that was not registered", shows("provider", func(t *testing.T, w *world) string {
		return w.provider.says(w.provider.entries[:dbEntry]...).dir(t)
	}), looks(cli.ExitGood, `keys are taken on first use`, "fsck {provider}", auditProvider)},
	{"a time of signing that is not true", signs(func(_ *world, o *scitt.SignOptions) { o.IssuedAt = signedAt.AddDate(-1, 0, 0) }),
		looks(cli.ExitGood, `keys are taken on first use`, auditProvider)},
}

// TestLies tells readers lies of operators who sign them with the keys of their
// logs, and of others who stand between a log and its readers. Each is proven, or
// cannot be checked, and is believed by none.
func TestLies(t *testing.T) {
	w := newWorld(t)
	_, table, _ := strings.Cut(string(testlog.Must(os.ReadFile("../../docs/security.md"))(t)), "| claim |")
	table, _, _ = strings.Cut(table, "\n\n")
	rows, want := strings.Split(table, "\n")[2:], claims[:len(claims)-1]
	for i, row := range rows {
		if len(rows) != len(want) || !strings.HasPrefix(row, "| "+want[i].claim+" |") {
			t.Errorf("docs/security.md has %d claims, and there are lies about %d; one is %.40s", len(rows), len(want), row)
		}
	}
	var truths sync.Map // command lines that end with 0 when the truth is shown
	told := 0
	t.Run("told", func(t *testing.T) {
		for _, c := range claims {
			for _, l := range c.lies() {
				if c.claim != unknowable {
					told++
				}
				t.Run(c.claim+"/"+l.name, func(t *testing.T) {
					t.Parallel()
					lying := maps.Clone(w.truth)
					maps.Copy(lying, l.tell(t, w))
					for _, look := range l.looks {
						if (look.code == cli.ExitGood) != (c.claim == unknowable) {
							t.Errorf("%s: exit code %d", look.line, look.code)
						}
						once, _ := truths.LoadOrStore(look.line, sync.OnceValue(func() outcome { return w.look(t, look.line, w.truth) }))
						if got := once.(func() outcome)(); got.code != cli.ExitGood {
							t.Errorf("%s: exit code %d for the truth: %s%s", look.line, got.code, got.stdout, got.stderr)
						}
						got := w.look(t, look.line, lying)
						if got.code != look.code || !regexp.MustCompile("(?m)"+look.says).MatchString(got.stdout+got.stderr) {
							t.Errorf("%s: exit code %d, want %d and %q: %s%s", look.line, got.code, look.code, look.says, got.stdout, got.stderr)
						}
					}
				})
			}
		}
	})
	if told < 60 {
		t.Errorf("only %d lies", told)
	}
}

// look runs a command line with what is shown.
func (w *world) look(t *testing.T, line string, files shown) (got outcome) {
	t.Helper()
	tmp := t.TempDir()
	names := []string{"{tmp}", tmp}
	for name, value := range files {
		names = append(names, "{"+name+"}", value)
	}
	expand := strings.NewReplacer(names...)
	if err := os.WriteFile(filepath.Join(tmp, "witnessed.yaml"), []byte(expand.Replace(witnessed)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tmp, "monitor.yaml"), []byte(expand.Replace(monitored)), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := strings.Split(line, " && ")
	for i, command := range commands {
		args := strings.Fields(expand.Replace(command))
		if args[0] == "copy" {
			if err := replaceFiles(args[1], args[2]); err != nil {
				t.Fatal(err)
			}
			continue
		}
		var stdout, stderr bytes.Buffer
		home := filepath.Join(tmp, "home")
		if args[0] == "conmotion-index" {
			got = indexes(t, home, args[1:])
		} else {
			a := &app{cli.App{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Home: home, Among: &party.Among{}}}
			got = outcome{a.run(t.Context(), args), stdout.String(), stderr.String()}
		}
		if i < len(commands)-1 && got.code != cli.ExitGood {
			t.Fatalf("%s: exit code %d: %s%s", command, got.code, got.stdout, got.stderr)
		}
	}
	return got
}

// indexes runs conmotion-index, which is a program of its own.
func indexes(t *testing.T, home string, args []string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), testprogram.Path(t, "conmotion-index"), args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), "CONMOTION_HOME="+home), &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// replaceFiles makes a directory the same files as another one.
func replaceFiles(from, to string) error {
	if err := os.RemoveAll(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return nil
}

// looks are looks that come to the same.
func looks(code int, says string, lines ...string) (list []look) {
	for _, line := range lines {
		list = append(list, look{line, code, says})
	}
	return list
}
