package daemon_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/scitt/did"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/audit"
)

func issuer(t testing.TB, key crypto.Signer) string {
	t.Helper()
	return testlog.Must(did.NewJWK(key.Public()))(t)
}

// document is a policy that admits one issuer, and that an administrator may
// replace. The previous one is left out when it is empty.
func document(t testing.TB, admits, admin crypto.Signer, previous string, more map[string]any) []byte {
	t.Helper()
	jwk := testlog.Must(did.MarshalJWK(admin.Public()))(t)
	doc := map[string]any{
		"version":        1,
		"trust_anchors":  map[string]any{"self_certifying": []string{"did:jwk"}, "keys": []any{map[string]any{"id": "admin", "jwk": json.RawMessage(jwk)}}},
		"issuers":        []any{map[string]any{"issuer": issuer(t, admits)}},
		"administrators": []any{map[string]any{"issuer": "https://admin.example", "keys": []string{"admin"}}},
	}
	if previous != "" {
		doc["previous"] = previous
	}
	for name, value := range more {
		doc[name] = value
	}
	out := testlog.Must(json.Marshal(doc))(t)
	testlog.Must(policy.Parse(out))(t)
	return out
}

func (s *service) signPolicy(admin crypto.Signer, doc []byte) []byte {
	s.t.Helper()
	return testlog.Must(scitt.SignStatement(admin, scitt.SignOptions{
		Issuer: "https://admin.example", Subject: scitt.PolicySubject(s.Origin),
		ContentType: "application/vnd.conmotion.policy+json", Type: scitt.TypePolicy,
	}, doc))(s.t)
}

func withPolicy(t testing.TB, doc []byte) func(*daemon.Config) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	return func(c *daemon.Config) { c.Policy = file }
}

// replay audits the log from its files alone: every entry is judged by the
// policy that was in force at its index.
func replay(t *testing.T, s *service) (policies int) {
	t.Helper()
	s.checker().Check(t, nil)
	vkeys := s.configuration().CheckpointKeys
	log := tiles.NewLog(testlog.Must(tiles.Open(s.public(), client.Options{}))(t), testlog.Must(scitt.NewCheckpointVerifiers(vkeys))(t))
	auditor := testlog.Must(audit.New(log, nil, audit.Options{VKeys: vkeys, List: 10, Report: func(v audit.Violation) {
		t.Errorf("entry %d was admitted against the policy at its index: %s: %s", *v.Index, v.Check, v.Message)
	}}))(t)
	if err := auditor.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return len(auditor.Summary().Policies)
}

// TestPolicyUnderLoad switches between two policies that exclude each other's
// issuer while both register. Whatever was admitted was admitted by the policy
// at its place in the log.
func TestPolicyUnderLoad(t *testing.T) {
	t.Parallel()
	const switches = 100
	one, two, admin := testlog.Key(t, "ES256"), testlog.Key(t, "ES256"), testlog.Key(t, "EdDSA")
	s := newService(t, withPolicy(t, document(t, one, admin, "", nil)))
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var admitted, refused atomic.Int64
	for w, key := range []crypto.Signer{one, two, one, two} {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				a := s.do(http.MethodPost, "/entries", testlog.Statement(t, key, "asset", fmt.Appendf(nil, "%d %d", w, i)), "Prefer", "respond-async")
				switch a.StatusCode {
				case http.StatusAccepted, http.StatusCreated:
					admitted.Add(1)
				case http.StatusBadRequest:
					refused.Add(1)
				default:
					t.Errorf("status %s: %v", a.Status, a.problem(t))
				}
			}
		})
	}
	for i := range switches {
		admits := two
		if i%2 == 1 {
			admits = one
		}
		doc := document(t, admits, admin, s.InForce().ID.String(), nil)
		prefer := "respond-async"
		if i == switches-1 {
			prefer = "wait=10" // so that all of them are published
		}
		a := s.do(http.MethodPost, "/entries", s.signPolicy(admin, doc), "Prefer", prefer)
		if a.StatusCode/100 != 2 {
			t.Fatalf("switch %d: %s: %v", i, a.Status, a.problem(t))
		}
	}
	stop()
	group.Wait()
	if policies := replay(t, s); policies != switches+1 {
		t.Errorf("the log has %d policies, want %d", policies, switches+1)
	}
	if admitted.Load() < switches/2 || refused.Load() < switches/2 {
		t.Errorf("%d admitted, %d refused: this was no test", admitted.Load(), refused.Load())
	}
	t.Logf("%d admitted, %d refused over %d changes of policy", admitted.Load(), refused.Load(), switches)
	// And a restart finds the last one.
	last := s.configuration().Policy
	s.stop()
	s.start()
	if now := s.configuration().Policy; now.EntryID != last.EntryID || !bytes.Equal(now.Document, last.Document) {
		t.Error("a restart finds another policy")
	}
}

// TestPolicyRefusals: what may not replace the policy leaves it in force.
func TestPolicyRefusals(t *testing.T) {
	t.Parallel()
	one, admin, stranger := testlog.Key(t, "ES256"), testlog.Key(t, "ES256"), testlog.Key(t, "ES256")
	s := newService(t, withPolicy(t, document(t, one, admin, "", nil)))
	before := s.InForce().ID.String()
	good := document(t, one, admin, before, map[string]any{"description": "second"})
	for _, c := range []struct {
		name      string
		statement []byte
		want      string
	}{
		{"by a stranger", s.signPolicy(stranger, good), "key"},
		{"no previous", s.signPolicy(admin, document(t, one, admin, "", nil)), "previous"},
		{"wrong previous", s.signPolicy(admin, document(t, one, admin, strings.Repeat("0", 64), nil)), "previous"},
		{"not JSON", s.signPolicy(admin, []byte("{")), "payload"},
		{"unknown member", s.signPolicy(admin, bytes.Replace(good, []byte(`"version"`), []byte(`"verison":1,"version"`), 1)), "verison"},
		{"bad rule", s.signPolicy(admin, bytes.Replace(good, []byte(`"version"`), []byte(`"rules":[{"id":"r","expr":"subject ==","message":"m"}],"version"`), 1)), "rules"},
	} {
		a := s.do(http.MethodPost, "/entries", c.statement)
		if p := a.problem(t); p == nil || p.Status != http.StatusBadRequest || !strings.Contains(p.Detail, c.want) {
			t.Errorf("%s: %s %v, want a refusal about %q", c.name, a.Status, p, c.want)
		}
		if now := s.InForce().ID.String(); now != before {
			t.Fatalf("%s: it is in force", c.name)
		}
	}
	if a := s.configuration().Algorithms; !slices.Equal(a, scitt.Algorithms()) {
		t.Errorf("the configuration names the algorithms %v", a)
	}
	good = document(t, one, admin, before, map[string]any{"description": "second", "limits": map[string]any{"algorithms": []string{"ES256"}}})
	change := s.signPolicy(admin, good)
	s.register(change)
	if a := s.configuration().Algorithms; len(a) != 1 || a[0] != "ES256" {
		t.Errorf("the configuration names the algorithms %v, and the policy allows ES256", a)
	}
	second := s.InForce().ID.String()
	if second == before {
		t.Fatal("a good policy is not in force")
	}
	// Sent again it is where it was, and the older one cannot come back.
	s.register(change)
	if p := s.do(http.MethodPost, "/entries", s.signPolicy(admin, document(t, one, admin, before, nil))).problem(t); p == nil || !strings.Contains(p.Detail, "replay") {
		t.Errorf("a policy that replaces an older one: %v", p)
	}
	if s.InForce().ID.String() != second || replay(t, s) != 2 {
		t.Error("the policy in force changed")
	}
}

func TestFirstStatement(t *testing.T) {
	t.Parallel()
	one, admin := testlog.Key(t, "ES256"), testlog.Key(t, "ES256")
	s := newService(t, func(c *daemon.Config) { c.FirstStatement = true })
	if p := s.do(http.MethodPost, "/entries", testlog.Statement(t, one, "asset", nil)).problem(t); p == nil || !strings.Contains(p.Detail, "no Registration Policy yet") {
		t.Errorf("a statement before the policy: %v", p)
	}
	if p := s.do(http.MethodPost, "/entries", s.signPolicy(admin, []byte("{}"))).problem(t); p == nil || p.Title != "Rejected" {
		t.Errorf("a first statement that is not a policy: %v", p)
	}
	// No policy says who may sign it. Their own key does.
	for what, issuer := range map[string]string{"in its own name": "", "as the service": s.Issuer} {
		o := scitt.SignOptions{Issuer: issuer, Subject: scitt.PolicySubject(s.Origin), Type: scitt.TypePolicy, ContentType: "application/vnd.conmotion.policy+json"}
		by := testlog.Must(scitt.SignStatement(admin, o, document(t, one, admin, "", nil)))(t)
		if p := s.do(http.MethodPost, "/entries", testlog.Garbage(by)).problem(t); p == nil || p.Title != "Rejected" {
			t.Errorf("a first statement that nobody signed, %s: %v", what, p)
		}
	}
	// A restart before the first statement still waits for it.
	s.stop()
	s.config.FirstStatement = false
	s.start()
	first := s.signPolicy(admin, document(t, one, admin, "", nil))
	receipt := testlog.Must(scitt.ParseReceipt(s.register(first)))(t)
	if err := receipt.Verify(s.keys()[0].Public, testlog.Must(scitt.ParseStatement(first))(t).Entry()); err != nil {
		t.Errorf("the receipt of the first statement: %v", err)
	}
	s.register(testlog.Statement(t, one, "asset", nil))
	if p := s.do(http.MethodPost, "/entries", testlog.Statement(t, admin, "asset", nil)).problem(t); p == nil {
		t.Error("the first policy does not count")
	}
	s.stop()
	s.start()
	if got := s.configuration().Policy.Index; got != 1 {
		t.Errorf("the policy is entry %d", got)
	}
	replay(t, s)
}

func TestManagement(t *testing.T) {
	t.Parallel()
	one, admin := testlog.Key(t, "ES256"), testlog.Key(t, "ES256")
	s := newService(t, nil)
	manage := httptest.NewServer(s.ManageHandler())
	for path, status := range map[string]int{"/policy": http.StatusMethodNotAllowed, "/other": http.StatusNotFound} {
		req := testlog.Must(http.NewRequestWithContext(t.Context(), http.MethodDelete, manage.URL+path, nil))(t)
		resp := testlog.Must(http.DefaultClient.Do(req))(t)
		if resp.Body.Close(); resp.StatusCode != status || resp.Header.Get("Content-Type") != scitt.ProblemMediaType {
			t.Errorf("DELETE %s: %s %v", path, resp.Status, resp.Header)
		}
	}
	defer manage.Close()
	set := func(doc []byte) (*http.Response, daemon.ManageResult) {
		t.Helper()
		resp := testlog.Must(http.Post(manage.URL+"/policy", "application/json", bytes.NewReader(doc)))(t)
		defer resp.Body.Close()
		var result daemon.ManageResult
		if resp.StatusCode == http.StatusOK {
			if err := json.NewDecoder(resp.Body).Decode(&result); err != nil {
				t.Fatal(err)
			}
		}
		return resp, result
	}
	if resp, _ := set([]byte(`{"version":1,`)); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("broken JSON: %s", resp.Status)
	}
	for long, want := range map[int]string{70_000: "and 65536 are allowed", 200_000: "and 65536 are allowed", 65_300: "a log entry holds 65535"} {
		resp := testlog.Must(http.Post(manage.URL+"/policy", "application/json", strings.NewReader(`{"version":1,"description":"`+strings.Repeat("x", long)+`"}`)))(t)
		body := testlog.Must(io.ReadAll(resp.Body))(t)
		resp.Body.Close()
		if resp.StatusCode/100 != 4 || !strings.Contains(string(body), want) {
			t.Errorf("a document of %d bytes: %s %q", long, resp.Status, body)
		}
	}
	resp, result := set(document(t, one, admin, "", nil))
	if resp.StatusCode != http.StatusOK || result.Index != 2 || result.EntryID != s.InForce().ID.String() {
		t.Fatalf("%s %+v", resp.Status, result)
	}
	s.register(testlog.Statement(t, one, "asset", nil))
	if _, again := set(document(t, one, admin, strings.Repeat("0", 64), nil)); again.EntryID != "" {
		t.Error("a policy that replaces an unknown one was taken")
	}
	if policies := replay(t, s); policies != 2 {
		t.Errorf("%d policies in the log", policies)
	}
}

// TestChain: of many writers that continue one chain at once exactly one wins.
func TestChain(t *testing.T) {
	t.Parallel()
	key, admin := testlog.Key(t, "ES256"), testlog.Key(t, "ES256")
	s := newService(t, withPolicy(t, document(t, key, admin, "", map[string]any{"chain": "required"})))
	link := func(seq uint64, prev []byte, content string) []byte {
		return testlog.Must(scitt.SignStatement(key, scitt.SignOptions{
			Subject: "asset", Chain: &scitt.ChainLink{Name: "inventory", Seq: seq, Prev: prev}}, []byte(content)))(t)
	}
	if p := s.do(http.MethodPost, "/entries", testlog.Statement(t, key, "asset", nil)).problem(t); p == nil || !strings.Contains(p.Detail, "chain") {
		t.Errorf("without a chain: %v", p)
	}
	if p := s.do(http.MethodPost, "/entries", link(3, make([]byte, 32), "")).problem(t); p == nil || !strings.Contains(p.Detail, "gap") {
		t.Errorf("a gap: %v", p)
	}
	var prev []byte
	for seq := range uint64(6) {
		var won, lost atomic.Int64
		var winner atomic.Pointer[scitt.Statement]
		var group sync.WaitGroup
		for w := range 8 {
			group.Go(func() {
				statement := link(seq, prev, fmt.Sprint(w))
				a := s.do(http.MethodPost, "/entries", statement)
				switch p := a.problem(t); {
				case a.StatusCode == http.StatusCreated:
					won.Add(1)
					winner.Store(testlog.Must(scitt.ParseStatement(statement))(t))
				case p != nil && p.Status == http.StatusBadRequest && strings.Contains(p.Detail, "the head of the chain"):
					lost.Add(1)
				default:
					t.Errorf("%s %v", a.Status, p)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 || lost.Load() != 7 {
			t.Fatalf("seq %d: %d won and %d lost", seq, won.Load(), lost.Load())
		}
		id := winner.Load().ID()
		prev = id[:]
		if seq == 3 { // the head survives a restart, and the loss of the index
			s.stop()
			for _, name := range testlog.Must(filepath.Glob(filepath.Join(s.config.Dir, "private", "index.db*")))(t) {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
			s.start()
		}
	}
	// A statement that is in the log may be sent again, though its chain went on.
	replay(t, s)
}

// TestArtifactRequired: a hash is admitted when its artifact is stored.
func TestArtifactRequired(t *testing.T) {
	t.Parallel()
	key, admin := testlog.Key(t, "ES256"), testlog.Key(t, "ES256")
	s := newService(t, withPolicy(t, document(t, key, admin, "", map[string]any{
		"artifact": "required",
		"rules":    []any{map[string]any{"id": "small", "expr": "artifact.size < 100", "message": "artifacts are small here"}},
	})))
	envelope := func(content []byte) []byte {
		return testlog.Must(scitt.SignStatement(key, scitt.SignOptions{Subject: "asset", Hash: true, ContentType: "text/plain"}, content))(t)
	}
	small, large := []byte("hello"), bytes.Repeat([]byte("x"), 100)
	if p := s.do(http.MethodPost, "/entries", envelope(small)).problem(t); p == nil || !strings.Contains(p.Detail, "artifact") {
		t.Errorf("before the artifact is stored: %v", p)
	}
	for _, content := range [][]byte{small, large} {
		if a := s.do(http.MethodPost, "/artifacts", content); a.StatusCode != http.StatusCreated {
			t.Fatalf("store: %s", a.Status)
		}
	}
	s.register(envelope(small))
	if p := s.do(http.MethodPost, "/entries", envelope(large)).problem(t); p == nil || !strings.Contains(p.Detail, "artifacts are small here") {
		t.Errorf("a rule about the artifact: %v", p)
	}
}
