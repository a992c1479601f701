package artifact

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
)

const problemType = "text/x-problem"

func problem(w http.ResponseWriter, r *http.Request, status int, title, detail string) {
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(status)
	fmt.Fprintf(w, "%s: %s", title, detail)
}

func mustHandler(t testing.TB, c Config) http.Handler {
	t.Helper()
	c.Problem = problem
	if c.Write == nil && c.Read == nil { // no test of who may
		c.Write, c.Read = Everybody(), Everybody()
	}
	h, err := NewHandler(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// ask gives a handler one request, of "METHOD /path", and checks what holds for
// every answer.
func ask(t *testing.T, h http.Handler, request string, header map[string]string, body []byte) *http.Response {
	t.Helper()
	method, path, _ := strings.Cut(request, " ")
	r := httptest.NewRequest(method, "/", bytes.NewReader(body))
	r.URL.Path = path // as it is, without the cleaning of a mux
	for name, value := range header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	resp := w.Result()
	if resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s: without nosniff", request)
	}
	if resp.StatusCode >= 400 && (resp.Header.Get("Content-Type") != problemType || resp.Header.Get("Cache-Control") != "no-store" || w.Body.Len() == 0 ||
		resp.Header.Get("ETag") != "" || resp.Header.Get("Repr-Digest") != "" || resp.Header.Get("Content-Disposition") != "") {
		t.Errorf("%s: %d with %v and %d bytes", request, resp.StatusCode, resp.Header, w.Body.Len())
	}
	return resp
}

func bodyOf(t *testing.T, resp *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantHeader(t *testing.T, resp *http.Response, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := resp.Header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
}

const helloPath = "/artifacts/sha256/5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"

func TestPostAndGet(t *testing.T) {
	h := mustHandler(t, Config{Store: mustOpenDir(t, t.TempDir(), Options{})})
	for i, status := range []int{http.StatusCreated, http.StatusOK} {
		resp := ask(t, h, "POST /artifacts", map[string]string{"Content-Type": fmt.Sprintf("text/n%d", i)}, []byte("hello\n"))
		if resp.StatusCode != status {
			t.Errorf("upload %d: %d, want %d", i, resp.StatusCode, status)
		}
		wantHeader(t, resp, map[string]string{"Location": helloPath, "Content-Location": helloPath, "Repr-Digest": helloSHA256, "Content-Length": "0"})
	}
	represented := map[string]string{
		"ETag":                `"` + helloPath[len(artifactPath):] + `"`,
		"Repr-Digest":         helloSHA256,
		"Cache-Control":       "public, max-age=31536000, immutable",
		"Content-Type":        "application/octet-stream",
		"Content-Disposition": "attachment",
		"Accept-Ranges":       "bytes",
		"Content-Length":      "6",
	}
	resp := ask(t, h, "GET "+helloPath, nil, nil)
	if b := bodyOf(t, resp); resp.StatusCode != http.StatusOK || string(b) != "hello\n" {
		t.Errorf("GET: %d, %q", resp.StatusCode, b)
	}
	wantHeader(t, resp, represented)
	resp = ask(t, h, "HEAD "+helloPath, nil, nil)
	if b := bodyOf(t, resp); resp.StatusCode != http.StatusOK || len(b) != 0 {
		t.Errorf("HEAD: %d, %q", resp.StatusCode, b)
	}
	wantHeader(t, resp, represented)

	resp = ask(t, h, "POST /artifacts", nil, nil)
	if resp.StatusCode != http.StatusCreated {
		t.Errorf("empty artifact: %d", resp.StatusCode)
	}
	resp = ask(t, h, "GET "+resp.Header.Get("Location"), map[string]string{"Range": "bytes=0-"}, nil)
	if b := bodyOf(t, resp); resp.StatusCode != http.StatusOK || len(b) != 0 {
		t.Errorf("GET of the empty artifact: %d, %q", resp.StatusCode, b)
	}
}

func TestConditionsAndRanges(t *testing.T) {
	d := mustOpenDir(t, t.TempDir(), Options{})
	h := mustHandler(t, Config{Store: d})
	b := pattern(3*minChunk + 10)
	path := artifactPath + mustPut(t, d, b).String()
	etag := `"` + path[len(artifactPath):] + `"`
	for name, c := range map[string]struct {
		header      map[string]string
		status      int
		from, until int
	}{
		"none":              {nil, 200, 0, len(b)},
		"have it":           {map[string]string{"If-None-Match": etag}, 304, 0, 0},
		"have it weakly":    {map[string]string{"If-None-Match": `"x", W/` + etag}, 304, 0, 0},
		"have another":      {map[string]string{"If-None-Match": `"x"`}, 200, 0, len(b)},
		"first byte":        {map[string]string{"Range": "bytes=0-0"}, 206, 0, 1},
		"across chunks":     {map[string]string{"Range": fmt.Sprintf("bytes=%d-%d", minChunk-5, 2*minChunk+5)}, 206, minChunk - 5, 2*minChunk + 6},
		"to the end":        {map[string]string{"Range": fmt.Sprintf("bytes=%d-", minChunk+7)}, 206, minChunk + 7, len(b)},
		"beyond the end":    {map[string]string{"Range": fmt.Sprintf("bytes=%d-9999999", len(b)-1)}, 206, len(b) - 1, len(b)},
		"last 12":           {map[string]string{"Range": "bytes=-12"}, 206, len(b) - 12, len(b)},
		"if it is the same": {map[string]string{"Range": "bytes=5-6", "If-Range": etag}, 206, 5, 7},
		"if it is another":  {map[string]string{"Range": "bytes=5-6", "If-Range": `"x"`}, 200, 0, len(b)},
		"two ranges":        {map[string]string{"Range": "bytes=0-0,5-6"}, 200, 0, len(b)},
		"many ranges":       {map[string]string{"Range": "bytes=0-0" + strings.Repeat(",70000-70000,0-0", 1000)}, 200, 0, len(b)},
	} {
		t.Run(name, func(t *testing.T) {
			resp := ask(t, h, "GET "+path, c.header, nil)
			if got := bodyOf(t, resp); resp.StatusCode != c.status || !bytes.Equal(got, b[c.from:c.until]) {
				t.Errorf("%d with %d bytes, want %d with %d", resp.StatusCode, len(got), c.status, c.until-c.from)
			}
			want := map[string]string{"ETag": etag}
			if c.status == 206 {
				want["Content-Range"] = fmt.Sprintf("bytes %d-%d/%d", c.from, c.until-1, len(b))
				want["Content-Length"] = fmt.Sprint(c.until - c.from)
			}
			wantHeader(t, resp, want)
		})
	}
	for value, want := range map[string]int{fmt.Sprintf("Range: bytes=%d-", len(b)): 416, "Range: bytes=9-1": 416, "Range: bytes=x": 416, "Range: lines=1-2": 416, `If-Match: "x"`: 412} {
		field, value, _ := strings.Cut(value, ": ")
		resp := ask(t, h, "GET "+path, map[string]string{field: value}, nil)
		if resp.StatusCode != want {
			t.Errorf("%s %s: %d", field, value, resp.StatusCode)
		}
	}
	resp := ask(t, h, "GET "+path, map[string]string{"Range": "bytes=999999-"}, nil)
	wantHeader(t, resp, map[string]string{"Content-Range": fmt.Sprintf("bytes */%d", len(b))})
}

func TestUploadRefused(t *testing.T) {
	zero := formatDigest(Digest{})
	gzip := map[string]string{"Content-Encoding": "gzip"}
	for name, c := range map[string]struct {
		opts   Options
		header map[string]string
		status int
	}{
		"other bytes, content":        {header: map[string]string{"Content-Digest": zero}, status: 400},
		"other bytes, representation": {header: map[string]string{"Repr-Digest": zero}, status: 400},
		"contradiction":               {header: map[string]string{"Repr-Digest": helloSHA256, "Content-Digest": zero}, status: 400},
		"bad field":                   {header: map[string]string{"Repr-Digest": "sha-256=hello"}, status: 400},
		"coded":                       {header: gzip, status: 415},
		"too large":                   {opts: Options{MaxSize: 5}, status: 413},
		"full":                        {opts: Options{Quota: 5}, status: 507},
	} {
		t.Run(name, func(t *testing.T) {
			d := mustOpenDir(t, t.TempDir(), c.opts)
			h := mustHandler(t, Config{Store: d})
			resp := ask(t, h, "POST /artifacts", c.header, []byte("hello\n"))
			if resp.StatusCode != c.status || resp.Header.Get("Location") != "" {
				t.Errorf("%d %s, want %d", resp.StatusCode, bodyOf(t, resp), c.status)
			}
			empty(t, d)
		})
	}
	h := mustHandler(t, Config{Store: mustOpenDir(t, t.TempDir(), Options{MaxSize: 6, Quota: 6})})
	wantHeader(t, ask(t, h, "POST /artifacts", gzip, nil), map[string]string{"Accept-Encoding": "identity"})
	good := map[string]string{"Content-Digest": helloSHA512 + ", " + helloSHA256, "Repr-Digest": helloSHA256, "Content-Encoding": "identity"}
	if resp := ask(t, h, "POST /artifacts", good, []byte("hello\n")); resp.StatusCode != 201 {
		t.Errorf("right digests: %d %s", resp.StatusCode, bodyOf(t, resp))
	}
}

func TestUploadOverOuterLimit(t *testing.T) {
	d := mustOpenDir(t, t.TempDir(), Options{})
	h := http.MaxBytesHandler(mustHandler(t, Config{Store: d}), 100)
	if resp := ask(t, h, "POST /artifacts", nil, pattern(101)); resp.StatusCode != 413 {
		t.Errorf("%d %s, want 413", resp.StatusCode, bodyOf(t, resp))
	}
	empty(t, d)
}

func TestAddresses(t *testing.T) {
	root := t.TempDir()
	d := mustOpenDir(t, root, Options{})
	h := mustHandler(t, Config{Store: d})
	hex := mustPut(t, d, []byte("hello\n")).String()
	if err := os.WriteFile(root+"/secret", []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for request, status := range map[string]int{
		"GET " + artifactPath + strings.Repeat("0", 64):               404,
		"GET /artifacts/sha256/":                                      400,
		"GET /artifacts/sha256/" + hex[1:]:                            400,
		"GET /artifacts/sha256/" + hex + "0":                          400,
		"GET /artifacts/sha256/" + hex + "/":                          400,
		"GET /artifacts/sha256/" + strings.ToUpper(hex):               400,
		"GET /artifacts/sha256/" + hex[:2] + "/" + hex[2:4]:           400,
		"GET /artifacts/sha256/../../secret":                          400,
		"GET /artifacts/sha256/" + strings.Repeat("../", 21) + "x":    400,
		"GET /artifacts/sha256/" + strings.Repeat(".", 64):            400,
		"GET /artifacts/sha256/" + hex[:63] + "\x00":                  400,
		"GET /artifacts/sha256/%2e%2e%2fsecret":                       400,
		"GET /artifacts/sha512/" + hex:                                400,
		"GET /artifacts/" + hex:                                       400,
		"GET /artifacts/":                                             400,
		"GET /artifactsx":                                             404,
		"GET /":                                                       404,
		"GET /artifacts":                                              405,
		"PUT /artifacts":                                              405,
		"POST /artifacts/sha256/" + hex:                               405,
		"DELETE /artifacts/sha256/" + hex:                             405,
		"OPTIONS /artifacts/sha256/" + hex:                            405,
		"HEAD /artifacts/sha256/" + strings.Repeat("0", 62) + "\\..x": 400,
	} {
		resp := ask(t, h, request, nil, nil)
		if b := bodyOf(t, resp); resp.StatusCode != status || bytes.Contains(b, []byte("secret")) {
			t.Errorf("%q: %d %s, want %d", request, resp.StatusCode, b, status)
		}
		if (status == 405) != (resp.Header.Get("Allow") != "") {
			t.Errorf("%q: Allow is %q", request, resp.Header.Get("Allow"))
		}
	}
}

// newTokens makes a token, and who may do what it is for.
func newTokens(t *testing.T, name string) (string, *Tokens) {
	t.Helper()
	token, line, err := NewToken(name)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseTokens(strings.NewReader(line))
	if err != nil {
		t.Fatal(err)
	}
	return token, parsed
}

func TestAuthorization(t *testing.T) {
	writer, write := newTokens(t, "writer")
	reader, read := newTokens(t, "reader")
	const challenge = `Bearer realm="artifacts"`
	get, post := "GET "+helloPath, "POST /artifacts"
	all := Everybody()
	for name, c := range map[string]struct {
		write, read   *Tokens
		request, auth string
		status        int
		challenge     string
	}{
		"public write":              {all, all, post, "", 200, ""},
		"public read":               {all, all, get, "", 200, ""},
		"public with a token":       {all, all, get, "Bearer x", 200, ""},
		"write without":             {write, read, post, "", 401, challenge},
		"write with other scheme":   {write, read, post, "Basic " + writer, 401, challenge},
		"write with bare token":     {write, read, post, writer, 401, challenge},
		"write with empty token":    {write, read, post, "Bearer ", 401, challenge},
		"write with unknown":        {write, read, post, "Bearer x", 401, challenge + `, error="invalid_token"`},
		"write with two":            {write, read, post, "Bearer " + writer + " " + writer, 401, challenge + `, error="invalid_token"`},
		"write with read token":     {write, read, post, "Bearer " + reader, 403, challenge + `, error="insufficient_scope", scope="write"`},
		"write":                     {write, read, post, "Bearer " + writer, 200, ""},
		"write, lower case":         {write, read, post, "bearer  " + writer, 200, ""},
		"write, reading is public":  {write, all, post, "Bearer " + writer, 200, ""},
		"unknown, public reading":   {write, all, post, "Bearer " + reader, 401, challenge + `, error="invalid_token"`},
		"read, writing needs token": {write, all, get, "", 200, ""},
		"read without":              {write, read, get, "", 401, challenge},
		"read with unknown":         {all, read, get, "Bearer x", 401, challenge + `, error="invalid_token"`},
		"read with write token":     {write, read, get, "Bearer " + writer, 403, challenge + `, error="insufficient_scope", scope="read"`},
		"read":                      {write, read, get, "Bearer " + reader, 200, ""},
		"private to all":            {all, nil, get, "Bearer " + reader, 401, challenge + `, error="invalid_token"`},
		"nobody writes":             {nil, all, post, "", 401, challenge},
		"no hint of what is stored": {write, read, "GET /artifacts/sha256/" + strings.Repeat("0", 64), "", 401, challenge},
	} {
		t.Run(name, func(t *testing.T) {
			d := mustOpenDir(t, t.TempDir(), Options{})
			mustPut(t, d, []byte("hello\n"))
			h := mustHandler(t, Config{Store: d, Write: c.write, Read: c.read})
			resp := ask(t, h, c.request, map[string]string{"Authorization": c.auth}, []byte("hello\n"))
			if resp.StatusCode != c.status {
				t.Errorf("%d %s, want %d", resp.StatusCode, bodyOf(t, resp), c.status)
			}
			want := map[string]string{"WWW-Authenticate": c.challenge}
			if c.request == get && c.status == 200 {
				want["Cache-Control"] = "public, max-age=31536000, immutable"
				if c.read != all {
					want["Cache-Control"] = "private, max-age=31536000, immutable"
				}
			}
			wantHeader(t, resp, want)
		})
	}
}

// TestReaders: what tells of artifacts is for those who may read them. Only a
// loopback address is this machine's.
func TestReaders(t *testing.T) {
	token, read := newTokens(t, "reader")
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, c := range []struct {
		read       *Tokens
		from, auth string
		status     int
	}{
		{nil, "127.0.0.1:1", "", 401},
		{nil, "127.0.0.1:1", "Bearer " + token, 401},
		{read, "127.0.0.1:1", "", 401},
		{read, "203.0.113.9:1", "Bearer " + token, 418},
		{Everybody(), "203.0.113.9:1", "", 418},
		{ThisMachine(), "127.0.0.1:1", "", 418},
		{ThisMachine(), "[::1]:1", "", 418},
		{ThisMachine(), "[::ffff:127.0.0.1]:1", "", 418},
		{ThisMachine(), "203.0.113.9:1", "", 401},
		{ThisMachine(), "@", "", 401},
	} {
		r := httptest.NewRequest("GET", "http://127.0.0.1:8080/search", nil)
		r.RemoteAddr = c.from
		r.Header.Set("Authorization", c.auth)
		w := httptest.NewRecorder()
		Readers(c.read, problem, next).ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%s %q: %d, want %d", c.from, c.auth, w.Code, c.status)
		}
	}
}

// TestThisMachine: what a proxy hands on, or a browser sends for another site's page, is
// not a program of this machine.
func TestThisMachine(t *testing.T) {
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, c := range []struct {
		host, header, value string
		status              int
	}{
		{"localhost:8080", "", "", 418},
		{"[::1]:8080", "Sec-Fetch-Site", "none", 418},
		{"localhost", "Sec-Fetch-Site", "same-origin", 418},
		{"evil.example", "", "", 401}, // a name that was made to lead here
		{"localhost:8080", "Origin", "http://evil.example", 401},
		{"localhost:8080", "Sec-Fetch-Site", "cross-site", 401},
		{"localhost:8080", "X-Forwarded-For", "203.0.113.9", 401},
		{"localhost:8080", "Forwarded", "for=203.0.113.9", 401},
		{"localhost:8080", "Via", "1.1 proxy", 401},
	} {
		r := httptest.NewRequest("GET", "/search", nil)
		r.RemoteAddr, r.Host = "127.0.0.1:1", c.host
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		w := httptest.NewRecorder()
		Readers(ThisMachine(), problem, next).ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%s, %s %q: %d, want %d", c.host, c.header, c.value, w.Code, c.status)
		}
	}
}

func TestDamagedArtifact(t *testing.T) {
	var found atomic.Int32
	d := mustOpenDir(t, t.TempDir(), Options{OnCorrupt: func(Digest) { found.Add(1) }})
	h := mustHandler(t, Config{Store: d})
	digest := mustPut(t, d, pattern(3*minChunk))
	flip(t, d.path(digest), 2*minChunk)
	for _, header := range []map[string]string{nil, {"Range": "bytes=0-9"}} {
		for _, method := range []string{"GET ", "HEAD "} {
			if resp := ask(t, h, method+artifactPath+digest.String(), header, nil); resp.StatusCode != 500 {
				t.Errorf("%s: %d, want 500", method, resp.StatusCode)
			}
		}
	}
	if found.Load() != 4 {
		t.Errorf("counted %d times, want 4", found.Load())
	}
	if resp := ask(t, h, "POST /artifacts", nil, pattern(3*minChunk)); resp.StatusCode != 201 {
		t.Errorf("stored again: %d, want 201", resp.StatusCode)
	}
	if resp := ask(t, h, "GET "+artifactPath+digest.String(), nil, nil); resp.StatusCode != 200 || Digest(sha256.Sum256(bodyOf(t, resp))) != digest {
		t.Errorf("after storing again: %d", resp.StatusCode)
	}
}

func TestNewHandlerRequires(t *testing.T) {
	for i, c := range []Config{{}, {Store: new(dirStorage)}, {Problem: problem}} {
		if _, err := NewHandler(c); err == nil {
			t.Errorf("config %d was taken", i)
		}
	}
}
