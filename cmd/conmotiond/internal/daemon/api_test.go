package daemon_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/transparency-dev/formats/proof"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// filled is a service with n statements, and their Receipts.
func filled(t *testing.T, n int) (*service, [][]byte) {
	t.Helper()
	s := newService(t, nil)
	key := testlog.Key(t, "ES256")
	var statements [][]byte
	for i := range n {
		statement := testlog.Statement(t, key, "asset", fmt.Append(nil, i))
		a := s.do(http.MethodPost, "/entries", statement, "Prefer", "respond-async")
		if a.StatusCode/100 != 2 {
			t.Fatal(a.Status)
		}
		statements = append(statements, statement)
	}
	s.register(statements[n-1])
	return s, statements
}

func TestEntries(t *testing.T) {
	t.Parallel()
	s, statements := filled(t, 10)
	v := scitt.Verifier{LogKeys: s.keys()}

	// The pages of the log, each link to the next.
	var all []*scitt.Statement
	pages := 0
	for path := "/entries?from=2&limit=4"; path != ""; pages++ {
		a := s.get(path)
		if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "application/cbor-seq" {
			t.Fatalf("%s: %s, %s", path, a.Status, a.Header.Get("Content-Type"))
		}
		dec := cbor.NewDecoder(bytes.NewReader(a.body))
		for {
			var item cbor.RawMessage
			if err := dec.Decode(&item); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			out := testlog.Must(v.Verify(item))(t)
			if err := out.Err(); err != nil {
				t.Error(err)
			}
			all = append(all, out.Statement)
		}
		path = ""
		if link := a.Header.Get("Link"); link != "" {
			url, _, _ := strings.Cut(strings.TrimPrefix(link, "<"), ">; rel=\"next\"")
			path = strings.TrimPrefix(url, s.Issuer)
		}
	}
	if pages != 3 || len(all) != len(statements) {
		t.Fatalf("%d statements on %d pages", len(all), pages)
	}
	for i, st := range all {
		want := testlog.Must(scitt.ParseStatement(statements[i]))(t)
		if st.ID() != want.ID() {
			t.Errorf("statement %d is out of order", i)
		}
		// By id and by index, the same entry.
		for _, name := range []string{want.ID().String(), fmt.Sprint(i + 2)} {
			a := s.get("/entries/" + name + "/statement")
			out := testlog.Must(v.Verify(a.body))(t)
			if out.Err() != nil || out.Statement.ID() != want.ID() || a.Header.Get("Location") != s.Issuer+"/entries/"+want.ID().String() {
				t.Errorf("%s: %v, Location %q", name, out.Err(), a.Header.Get("Location"))
			}
		}
	}
	if a := s.get("/entries?from=1000"); a.StatusCode != http.StatusOK || len(a.body) != 0 || a.Header.Get("Link") != "" {
		t.Errorf("beyond the end: %s, %d bytes", a.Status, len(a.body))
	}
}

// TestLargeEntries: a page of large entries ends early, and says where the
// next one begins.
func TestLargeEntries(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	key := testlog.Key(t, "ES256")
	const n = 60 // of 64,000 bytes: more than a page holds
	for i := range n {
		statement := testlog.Statement(t, key, "asset", bytes.Repeat([]byte{byte(i)}, 64_000))
		if i < n-1 {
			if a := s.do(http.MethodPost, "/entries", statement, "Prefer", "respond-async"); a.StatusCode/100 != 2 {
				t.Fatal(a.Status)
			}
			continue
		}
		s.register(statement)
	}
	first := s.get("/entries?from=2&limit=1000")
	var next, limit int
	if _, err := fmt.Sscanf(first.Header.Get("Link"), "<"+s.Issuer+"/entries?from=%d&limit=%d>; rel=\"next\"", &next, &limit); err != nil || limit != 1000 {
		t.Fatalf("Link %q: %v", first.Header.Get("Link"), err)
	}
	if len(first.body) > 4<<20 || next <= 2 || next >= 2+n {
		t.Errorf("a page of %d bytes, and the next begins at %d", len(first.body), next)
	}
	second := s.get(fmt.Sprintf("/entries?from=%d&limit=1000", next))
	if second.Header.Get("Link") != "" {
		t.Errorf("the last page links to %q", second.Header.Get("Link"))
	}
	dec, v := cbor.NewDecoder(bytes.NewReader(append(first.body, second.body...))), scitt.Verifier{LogKeys: s.keys()}
	for i := range n {
		var item cbor.RawMessage
		if err := dec.Decode(&item); err != nil {
			t.Fatal(err)
		}
		out := testlog.Must(v.Verify(item))(t)
		if err := out.Err(); err != nil || out.Statement.Payload[0] != byte(i) {
			t.Fatalf("entry %d of the two pages: %v", i, err)
		}
	}
}

func TestTlogProof(t *testing.T) {
	t.Parallel()
	s, statements := filled(t, 5)
	verifiers := testlog.Must(scitt.NewCheckpointVerifiers(s.configuration().CheckpointKeys))(t)
	for i, statement := range statements {
		st := testlog.Must(scitt.ParseStatement(statement))(t)
		var p proof.TLogProof
		if err := p.Unmarshal(s.get("/entries/" + st.ID().String() + "/proof").body); err != nil {
			t.Fatal(err)
		}
		cp := testlog.Must(verifiers.Open(p.Checkpoint))(t)
		inclusion := scitt.InclusionProof{Size: cp.Size, Index: p.Index}
		for _, h := range p.Hashes {
			inclusion.Path = append(inclusion.Path, h[:])
		}
		root := testlog.Must(inclusion.Root(scitt.LeafHash(st.Entry())))(t)
		if p.Index != uint64(i+2) || !bytes.Equal(root, cp.Root) {
			t.Errorf("the proof of entry %d does not lead to the checkpoint's root", i+2)
		}
	}
}

func TestWellKnown(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	keys := s.keys()
	if len(keys) != 1 {
		t.Fatalf("%d keys", len(keys))
	}
	kid := base64.RawURLEncoding.EncodeToString(keys[0].ID)
	a := s.get("/.well-known/scitt-keys/"+kid, "Accept", "application/cbor")
	key := testlog.Must(scitt.ParseKey(a.body))(t)
	thumbprint := testlog.Must(scitt.Thumbprint(key.Public))(t)
	if a.Header.Get("Content-Type") != "application/cbor" || !bytes.Equal(key.ID, thumbprint) {
		t.Errorf("the key's id is %x and its thumbprint %x", key.ID, thumbprint)
	}
	const path = "/.well-known/transparency-configuration"
	asCBOR, asJSON := s.get(path), s.get(path, "Accept", "application/json")
	if asCBOR.Header.Get("Content-Type") != "application/cbor" || asJSON.Header.Get("Content-Type") != "application/json" {
		t.Errorf("content types %q and %q", asCBOR.Header.Get("Content-Type"), asJSON.Header.Get("Content-Type"))
	}
	one, two := testlog.Must(scitt.ParseConfiguration(asCBOR.body))(t), testlog.Must(scitt.ParseConfiguration(asJSON.body))(t)
	if one.Issuer != s.Issuer || fmt.Sprint(one) == "" || one.Policy.EntryID != two.Policy.EntryID || two.RegistrationEndpoint != s.Issuer+"/entries" {
		t.Errorf("CBOR says %+v, JSON %+v", one, two)
	}
	// The policy in force stands in the log, as does the service key.
	view := s.checker().Check(t, nil)
	entry := testlog.Must(view.Entry(t.Context(), one.Policy.Index))(t)
	st := testlog.Must(scitt.ParseStatement(entry))(t)
	if st.ID().String() != one.Policy.EntryID || st.Type != scitt.TypePolicy || st.VerifySignature(s.announced().Service[0].Public) != nil {
		t.Error("the policy in force is not the entry that the configuration names, signed by the service")
	}
	// A file server gives the same two resources.
	for name, want := range map[string][]byte{tiles.KeysPath: s.get("/.well-known/scitt-keys").body, tiles.ConfigurationPath: asCBOR.body} {
		got := testlog.Must(os.ReadFile(s.Place() + "/" + name))(t)
		if !bytes.Equal(got, want) {
			t.Errorf("the file %s differs from the resource", name)
		}
	}
}

// TestStaticFiles: what the service shows is what lies on the disk, with the
// headers that caches need.
func TestStaticFiles(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	key := testlog.Key(t, "ES256")
	var group sync.WaitGroup
	for i := range 300 { // at once, and so in a few batches
		group.Go(func() {
			if a := s.do(http.MethodPost, "/entries", testlog.Statement(t, key, "asset", fmt.Append(nil, i))); a.StatusCode != http.StatusCreated {
				t.Errorf("statement %d: %s", i, a.Status)
			}
		})
	}
	group.Wait()
	const full = "tile/entries/000"
	file := testlog.Must(os.ReadFile(s.Place() + "/" + full))(t)

	a := s.get("/" + full)
	if !bytes.Equal(a.body, file) || a.Header.Get("Content-Type") != "application/octet-stream" ||
		!strings.Contains(a.Header.Get("Cache-Control"), "immutable") || a.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%s: %s %v", full, a.Status, a.Header)
	}
	z := s.get("/"+full, "Accept-Encoding", "br, gzip")
	unzipped := testlog.Must(io.ReadAll(testlog.Must(gzip.NewReader(bytes.NewReader(z.body)))(t)))(t)
	if z.Header.Get("Content-Encoding") != "gzip" || !bytes.Equal(unzipped, file) || z.Header.Get("ETag") == a.Header.Get("ETag") {
		t.Errorf("gzip: %v", z.Header)
	}
	if plain := s.get("/"+full, "Accept-Encoding", "gzip;q=0"); plain.Header.Get("Content-Encoding") != "" {
		t.Error("gzip was refused and came")
	}
	for _, tag := range []answer{a, z} {
		again := s.get("/"+full, "If-None-Match", tag.Header.Get("ETag"), "Accept-Encoding", map[bool]string{true: "gzip"}[tag.Header.Get("Content-Encoding") == "gzip"])
		if again.StatusCode != http.StatusNotModified || len(again.body) != 0 {
			t.Errorf("If-None-Match: %s", again.Status)
		}
	}
	for field, status := range map[string]int{ // RFC 9110 section 13.1.2
		"W/" + z.Header.Get("ETag"): http.StatusNotModified, `"x", ` + z.Header.Get("ETag"): http.StatusNotModified, "*": http.StatusNotModified,
		`"x"`: http.StatusOK, a.Header.Get("ETag"): http.StatusOK,
	} {
		if again := s.get("/"+full, "Accept-Encoding", "gzip", "If-None-Match", field); again.StatusCode != status {
			t.Errorf("gzip, If-None-Match %s: %s, want %d", field, again.Status, status)
		}
	}
	if head := s.do(http.MethodHead, "/"+full, nil, "Accept-Encoding", "gzip"); len(head.body) != 0 || head.Header.Get("Content-Encoding") != "gzip" || head.Header.Get("ETag") != z.Header.Get("ETag") {
		t.Errorf("HEAD, gzip: %s %v", head.Status, head.Header)
	}
	part := s.get("/"+full, "Range", "bytes=2-11", "Accept-Encoding", "gzip")
	if part.StatusCode != http.StatusPartialContent || !bytes.Equal(part.body, file[2:12]) {
		t.Errorf("Range: %s, %d bytes", part.Status, len(part.body))
	}
	head := s.do(http.MethodHead, "/"+full, nil)
	if head.StatusCode != http.StatusOK || len(head.body) != 0 || head.Header.Get("Content-Length") != fmt.Sprint(len(file)) {
		t.Errorf("HEAD: %s %v", head.Status, head.Header)
	}
	if tile := s.get("/tile/0/000"); len(tile.body) != 256*sha256.Size {
		t.Errorf("a full tile has %d bytes", len(tile.body))
	}
	for _, path := range []string{"/" + full, "/tile/0/000", "/checkpoint", "/.well-known/scitt-keys", "/.well-known/transparency-configuration", "/"} {
		for field, want := range map[string]int{"Range: bytes=99999999-": 416, "Range: rows=1": 416, `If-Match: "x"`: 412} {
			name, value, _ := strings.Cut(field, ": ")
			refused := s.get(path, name, value, "Accept-Encoding", "gzip")
			if p := refused.problem(t); p == nil || p.Status != want || p.Title == "" || refused.Header.Get("ETag") != "" || refused.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s of %s: %s %v %v", field, path, refused.Status, p, refused.Header)
			}
		}
	}
	cp := s.get("/checkpoint")
	if cp.Header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.Contains(cp.Header.Get("Cache-Control"), "max-age=1") {
		t.Errorf("checkpoint: %v", cp.Header)
	}
	if again := s.get("/checkpoint", "If-None-Match", cp.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
		t.Errorf("checkpoint, If-None-Match: %s", again.Status)
	}
	if pre := s.do(http.MethodOptions, "/entries", nil); pre.StatusCode != http.StatusNoContent || !strings.Contains(pre.Header.Get("Access-Control-Allow-Methods"), "POST") {
		t.Errorf("preflight: %s %v", pre.Status, pre.Header)
	}
	for _, name := range []string{"Location", "Link", "Retry-After"} { // or no browser's script sees them
		if post := s.do(http.MethodPost, "/entries", nil); !strings.Contains(post.Header.Get("Access-Control-Expose-Headers"), name) {
			t.Errorf("%s is not exposed: %v", name, post.Header)
		}
	}
	// A full tile that is gone is the service's fault, and may come back.
	gone := filepath.Join(s.Place(), "tile", "0", "000")
	hashes := testlog.Must(os.ReadFile(gone))(t)
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if a := s.get("/tile/0/000"); a.StatusCode != http.StatusInternalServerError || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a tile that is gone: %s %v", a.Status, a.Header)
	}
	if err := os.WriteFile(gone, hashes, 0o600); err != nil {
		t.Fatal(err)
	}
	// The whole log over HTTP is the same log.
	remote := testlog.NewChecker(t, s.server.URL, s.configuration().CheckpointKeys, s.keys())
	if got := remote.Check(t, nil).Checkpoint.Size; got != 302 {
		t.Errorf("over HTTP the log has %d entries", got)
	}
}

// TestSignatures: one signature serves every receipt of a checkpoint.
func TestSignatures(t *testing.T) {
	t.Parallel()
	s, statements := filled(t, 50)
	made := func() float64 {
		for _, m := range testlog.Must(s.telemetry.Registry.Gather())(t) {
			if m.GetName() == "conmotion_signatures_total" {
				for _, of := range m.Metric {
					if of.Label[0].GetValue() == "receipt" {
						return of.Counter.GetValue()
					}
				}
			}
		}
		t.Fatal("there is no metric of signatures")
		return 0
	}
	before := made()
	for range 3 {
		for _, statement := range statements {
			id := testlog.Must(scitt.ParseStatement(statement))(t).ID()
			if a := s.get("/entries/" + id.String()); a.StatusCode != http.StatusOK {
				t.Fatal(a.Status)
			}
		}
	}
	if after := made(); after != before {
		t.Errorf("%v signatures for 150 receipts of one tree", after-before)
	}
	if entries := s.size(); before > float64(entries) { // a checkpoint for each at most
		t.Errorf("%v signatures for %d entries", before, entries)
	}
}
