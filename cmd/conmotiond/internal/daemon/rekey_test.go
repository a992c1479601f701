package daemon_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/index"
	"github.com/conmotion/conmotion/storage/posix"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/audit"
)

// manage sends a change of keys to the management interface: a [daemon.KeyChange], or a
// keys statement.
func (s *service) manage(change any) (daemon.KeysResult, *scitt.Problem) {
	s.t.Helper()
	body, ok := change.([]byte)
	kind := "application/cose"
	if !ok {
		body, kind = testlog.Must(json.Marshal(change))(s.t), "application/json"
	}
	r := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, "/keys", bytes.NewReader(body))
	r.Header.Set("Content-Type", kind)
	w := httptest.NewRecorder()
	s.ManageHandler().ServeHTTP(w, r)
	var out daemon.KeysResult
	if w.Code != http.StatusOK {
		return out, testlog.Must(scitt.ParseProblem(w.Code, w.Body.Bytes()))(s.t)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		s.t.Fatal(err)
	}
	return out, nil
}

// rotate changes keys, which must succeed.
func (s *service) rotate(change any) daemon.KeysResult {
	s.t.Helper()
	out, problem := s.manage(change)
	if problem != nil {
		s.t.Fatal(problem)
	}
	return out
}

// replayed audits the log from its files, and returns its keys statements.
func (s *service) replayed() []*scitt.KeysInForce {
	s.t.Helper()
	c := testlog.Must(scitt.ParseConfiguration(testlog.Must(os.ReadFile(filepath.Join(s.Place(), filepath.FromSlash(tiles.ConfigurationPath))))(s.t)))(s.t)
	log := tiles.NewLog(tiles.Dir(s.Place()), testlog.Must(scitt.NewCheckpointVerifiers(c.CheckpointKeys))(s.t))
	a := testlog.Must(audit.New(log, nil, audit.Options{VKeys: c.CheckpointKeys, List: 10, Report: func(v audit.Violation) { s.t.Errorf("%+v", v) }}))(s.t)
	if err := a.Run(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	if sum := a.Summary(); len(sum.Keys) != len(c.Keys) {
		s.t.Fatalf("the log has %d keys statements, and shows %d", len(sum.Keys), len(c.Keys))
	}
	return testlog.Must(testlog.Must(log.Latest(s.t.Context()))(s.t).FollowKeys(s.t.Context(), nil, c.Keys))(s.t)
}

// reads opens the log as a reader with this memory.
func (s *service) reads(home party.Home) (*party.Log, error) {
	return party.Open(s.t.Context(), s.Place(), party.Options{Home: home})
}

// signers are the purposes of the keys that signed the public checkpoint.
func (s *service) signedBy(k *scitt.Keys) (by []string) {
	s.t.Helper()
	raw := testlog.Must(os.ReadFile(filepath.Join(s.Place(), "checkpoint")))(s.t)
	for i, vkey := range k.Note {
		if _, err := testlog.Must(scitt.NewCheckpointVerifiers([]string{vkey}))(s.t).Open(raw); err == nil {
			by = append(by, "note "+string(rune('0'+i)))
		}
	}
	vkeys := testlog.Must(k.VKeys())(s.t)
	for i := range k.Receipt {
		cp, err := testlog.Must(scitt.NewCheckpointVerifiers([]string{vkeys[0], vkeys[1+i]}))(s.t).Open(raw)
		if err == nil && cp.Tree != nil {
			by = append(by, "receipt "+string(rune('0'+i)))
		}
	}
	return by
}

// TestRotate: keys change while the service runs; what they signed before verifies, readers that
// slept follow, and a restart goes on with the new ones.
func TestRotate(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	slept, awake := party.Home(t.TempDir()), party.Home(t.TempDir())
	issuer := testlog.Key(t, "ES256")
	receipts := map[string][]byte{}
	register := func(what string) {
		st := testlog.Statement(t, issuer, what+fmt.Sprint(len(receipts)), nil)
		receipts[string(st)] = s.register(st)
	}
	register("before")
	testlog.Must(s.reads(slept))(t)
	for n, purpose := range []string{"receipt", "note", "note", "receipt"} {
		before := s.keysNow()
		result := s.rotate(daemon.KeyChange{Rotate: purpose})
		now := s.keysNow()
		if result.EntryID != now.ID.String() || now.Previous != before.ID || len(s.replayed()) != n+2 {
			t.Errorf("%s: %+v", purpose, result)
		}
		register(purpose)
		if by := s.signedBy(now.Keys); !slices.Equal(by, []string{"note 0", "receipt 0"}) {
			t.Errorf("%s: the checkpoint is signed by %q", purpose, by)
		}
		testlog.Must(s.reads(awake))(t)
		if n%2 == 0 {
			s.stop()
			s.start()
			register("after a restart")
		}
	}
	now := s.keysNow()
	if len(now.Note) != 3 || len(now.Receipt) != 3 || len(s.keys()) != 3 {
		t.Errorf("%d note keys and %d receipt keys", len(now.Note), len(now.Receipt))
	}
	testlog.Must(s.reads(slept))(t)
	s.checker().Check(t, receipts)
	// Of an old entry there is a fresh Receipt, by the current key.
	for statement, first := range receipts {
		id := testlog.Must(scitt.ParseStatement([]byte(statement)))(t).ID()
		r := testlog.Must(scitt.ParseReceipt(s.get("/entries/" + id.String()).body))(t)
		if !bytes.Equal(r.KeyID, now.Receipt[0].ID) {
			t.Errorf("the receipt is by %x, the first was %x", r.KeyID, first[:4])
		}
	}
	// Nothing changes the keys in band.
	if a := s.do(http.MethodPost, "/entries", testlog.Must(os.ReadFile(s.keysStatement()))(t), "Content-Type", "application/cose"); a.StatusCode != http.StatusCreated {
		t.Errorf("a keys statement that is there: %s", a.Status)
	}
}

// keysStatement is a file with the keys statement in force.
func (s *service) keysStatement() string {
	c := s.configuration()
	last := c.Keys[len(c.Keys)-1]
	log := tiles.NewLog(tiles.Dir(s.Place()), testlog.Must(scitt.NewCheckpointVerifiers(c.CheckpointKeys))(s.t))
	entry := testlog.Must(testlog.Must(log.Latest(s.t.Context()))(s.t).Entry(s.t.Context(), last.Index))(s.t)
	file := filepath.Join(s.t.TempDir(), "keys.cose")
	write(s.t.(*testing.T), file, entry)
	return file
}

func (s *service) keysNow() *scitt.KeysInForce {
	s.t.Helper()
	all := s.replayed()
	return all[len(all)-1]
}

// TestRotateRefusals: what an instance could not go on with is not announced.
func TestRotateRefusals(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	receipt, service := hex.EncodeToString(s.key(keyFiles[1]).ID), hex.EncodeToString(s.key(keyFiles[2]).ID)
	for name, c := range map[string]struct {
		change any
		want   string
	}{
		"service":        {daemon.KeyChange{Rotate: "service"}, "conmotiond key recover"},
		"another":        {daemon.KeyChange{Rotate: "recovery"}, "is not note, receipt, pq-note or pq-receipt"},
		"no file":        {daemon.KeyChange{Rotate: "receipt", To: "/nowhere.pem"}, "no such file"},
		"algorithm":      {daemon.KeyChange{Rotate: "note", To: filepath.Join(s.config.Dir, "private", keyFiles[1])}, "is one for ES256, not EdDSA"},
		"the same":       {daemon.KeyChange{Rotate: "receipt", To: filepath.Join(s.config.Dir, "private", keyFiles[1])}, "in receipt and in receipt"},
		"of the service": {daemon.KeyChange{Rotate: "receipt", To: filepath.Join(s.config.Dir, "private", keyFiles[2])}, "in receipt and in service"},
		"to come":        {daemon.KeyChange{Retire: receipt, CompromisedAt: 99}, "99 is none of them"},
		"retire service": {daemon.KeyChange{Retire: service}, "conmotiond key recover"},
		"retire nothing": {daemon.KeyChange{Retire: strings.Repeat("0", 64)}, "announces no key"},
		"retire a name":  {daemon.KeyChange{Retire: "receipt"}, "is not a thumbprint"},
		"nothing":        {map[string]any{"x": 1}, "unknown field"},
		"a statement":    {testlog.Statement(t, testlog.Key(t, "ES256"), "asset", nil), "a keys statement has"},
	} {
		if _, problem := s.manage(c.change); problem == nil || !strings.Contains(problem.Detail, c.want) {
			t.Errorf("%s: %v", name, problem)
		}
	}
	// What was given up before its turn is not done.
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ended, http.MethodPost, "/keys", strings.NewReader(`{"rotate":"receipt"}`))
	r.Header.Set("Content-Type", "application/json")
	s.ManageHandler().ServeHTTP(httptest.NewRecorder(), r)
	if all := s.replayed(); len(all) != 1 {
		t.Fatalf("%d keys statements", len(all))
	}
	if files := testlog.Must(filepath.Glob(filepath.Join(s.config.Dir, "private", "*-key-*.pem")))(t); len(files) > 0 {
		t.Errorf("keys that were refused stay: %q", files)
	}
	// A shared directory has the key first.
	s.stop()
	s.config.Keys = t.TempDir()
	for _, name := range append([]string{"service.json"}, keyFiles...) {
		write(t, filepath.Join(s.config.Keys, name), testlog.Must(os.ReadFile(filepath.Join(s.config.Dir, "private", name)))(t))
	}
	s.start()
	fresh := filepath.Join(t.TempDir(), "new.pem")
	data := testlog.Must(scitt.MarshalPrivateKey(testlog.Key(t, "ES256")))(t)
	write(t, fresh, data)
	_, problem := s.manage(daemon.KeyChange{Rotate: "receipt", To: fresh})
	if problem == nil || !strings.Contains(problem.Detail, "put it there as receipt-key-") {
		t.Fatalf("a shared directory: %v", problem)
	}
	write(t, filepath.Join(s.config.Keys, "receipt-key-2.pem"), data)
	result := s.rotate(daemon.KeyChange{Rotate: "receipt", To: fresh})
	at := slices.IndexFunc(result.Keys, func(k daemon.ManagedKey) bool { return k.Thumbprint == receipt })
	if at < 0 || result.Keys[at].To == nil || *result.Keys[at].To != result.Index || result.Keys[at].From != 0 {
		t.Errorf("%+v", result)
	}
	// An instance without the new key does not start.
	s.stop()
	if err := os.Remove(filepath.Join(s.config.Keys, "receipt-key-2.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := daemon.Open(t.Context(), s.config, testlog.Must(daemon.NewTelemetry())(t)); err == nil || !strings.Contains(err.Error(), "as receipt-key-") {
		t.Errorf("without the new key: %v", err)
	}
	write(t, filepath.Join(s.config.Keys, "receipt-key-2.pem"), data)
	s.start()
}

// TestRecover: whoever has the service key cannot lock the owner out. The recovery key replaces
// it, and takes back what the thief said of the owner's keys.
func TestRecover(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	private := func(file string) crypto.Signer {
		return testlog.Must(scitt.ParsePrivateKey(testlog.Must(os.ReadFile(filepath.Join(s.config.Dir, "private", file)))(t)))(t)
	}
	recovery, stolen := private(keyFiles[3]), private(keyFiles[2])
	home := party.Home(t.TempDir())
	statement := testlog.Statement(t, testlog.Key(t, "ES256"), "asset", nil)
	receipt := s.register(statement)
	testlog.Must(s.reads(home))(t)
	sign := func(by crypto.Signer, change func(k *scitt.Keys)) []byte {
		inForce := s.keysNow()
		k := *inForce.Keys
		k.Previous, k.RecoveryKey = inForce.ID, nil
		change(&k)
		return testlog.Must(scitt.SignStatement(by, scitt.SignOptions{
			Issuer: inForce.Issuer, Type: scitt.TypeKeys, Subject: scitt.KeysSubject(inForce.Origin()), ContentType: scitt.MediaTypeKeys,
		}, testlog.Must(k.Marshal())(t)))(t)
	}
	// The thief calls the owner's keys compromised, on the owner's machine.
	owners := testlog.Must(s.keysNow().NoteKeys())(t)[0].ID
	s.rotate(daemon.KeyChange{Retire: hex.EncodeToString(s.key(keyFiles[1]).ID)})
	s.rotate(daemon.KeyChange{Retire: hex.EncodeToString(owners)})
	thief := testlog.Key(t, "ES256")
	for name, change := range map[string]func(k *scitt.Keys){
		"another service key":       func(k *scitt.Keys) { k.Service = testlog.KeySet(t, thief) },
		"one more service key":      func(k *scitt.Keys) { k.Service = append(testlog.KeySet(t, thief), k.Service...) },
		"another recovery key":      func(k *scitt.Keys) { k.Recovery = [][]byte{testlog.KeySet(t, thief)[0].ID} },
		"a recovery key of its own": func(k *scitt.Keys) { k.RecoveryKey = &testlog.KeySet(t, thief)[0] },
		"a key nobody has here":     func(k *scitt.Keys) { k.Receipt = append(testlog.KeySet(t, thief), k.Receipt...) },
	} {
		by := stolen
		if strings.HasPrefix(name, "a recovery") {
			by = thief
		}
		if _, problem := s.manage(sign(by, change)); problem == nil || problem.Status != http.StatusBadRequest {
			t.Errorf("%s: %v", name, problem)
		}
	}
	// The owner's new service key is there, and the recovery key says so.
	fresh, next := testlog.Key(t, "ES256"), testlog.Key(t, "ES256")
	write(t, filepath.Join(s.config.Dir, "private", "service-key-new.pem"), testlog.Must(scitt.MarshalPrivateKey(fresh))(t))
	owner := testlog.KeySet(t, private(keyFiles[1]))
	s.rotate(sign(recovery, func(k *scitt.Keys) {
		k.RecoveryKey, k.Recovery = &testlog.KeySet(t, recovery)[0], [][]byte{testlog.KeySet(t, next)[0].ID}
		k.Service, k.Receipt = testlog.KeySet(t, fresh), append(owner, k.Receipt...)
		k.Note, k.Compromised = append([]string{testlog.NoteVKey(t, k.Origin(), private(keyFiles[0]))}, k.Note...), []scitt.CompromisedKey{{Thumbprint: testlog.KeySet(t, stolen)[0].ID}}
	}))
	if err := os.Remove(filepath.Join(s.config.Dir, "private", keyFiles[3])); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, problem := s.manage(sign(stolen, func(*scitt.Keys) {})); problem == nil {
			t.Error("the stolen key still changes keys")
		}
		if _, problem := s.manage(sign(recovery, func(k *scitt.Keys) { k.RecoveryKey = &testlog.KeySet(t, recovery)[0] })); problem == nil {
			t.Error("a recovery key is used twice")
		}
		s.rotate(daemon.KeyChange{Rotate: "receipt"})
		testlog.Must(s.reads(home))(t)
		s.checker().Check(t, map[string][]byte{string(statement): receipt})
		s.stop()
		s.start()
	}
}

// TestRotateCrash: a rotation of the note key that a crash ended behind any of its writes is
// completed by the next start, and every reader follows.
func TestRotateCrash(t *testing.T) {
	t.Parallel()
	for name, crash := range map[string]func(t *testing.T, s *service, old, whole *scitt.Configuration){
		"statement": nil,
		"handover": func(t *testing.T, s *service, old, whole *scitt.Configuration) {
			write(t, filepath.Join(s.Place(), "checkpoint"), []byte(whole.Keys[1].Handover))
			write(t, filepath.Join(s.Place(), filepath.FromSlash(tiles.ConfigurationPath)), testlog.Must(old.Marshal())(t))
		},
		"configuration": func(t *testing.T, s *service, _, whole *scitt.Configuration) {
			write(t, filepath.Join(s.Place(), "checkpoint"), []byte(whole.Keys[1].Handover))
		},
		"no configuration": func(t *testing.T, s *service, _, _ *scitt.Configuration) {
			if err := os.Remove(filepath.Join(s.Place(), filepath.FromSlash(tiles.ConfigurationPath))); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, nil)
			statement := testlog.Statement(t, testlog.Key(t, "ES256"), "asset", nil)
			receipt := s.register(statement)
			home := party.Home(t.TempDir())
			testlog.Must(s.reads(home))(t)
			old := s.configuration()
			if crash != nil {
				s.rotate(daemon.KeyChange{Rotate: "note"})
				whole := s.configuration()
				s.stop()
				crash(t, s, old, whole)
			} else {
				inForce := s.keysNow()
				s.stop()
				s.announce(inForce)
			}
			s.start()
			testlog.Must(s.reads(home))(t)
			again := testlog.Statement(t, testlog.Key(t, "ES256"), "asset", nil)
			s.checker().Check(t, map[string][]byte{string(statement): receipt, string(again): s.register(again)})
			if now := s.keysNow(); !slices.Equal(s.signedBy(now.Keys), []string{"note 0", "receipt 0"}) {
				t.Errorf("the checkpoint is signed by %q", s.signedBy(now.Keys))
			}
		})
	}
}

// announce registers a keys statement with a new note key in the log of a service that does not
// run, as a service does that crashes behind it.
func (s *service) announce(inForce *scitt.KeysInForce) {
	s.t.Helper()
	read := func(file string) crypto.Signer {
		return testlog.Must(scitt.ParsePrivateKey(testlog.Must(os.ReadFile(filepath.Join(s.config.Dir, "private", file)))(s.t)))(s.t)
	}
	fresh := testlog.Key(s.t, "EdDSA")
	write(s.t.(*testing.T), filepath.Join(s.config.Dir, "private", "checkpoint-key-new.pem"), testlog.Must(scitt.MarshalPrivateKey(fresh))(s.t))
	next := *inForce.Keys
	next.Previous, next.Note = inForce.ID, append([]string{testlog.NoteVKey(s.t, inForce.Origin(), fresh)}, inForce.Note...)
	st := testlog.Must(scitt.SignStatement(read(keyFiles[2]), scitt.SignOptions{
		Issuer: inForce.Issuer, Type: scitt.TypeKeys, Subject: scitt.KeysSubject(inForce.Origin()), ContentType: scitt.MediaTypeKeys,
	}, testlog.Must(next.Marshal())(s.t)))(s.t)
	dir := testlog.Must(storage.OpenDir(s.config.Dir))(s.t)
	x := testlog.Must(index.Open(s.t.Context(), dir.Private("index.db"), nil, nil))(s.t)
	signer, _, err := scitt.NewNoteSigner(inForce.Origin(), read(keyFiles[0]))
	if err != nil {
		s.t.Fatal(err)
	}
	o := storage.Options{Antispam: x, Logger: s.config.Logger, Keys: storage.Keys{
		Signer:    signer,
		Tree:      testlog.Must(scitt.NewTreeSigner(read(keyFiles[1]), inForce.Issuer, inForce.Origin(), time.Now, nil))(s.t),
		Verifiers: testlog.Must(scitt.NewCheckpointVerifiers(testlog.Must(inForce.VKeys())(s.t)))(s.t),
	}}
	log := testlog.Must(storage.Open(s.t.Context(), posix.New(dir, o.Logger), o))(s.t)
	if err := x.Await(s.t.Context(), testlog.Must(log.IntegratedSize(s.t.Context()))(s.t)); err != nil {
		s.t.Fatal(err)
	}
	testlog.Register(s.t, log, st)
	if err := errors.Join(log.Close(context.Background()), x.Close(), dir.Close()); err != nil {
		s.t.Fatal(err)
	}
}
