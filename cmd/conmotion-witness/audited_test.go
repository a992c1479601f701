package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testprogram"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// TestAuditedService: a service publishes nothing without the audited cosignature, from its
// first entry on, and the witness judges what is not public yet. So there are Receipts.
func TestAuditedService(t *testing.T) {
	t.Parallel()
	witnessDir := t.TempDir()
	_, witnessURL, _ := startWitness(t, witnessDir, "--audit", "--audit-wait", "3s")
	_, home := get(t, witnessURL+"/")
	_, vkey, _ := strings.Cut(string(home), "\nwitness.example/audited+")
	vkey, _, _ = strings.Cut("witness.example/audited+"+vkey, "\n")
	policy := filepath.Join(t.TempDir(), "policy")
	if err := os.WriteFile(policy, fmt.Appendf(nil, "witness w %s %s\nquorum w\n", vkey, witnessURL), 0o600); err != nil {
		t.Fatal(err)
	}
	key := testlog.Must(scitt.NewCosignatureVerifier(vkey))(t)
	address, dir := testwait.Address(t), t.TempDir()
	service := func() (stop func(), log *output) {
		return background(t, testprogram.Path(t, "conmotiond"), "--listen", address, "--dir", dir, "--witness-policy", policy, "--wait", "2m")
	}
	// until waits for a checkpoint with the audited line.
	until := func(size uint64) {
		t.Helper()
		testwait.Until(t, func() bool {
			_, note := get(t, "http://"+address+"/checkpoint")
			cp, sigs, err := scitt.OpenNote(note, key)
			return err == nil && cp.Size >= size && len(sigs) == 1
		}, "an audited checkpoint of size ", size)
	}
	stop, log := service()
	// The service says which key the witness has to know. There are tiles to judge, and nothing else.
	answered(t, "http://"+address+"/"+tiles.BundlePath(0, 1))
	var logKey string
	testwait.Until(t, func() bool {
		_, logKey, _ = strings.Cut(log.String(), "whoever runs it has to add ")
		return strings.Contains(logKey, "\"")
	}, "the service says its key")
	logKey, _, _ = strings.Cut(logKey, "\"")
	for _, path := range []string{"/checkpoint", "/", "/.well-known/scitt-keys"} {
		if status, body := get(t, "http://"+address+path); status != http.StatusServiceUnavailable {
			t.Errorf("before it is cosigned %s is answered with %d %q", path, status, body)
		}
	}
	add := func(args ...string) {
		t.Helper()
		var out bytes.Buffer
		if code := run(t.Context(), &cli.App{Stdout: &out, Stderr: &out}, append([]string{"log", "add", "--dir", witnessDir}, args...)); code != cli.ExitGood {
			t.Fatalf("log add %q: exit code %d\n%s", args, code, &out)
		}
	}
	add("--contact", "http://"+address, logKey)
	until(2)
	add("http://" + address) // the key of its Receipts
	stop()
	stop, _ = service()
	until(2)
	resp, err := http.Post("http://"+address+"/entries", "application/cose", bytes.NewReader(testlog.Statement(t, testlog.Key(t, "ES256"), "asset", []byte("x"))))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Errorf("a registration: status %d %q, %v", resp.StatusCode, body, err)
	}
	until(3)
	stop()
}

// get returns what there is; nothing when nobody answers.
func get(t *testing.T, url string) (status int, body []byte) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	return resp.StatusCode, body
}
