package daemon_test

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// TestRotateBeforeWitnesses: the note key can be rotated again while the witnesses know the
// first one only. Where that one is gone, the keys can be listed though nothing gets public.
func TestRotateBeforeWitnesses(t *testing.T) {
	t.Parallel()
	cosigner := testlog.NewCosigner(t, "witness.example", "Ed25519")
	var knows atomic.Pointer[scitt.CheckpointVerifiers]
	witness := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, raw, _ := bytes.Cut(body, []byte("\n\n"))
		if v := knows.Load(); v != nil {
			if _, err := v.Open(raw); err != nil {
				http.Error(w, "no signature by a key that is known", http.StatusForbidden)
				return
			}
		}
		w.Write(testlog.Cosign(t, raw, cosigner, time.Now())[len(raw):])
	}))
	defer witness.Close()
	policy := filepath.Join(t.TempDir(), "policy")
	write(t, policy, fmt.Appendf(nil, "witness w %s %s\nquorum w\n", cosigner, witness.URL))
	s := newService(t, func(c *daemon.Config) { c.WitnessPolicy, c.CheckpointInterval = policy, 100*time.Millisecond })
	first := testlog.Must(scitt.NewCheckpointVerifiers(s.keysNow().Note[:1]))(t)
	knows.Store(&first)
	for range 2 {
		s.rotate(daemon.KeyChange{Rotate: "note"})
		s.register(testlog.Statement(t, testlog.Key(t, "ES256"), "asset", nil))
		if now := s.keysNow(); !slices.Contains(s.signedBy(now.Keys), fmt.Sprintf("note %d", len(now.Note)-1)) {
			t.Fatalf("the key that the witness knows does not sign: %q", s.signedBy(now.Keys))
		}
	}
	// Without the key that the witness knows the next change waits for it, and can be looked at.
	if err := os.Remove(filepath.Join(s.config.Dir, "private", keyFiles[0])); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/keys", strings.NewReader(`{"rotate":"receipt"}`))
	r.Header.Set("Content-Type", "application/json")
	s.ManageHandler().ServeHTTP(httptest.NewRecorder(), r)
	answer := httptest.NewRecorder()
	s.ManageHandler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/keys", nil))
	if answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), `"purpose":"receipt"`) {
		t.Errorf("the list of keys: %d %s", answer.Code, answer.Body)
	}
	knows.Store(nil) // it learns the new key
}

// TestRecoverOldServiceKey: a service key that was replaced does not come back, and one in
// force is not taken for a new one.
func TestRecoverOldServiceKey(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	private := func(name string) string { return filepath.Join(s.config.Dir, "private", name) }
	newKey := func(path string) string {
		write(t, path, testlog.Must(scitt.MarshalPrivateKey(testlog.Key(t, "ES256")))(t))
		return path
	}
	var notices []string
	recover := func(by, next, service string) ([]byte, error) {
		notices = nil
		return daemon.Recover(t.Context(), daemon.Recovery{
			Open: func(_ context.Context, _, path string) (crypto.Signer, error) {
				data, err := os.ReadFile(path)
				if err != nil {
					return nil, err
				}
				return scitt.ParsePrivateKey(data)
			},
			Notice: func(format string, args ...any) { notices = append(notices, fmt.Sprintf(format, args...)) },
			Log:    s.Place(), RecoveryKey: by, NextRecovery: next, ServiceKey: service,
		})
	}
	offline := t.TempDir()
	second := newKey(filepath.Join(offline, "second.pem"))
	if _, err := recover(private(keyFiles[3]), second, private(keyFiles[2])); err != nil || len(notices) != 1 || !strings.Contains(notices[0], "in force") {
		t.Errorf("the key in force: %v, notices %q", err, notices)
	}
	s.rotate(testlog.Must(recover(private(keyFiles[3]), second, newKey(private("service-key-new.pem"))))(t))
	if len(notices) > 0 {
		t.Errorf("a new key: notices %q", notices)
	}
	if _, err := recover(second, newKey(filepath.Join(offline, "third.pem")), private(keyFiles[2])); err == nil || !strings.Contains(err.Error(), "was replaced") {
		t.Errorf("a key that was replaced: %v", err)
	}
}
