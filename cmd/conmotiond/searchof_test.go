package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
)

// status asks one of the operator's addresses.
func status(t testing.TB, url string) (int, string) {
	t.Helper()
	req := testlog.Must(http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil))(t)
	code, body, err := roundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	return code, string(body)
}

// waitFor asks until the answer is the wanted one.
func waitFor(t testing.TB, url, want string) {
	t.Helper()
	said := &buffer{}
	testwait.Until(t, func() bool {
		code, body := status(t, url)
		fmt.Fprintf(said, "%d %q\n", code, body)
		return code == http.StatusOK && body == want
	}, url, " says ", want, "; it said ", said)
}

// TestSearchOf runs a search over another process's log in this one, and looks
// at what its operator sees.
func TestSearchOf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := start(t, nil, nil, "--dir", filepath.Join(dir, "log"), "--listen", "127.0.0.1:0")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	stderr := &buffer{}
	admin := "http://" + testwait.Address(t)
	cmd := command(in, stderr)
	cmd.SetArgs([]string{"--search-of", log.url, "--dir", filepath.Join(dir, "search"), "--listen", "127.0.0.1:0",
		"--admin-listen", strings.TrimPrefix(admin, "http://"), "--search-interval", "5ms"})
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.ExecuteContext(ctx)
		in.Close()
	}()
	var welcome strings.Builder
	url := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		welcome.WriteString(lines.Text() + "\n")
		if _, at, ok := strings.Cut(lines.Text(), "service   "); ok {
			url = at
		}
		if strings.Contains(lines.Text(), "--verify") {
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if url == "" {
		t.Fatalf("it did not start: %v\n%s%s", <-ended, &welcome, stderr)
	}
	if s := welcome.String(); !strings.Contains(s, "2, taken from the log itself at the first start (trust on first use) and kept in "+filepath.Join(dir, "search")) ||
		!strings.Contains(s, "receipts  "+log.url) {
		t.Errorf("it says\n%s", s)
	}
	waitFor(t, admin+"/readyz", "ok\nsearch: 2 of 2 entries are read\n")
	if _, body := status(t, url+"/search"); !strings.Contains(body, `"size":2,`) {
		t.Errorf("/search: %s", body)
	}
	if code, body := status(t, admin+"/readyz/search"); code != http.StatusOK || body != "ok: 2 of 2 entries are read\n" {
		t.Errorf("/readyz/search: %d %q", code, body)
	}
	if code, body := status(t, admin+"/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("/healthz: %d %q", code, body)
	}
	if _, body := status(t, admin+"/metrics"); !strings.Contains(body, "\nconmotion_search_lag 0\n") || !strings.Contains(body, "\nconmotion_search_up 1\n") {
		t.Errorf("/metrics: %s", body)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("at the end: %v", err)
	}
}

// TestSearchReadyz: the search over your log is told of in /readyz, and has
// a check of its own.
func TestSearchReadyz(t *testing.T) {
	t.Parallel()
	admin := "http://" + testwait.Address(t)
	log := start(t, nil, nil, "--dir", filepath.Join(t.TempDir(), "log"), "--listen", "127.0.0.1:0", "--admin-listen", strings.TrimPrefix(admin, "http://"))
	waitFor(t, admin+"/readyz", "ok\nwriter\nsearch: 2 of 2 entries are read\n")
	if _, body := log.get("/search"); !strings.Contains(string(body), `"size":2,`) {
		t.Errorf("/search: %s", body)
	}
	if code, body := status(t, admin+"/readyz/search"); code != http.StatusOK || !strings.HasPrefix(body, "ok: ") {
		t.Errorf("/readyz/search: %d %q", code, body)
	}
	other := "http://" + testwait.Address(t)
	start(t, nil, nil, "--dir", filepath.Join(t.TempDir(), "log"), "--listen", "127.0.0.1:0", "--search=false", "--admin-listen", strings.TrimPrefix(other, "http://"))
	waitFor(t, other+"/readyz", "ok\nwriter\n")
	if code, _ := status(t, other+"/readyz/search"); code != http.StatusNotFound {
		t.Errorf("without search: /readyz/search: %d", code)
	}
}

func TestSearchOfFlags(t *testing.T) {
	for _, c := range []struct {
		flags []string
		want  string
	}{
		{[]string{"--search-of", ".", "--policy", "x.json"}, "--policy is for a log of one's own"},
		{[]string{"--search-of", ".", "--manage-socket", "off"}, "--manage-socket is for a log of one's own"},
		{[]string{"--vkey", "x"}, "--vkey is for --search-of"},
		{[]string{"--artifacts-of", "."}, "--artifacts-of is for --search-of"},
		{[]string{"--search-of", ".", "--artifacts-of", "."}, "say who may search"},
		{[]string{"--artifacts-public", "--artifact-read-tokens", "x"}, "exclude each other"},
		{[]string{"--search-of", ".", "--search-interval", "0s"}, "more than 0"},
	} {
		var out buffer
		cmd := command(&out, &out)
		cmd.SetArgs(c.flags)
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.flags, err)
		}
	}
	if _, err := os.Stat("conmotion-search"); err == nil {
		t.Error("a directory was made for what was refused")
	}
}

// TestSearchOfStarts: while the log does not answer, a search over it says that it starts.
func TestSearchOfStarts(t *testing.T) {
	t.Parallel()
	silent := testlog.Must((&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"))(t) // nobody accepts
	defer silent.Close()
	ctx, stop := context.WithCancel(t.Context())
	admin, public, stderr := testwait.Address(t), testwait.Address(t), &buffer{}
	cmd := command(io.Discard, stderr)
	cmd.SetArgs([]string{"--search-of", "http://" + silent.Addr().String(), "--dir", t.TempDir(), "--listen", public, "--admin-listen", admin})
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	for url, want := range map[string]string{public + "/search": "Starting", admin + "/readyz": "starting\n", admin + "/readyz/search": "starting\n"} {
		testwait.Until(t, func() bool {
			resp, err := http.Get("http://" + url)
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			body := testlog.Must(io.ReadAll(resp.Body))(t)
			return resp.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(body), want)
		}, url, " says ", want, "\n", stderr)
	}
	stop()
	if err := <-ended; err == nil {
		t.Error("it ended well without the log")
	}
}
