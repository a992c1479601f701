package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// artifacts serves contents by their digests. Where failing answers true, nothing else does.
func artifacts(t *testing.T, contents []string, failing func(w http.ResponseWriter, content string) bool) Options {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, content := range contents {
			if strings.HasSuffix(r.URL.Path, fmt.Sprintf("%x", sha256.Sum256([]byte(content)))) && !failing(w, content) {
				_, _ = w.Write([]byte(content))
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	return Options{Artifacts: testlog.Must(reader.Open(server.URL, reader.Options{Client: client.Options{Retries: -1}}))(t)}
}

// TestArtifactOutOfReach: whoever serves an artifact and lets nobody read it hides nothing
// that is behind its entry. The entry is judged again at each pass, also by an audit that goes on from
// the state, until the artifact can be read or is not there.
func TestArtifactOutOfReach(t *testing.T) {
	const secret, clean = `{"secret": 1}`, `{"a": 1}`
	w := newWorld(t)
	entries := w.begin(`, "artifact": "required", "chain": "optional", "rules": [{"id": "no-secrets", "expr": "!envelope.present || !has(artifact.content.secret)", "message": "no secrets"}]`)
	first := w.sign(w.alice, scitt.SignOptions{Chain: &scitt.ChainLink{Name: "c"}}, "{}")
	next := scitt.SignOptions{Hash: true, Chain: testlog.After(t, first)} // which is judged again by its head
	entries = append(entries, first, w.sign(w.alice, next, secret), w.sign(w.alice, scitt.SignOptions{Hash: true}, clean), tamper(w.sign(w.alice, scitt.SignOptions{Hash: true, Subject: "asset/2"}, clean)))
	m := w.log(entries...)
	for name, fail := range map[string]func(w http.ResponseWriter){
		"500":   func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
		"503":   func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
		"reset": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		var status atomic.Int32 // 0: it fails, 200: it does not, 404: it is not there
		o := artifacts(t, []string{secret, clean}, func(w http.ResponseWriter, content string) bool {
			switch {
			case content == clean || status.Load() == 200:
				return false
			case status.Load() == 404:
				w.WriteHeader(404)
			default:
				fail(w)
			}
			return true
		})
		a := w.auditor(m, nil, o)
		expect := func(a *audited, unjudged uint64, unread string, want ...string) {
			t.Helper()
			if err := a.Run(t.Context()); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			a.expect(want...)
			if s := a.Summary(); s.Unjudged != unjudged || s.Complete != (unjudged == 0) || !strings.HasPrefix(s.Unread, unread) || (s.Unread == "") != (unread == "") {
				t.Errorf("%s: %+v", name, s)
			}
		}
		expect(a, 1, "entry 3: artifact", "5 signature")
		expect(a, 1, "entry 3: artifact", "5 signature")
		left := a.states[len(a.states)-1]
		for code, look := range map[int32]func(a *audited){
			200: func(a *audited) { expect(a, 0, "", "3 no-secrets") },
			404: func(a *audited) { expect(a, 1, "") },
		} {
			status.Store(code)
			again := *left
			again.Counts, again.Violations = map[string]uint64{}, nil // of what is told
			look(w.auditor(m, &again, o))
		}
		status.Store(200)
		expect(a, 0, "", "5 signature", "3 no-secrets")
	}
}

// TestStorageOutOfReach: where nothing can be read the audit waits, and asks for little.
func TestStorageOutOfReach(t *testing.T) {
	w := newWorld(t)
	entries := w.begin(`, "artifact": "required"`)
	var contents []string
	for n := range 300 {
		contents = append(contents, fmt.Sprintf(`{"n": %d}`, n))
		entries = append(entries, w.sign(w.alice, scitt.SignOptions{Hash: true}, contents[n]))
	}
	var asked atomic.Int32
	var down atomic.Bool
	down.Store(true)
	a := w.auditor(w.log(entries...), nil, artifacts(t, contents, func(w http.ResponseWriter, _ string) bool {
		if down.Load() {
			asked.Add(1)
			w.WriteHeader(http.StatusBadGateway)
		}
		return down.Load()
	}))
	if err := a.Run(t.Context()); !errors.Is(err, policy.ErrFacts) {
		t.Errorf("error %v", err)
	}
	if s := a.Summary(); s.Done > 2+8 || s.Complete || asked.Load() > 32 {
		t.Errorf("%+v after %d requests", s, asked.Load())
	}
	down.Store(false)
	if err := a.Run(t.Context()); err != nil || !a.Summary().Complete {
		t.Errorf("%+v, %v", a.Summary(), err)
	}
	a.expect()
}
