package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// The tests here run the program as a process of its own: the test binary,
// told by its environment to be conmotiond.
const (
	beConmotiond = "CONMOTIOND_TEST_MAIN"
	mountTmpfs   = "CONMOTIOND_TEST_TMPFS" // directory=size: a disk of its own
	fewFiles     = "CONMOTIOND_TEST_FILES" // how many files may be open
)

func TestMain(m *testing.M) {
	if os.Getenv(beConmotiond) == "" {
		os.Exit(cloud.Main(m))
	}
	if err := prepareDisk(os.Getenv(mountTmpfs)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	if n, err := strconv.ParseUint(os.Getenv(fewFiles), 10, 64); err == nil {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
	}
	os.Exit(Main())
}

// process is a running conmotiond.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	url    string
	stderr *buffer
	stdout *buffer // after the service's address
	done   chan error
}

// buffer is what a process wrote so far.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start runs conmotiond and waits until it serves. On a busy machine nothing is refused for it: a
// statement waits for a minute until it is judged, and as long for its Receipt.
func start(t testing.TB, env []string, attr *syscall.SysProcAttr, args ...string) *process {
	t.Helper()
	p := &process{t: t, stderr: &buffer{}, stdout: &buffer{}, done: make(chan error, 1)}
	p.cmd = exec.Command(testlog.Must(os.Executable())(t), append([]string{"--wait", "1m", "--queue", "1m"}, args...)...)
	p.cmd.Env = append(append(os.Environ(), beConmotiond+"=1"), env...)
	p.cmd.SysProcAttr = attr
	p.cmd.Stderr = p.stderr
	out := testlog.Must(p.cmd.StdoutPipe())(t)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		p.tells("its output", p.stdout.String()+p.stderr.String())
	})
	lines := bufio.NewScanner(out)
	for p.url == "" && lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "service   "); ok {
			p.url = url
		}
	}
	go func() {
		for lines.Scan() {
			fmt.Fprintln(p.stdout, lines.Text())
		}
		p.done <- p.cmd.Wait()
	}()
	if p.url == "" {
		t.Fatalf("conmotiond did not start: %v\n%s", p.signal(syscall.SIGKILL), p.stderr)
	}
	return p
}

// signal ends the process, if it runs, and waits for that.
func (p *process) signal(sig os.Signal) error {
	_ = p.cmd.Process.Signal(sig) // it may have ended already
	err := <-p.done
	p.done <- err
	return err
}

var httpClient = &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// post registers a statement: the status, and the Receipt or the problem.
func (p *process) post(ctx context.Context, statement []byte, prefer string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/entries", bytes.NewReader(statement))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Prefer", prefer)
	return roundTrip(req)
}

func (p *process) get(path string) (int, []byte) {
	p.t.Helper()
	req := testlog.Must(http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+path, nil))(p.t)
	status, body, err := roundTrip(req)
	if err != nil {
		p.t.Fatal(err)
	}
	p.tells(path, string(body))
	return status, body
}

// tells fails the test when a process tells a secret of the bucket or of the database, which
// are in its environment.
func (p *process) tells(where, text string) {
	p.t.Helper()
	for _, name := range []string{daemon.DatabasePassword, "AWS_SECRET_ACCESS_KEY"} {
		if secret := os.Getenv(name); secret != "" && strings.Contains(text, secret) {
			p.t.Errorf("%s tells %s", where, name)
		}
	}
}

func roundTrip(req *http.Request) (int, []byte, error) {
	resp, err := httpClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

func (p *process) keys() scitt.KeySet {
	p.t.Helper()
	_, body := p.get("/.well-known/scitt-keys")
	return testlog.Must(scitt.ParseKeySet(body))(p.t)
}

// checker checks the log in the files of a directory.
func (p *process) checker(dir string) *testlog.Checker {
	p.t.Helper()
	_, body := p.get("/.well-known/transparency-configuration")
	c := testlog.Must(scitt.ParseConfiguration(body))(p.t)
	return testlog.NewChecker(p.t, filepath.Join(dir, "public"), c.CheckpointKeys, p.keys())
}

// TestWelcome: the start says what can be done next, also while the log has no policy.
func TestWelcome(t *testing.T) {
	t.Parallel()
	for bootstrap, want := range map[string]string{"policy": "policy    entry 1: ", "first-statement": "administrator.pem testdata/policies/open.json\n"} {
		p := start(t, nil, nil, "--dir", t.TempDir(), "--listen", "127.0.0.1:0", "--bootstrap", bootstrap)
		if err := p.signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if said := p.stdout.String(); !strings.Contains(said, want) || strings.Contains(said, "0000000000") || !strings.Contains(said, "of 10 GiB are taken (--artifact-quota)") {
			t.Errorf("--bootstrap %s: %s", bootstrap, said)
		}
	}
}

func TestSecondProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, nil, nil, "--dir", dir, "--listen", "127.0.0.1:0")
	second := exec.Command(testlog.Must(os.Executable())(t), "--dir", dir, "--listen", "127.0.0.1:0")
	second.Env = append(os.Environ(), beConmotiond+"=1")
	out, err := second.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another process is using this directory") {
		t.Errorf("a second process: %v\n%s", err, out)
	}
}

func TestConfigFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "conmotiond.yaml")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("listen: 127.0.0.1:0\norigin: from.file\nbatch-max-age: 5ms\ndir: " + filepath.Join(dir, "data") + "\n")
	p := start(t, nil, nil, "--config", file, "--origin", "from.flag")
	if _, body := p.get("/checkpoint"); !bytes.HasPrefix(body, []byte("from.flag\n")) {
		t.Errorf("a flag does not win over the file: %q", body)
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		t.Errorf("SIGTERM: %v\n%s", err, p.stderr)
	}
	for _, c := range []struct{ file, want string }{
		{"lisen: 127.0.0.1:0\n", "line 1: there is no flag --lisen"},
		{"dir: x\nbatch-max-size: many\n", "line 2"},
		{"dir: [a, b]\n", "not a single value"},
		{"tls-cert: x\n", "--tls-cert and --tls-key belong together"},
		{"origin: two words\n", "has spaces"},
		{"origin: \"two\\nlines\"\n", "has spaces"},
		{"origin: \"a\\x01b\"\n", "characters that cannot be shown"},
		{"issuer: example.com\n", "is not a URL"},
		{"issuer: https://example.com/a?b=c\n", "neither a user name or password, a query nor a fragment"},
		{"issuer: \"https://example.com/#a\"\n", "neither a user name or password, a query nor a fragment"},
		{"issuer: https://a:secret@example.com\n", "neither a user name or password, a query nor a fragment"},
		{"origin: x\nissuer: \"https://example.com/\\u202e\"\n", "is not a URL"},
		{"origin: x\nissuer: !!binary aHR0cHM6Ly9hLmV4YW1wbGUv/w==\n", "is not a URL"}, // its last byte is no UTF-8
		{"issuer: https://example.com/a%20b\n", "a log cannot be named so"},
		{"issuer: https://example.com:99999\n", "a number from 1 to 65535"},
		{"issuer: https://example.com:0\n", "a number from 1 to 65535"},
		{"issuer: \"https://example.com:\"\n", "a number from 1 to 65535"},
		{"issuer: \"http://[::1]:065\"\n", "a number from 1 to 65535"},
		{"issuer: https://:8080\n", "is not a URL"},
		{"issuer: https://example.com/a/../b\n", "as others will write it, https://example.com/b"},
		{"origin: x\nissuer: https://example.com/a/%2e%2e/b\n", "as others will write it, https://example.com/b"},
		{"issuer: https://example.com//a/./b\n", "as others will write it, https://example.com/a/b"},
		{"issuer: HTTPS://example.com\n", "as others will write it, https://example.com"},
		{"listen: 127.0.0.1:0\ndir: " + filepath.Join(dir, "none") + "\nissuer: http://0.0.0.0:8080\n", "stands for all addresses"},
		{"advertise: http://10.0.0.7:99999\n", "--advertise \"http://10.0.0.7:99999\": its port is"},
		{"advertise: 10.0.0.7\n", "--advertise \"10.0.0.7\" is not a URL"},
		{"log-format: xml\n", "text or json"},
		{"log-format: \"\\e[31m\\nconmotiond: good\\u009b\\u202e\"\n", "text or json"},
		{"\"a\\e[31m\\nconmotiond: good\": x\n", "there is no flag --a"},
		{"origin: \"a\\e[31m\\nconmotiond: good\"\n", "--origin"},
	} {
		write(c.file)
		cmd := exec.Command(testlog.Must(os.Executable())(t), "--config", file)
		cmd.Env = append(os.Environ(), beConmotiond+"=1")
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.want) {
			t.Errorf("%q: %v, want %q in\n%s", c.file, err, c.want, out)
		}
		for line := range strings.Lines(string(out)) { // what is wrong obeys no terminal, and writes no line of its own
			if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return !unicode.IsPrint(r) }) || strings.HasPrefix(line, "conmotiond: good") {
				t.Errorf("%q: %q", c.file, line)
			}
		}
	}
	if _, err := os.Stat("conmotion-data"); err == nil {
		t.Error("something was made")
	}
}
