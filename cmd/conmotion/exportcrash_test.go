package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// hungry serves files, and after so many requests gives no answers any more
// and says so.
type hungry struct {
	files http.Handler
	left  atomic.Int64
	stuck chan struct{}
}

func (h *hungry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.left.Add(-1) < 0 {
		select {
		case h.stuck <- struct{}{}:
		default:
		}
		<-r.Context().Done()
		return
	}
	h.files.ServeHTTP(w, r)
}

// tree is the content of a directory by path, without the lock of an export.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == ".copying" {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		out[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestExportKill ends an export with SIGKILL at every tenth request, and at a
// moment while it updates. Each time the directory is a whole log or none
// yet, and in the end the same as one that nothing interrupted.
func TestExportKill(t *testing.T) {
	t.Parallel()
	keys := testlog.NewKeys(t)
	key := testlog.Key(t, "EdDSA")
	var statements []*scitt.Statement
	artifacts := t.TempDir()
	for i := range 1500 {
		content := fmt.Appendf(nil, "content %d", i)
		data := testlog.Must(scitt.SignStatement(key, scitt.SignOptions{Subject: fmt.Sprint(i), Hash: i%100 == 0}, content))(t)
		st := testlog.Must(scitt.ParseStatement(data))(t)
		statements = append(statements, st)
		if st.Envelope != nil {
			path := filepath.Join(artifacts, "sha256", fmt.Sprintf("%x", st.Payload[:1]), fmt.Sprintf("%x", st.Payload[1:2]), fmt.Sprintf("%x", st.Payload))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	files := staticFiles(t, keys, statements)
	dir := t.TempDir()
	command := func(log, out string) *exec.Cmd {
		args := []string{"export", "--log", log, "--out", filepath.Join(dir, out), "--artifacts", artifacts, "--home", filepath.Join(dir, "home")}
		for _, vkey := range keys.VKeys {
			args = append(args, "--vkey", vkey)
		}
		cmd := exec.Command("conmotion", args...)
		cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
		return cmd
	}
	run := func(cmd *exec.Cmd) {
		t.Helper()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	run(command(files, "whole"))
	want := tree(t, filepath.Join(dir, "whole"))
	if len(want) < 20 {
		t.Fatalf("only %d files: this is no test", len(want))
	}
	for most := int64(5); most < 40; most += 5 {
		h := &hungry{files: http.FileServer(http.Dir(files)), stuck: make(chan struct{}, 1)}
		h.left.Store(most)
		server := httptest.NewServer(h)
		cmd := command(server.URL, "broken")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-h.stuck:
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-done
			if _, ok := tree(t, filepath.Join(dir, "broken"))["checkpoint"]; ok {
				t.Errorf("after %d requests there is a checkpoint over an unfinished log", most)
			}
		case err := <-done: // nothing was left to ask for
			if err != nil {
				t.Errorf("after %d requests: %v\n%s", most, err, &stderr)
			}
		}
		server.CloseClientConnections()
		server.Close()
	}
	// What was left of it is not believed: one of the files is wrong.
	for name := range tree(t, filepath.Join(dir, "broken")) {
		if strings.HasPrefix(name, filepath.Join("tile", "entries")) {
			if err := os.WriteFile(filepath.Join(dir, "broken", name), []byte("not what it was"), 0o644); err != nil {
				t.Fatal(err)
			}
			os.Remove(filepath.Join(dir, "broken", "checkpoint"))
			break
		}
	}
	run(command(files, "broken"))
	got := tree(t, filepath.Join(dir, "broken"))
	for name, data := range want {
		if got[name] != data {
			t.Errorf("%s is not as in the export that nothing interrupted", name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s was left behind", name)
		}
	}
}
