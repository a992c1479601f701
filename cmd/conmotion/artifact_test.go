package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// blobs is an artifact storage that a test can have go wrong.
type blobs struct {
	http.Handler
	mu     sync.Mutex
	ranges []string // of the GET requests
	wrong  func(w http.ResponseWriter, r *http.Request) bool
}

func newBlobs(t *testing.T, content []byte) (s *blobs, url, digest string) {
	t.Helper()
	dir := testlog.Must(artifact.OpenDir(t.TempDir(), artifact.Options{}))(t)
	info, _, err := dir.Put(t.Context(), bytes.NewReader(content), artifact.Want{})
	if err != nil {
		t.Fatal(err)
	}
	s = &blobs{Handler: testlog.Must(artifact.NewHandler(artifact.Config{Store: dir, Write: artifact.Everybody(), Read: artifact.Everybody(), Problem: func(w http.ResponseWriter, _ *http.Request, status int, title, detail string) {
		w.WriteHeader(status)
		_, _ = w.Write((&scitt.Problem{Title: title, Detail: detail}).Marshal())
	}}))(t)}
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		server.Close()
		dir.Close()
	})
	return s, server.URL, info.Digest.String()
}

func (s *blobs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if r.Method == http.MethodGet {
		s.ranges = append(s.ranges, r.Header.Get("Range"))
	}
	wrong := s.wrong
	s.mu.Unlock()
	if wrong == nil || !wrong(w, r) {
		s.Handler.ServeHTTP(w, r)
	}
}

// tool runs the tool as the command line would.
func tool(ctx context.Context, args ...string) (code int, output string) {
	var out bytes.Buffer
	code = runIn(ctx, args, strings.NewReader(""), &out, &out)
	return code, out.String()
}

func filesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	for _, e := range testlog.Must(os.ReadDir(dir))(t) {
		names = append(names, e.Name())
	}
	return names
}

// TestGetInterrupted ends a download in the middle as Ctrl-C does. While it
// runs a second one does not touch its file, and the next one goes on.
func TestGetInterrupted(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
	const half = 2 << 20
	s, url, digest := newBlobs(t, content)
	dir := t.TempDir()
	get := []string{"artifact", "get", "--store", url, "--out", filepath.Join(dir, "out"), digest}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	halfway := make(chan struct{})
	s.wrong = func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = w.Write(content[:half])
		_ = http.NewResponseController(w).Flush()
		close(halfway)
		<-r.Context().Done()
		return true
	}
	type result struct {
		code   int
		output string
	}
	first := make(chan result)
	go func() {
		code, output := tool(ctx, get...)
		first <- result{code, output}
	}()
	<-halfway
	if code, output := tool(t.Context(), get...); code != cli.ExitUsage || !strings.Contains(output, "another process uses it") {
		t.Errorf("a second download at the same time: exit code %d, %s", code, output)
	}
	// It is ended when all that was sent is in the file.
	part := filepath.Join(dir, ".out."+digest[:16]+".partial")
	for info := testlog.Must(os.Stat(part))(t); info.Size() < half; info = testlog.Must(os.Stat(part))(t) {
		runtime.Gosched()
	}
	cancel()
	r := <-first
	if r.code != cli.ExitUsage || !strings.Contains(r.output, "the same command goes on from there") {
		t.Fatalf("exit code %d, %s", r.code, r.output)
	}
	if got := filesIn(t, dir); !slices.Equal(got, []string{filepath.Base(part)}) {
		t.Fatalf("files %q", got)
	}
	s.mu.Lock()
	s.wrong, s.ranges = nil, nil
	s.mu.Unlock()
	if code, output := tool(t.Context(), get...); code != cli.ExitGood {
		t.Fatalf("exit code %d, %s", code, output)
	}
	if !slices.Equal(s.ranges, []string{"bytes=2097152-"}) {
		t.Errorf("ranges %q", s.ranges)
	}
	if got := filesIn(t, dir); !slices.Equal(got, []string{"out"}) || !bytes.Equal(testlog.Must(os.ReadFile(filepath.Join(dir, "out")))(t), content) {
		t.Errorf("files %q", got)
	}
}

// TestGetLies: whatever a storage gives, only the right bytes get the name, and
// wrong ones leave nothing.
func TestGetLies(t *testing.T) {
	content := []byte("the content")
	for name, lie := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"other bytes": func(w http.ResponseWriter, _ *http.Request) bool {
			_, err := io.WriteString(w, "the c0ntent")
			return err == nil
		},
		"fewer": func(w http.ResponseWriter, _ *http.Request) bool {
			_, err := io.WriteString(w, "the")
			return err == nil
		},
		"more": func(w http.ResponseWriter, _ *http.Request) bool {
			_, err := io.WriteString(w, "the content\n")
			return err == nil
		},
		"none": func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusOK); return true },
	} {
		t.Run(name, func(t *testing.T) {
			s, url, digest := newBlobs(t, content)
			s.wrong = lie
			dir := t.TempDir()
			out := filepath.Join(dir, "out")
			get := []string{"artifact", "get", "--store", url, "--out", out, digest}
			if code, output := tool(t.Context(), get...); code != cli.ExitBad || !strings.Contains(output, reader.ErrWrong.Error()) || len(filesIn(t, dir)) != 0 {
				t.Errorf("exit code %d, files %q, %s", code, filesIn(t, dir), output)
			}
			// An older file stays as it is.
			if err := os.WriteFile(out, []byte("older"), 0o600); err != nil {
				t.Fatal(err)
			}
			if code, _ := tool(t.Context(), get...); code != cli.ExitBad || string(testlog.Must(os.ReadFile(out))(t)) != "older" || len(filesIn(t, dir)) != 1 {
				t.Errorf("exit code %d, files %q", code, filesIn(t, dir))
			}
			if code, output := tool(t.Context(), "artifact", "get", "--store", url, "--out", "-", digest); code != cli.ExitBad || !strings.Contains(output, "what was written is not the whole artifact") {
				t.Errorf("to standard output: exit code %d, %s", code, output)
			}
		})
	}
}

// TestPutChanging: a file that changes between its two readings is not stored
// under the hash of the first.
func TestPutChanging(t *testing.T) {
	s, url, _ := newBlobs(t, []byte("another"))
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.wrong = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			if err := os.WriteFile(path, []byte("behind"), 0o600); err != nil {
				t.Error(err)
			}
		}
		return false
	}
	code, output := tool(t.Context(), "artifact", "put", "--store", url, path)
	if code != cli.ExitBad || !strings.Contains(output, "Digest Mismatch") {
		t.Errorf("exit code %d, %s", code, output)
	}
	if code, output := tool(t.Context(), "artifact", "get", "--store", url, "--out", "-", hexSum("before")); code != cli.ExitBad {
		t.Errorf("it was stored: %s", output)
	}
}

func hexSum(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// TestPutSpool: no temporary file is left.
func TestPutSpool(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	_, url, _ := newBlobs(t, []byte("another"))
	if code, output := tool(t.Context(), "artifact", "put", "--store", url, "-"); code != cli.ExitGood || !strings.Contains(output, hexSum("")) {
		t.Errorf("exit code %d, %s", code, output)
	}
	if left, _ := filepath.Glob(filepath.Join(tmp, "conmotion-artifact-*")); len(left) != 0 {
		t.Errorf("left %q", left)
	}
}

// TestLimits: the limits are the user's.
func TestLimits(t *testing.T) {
	s, url, digest := newBlobs(t, []byte("the content"))
	get := []string{"artifact", "get", "--store", url, "--out", filepath.Join(t.TempDir(), "out"), digest}
	for _, c := range []struct {
		flag, value string
		want        int
	}{{"--max-size", "10", cli.ExitUsage}, {"--max-size", "0", cli.ExitUsage}, {"--max-time", "0s", cli.ExitUsage}, {"--max-size", "11", cli.ExitGood}} {
		if code, output := tool(t.Context(), append(get, c.flag, c.value)...); code != c.want {
			t.Errorf("%s %s: exit code %d, %s", c.flag, c.value, code, output)
		}
	}
	s.wrong = func(w http.ResponseWriter, r *http.Request) bool {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return true
	}
	get[5] = filepath.Join(t.TempDir(), "out")
	if code, output := tool(t.Context(), append(get, "--max-time", "100ms")...); code != cli.ExitUsage || !strings.Contains(output, "took longer than the limit of 100ms") {
		t.Errorf("exit code %d, %s", code, output)
	}
}
