package reader_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/artifact"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// once is for tests in which nothing is tried again.
var once = client.Options{Retries: -1}

func digestOf(content string) reader.Digest { return sha256.Sum256([]byte(content)) }

// newStorage makes an artifact storage with these contents, and serves it.
func newStorage(t *testing.T, contents ...string) (dir string, store artifact.Storage, server *httptest.Server) {
	t.Helper()
	dir = t.TempDir()
	store = testlog.Must(artifact.OpenDir(dir, artifact.Options{}))(t)
	for _, content := range contents {
		if _, _, err := store.Put(t.Context(), strings.NewReader(content), artifact.Want{}); err != nil {
			t.Fatal(err)
		}
	}
	server = httptest.NewServer(testlog.Must(artifact.NewHandler(artifact.Config{Store: store, Write: artifact.Everybody(), Read: artifact.Everybody(), Problem: func(w http.ResponseWriter, _ *http.Request, status int, title, detail string) {
		w.WriteHeader(status)
		_, _ = w.Write((&scitt.Problem{Title: title, Detail: detail}).Marshal())
	}}))(t))
	t.Cleanup(func() {
		server.Close()
		store.Close()
	})
	return dir, store, server
}

// readers opens the same storage in every way there is.
func readers(t *testing.T, dir string, store artifact.Storage, server *httptest.Server) map[string]reader.Artifacts {
	t.Helper()
	files := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(files.Close)
	root := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(root, "public"), 0o755), os.Mkdir(filepath.Join(root, "private"), 0o755),
		os.Symlink(dir, filepath.Join(root, "private", "artifacts"))); err != nil {
		t.Fatal(err)
	}
	out := map[string]reader.Artifacts{"the service's own": store}
	for name, location := range map[string]string{
		"directory": dir, "service's directory": filepath.Join(root, "private"), "beside public": filepath.Join(root, "public"),
		"service": server.URL, "file server": files.URL,
	} {
		out[name] = testlog.Must(reader.Open(location, reader.Options{Client: once}))(t)
	}
	out["any files"] = testlog.Must(reader.Files(t.Context(), dir, reader.Options{}))(t)
	return out
}

// TestArtifacts reads one storage in every way, with the same outcome.
func TestArtifacts(t *testing.T) {
	const limit = 100
	contents := map[string]string{"some": "content", "nothing": "", "all": strings.Repeat("x", limit), "too much": strings.Repeat("x", limit+1)}
	dir, store, server := newStorage(t, contents["some"], contents["nothing"], contents["all"], contents["too much"])
	for name, artifacts := range readers(t, dir, store, server) {
		for what, content := range contents {
			got, err := artifacts.Artifact(t.Context(), digestOf(content), limit)
			if what == "too much" {
				if !errors.Is(err, reader.ErrTooLarge) {
					t.Errorf("%s: %s: %v", name, what, err)
				}
			} else if err != nil || string(got) != content {
				t.Errorf("%s: %s: %q, %v", name, what, got, err)
			}
			r, ok := artifacts.(*reader.Reader)
			if !ok {
				continue
			}
			c := testlog.Must(r.Open(t.Context(), digestOf(content)))(t)
			if got, err := io.ReadAll(c); err != nil || string(got) != content {
				t.Errorf("%s: %s: %q, %v", name, what, got, err)
			}
			c.Close()
			if place := r.Place(digestOf(content)); !strings.HasSuffix(place, digestOf(content).String()) {
				t.Errorf("%s: %s is at %s", name, what, place)
			}
		}
		if _, err := artifacts.Artifact(t.Context(), reader.Digest{1}, limit); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: one that is not there: %v", name, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := artifacts.Artifact(ctx, digestOf("content"), limit); name != "the service's own" && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: cancelled: %v", name, err)
		}
	}
	var none *reader.Reader
	if _, err := none.Artifact(t.Context(), digestOf("content"), limit); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no storage: %v", err)
	}
}

// TestDamaged: what is damaged is wrong in every way of reading, and a storage
// that is out of reach is not one that has nothing.
func TestDamaged(t *testing.T) {
	dir, store, server := newStorage(t, "content")
	digest := digestOf("content")
	all := readers(t, dir, store, server)
	if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(digest.Path())), []byte("c0ntent"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, artifacts := range all {
		if got, err := artifacts.Artifact(t.Context(), digest, 100); !errors.Is(err, reader.ErrWrong) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	server.Close()
	if _, err := all["service"].Artifact(t.Context(), digest, 100); err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, reader.ErrWrong) {
		t.Errorf("out of reach: %v", err)
	}
}

// TestPrivate: a storage that wants a token keeps its content from a reader, and
// does not say by that that it is not there.
func TestPrivate(t *testing.T) {
	_, store, _ := newStorage(t, "content")
	token, line, err := artifact.NewToken("reader")
	if err != nil {
		t.Fatal(err)
	}
	tokens := testlog.Must(artifact.ParseTokens(strings.NewReader(line)))(t)
	server := httptest.NewServer(testlog.Must(artifact.NewHandler(artifact.Config{Store: store, Read: tokens, Problem: func(w http.ResponseWriter, _ *http.Request, status int, title, detail string) {
		w.WriteHeader(status)
		_, _ = w.Write((&scitt.Problem{Title: title, Detail: detail}).Marshal())
	}}))(t))
	defer server.Close()
	for given, want := range map[string]error{"": reader.ErrPrivate, "other": reader.ErrPrivate, token: nil} {
		r := testlog.Must(reader.Open(server.URL, reader.Options{Token: given}))(t)
		if _, err := r.Artifact(t.Context(), digestOf("content"), 100); !errors.Is(err, want) || reader.Withheld(err) {
			t.Errorf("with %q: %v", given, err)
		}
	}
}

// TestNoPlainFile: a directory may hold what never ends, or waits for ever.
func TestNoPlainFile(t *testing.T) {
	dir := t.TempDir()
	digest := digestOf("content")
	path := filepath.Join(dir, filepath.FromSlash(digest.Path()))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink("/dev/zero", path)); err != nil {
		t.Fatal(err)
	}
	r := testlog.Must(reader.Open(dir, reader.Options{}))(t)
	if _, err := r.Open(t.Context(), digest); err == nil || !strings.Contains(err.Error(), "not a plain file") {
		t.Errorf("a device: %v", err)
	}
	if _, err := reader.Open(t.TempDir(), reader.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty directory is a storage: %v", err)
	}
	if _, err := reader.Open(dir, reader.Options{Token: "secret"}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a token for a directory: %v", err)
	}
	if _, err := reader.Open("http://me:secret@example.com", reader.Options{}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a URL with a password: %v", err)
	}
}

// TestRefused: a missing token is not an artifact that is missing. Where an
// export can be read, though, 403 is how a bucket says that it has no such file.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		status  int
		problem bool
		export  bool
		missing bool
	}{
		{status: http.StatusUnauthorized}, {status: http.StatusForbidden}, {status: http.StatusInternalServerError},
		{status: http.StatusForbidden, problem: true, export: true},
		{status: http.StatusForbidden, export: true, missing: true},
		{status: http.StatusGone, missing: true}, {status: http.StatusNotFound, missing: true},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c.export && r.URL.Path == "/"+reader.ManifestPath {
				return
			}
			w.WriteHeader(c.status)
			if c.problem {
				_, _ = w.Write((&scitt.Problem{Title: "Token Not Sufficient"}).Marshal())
			}
		}))
		r := testlog.Must(reader.Open(server.URL, reader.Options{Client: once}))(t)
		if _, err := r.Artifact(t.Context(), reader.Digest{}, 1); err == nil || errors.Is(err, fs.ErrNotExist) != c.missing {
			t.Errorf("%+v: %v", c, err)
		}
		server.Close()
	}
}

// lies are what a storage may answer in place of an artifact.
func lies(content string) map[string]http.HandlerFunc {
	hijack := func(answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(c, answer)
				c.Close()
			}
		}
	}
	write := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
	}
	const head = "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
	return map[string]http.HandlerFunc{
		"swapped":         write(strings.ToUpper(content)),
		"empty":           func(http.ResponseWriter, *http.Request) {},
		"truncated":       write(content[:len(content)-1]),
		"longer":          write(content + "!"),
		"shorter length":  hijack(fmt.Sprintf(head, len(content)-1, content)),
		"longer length":   hijack(fmt.Sprintf(head, len(content)+1, content+"!")),
		"negative length": hijack(fmt.Sprintf(head, -1, content)),
		"never so much":   hijack(fmt.Sprintf(head, len(content)+1, content)),
		"part of it":      hijack(fmt.Sprintf("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-%d/%d\r\nContent-Length: %[2]d\r\n\r\n%s", len(content)-1, len(content)-1, content[1:])),
		"endless": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write(bytes.Repeat([]byte(content), 1000))
			}
		},
	}
}

// TestLies: whatever a storage answers, nothing ends as if it were the artifact,
// and nothing is read for ever.
func TestLies(t *testing.T) {
	const content = "the content"
	for name, lie := range lies(content) {
		server := httptest.NewServer(lie)
		r := testlog.Must(reader.Open(server.URL, reader.Options{Client: once, Limits: reader.Limits{Size: 1 << 20}}))(t)
		if got, err := r.Artifact(t.Context(), digestOf(content), 1000); err == nil || got != nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: all of it: %q, %v", name, got, err)
		}
		c, err := r.Open(t.Context(), digestOf(content))
		if err == nil {
			_, err = io.Copy(io.Discard, c)
			if _, again := c.Read(make([]byte, 1)); !errors.Is(again, err) {
				t.Errorf("%s: %v after %v", name, again, err)
			}
			c.Close()
		}
		wrong := slices.Contains([]string{"swapped", "empty", "truncated", "longer", "shorter length", "longer length"}, name)
		if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, reader.ErrWrong) != wrong || errors.Is(err, reader.ErrTooLarge) != (name == "endless") {
			t.Errorf("%s: %v", name, err)
		}
		if c, err := reader.Fetch(t.Context(), server.URL+"/anywhere", digestOf(content), reader.Options{Client: once, Limits: reader.Limits{Size: 1 << 20}}); err == nil {
			if got, err := io.ReadAll(c); err == nil {
				t.Errorf("%s: fetched: %q", name, got)
			}
			c.Close()
		}
		server.CloseClientConnections()
		server.Close()
	}
}

// TestLengthIsNoEvidence: where the length that was announced is not true and
// the content is, there is nothing wrong with the content.
func TestLengthIsNoEvidence(t *testing.T) {
	const content = "the content"
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		transport := roundTripper(func(req *http.Request) (*http.Response, error) {
			asked++
			resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: req, ContentLength: 1000, Body: io.NopCloser(&cut{strings.NewReader(content)})}
			if req.Header.Get("Range") != "" {
				resp.StatusCode, resp.Body = http.StatusRequestedRangeNotSatisfiable, io.NopCloser(strings.NewReader(""))
			}
			return resp, nil
		})
		r := testlog.Must(reader.Open("http://store.example", reader.Options{Client: client.Options{HTTP: &http.Client{Transport: transport}}}))(t)
		c := testlog.Must(r.Open(t.Context(), digestOf(content)))(t)
		defer c.Close()
		if got, err := io.ReadAll(c); err != nil || string(got) != content || asked != 2 {
			t.Errorf("%q, %v, asked %d times", got, err, asked)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// cut is a connection that breaks where the content ends.
type cut struct{ io.Reader }

func (c *cut) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// TestResume: a connection that breaks is taken up where it was, a storage that
// is busy is asked again, and the whole is what is verified.
func TestResume(t *testing.T) {
	content := strings.Repeat("0123456789", 100_000)
	_, _, store := newStorage(t, content)
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch asked.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			_, _ = io.WriteString(w, content[:500_000])
			panic(http.ErrAbortHandler)
		default:
			store.Config.Handler.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	r := testlog.Must(reader.Open(server.URL, reader.Options{}))(t)
	if got, err := r.Artifact(t.Context(), digestOf(content), 1<<20); err != nil || string(got) != content || asked.Load() != 3 {
		t.Errorf("%d bytes, %v, asked %d times", len(got), err, asked.Load())
	}
	// From an offset on: the bytes before it are somebody else's, and count.
	for _, c := range []struct {
		before string
		good   bool
	}{{content[:1000], true}, {content, true}, {"wrong", false}, {content + "!", false}} {
		h := sha256.New()
		_, _ = io.WriteString(h, c.before)
		rest := testlog.Must(r.OpenAt(t.Context(), digestOf(content), int64(len(c.before)), h))(t)
		got, err := io.ReadAll(rest)
		rest.Close()
		if c.good && (err != nil || c.before+string(got) != content) || !c.good && !errors.Is(err, reader.ErrWrong) {
			t.Errorf("from %d on: %d bytes, %v", len(c.before), len(got), err)
		}
	}
}

// TestSlow: an artifact of which a byte comes now and then is given up.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := roundTripper(func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: req, ContentLength: -1, Body: drip{req.Context()}}, nil
		})
		how := reader.Options{Client: client.Options{HTTP: &http.Client{Transport: transport}}, Limits: reader.Limits{Time: time.Hour}}
		r := testlog.Must(reader.Open("http://store.example", how))(t)
		start := time.Now()
		_, err := r.Artifact(t.Context(), reader.Digest{}, 1<<20)
		if took := time.Since(start); !errors.Is(err, reader.ErrTooSlow) || took < time.Hour || took > time.Hour+2*time.Minute {
			t.Errorf("after %v: %v", took, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := r.Artifact(ctx, reader.Digest{}, 1<<20); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, reader.ErrTooSlow) {
			t.Errorf("the caller's own deadline: %v", err)
		}
	})
}

// drip is a body of which a byte comes each minute.
type drip struct{ ctx context.Context }

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Minute):
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func (d drip) Close() error { return nil }

// TestUnread: an artifact that cannot be read is told from a place where none can be.
func TestUnread(t *testing.T) {
	content := []byte("content")
	good, bad := reader.Digest(sha256.Sum256(content)), reader.Digest{1}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, good.String()):
			_, _ = w.Write(content)
		case r.URL.RawQuery == "" && strings.HasPrefix(r.URL.Path, "/artifacts"):
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write(content) // and then the connection ends
		}
	}))
	defer server.Close()
	r := testlog.Must(reader.Open(server.URL, reader.Options{Client: client.Options{Retries: -1}}))(t)
	for range 3 {
		for n := range 20 {
			_, err := r.Artifact(t.Context(), bad, 1000)
			if err == nil || errors.Is(err, reader.ErrUnread) != (n < 8) || reader.Withheld(err) {
				t.Errorf("%d in a row: %v", n+1, err)
			}
		}
		if got, err := r.Artifact(t.Context(), good, 1000); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%q, %v", got, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Artifact(ctx, bad, 1000); err == nil || errors.Is(err, reader.ErrUnread) {
		t.Errorf("cancelled: %v", err)
	}
}
