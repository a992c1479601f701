package content

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestServe: what is sent, and that of a refusal nothing is.
func TestServe(t *testing.T) {
	for name, c := range map[string]struct {
		field, value  string
		refused, code int
		body          string
	}{
		"all":               {"", "", 0, 200, "0123456789"},
		"a range":           {"Range", "bytes=2-4", 0, 206, "234"},
		"not modified":      {"If-None-Match", `W/"tag"`, 0, 304, ""},
		"behind its end":    {"Range", "bytes=10-", 416, 418, "mine"},
		"no range":          {"Range", "lines=1", 416, 418, "mine"},
		"another tag":       {"If-Match", `"other"`, 412, 418, "mine"},
		"the tag":           {"If-Match", `"tag"`, 0, 200, "0123456789"},
		"modified since":    {"If-Unmodified-Since", "Mon, 02 Jan 2006 15:04:05 GMT", 412, 418, "mine"},
		"another tag, HEAD": {"If-Match", `"other"`, 412, 418, "mine"},
	} {
		w := httptest.NewRecorder()
		method := http.MethodGet
		if strings.HasSuffix(name, "HEAD") {
			method = http.MethodHead
		}
		r := httptest.NewRequest(method, "/", nil)
		if c.field != "" {
			r.Header.Set(c.field, c.value)
		}
		h := w.Header()
		h.Set("ETag", `"tag"`)
		h.Set("Content-Type", "text/x-test")
		h.Set("Vary", "Accept")
		refused := Serve(w, r, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), strings.NewReader("0123456789"))
		if refused != 0 {
			w.WriteHeader(http.StatusTeapot)
			io.WriteString(w, "mine")
			if h.Get("ETag")+h.Get("Content-Type")+h.Get("Last-Modified")+h.Get("Content-Length") != "" || h.Get("Vary") != "Accept" || len(h["Content-Range"]) != map[bool]int{true: 1}[name == "behind its end"] {
				t.Errorf("%s: %v", name, h)
			}
		}
		if refused != c.refused || w.Code != c.code || w.Body.String() != c.body {
			t.Errorf("%s: refused %d, status %d %q", name, refused, w.Code, w.Body)
		}
	}
}

// readerFrom is a connection that can send files.
type readerFrom struct {
	*httptest.ResponseRecorder
	file *os.File
}

func (r *readerFrom) ReadFrom(from io.Reader) (int64, error) {
	if limited, ok := from.(*io.LimitedReader); ok {
		r.file, _ = limited.R.(*os.File)
	}
	return io.Copy(r.ResponseRecorder, from)
}

// TestServeFile: a file reaches the connection as a file.
func TestServeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := &readerFrom{ResponseRecorder: httptest.NewRecorder()}
	if refused := Serve(w, httptest.NewRequest(http.MethodGet, "/", nil), time.Time{}, f); refused != 0 || w.file != f || w.Body.String() != "content" {
		t.Errorf("refused %d, the connection got %v, %q", refused, w.file, w.Body)
	}
}
