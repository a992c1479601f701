package daemon_test

import (
	"bytes"
	"crypto"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/audit"
)

var keyFiles = []string{"checkpoint-key.pem", "receipt-key.pem", "service-key.pem", "recovery-key.pem"}

// announced are the keys that the log announces, from an audit of its files.
func (s *service) announced() *scitt.KeysInForce {
	s.t.Helper()
	c := s.configuration()
	log := tiles.NewLog(tiles.Dir(s.Place()), testlog.Must(scitt.NewCheckpointVerifiers(c.CheckpointKeys))(s.t))
	a := testlog.Must(audit.New(log, nil, audit.Options{VKeys: c.CheckpointKeys, List: 10}))(s.t)
	if err := a.Run(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	if sum := a.Summary(); sum.Violations != 0 || len(sum.Keys) != 1 || len(sum.Policies) != 1 || sum.Policies[0].Bootstrap != audit.BootstrapService {
		s.t.Fatalf("%+v", sum)
	}
	view := testlog.Must(log.Latest(s.t.Context()))(s.t)
	return testlog.Must(view.FollowKeys(s.t.Context(), nil, c.Keys))(s.t)[0]
}

// key is the public key of a private one.
func (s *service) key(name string) scitt.Key {
	s.t.Helper()
	data := testlog.Must(os.ReadFile(filepath.Join(s.config.Dir, "private", name)))(s.t)
	return testlog.Must(scitt.NewKey(testlog.Must(scitt.ParsePrivateKey(data))(s.t).Public()))(s.t)
}

// TestKeys: the first start makes four keys and announces them; what the
// service publishes is what is announced; and it runs without the recovery key.
func TestKeys(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	k := s.announced()
	c := s.configuration()
	if vkeys := testlog.Must(k.VKeys())(t); !slices.Equal(vkeys, c.CheckpointKeys) || len(c.Keys) != 1 || c.Keys[0].EntryID != k.ID.String() {
		t.Errorf("%+v", c)
	}
	if !bytes.Equal(s.key(keyFiles[1]).ID, s.keys()[0].ID) || !bytes.Equal(k.Receipt[0].ID, s.keys()[0].ID) || len(s.keys()) != 1 {
		t.Error("the receipt keys differ")
	}
	if len(k.Service) != 1 || !bytes.Equal(s.key(keyFiles[2]).ID, k.Service[0].ID) {
		t.Error("the service keys differ")
	}
	if len(k.Recovery) != 1 || !bytes.Equal(s.key(keyFiles[3]).ID, k.Recovery[0]) || s.RecoveryKey() != filepath.Join(s.config.Dir, "private", keyFiles[3]) {
		t.Error("the recovery keys differ")
	}
	for _, name := range keyFiles {
		if info := testlog.Must(os.Stat(filepath.Join(s.config.Dir, "private", name)))(t); info.Mode() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	s.stop()
	if err := os.Remove(s.RecoveryKey()); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.register(testlog.Statement(t, testlog.Key(t, "ES256"), "asset", nil))
	if _, err := os.Stat(s.RecoveryKey()); err == nil {
		t.Error("a second recovery key was made, which recovers nothing")
	}
	s.stop()
	// Another key in the place of one that is announced.
	for name, want := range map[string]string{
		keyFiles[0]: "checkpoint", keyFiles[1]: "no receipt key in", keyFiles[2]: "the service key", keyFiles[3]: "recovers nothing",
	} {
		path := filepath.Join(s.config.Dir, "private", name)
		old, err := os.ReadFile(path)
		algorithm := "ES256"
		if name == keyFiles[0] {
			algorithm = "EdDSA"
		}
		write(t, path, testlog.Must(scitt.MarshalPrivateKey(testlog.Key(t, algorithm)))(t))
		if d, err := daemon.Open(t.Context(), s.config, testlog.Must(daemon.NewTelemetry())(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", name, d, err)
		}
		if err != nil {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, old, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.start()
}

// TestServiceFile: the issuer in service.json is that of the log, or nothing is signed.
func TestServiceFile(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	s.register(testlog.Statement(t, testlog.Key(t, "ES256"), "asset", nil))
	s.stop()
	path := filepath.Join(s.config.Dir, "private", "service.json")
	good := testlog.Must(os.ReadFile(path))(t)
	checkpoint := filepath.Join(s.config.Dir, "private", "tessera", "checkpoint")
	before := testlog.Must(os.ReadFile(checkpoint))(t)
	for from, want := range map[string]string{`"http://transparency.example"`: "names the issuer http://other.example", `"transparency.example"`: "are of other.example"} {
		write(t, path, bytes.Replace(good, []byte(from), []byte(strings.Replace(from, "transparency", "other", 1)), 1))
		if _, err := daemon.Open(t.Context(), s.config, testlog.Must(daemon.NewTelemetry())(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v", from, err)
		}
	}
	if after := testlog.Must(os.ReadFile(checkpoint))(t); !bytes.Equal(before, after) {
		t.Errorf("it signed %s", after)
	}
	write(t, path, good)
	s.start()
}

// TestSharedKeys: keys that others may read give a warning.
func TestSharedKeys(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := newService(t, func(c *daemon.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	s.stop()
	const warning = "others on this machine may read a private key"
	if strings.Contains(log.String(), warning) {
		t.Errorf("new keys: %s", &log)
	}
	if err := os.Chmod(filepath.Join(s.config.Dir, "private", keyFiles[2]), 0o640); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.stop()
	if strings.Count(log.String(), warning) != 1 || !strings.Contains(log.String(), keyFiles[2]) {
		t.Errorf("a shared key: %s", &log)
	}

	// Of the recovery key --keys has the public half.
	log.Reset()
	c := s.config
	c.Issuer, c.Keys, c.Dir = c.DefaultIssuer, filepath.Join(t.TempDir(), "keys"), testwait.Dir(t)
	if err := daemon.MakeKeys(t.Context(), c, filepath.Join(t.TempDir(), "recovery-key.pem"), daemon.Elsewhere{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(c.Keys, "recovery-key.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	s = newService(t, func(other *daemon.Config) { *other = c })
	s.stop()
	if strings.Contains(log.String(), warning) {
		t.Errorf("a public key: %s", &log)
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFirstStart: a first start that ended anywhere is completed by the next one,
// with the keys that were there.
func TestFirstStart(t *testing.T) {
	t.Parallel()
	whole := newService(t, nil)
	whole.stop()
	files := append([]string{"service.json"}, keyFiles...)
	for n := range len(files) + 1 {
		s := &service{t: t, config: whole.config}
		s.config.Dir = testwait.Dir(t)
		private := filepath.Join(s.config.Dir, "private")
		if err := os.Mkdir(private, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range files[:n] {
			write(t, filepath.Join(private, name), testlog.Must(os.ReadFile(filepath.Join(whole.config.Dir, "private", name)))(t))
		}
		s.start()
		if !s.New {
			t.Error("the log is not new")
		}
		s.announced()
		for _, name := range files[min(1, n):n] {
			if !bytes.Equal(s.key(name).ID, whole.key(name).ID) {
				t.Errorf("after %d files %s was replaced", n, name)
			}
		}
		s.stop()
	}
}

// TestEarlierVersion: a log whose receipt key signed everything is refused and
// stays as it is.
func TestEarlierVersion(t *testing.T) {
	t.Parallel()
	keys := testlog.NewKeys(t)
	config := daemon.Config{Dir: testwait.Dir(t), Logger: slog.New(slog.DiscardHandler)}
	private := filepath.Join(config.Dir, "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(private, "service.json"), fmt.Appendf(nil, `{"issuer": %q, "origin": %q}`, testlog.Issuer, testlog.Origin))
	for name, key := range map[string]crypto.Signer{keyFiles[0]: keys.NoteKey, keyFiles[1]: keys.Receipt} {
		write(t, filepath.Join(private, name), testlog.Must(scitt.MarshalPrivateKey(key))(t))
	}
	first := testlog.Must(scitt.SignStatement(keys.Receipt, scitt.SignOptions{Issuer: testlog.Issuer, Subject: scitt.KeysSubject(testlog.Origin),
		Type: scitt.TypeKeys, ContentType: "application/cose-key-set"}, testlog.Must(keys.KeySet(t).Marshal())(t)))(t)
	var files testlog.Files
	files.Publish(t, keys, [][]byte{first, testlog.Statement(t, keys.Receipt, "policy", nil)})
	files.WriteTo(t, filepath.Join(config.Dir, "public"))
	_, err := daemon.Open(t.Context(), config, testlog.Must(daemon.NewTelemetry())(t))
	if err == nil || !strings.Contains(err.Error(), "was made by an earlier version, whose receipt key signs everything") {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{"service-key.pem", "recovery-key.pem", "index.db", "tessera"} {
		if _, err := os.Stat(filepath.Join(private, name)); err == nil {
			t.Errorf("%s was made", name)
		}
	}
}

// TestMakeKeys: keys that were made before the log are in a directory of their own,
// which nothing is written to, and the log announces all four.
func TestMakeKeys(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	c := daemon.Config{Keys: filepath.Join(parent, "keys"), Issuer: "https://transparency.example", Origin: "transparency.example/log"}
	recovery := filepath.Join(parent, "recovery.pem")
	if err := daemon.MakeKeys(t.Context(), c, recovery, daemon.Elsewhere{}); err != nil {
		t.Fatal(err)
	}
	made := testlog.Must(os.ReadDir(c.Keys))(t)
	if len(made) != 5 {
		t.Errorf("%v", made)
	}
	for _, again := range []string{recovery, recovery + "2"} {
		if err := daemon.MakeKeys(t.Context(), c, again, daemon.Elsewhere{}); err == nil {
			t.Error("keys are made over others")
		}
	}
	other := daemon.Config{Keys: c.Keys + "2", Issuer: c.Issuer}
	if err := daemon.MakeKeys(t.Context(), other, recovery, daemon.Elsewhere{}); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("over another recovery key: %v", err)
	}
	if data := testlog.Must(os.ReadFile(filepath.Join(c.Keys, keyFiles[3])))(t); bytes.Contains(data, []byte("PRIVATE")) {
		t.Error("the recovery key is beside the others")
	}
	s := newService(t, func(d *daemon.Config) { d.Keys, d.Issuer = c.Keys, "" })
	for range 2 {
		key := testlog.Must(scitt.ParsePrivateKey(testlog.Must(os.ReadFile(recovery))(t)))(t)
		k := s.announced()
		if thumbprint := testlog.Must(scitt.Thumbprint(key.Public()))(t); len(k.Recovery) != 1 || !bytes.Equal(k.Recovery[0], thumbprint) {
			t.Error("another recovery key is announced")
		}
		if s.configuration().Issuer != c.Issuer {
			t.Errorf("the issuer is %s", s.configuration().Issuer)
		}
		s.stop()
		s.start()
	}
	if left := testlog.Must(os.ReadDir(c.Keys))(t); len(left) != len(made) {
		t.Errorf("%v", left)
	}
	s.stop()
	for _, file := range []string{"service.json", "service-key.pem"} {
		if _, err := os.Stat(filepath.Join(s.config.Dir, "private", file)); err == nil {
			t.Errorf("%s is in --dir as well", file)
		}
	}
	s.config.Keys = t.TempDir()
	if _, err := daemon.Open(t.Context(), s.config, testlog.Must(daemon.NewTelemetry())(t)); err == nil || !strings.Contains(err.Error(), "conmotiond keys makes them") {
		t.Errorf("without keys: %v", err)
	}
}
