package daemon_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
)

// receiptsOf are the Receipts in a statement as the service gives it, each verified with the
// keys that the service publishes.
func (s *service) receiptsOf(statement []byte) (receipts []*scitt.Receipt, raw [][]byte) {
	s.t.Helper()
	a := s.get("/entries/" + testlog.Must(scitt.ParseStatement(statement))(s.t).ID().String() + "/statement")
	if a.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s", a.Status, a.problem(s.t))
	}
	st := testlog.Must(scitt.DecodeStatement(a.body))(s.t)
	for _, data := range st.Receipts {
		if err := s.verify(statement, data); err != nil {
			s.t.Error(err)
		}
		receipts = append(receipts, testlog.Must(scitt.ParseReceipt(data))(s.t))
	}
	return receipts, st.Receipts
}

// TestPostQuantum: the first rotation of an ML-DSA-44 key switches it on, in a log that runs.
// Registration and the Receipt's URL answer as before; the Transparent Statement has both
// Receipts, and the checkpoint both lines. Readers that slept follow, an audit is content,
// and what an earlier key signed verifies after a rotation.
func TestPostQuantum(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	slept := party.Home(t.TempDir())
	issuer := testlog.Key(t, "ES256")
	before := testlog.Statement(t, issuer, "before", nil)
	s.register(before)
	testlog.Must(s.reads(slept))(t)
	if receipts, _ := s.receiptsOf(before); len(receipts) != 1 || receipts[0].PostQuantum() {
		t.Fatalf("%d receipts before it is switched on", len(receipts))
	}
	s.rotate(daemon.KeyChange{Rotate: "pq-receipt"})
	s.rotate(daemon.KeyChange{Rotate: "pq-note"})
	both := func(statement []byte) []byte {
		t.Helper()
		receipts, raw := s.receiptsOf(statement)
		if len(receipts) != 2 || receipts[0].PostQuantum() || !receipts[1].PostQuantum() || !bytes.Equal(receipts[1].KeyID, s.keysNow().PQReceipt[0].ID) {
			t.Fatalf("%d receipts", len(receipts))
		}
		return raw[1]
	}
	lines := func() int {
		t.Helper()
		raw := testlog.Must(os.ReadFile(filepath.Join(s.Place(), "checkpoint")))(t)
		cv := testlog.Must(scitt.NewCheckpointVerifiers(s.configuration().CheckpointKeys))(t)
		_, sigs, err := scitt.OpenNote(raw, append(cv.Tree, cv.Note, cv.PQ)...)
		if err != nil {
			t.Fatal(err)
		}
		return len(sigs)
	}
	// What was registered before has a second Receipt now.
	first := both(before)
	if n := lines(); n != 4 {
		t.Errorf("%d of four lines", n)
	}
	// The same tree keeps its signature over a restart.
	s.stop()
	s.start()
	if again := both(before); !bytes.Equal(first, again) {
		t.Error("another Receipt of the same tree")
	}
	after := testlog.Statement(t, issuer, "after", nil)
	for _, answer := range [][]byte{s.register(after), s.get("/entries/" + testlog.Must(scitt.ParseStatement(after))(t).ID().String()).body} {
		if r := testlog.Must(scitt.ParseReceipt(answer))(t); r.PostQuantum() {
			t.Error("the answer to a registration is another Receipt than it was")
		}
	}
	if n := lines(); n != 4 {
		t.Errorf("%d of four lines", n)
	}
	second := both(after)
	s.rotate(daemon.KeyChange{Rotate: "pq-receipt"})
	s.rotate(daemon.KeyChange{Rotate: "pq-note"})
	both(after)
	if err := errors.Join(s.verify(before, first), s.verify(after, second)); err != nil {
		t.Errorf("what the key before signed: %v", err)
	}
	now := s.keysNow()
	if len(now.PQNote) != 2 || len(now.PQReceipt) != 2 || lines() != 4 {
		t.Errorf("%d and %d keys, %d lines", len(now.PQNote), len(now.PQReceipt), lines())
	}
	// A key that others may have is replaced, and what it signed proves nothing alone.
	third := both(after)
	result := s.rotate(daemon.KeyChange{Retire: hexOf(now.PQReceipt[0].ID), CompromisedAt: 0})
	s.rotate(daemon.KeyChange{Retire: hexOf(now.PQNote[1].ID), CompromisedAt: 0})
	both(after)
	if err := s.verify(after, third); !errors.Is(err, scitt.ErrUnknownKey) {
		t.Errorf("a receipt by a compromised key: %v", err)
	}
	if k := slices.IndexFunc(result.Keys, func(k daemon.ManagedKey) bool { return k.Thumbprint == hexOf(now.PQReceipt[0].ID) }); k < 0 || result.Keys[k].Purpose != "pq-receipt" || result.Keys[k].Compromised == nil {
		t.Errorf("%+v", result.Keys)
	}
	if all := s.replayed(); len(all) != 7 {
		t.Errorf("%d keys statements", len(all))
	}
	log := testlog.Must(s.reads(slept))(t)
	if keys := testlog.Must(log.ReceiptKeys(t.Context()))(t); !slices.ContainsFunc(keys, scitt.Key.PostQuantum) {
		t.Error("a reader that slept does not know the new key")
	}
	// An instance without the key does not start, and says what is missing.
	s.stop()
	name := "pq-receipt-key-" + hexOf(s.keysNow().PQReceipt[0].ID)[:8] + ".pem"
	path := filepath.Join(s.config.Dir, "private", name)
	key := testlog.Must(os.ReadFile(path))(t)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := daemon.Open(t.Context(), s.config, testlog.Must(daemon.NewTelemetry())(t)); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("without the key: %v", err)
	}
	if err := os.WriteFile(path, key, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	both(after)
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
