package daemon_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// TestEvents is the main job: OCSF events are registered, and verified from
// the static files with the service stopped.
func TestEvents(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	key := testlog.Key(t, "ES256")
	transparent, receipts := map[string][]byte{}, map[string][]byte{}
	for name, event := range testlog.Events(t) {
		statement := testlog.Must(scitt.SignStatement(key, scitt.SignOptions{
			Subject: "record/" + name, ContentType: "application/json", Type: scitt.TypeRecord}, event))(t)
		receipt := s.register(statement)
		receipts[string(statement)] = receipt
		transparent[name] = scitt.AttachReceipts(testlog.Must(scitt.ParseStatement(statement))(t), receipt)
	}
	public := s.Place()
	s.stop()

	keys := testlog.Must(scitt.ParseKeySet(testlog.Must(os.ReadFile(filepath.Join(public, tiles.KeysPath)))(t)))(t)
	c := testlog.Must(scitt.ParseConfiguration(testlog.Must(os.ReadFile(filepath.Join(public, tiles.ConfigurationPath)))(t)))(t)
	view := testlog.NewChecker(t, public, c.CheckpointKeys, keys).Check(t, receipts)
	v := scitt.Verifier{LogKeys: keys}
	for name, event := range testlog.Events(t) {
		out := testlog.Must(v.Verify(transparent[name]))(t)
		if err := out.Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(out.Statement.Payload, event) {
			t.Errorf("%s: the payload is not the event", name)
		}
		// And with nothing but the files: a Receipt for what the log holds.
		index := out.Receipts[0].Receipt.Proofs[0].Index
		entry := testlog.Must(view.Entry(t.Context(), index))(t)
		receipt := testlog.Must(scitt.ParseReceipt(testlog.Must(view.Receipt(t.Context(), index, scitt.LeafHash(entry)))(t)))(t)
		if !bytes.Equal(entry, out.Statement.Entry()) || receipt.Verify(keys[0].Public, entry) != nil {
			t.Errorf("%s: entry %d of the files is another one", name, index)
		}
	}
}

// FuzzPost sends anything to the service: it answers with a Receipt for a
// statement that its policy admits, or with a problem, and never fails.
func FuzzPost(f *testing.F) {
	s := newService(f, nil)
	good := newSign1(f).bytes()
	f.Add(good, "respond-async")
	f.Add(good[1:], "wait=1")
	f.Add(append(good, 0), "wait=x, respond-async; a=b")
	f.Add([]byte("{}"), ",,;=")
	h := s.Handler()
	f.Fuzz(func(t *testing.T, body []byte, prefer string) {
		w := httptest.NewRecorder()
		req := testlog.Must(http.NewRequestWithContext(t.Context(), http.MethodPost, "/entries", bytes.NewReader(body)))(t)
		req.Header["Prefer"] = []string{prefer}
		req.RemoteAddr = "192.0.2.1:1"
		h.ServeHTTP(w, req)
		switch w.Code {
		case http.StatusCreated, http.StatusAccepted:
			st, err := scitt.ParseStatement(body)
			if err != nil {
				t.Fatalf("registered, and no statement: %v", err)
			}
			if _, err := scitt.SelfCertifying(nil, nil).Verify(st, scitt.Known{}); err != nil {
				t.Fatal("registered, and not signed by its issuer")
			}
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			if p, err := scitt.ParseProblem(w.Code, w.Body.Bytes()); err != nil || p.Title == "" || p.Detail == "" {
				t.Fatalf("status %d with %q: %v", w.Code, w.Body, err)
			}
		default:
			t.Fatalf("status %d", w.Code)
		}
	})
}

// FuzzGet asks for anything.
func FuzzGet(f *testing.F) {
	s := newService(f, nil)
	for _, path := range []string{"entries/0", "entries/1/proof", "tile/0/000.p/2", "tile/entries/x001/000", "checkpoint", ".well-known/scitt-keys/x", "entries?from=1&limit=2", "..%2f..%2fprivate/lock"} {
		f.Add(path, "gzip", "bytes=0-1")
	}
	f.Add(".well-known/transparency-configuration", `application/json;q=0.5, application/cbor, W/"x", *`, "")
	h := s.Handler()
	private := testlog.Must(os.ReadFile(filepath.Join(s.config.Dir, "private", "receipt-key.pem")))(f)
	f.Fuzz(func(t *testing.T, path, accept, ranges string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/"+path, nil)
		if err != nil {
			return
		}
		for _, name := range []string{"Accept-Encoding", "Accept", "If-None-Match"} {
			req.Header[name] = []string{accept}
		}
		req.Header["Range"] = []string{ranges}
		req.RemoteAddr = "192.0.2.1:1"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code >= 500 || bytes.Contains(w.Body.Bytes(), private[30:60]) {
			t.Fatalf("status %d: %q", w.Code, w.Body)
		}
	})
}
