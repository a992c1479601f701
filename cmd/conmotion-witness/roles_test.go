package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/mldsa"

	"github.com/conmotion/conmotion/cmd/internal/serving"
	"github.com/conmotion/conmotion/internal/testkms"
	"github.com/conmotion/conmotion/internal/testlog"
)

// TestKeysElsewhere: a witness whose keys are in a KMS cosigns with both of them, after a
// restart too, and does not start with another name.
func TestKeysElsewhere(t *testing.T) {
	kms := testkms.NewAWS(t)
	dir := t.TempDir()
	metrics := testlog.Must(serving.NewTelemetry())(t)
	r := &roles{signs: testlog.Must(serving.NewSignatures(metrics.Meter))(t)}
	f := serveFlags{dir: dir, key: []string{kms.Put("ed", testlog.Key(t, "EdDSA")), kms.Put("pq", testlog.Must(mldsa.GenerateKey(mldsa.MLDSA44()))(t))}}
	if _, _, err := f.open(t.Context(), "", ""); err == nil || !strings.Contains(err.Error(), "--key needs --name") {
		t.Errorf("without a name: %v", err)
	}
	body := []byte("log.example\n1\n" + strings.Repeat("A", 43) + "=\n")
	for range 2 {
		db, cosigners, err := f.open(t.Context(), "", "witness.example/w1")
		if err != nil || len(cosigners) != 2 {
			t.Fatal(len(cosigners), err)
		}
		for _, c := range cosigners {
			r.count(c)
			line := testlog.Must(c.Cosign(body, time.Unix(1, 0)))(t)
			raw := testlog.Must(base64.StdEncoding.DecodeString(line.Base64))(t)
			if !c.Verify(body, raw[4:]) {
				t.Errorf("%s does not verify", c)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		f.key = nil // the file has them
	}
	// Each key made one signature in each of two lives.
	counted := map[string]float64{}
	for _, m := range testlog.Must(metrics.Registry.Gather())(t) {
		if m.GetName() == "conmotion_signatures_total" {
			for _, of := range m.Metric {
				counted[of.Label[0].GetValue()] = of.Counter.GetValue()
			}
		}
	}
	if len(counted) != 2 {
		t.Errorf("signatures %v", counted)
	}
	for key, n := range counted {
		if n != 2 || !strings.HasPrefix(key, "witness.example/w1+") {
			t.Errorf("%s: %v signatures", key, n)
		}
	}
	if _, _, err := f.open(t.Context(), "", "witness.example/w2"); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "keys")) {
		t.Errorf("another name: %v", err)
	}
}

// TestSharedKeys: a witness whose keys others may read says so.
func TestSharedKeys(t *testing.T) {
	var said bytes.Buffer
	f := serveFlags{dir: t.TempDir()}
	f.server.Logger = slog.New(slog.NewTextHandler(&said, nil))
	for _, mode := range []os.FileMode{0o600, 0o640} {
		db, _, err := f.open(t.Context(), "", "witness.example")
		if err == nil {
			err = errors.Join(db.Close(), os.Chmod(filepath.Join(f.dir, "keys"), 0o640))
		}
		if err != nil {
			t.Fatal(err)
		}
		if warned := strings.Contains(said.String(), "others on this machine may read a private key"); warned != (mode == 0o640) {
			t.Errorf("mode %o: %s", mode, &said)
		}
	}
}
