package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/teststorage"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/policy/ocsf"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/artifact"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/storage/index"
	"github.com/conmotion/conmotion/storage/posix"
	"github.com/conmotion/conmotion/tiles"
)

// TestRealLog appends past the service, to the same storage that it uses.
func TestRealLog(t *testing.T) {
	w := newWorld(t)
	dir := testlog.Must(storage.OpenDir(t.TempDir()))(t)
	idx, err := index.Open(t.Context(), dir.Private("index.db"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := teststorage.Options(w.keys)
	o.Antispam = idx
	log := testlog.Must(storage.Open(t.Context(), posix.New(dir, o.Logger), o))(t)
	t.Cleanup(func() {
		if err := errors.Join(log.Close(context.Background()), idx.Close(), dir.Close()); err != nil {
			t.Error(err)
		}
	})
	good := w.statements(300)
	entries := w.begin("")
	entries = append(entries, good[:200]...)
	entries = append(entries, w.sign(w.bob, scitt.SignOptions{}, "{}"), tamper(good[200]), []byte("no statement"))
	entries = append(entries, good[201:]...)
	for i, e := range entries { // the log keeps the order of the calls
		wait := testlog.Must(log.Append(t.Context(), e))(t)
		if i < len(entries)-1 {
			continue
		}
		if _, _, err := wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	testlog.Must(log.Await(t.Context(), uint64(len(entries)-1)))(t)
	src := testlog.Must(tiles.Open(dir.Public(), client.Options{}))(t)
	w.audit(src, Options{}).expect("202 issuer", "203 signature", "204 log/statement")
}

func TestArtifacts(t *testing.T) {
	w := newWorld(t)
	root := t.TempDir()
	store := testlog.Must(artifact.OpenDir(root, artifact.Options{}))(t)
	t.Cleanup(func() { store.Close() })
	envelope := func(content string) []byte {
		return w.sign(w.alice, scitt.SignOptions{Hash: true}, content)
	}
	entries := w.begin(`, "artifact": "required", "rules": [
		{"id": "no-secrets", "expr": "!envelope.present || !has(artifact.content.secret)", "message": "no secrets"},
		{"id": "few", "expr": "artifact.size < 30", "message": "few"}]`)
	stored := []string{`{"a": 1}`, `{"secret": 1}`, `{"padding": "` + strings.Repeat("x", 30) + `"}`}
	for _, content := range stored {
		if _, _, err := store.Put(t.Context(), strings.NewReader(content), artifact.Want{}); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, envelope(content))
	}
	entries = append(entries, envelope("{}"), tamper(envelope(stored[0])), w.sign(w.alice, scitt.SignOptions{}, "{}"))
	m := w.log(entries...)

	handler := testlog.Must(artifact.NewHandler(artifact.Config{Store: store, Write: artifact.Everybody(), Read: artifact.Everybody(), Log: slog.New(slog.DiscardHandler),
		Problem: func(w http.ResponseWriter, r *http.Request, status int, title, detail string) {
			http.Error(w, detail, status)
		}}))(t)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)

	open := func(location string) Options {
		return Options{Artifacts: testlog.Must(reader.Open(location, reader.Options{Client: client.Options{Retries: -1}}))(t)}
	}
	// The content of entry 5 is not stored now. That is no evidence of what was
	// stored when it was admitted.
	for _, location := range []string{root, server.URL} {
		a := w.audit(m, open(location))
		a.expect("3 no-secrets", "4 few", "6 signature")
		if s := a.Summary(); s.Unjudged != 1 || s.Complete {
			t.Errorf("%+v", s)
		}
	}
	whole := w.audit(w.log(append(slices.Clone(entries[:5]), entries[6:]...)...), open(root))
	whole.expect("3 no-secrets", "4 few", "5 signature")
	if s := whole.Summary(); s.Unjudged != 0 || !s.Complete {
		t.Errorf("%+v", s)
	}

	// Without them, what does not depend on them is judged all the same.
	a := w.audit(m, Options{})
	a.expect("6 signature")
	if s := a.Summary(); s.Unjudged != 4 || s.Complete {
		t.Errorf("%+v", s)
	}

	// One that is damaged cannot be judged.
	path := filepath.Join(root, filepath.FromSlash(reader.Digest(sha256.Sum256([]byte(stored[0]))).Path()))
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, []byte(`{"a": 2}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	a = w.audit(m, open(root))
	a.expect("3 no-secrets", "4 few", "6 signature")
	if s := a.Summary(); s.Unjudged != 2 || s.Complete {
		t.Errorf("%+v", s)
	}
}

// TestArtifactLies: no answer but the bytes themselves makes an entry good, and
// none makes the log bad, also where the policy asks only whether there is an
// artifact and how large it is.
func TestArtifactLies(t *testing.T) {
	w := newWorld(t)
	const content = "the content"
	entry := w.sign(w.alice, scitt.SignOptions{Hash: true}, content)
	logs := map[string]tiles.Source{
		"required": w.log(append(w.begin(`, "artifact": "required"`), entry)...),
		"stored":   w.log(append(w.begin(`, "artifact": "optional", "rules": [{"id": "there", "expr": "!envelope.present || artifact.stored", "message": "there"}]`), entry)...),
		"size":     w.log(append(w.begin(`, "artifact": "optional", "rules": [{"id": "few", "expr": "!envelope.present || artifact.size == 11", "message": "few"}]`), entry)...),
	}
	write := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
		}
	}
	length := func(n int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(n))
			if r.Method == http.MethodGet {
				_, _ = io.WriteString(w, body)
			}
		}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		good   bool
	}{
		"the truth":     {write(content), true},
		"swapped":       {write("THE CONTENT"), false},
		"empty":         {write(""), false},
		"truncated":     {write("the conten"), false},
		"longer":        {write("the content!"), false},
		"longer length": {length(12, content), false},
		"less length":   {length(10, content), false},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write(bytes.Repeat([]byte(content), 1000))
			}
		}, false},
	} {
		server := httptest.NewServer(c.answer)
		how := reader.Options{Client: client.Options{Retries: -1}, Limits: reader.Limits{Size: 1 << 20}}
		src := testlog.Must(reader.Open(server.URL, how))(t)
		for asks, m := range logs {
			a := w.auditor(m, nil, Options{Artifacts: src})
			err := a.Run(t.Context())
			if err != nil {
				t.Errorf("%s, %s: %v", name, asks, err)
			}
			if s := a.Summary(); s.Violations != 0 || s.Complete != c.good {
				t.Errorf("%s, %s: %+v, %v", name, asks, s, err)
			}
		}
		server.CloseClientConnections()
		server.Close()
	}
}

// TestOtherSchema: a policy for another OCSF schema than the one that is
// loaded is no fault of the log.
func TestOtherSchema(t *testing.T) {
	w := newWorld(t)
	digest := sha256.Sum256([]byte("the schema file"))
	members := fmt.Sprintf(`, "ocsf": {"mode": "enforce", "schema": "%x"}`, digest)
	first := append(w.begin(members), w.sign(w.alice, scitt.SignOptions{}, "{}"))
	second := w.begin("")
	second = append(second, w.signPolicy(w.admin, w.policy(second[1], members)))
	for _, entries := range [][][]byte{first, second} {
		a := w.auditor(w.log(entries...), nil, Options{})
		if err := a.Run(t.Context()); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%x", digest)) {
			t.Errorf("error %v", err)
		}
		a.told = nil
	}
	with := Options{Policy: []policy.Option{policy.WithSchema(ocsf.Default(), digest)}, Schema: fmt.Sprintf("%x", digest)}
	w.audit(w.log(first...), with).expect("2 ocsf")
}
