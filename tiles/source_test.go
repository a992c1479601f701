package tiles_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/tiles"
)

func TestTilePaths(t *testing.T) {
	for path, c := range map[string]struct {
		level, width int
		index        uint64
	}{
		"tile/0/000":                               {0, 256, 0},
		"tile/0/000.p/1":                           {0, 1, 0},
		"tile/0/999.p/255":                         {0, 255, 999},
		"tile/1/x001/000":                          {1, 256, 1000},
		"tile/2/x001/x234/067":                     {2, 256, 1234067},
		"tile/63/x999/x999/999.p/5":                {63, 5, 999999999},
		"tile/entries/000":                         {-1, 256, 0},
		"tile/entries/x001/234.p/56":               {-1, 56, 1234},
		"tile/0/x009/x223/x372/x036/x854/x775/807": {0, 256, math.MaxInt64},
	} {
		level, index, width, ok := tiles.ParseTilePath(path)
		if !ok || level != c.level || index != c.index || width != c.width {
			t.Errorf("%s: level %d, index %d, width %d, %v", path, level, index, width, ok)
		}
		got := tiles.TilePath(c.level, c.index, c.width)
		if c.level < 0 {
			got = tiles.BundlePath(c.index, c.width)
		}
		if got != path {
			t.Errorf("%+v: path %s, want %s", c, got, path)
		}
	}
	if a, b := tiles.TilePath(0, 7, 0), tiles.BundlePath(7, 0); a != "tile/0/007" || b != "tile/entries/007" {
		t.Errorf("width 0: %s %s", a, b)
	}
	for _, path := range []string{
		"", "tile", "tile/0", "tile/0/", "tile//000", "/tile/0/000", "tile/0/000/", "tiles/0/000", "checkpoint",
		"tile/64/000", "tile/-1/000", "tile/00/000", "tile/+1/000", "tile/x/000", "tile/entry/000", "tile/Entries/000",
		"tile/0/0", "tile/0/0000", "tile/0/1000", "tile/0/x000/001", "tile/0/001/001", "tile/0/x001", "tile/0/x001/x001",
		"tile/0/xx01/001", "tile/0/-01", "tile/0/+01", "tile/0/0 1", "tile/0/00a", "tile/0/..",
		"tile/0/000.p", "tile/0/000.p/", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p/-1",
		"tile/0/000.p/+1", "tile/0/000.p/1/1", "tile/0/.p/1", "tile/0/x001.p/001", "tile/0/000.q/1", "tile/0/000.p/x",
		"tile/0/x999/x999/x999/x999/x999/x999/x999/999",
	} {
		if level, index, width, ok := tiles.ParseTilePath(path); ok {
			t.Errorf("%q is level %d, index %d, width %d", path, level, index, width)
		}
	}
}

func FuzzParseTilePath(f *testing.F) {
	f.Add("tile/0/x001/234.p/5", 0, uint64(1234), 5)
	f.Add("tile/entries/000", 63, uint64(math.MaxInt64), 255)
	f.Add("tile/0/000.p/256", 8, uint64(1000), 0)
	f.Fuzz(func(t *testing.T, path string, level int, index uint64, width int) {
		if l, i, w, ok := tiles.ParseTilePath(path); ok {
			again := tiles.TilePath(l, i, w)
			if l < 0 {
				again = tiles.BundlePath(i, w)
			}
			if again != path || w < 1 || w > 256 || l > 63 {
				t.Fatalf("%q is %d, %d, %d and that is %q", path, l, i, w, again)
			}
		}
		level, index, width = level&63, index>>1, width&255
		want := width
		if want == 0 {
			want = tiles.Width
		}
		if l, i, w, ok := tiles.ParseTilePath(tiles.TilePath(level, index, width)); !ok || l != level || i != index || w != want {
			t.Fatalf("tile %d, %d, %d came back as %d, %d, %d, %v", level, index, width, l, i, w, ok)
		}
		if l, i, w, ok := tiles.ParseTilePath(tiles.BundlePath(index, width)); !ok || l != -1 || i != index || w != want {
			t.Fatalf("bundle %d, %d came back as %d, %d, %d, %v", index, width, l, i, w, ok)
		}
	})
}

// writeTo puts the files of a log under a directory.
func (m memory) writeTo(t *testing.T, dir string) {
	t.Helper()
	for path, data := range m {
		file := filepath.Join(dir, filepath.FromSlash(path))
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		must(t, os.WriteFile(file, data, 0o644))
	}
}

// TestSources reads the same log from a disk and from a file server.
func TestSources(t *testing.T) {
	o := newOracle(numbered(600))
	dir := t.TempDir()
	o.log(600).writeTo(t, dir)
	server := httptest.NewServer(http.StripPrefix("/logs/one", http.FileServer(http.Dir(dir))))
	defer server.Close()
	for name, location := range map[string]string{
		"directory": dir, "URL": server.URL + "/logs/one", "URL with slash": server.URL + "/logs/one/",
	} {
		t.Run(name, func(t *testing.T) {
			src, err := tiles.Open(location, client.Options{})
			must(t, err)
			v := at(t, src, o.checkpoint(600))
			for e, err := range v.Entries(t.Context(), 0, 600) {
				must(t, err)
				if !bytes.Equal(e.Data, o.entries[e.Index]) {
					t.Fatalf("entry %d is %q", e.Index, e.Data)
				}
			}
			if _, err := src.Get(t.Context(), "tile/0/009"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("what is not there: %v", err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := src.Get(ctx, "tile/0/000"); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
		})
	}
	file := filepath.Join(dir, "tile", "0", "000")
	for _, location := range []string{file, filepath.Join(dir, "nowhere"), ""} {
		if src, err := tiles.Open(location, client.Options{}); err == nil {
			t.Errorf("%q is the log %v", location, src)
		}
	}
}

func TestHTTPSourceErrors(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			_, _ = w.Write([]byte("ok"))
		case "/gone":
			w.WriteHeader(http.StatusGone)
		case "/forbidden": // S3, for what is not there
			w.WriteHeader(http.StatusForbidden)
		case "/proxied":
			w.WriteHeader(http.StatusNonAuthoritativeInfo)
			_, _ = w.Write([]byte("ok"))
		case "/unknown-success":
			w.WriteHeader(299)
			_, _ = w.Write([]byte("ok"))
		case "/partial":
			w.WriteHeader(http.StatusPartialContent)
		case "/teapot":
			w.WriteHeader(http.StatusTeapot)
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		case "/busy":
			w.WriteHeader(http.StatusTooManyRequests)
		case "/short": // the connection ends before the file does
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("x"))
		case "/large":
			block := make([]byte, 1<<20)
			for range 17 {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		default:
			http.NotFound(w, r)
		}
	}))
	src, err := tiles.Open(server.URL, client.Options{HTTP: server.Client(), Retries: -1})
	must(t, err)
	for path, c := range map[string]struct {
		missing bool
		piece   string
	}{
		"ok": {false, ""}, "none": {true, "get " + server.URL + "/none"}, "gone": {true, "/gone"},
		"forbidden": {true, "403"}, "proxied": {false, ""}, "unknown-success": {false, ""}, "partial": {false, "206"}, "teapot": {false, "418"},
		"broken": {false, "500"}, "busy": {false, "429"}, "short": {false, "unexpected EOF"}, "large": {false, "the answer is larger than 16777728 bytes"},
	} {
		t.Run(path, func(t *testing.T) {
			data, err := src.Get(t.Context(), path)
			if c.piece == "" {
				must(t, err)
				if string(data) != "ok" {
					t.Errorf("got %q", data)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.piece) || errors.Is(err, fs.ErrNotExist) != c.missing {
				t.Errorf("got %v", err)
			}
			if refused := !c.missing && strings.Trim(c.piece, "0123456789") == ""; errors.Is(err, client.ErrStatus) != refused {
				t.Errorf("got %v", err)
			}
		})
	}
	server.Close()
	if _, err := src.Get(t.Context(), "ok"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no server: %v", err)
	}
}

// failing is a Source in which some files cannot be read.
type failing struct {
	memory
	err  error
	path string
}

func (f failing) Get(ctx context.Context, path string) ([]byte, error) {
	if path == f.path {
		return nil, f.err
	}
	return f.memory.Get(ctx, path)
}

// TestServerIsAskedAgain reads a log from a server each of whose files is
// refused twice, as any server does that is busy.
func TestServerIsAskedAgain(t *testing.T) {
	o := newOracle(numbered(600))
	log := o.log(600)
	synctest.Test(t, func(t *testing.T) {
		asked := map[string]int{}
		var mu sync.Mutex
		start := time.Now()
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			path := strings.TrimPrefix(r.URL.Path, "/")
			asked[path]++
			resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(log[path])), Request: r}
			switch asked[path] {
			case 1:
				resp.StatusCode = http.StatusTooManyRequests
				resp.Header.Set("Retry-After", "7")
			case 2:
				resp.StatusCode = 599
			}
			return resp, nil
		})
		src, err := tiles.Open("https://log.example", client.Options{HTTP: &http.Client{Transport: transport}})
		must(t, err)
		v := at(t, src, o.checkpoint(600))
		for _, err := range v.Entries(t.Context(), 0, 600) {
			must(t, err)
		}
		for path, n := range asked {
			if n != 3 {
				t.Errorf("%s was asked for %d times", path, n)
			}
		}
		if waited := time.Since(start); waited < 7*time.Second {
			t.Errorf("waited %v where the server asks for 7 s", waited)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestNoWayOutOfHTTPS: a redirect is followed, but for one that leaves https.
func TestNoWayOutOfHTTPS(t *testing.T) {
	for target, ok := range map[string]bool{"https://other.example/checkpoint": true, "http://other.example/checkpoint": false} {
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("it")), Request: r}
			if r.URL.Host == "log.example" {
				resp.StatusCode = http.StatusFound
				resp.Header.Set("Location", target)
			}
			return resp, nil
		})
		src, err := tiles.Open("https://log.example", client.Options{HTTP: &http.Client{Transport: transport}, Retries: -1})
		must(t, err)
		data, err := src.Get(t.Context(), tiles.CheckpointPath)
		if ok && (err != nil || string(data) != "it") || !ok && (err == nil || !strings.Contains(err.Error(), "leaves https")) {
			t.Errorf("to %s: %q, %v", target, data, err)
		}
	}
}

// TestOlderSizeOfACopy: a copy of a log has the partial files of its own size
// only. An older checkpoint commits to the first hashes and entries of them.
func TestOlderSizeOfACopy(t *testing.T) {
	o := newOracle(numbered(700))
	copied := o.log(700)
	copied[tiles.CheckpointPath] = []byte("example.com/log\n700\n")
	for _, size := range []int{1, 255, 256, 257, 512, 600, 699, 700} {
		v := at(t, copied, o.checkpoint(size))
		n := 0
		for e, err := range v.Entries(t.Context(), 0, uint64(size)) {
			must(t, err)
			if !bytes.Equal(e.Data, o.entries[e.Index]) {
				t.Fatalf("size %d: entry %d is %q", size, e.Index, e.Data)
			}
			n++
		}
		if n != size {
			t.Errorf("size %d: %d entries", size, n)
		}
	}
	must(t, tiles.Fsck(t.Context(), copied, o.checkpoint(600), func(err error) {
		if !errors.Is(err, scitt.ErrMalformed) { // the oracle's entries are not a statement
			t.Error(err)
		}
	}, nil))
	for _, checkpoint := range []string{"", "example.com/log", "example.com/log\n-1\n", "example.com/log\n10\n"} {
		copied[tiles.CheckpointPath] = []byte(checkpoint)
		if _, err := tiles.NewTree(copied).At(t.Context(), o.checkpoint(600)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("with the checkpoint %q: %v", checkpoint, err)
		}
	}
}

// TestPartialFallsBackToFull: the full file may have replaced the partial one,
// and only when neither is there it is missing.
func TestPartialFallsBackToFull(t *testing.T) {
	o := newOracle(numbered(512))
	full := o.log(512)
	partial := o.log(300)
	src := memory{}
	for _, path := range []string{"tile/0/000", "tile/entries/000", "tile/0/001", "tile/entries/001"} {
		src[path] = full[path]
	}
	src["tile/1/000.p/1"] = partial["tile/1/000.p/1"]
	v := at(t, src, o.checkpoint(300))
	got, err := v.Entry(t.Context(), 299)
	must(t, err)
	if !bytes.Equal(got, o.entries[299]) {
		t.Errorf("entry 299 is %q", got)
	}
	broken := errors.New("disk on fire")
	for path, get := range map[string]func(src tiles.Source) error{
		"tile/0/001": func(src tiles.Source) error {
			_, err := tiles.NewTree(src).At(t.Context(), o.checkpoint(300))
			return err
		},
		"tile/entries/001": func(src tiles.Source) error {
			_, err := tiles.ReadBundle(t.Context(), src, 1, 300)
			return err
		},
	} {
		if err := get(src.but(path, nil)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s gone: %v", path, err)
		}
		if err := get(failing{src, broken, path}); !errors.Is(err, broken) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s not to be read: %v", path, err)
		}
	}
}

// TestPruned: a log that goes on while it is read, and deletes the partial file of
// each state as soon as there is the next, is read all the same.
func TestPruned(t *testing.T) {
	var entries [][]byte
	for i := range tiles.Width {
		entries = append(entries, fmt.Appendf(nil, "entry %d", i))
	}
	var first []byte
	testlog.WriteTree(entries[:40], func(path string, data []byte) {
		if path == tiles.TilePath(0, 0, 40) {
			first = data
		}
	})
	size := 40
	src := sourceFunc(func(path string) ([]byte, error) {
		files := map[string][]byte{tiles.CheckpointPath: fmt.Appendf(nil, "log\n%d\nroot\n", size)}
		size = min(size+9, tiles.Width)
		testlog.WriteTree(entries[:size], func(path string, data []byte) { files[path] = data })
		if data, ok := files[path]; ok {
			return data, nil
		}
		return nil, fs.ErrNotExist
	})
	got, err := tiles.ReadTile(t.Context(), src, 0, 0, 40)
	if err != nil || !bytes.Equal(got, first) || size < tiles.Width {
		t.Errorf("at size %d: %d bytes, %v", size, len(got), err)
	}
}

type sourceFunc func(path string) ([]byte, error)

func (f sourceFunc) Get(_ context.Context, path string) ([]byte, error) { return f(path) }
