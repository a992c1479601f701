package daemon_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/testkms"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/keys/awskms"
	"github.com/conmotion/conmotion/scitt"
)

// TestKMS: a service whose three keys are in a KMS loses nothing while the KMS throttles,
// tells why it is not ready, and gives Receipts when it is back. It asks each key for one
// signature a checkpoint, also those of ML-DSA-44 that come later, and does not start with another key.
func TestKMS(t *testing.T) {
	kms := testkms.NewAWS(t)
	elsewhere := daemon.Elsewhere{Note: kms.Put("note", testlog.Key(t, "EdDSA")), Receipt: kms.Put("receipt", testlog.Key(t, "ES256")), Service: kms.Put("service", testlog.Key(t, "ES256"))}
	var made daemon.Config
	s := newService(t, func(c *daemon.Config) {
		c.Keys, c.Issuer = filepath.Join(t.TempDir(), "keys"), "https://transparency.example"
		c.KeyOpeners = daemon.KeyOpeners{"awskms": awskms.Open}
		c.Wait = 200 * time.Millisecond
		if err := daemon.MakeKeys(t.Context(), *c, filepath.Join(t.TempDir(), "recovery.pem"), elsewhere); err != nil {
			t.Fatal(err)
		}
		made = *c
	})
	issuer := testlog.Key(t, "ES256")
	var statements [][]byte
	post := func(status int) {
		t.Helper()
		statement := testlog.Statement(t, issuer, fmt.Sprint(len(statements)), []byte("content"))
		statements = append(statements, statement)
		if a := s.do(http.MethodPost, "/entries", statement, "Content-Type", "application/cose"); a.StatusCode != status && a.StatusCode != http.StatusAccepted {
			t.Fatalf("%s: %s", a.Status, a.problem(t))
		}
	}
	post(http.StatusCreated)
	for _, fault := range []testkms.Fault{testkms.Throttled, testkms.Expired, testkms.Wrong} {
		kms.Fail(fault)
		for range 3 {
			post(http.StatusAccepted)
		}
		now := time.Now()
		_ = s.Readiness.Check(t.Context(), now)
		var why error
		testwait.Until(t, func() bool {
			why = s.Readiness.Check(t.Context(), now.Add(time.Hour))
			return why != nil && strings.Contains(why.Error(), "does not sign")
		}, "a signature is asked for")
		says := string(fault)
		if fault == testkms.Wrong {
			says = "the signature is wrong"
		}
		if why == nil || !strings.Contains(why.Error(), "the checkpoint is stale") || !strings.Contains(why.Error(), "key does not sign") || !strings.Contains(why.Error(), says) {
			t.Errorf("ready, or for another reason: %v", why)
		}
		kms.Fail("")
		for _, statement := range statements {
			id := testlog.Must(scitt.ParseStatement(statement))(t).ID()
			a := s.get("/entries/" + id.String())
			testwait.Until(t, func() bool {
				a = s.get("/entries/" + id.String())
				return a.StatusCode == http.StatusOK
			}, "the Receipt is there")
			if err := s.verify(statement, a.body); err != nil {
				t.Errorf("after %s: %v", fault, err)
			}
		}
	}
	pq := map[string]string{}
	for purpose, file := range map[string]string{"pq-receipt": "pq-receipt-key-2.pem", "pq-note": "pq-checkpoint-key-2.pem"} {
		pq[purpose] = kms.Put(purpose, testlog.Key(t, "ML-DSA-44"))
		write(t, filepath.Join(made.Keys, file), []byte(pq[purpose]))
		s.rotate(daemon.KeyChange{Rotate: purpose, To: pq[purpose]})
	}
	for _, uri := range []string{elsewhere.Note, elsewhere.Receipt, pq["pq-receipt"], pq["pq-note"]} {
		before := kms.Asked(uri)
		size := s.size()
		post(http.StatusCreated)
		testwait.Until(t, func() bool { return s.size() > size }, "the checkpoint grows")
		if n := kms.Asked(uri) - before; n != 1 {
			t.Errorf("one checkpoint asked %s for %d signatures", uri, n)
		}
	}
	s.stop()
	kms.Put("receipt", testlog.Key(t, "ES256"))
	made.Logger = slog.New(slog.DiscardHandler)
	if _, err := daemon.Open(t.Context(), made, testlog.Must(daemon.NewTelemetry())(t)); err == nil || !strings.Contains(err.Error(), "put ") {
		t.Errorf("a service with another receipt key: %v", err)
	}
}
