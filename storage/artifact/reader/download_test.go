package reader_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// TestDownload: whatever is there before, the file is the artifact afterwards, and
// nothing else is left.
func TestDownload(t *testing.T) {
	content := strings.Repeat("0123456789", 100_000)
	_, _, server := newStorage(t, content)
	r := testlog.Must(reader.Open(server.URL, reader.Options{Client: once}))(t)
	digest := digestOf(content)
	part := ".out." + digest.String()[:16] + ".partial"
	for name, c := range map[string]struct {
		there    map[string]string
		found    bool  // the artifact itself
		received int64 // at least so many bytes are not received again
		says     string
	}{
		"nothing":                       {},
		"the artifact":                  {there: map[string]string{"out": content}, found: true},
		"another file":                  {there: map[string]string{"out": "older"}},
		"a beginning":                   {there: map[string]string{part: content[:600_000]}, received: 600_000, says: "going on after 600000 bytes"},
		"all of it, without its name":   {there: map[string]string{part: content}, received: 1_000_000},
		"a beginning of something else": {there: map[string]string{part: "other"}, says: "starting again"},
		"more than it":                  {there: map[string]string{part: content + "!"}, says: "starting again"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			out := filepath.Join(dir, "out")
			for name, content := range c.there {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var said []string
			first := int64(-1)
			fetched, size, err := r.Download(t.Context(), digest, out, reader.DownloadOptions{
				Notice: func(format string, _ ...any) { said = append(said, format) },
				Progress: func(done, _ int64, what string) {
					if what == "received" && first < 0 {
						first = done
					}
				},
			})
			if err != nil || fetched == c.found || size != int64(len(content)) || string(testlog.Must(os.ReadFile(out))(t)) != content {
				t.Errorf("fetched %v, %d bytes, %v", fetched, size, err)
			}
			if first >= 0 && first < c.received {
				t.Errorf("the first bytes to come end at %d", first)
			}
			if left := testlog.Must(os.ReadDir(dir))(t); len(left) != 1 {
				t.Errorf("left: %v", left)
			}
			if c.says != "" && !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(strings.ReplaceAll(s, "%d", "600000"), c.says) }) {
				t.Errorf("said %q", said)
			}
		})
	}
	// What is not stored, or is not a file, leaves nothing.
	dir := t.TempDir()
	if _, _, err := r.Download(t.Context(), digestOf("another"), filepath.Join(dir, "out"), reader.DownloadOptions{}); err == nil || len(testlog.Must(os.ReadDir(dir))(t)) > 0 {
		t.Errorf("not stored: %v", err)
	}
	if _, _, err := r.Download(t.Context(), digest, dir, reader.DownloadOptions{}); err == nil || len(testlog.Must(os.ReadDir(dir))(t)) > 0 {
		t.Errorf("to a directory: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.Download(ctx, digest, filepath.Join(dir, "out"), reader.DownloadOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// TestDownloadTooLarge: nothing is kept of an artifact that has more than the limit and
// does not say how much.
func TestDownloadTooLarge(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	}))
	defer server.Close()
	r := testlog.Must(reader.Open(server.URL, reader.Options{Limits: reader.Limits{Size: 1 << 20}}))(t)
	dir := t.TempDir()
	_, _, err := r.Download(t.Context(), digestOf("any"), filepath.Join(dir, "out"), reader.DownloadOptions{Notice: func(format string, _ ...any) { t.Error(format) }})
	if left := testlog.Must(os.ReadDir(dir))(t); !errors.Is(err, reader.ErrTooLarge) || len(left) > 0 {
		t.Errorf("%v; left: %v", err, left)
	}
}

// TestDownloadFollowsNoLink: a link in the place of the partial file is not followed,
// whether something is at its end or not.
func TestDownloadFollowsNoLink(t *testing.T) {
	_, _, server := newStorage(t, "the content")
	r := testlog.Must(reader.Open(server.URL, reader.Options{Client: once}))(t)
	digest := digestOf("the content")
	for _, there := range []bool{true, false} {
		dir := t.TempDir()
		victim := filepath.Join(t.TempDir(), "victim")
		if err := os.Symlink(victim, filepath.Join(dir, ".out."+digest.String()[:16]+".partial")); err != nil {
			t.Fatal(err)
		}
		if there {
			if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, _, err := r.Download(t.Context(), digest, filepath.Join(dir, "out"), reader.DownloadOptions{})
		now, readErr := os.ReadFile(victim)
		if err == nil || !strings.Contains(err.Error(), "is there and no file") || (readErr == nil) != there || there && string(now) != "precious" {
			t.Errorf("%v; %q, %v", err, now, readErr)
		}
	}
}
