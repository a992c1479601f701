package keys_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/mldsa"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/keys"
	"github.com/conmotion/conmotion/scitt"
)

func ExampleOptions_Open() {
	_, err := keys.Options{}.Open(context.Background(), "awskms:///alias/issuer")
	fmt.Println(err)
	// Output: the key has the scheme "awskms", and this program opens file
}

var algorithms = []string{"ES256", "ES384", "ES512", "EdDSA"}

func same(a, b crypto.Signer) bool {
	return a.(interface{ Equal(crypto.PrivateKey) bool }).Equal(b)
}

// write puts a key into a file.
func write(t *testing.T, key crypto.Signer, form keys.Form, passphrase string) (path string) {
	t.Helper()
	var secret []byte
	if passphrase != "" {
		secret = []byte(passphrase)
	}
	path = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, testlog.Must(keys.Marshal(key, form, secret))(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestForms: a private key of each algorithm is the same in each form.
func TestForms(t *testing.T) {
	for _, alg := range algorithms {
		key := testlog.Key(t, alg)
		for _, form := range []keys.Form{keys.PEM, keys.JWK, keys.COSE} {
			read, err := keys.Options{}.Open(t.Context(), write(t, key, form, ""))
			if err != nil || !same(read, key) {
				t.Errorf("%s as %s: %v", alg, form, err)
			}
			public, err := scitt.ParsePublicKey(testlog.Must(keys.MarshalPublic(key.Public(), form))(t))
			if err != nil || !public.Public.(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
				t.Errorf("public %s as %s: %v", alg, form, err)
			}
		}
	}
	a, b := testlog.Must(keys.Marshal(testlog.Key(t, "ES256"), keys.JWK, nil))(t), testlog.Must(keys.Marshal(testlog.Key(t, "ES256"), keys.JWK, nil))(t)
	mixed := string(a[:strings.Index(string(a), `,"d"`)]) + string(b[strings.Index(string(b), `,"d"`):])
	if _, err := keys.Parse([]byte(mixed), nil); err == nil || !strings.Contains(err.Error(), "not of this public key") {
		t.Errorf("a mixed key: %v", err)
	}
	if _, err := keys.Marshal(testlog.Key(t, "ES256"), keys.JWK, []byte("p")); err == nil {
		t.Error("an encrypted JSON Web Key that is not encrypted")
	}
	pq := testlog.Must(mldsa.GenerateKey(mldsa.MLDSA44()))(t).PublicKey()
	if read, err := keys.ParseSPKI(testlog.Must(keys.MarshalSPKI(pq))(t)); err != nil || !pq.Equal(read) {
		t.Errorf("ML-DSA-44: %v", err)
	}
}

// TestPassphrase: each way to give it opens the key, and nothing else does.
func TestPassphrase(t *testing.T) {
	key := testlog.Key(t, "ES256")
	path := write(t, key, keys.PEM, "correct horse")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(keys.PassphraseVariable, "")
	if _, err := (keys.Options{}).Open(t.Context(), path); !errors.Is(err, keys.ErrPassphrase) {
		t.Errorf("no passphrase: %v", err)
	}
	ask := func(answer string) keys.Options {
		return keys.Options{Prompt: func(file string) ([]byte, error) {
			if file != path {
				t.Errorf("asked for %s", file)
			}
			return []byte(answer), nil
		}}
	}
	if _, err := ask("wrong").Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "not that of the key") {
		t.Errorf("a wrong passphrase: %v", err)
	}
	for name, open := range map[string]func() (crypto.Signer, error){
		"prompt": func() (crypto.Signer, error) { return ask("correct horse").Open(t.Context(), path) },
		"file": func() (crypto.Signer, error) {
			return keys.Options{}.Open(t.Context(), "file:"+path+"?passphrase-file="+secret)
		},
		"variable": func() (crypto.Signer, error) {
			t.Setenv(keys.PassphraseVariable, "correct horse")
			return keys.Options{}.Open(t.Context(), "file://"+path)
		},
	} {
		if read, err := open(); err != nil || !same(read, key) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReference: a file may say where the key is, and not in a circle.
func TestReference(t *testing.T) {
	key := testlog.Key(t, "ES256")
	dir := t.TempDir()
	for name, to := range map[string]string{"a": "file:" + write(t, key, keys.PEM, ""), "loop": "file:" + filepath.Join(dir, "loop"), "kms": "awskms:///arn"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(to+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if read, err := (keys.Options{}).Open(t.Context(), filepath.Join(dir, "a")); err != nil || !same(read, key) {
		t.Error(err)
	}
	for name, says := range map[string]string{"loop": "each name another one", "kms": `scheme "awskms"`} {
		if _, err := (keys.Options{}).Open(t.Context(), filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOpenSSL: openssl reads what is encrypted here, and the other way round.
func TestOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skipf("no openssl: %v", err)
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
			t.Errorf("openssl %v: %v\n%s", args, err, out)
		}
	}
	t.Setenv(keys.PassphraseVariable, "secret")
	key, plain := testlog.Key(t, "EdDSA"), filepath.Join(t.TempDir(), "plain")
	run("pkcs8", "-in", write(t, key, keys.PEM, "secret"), "-passin", "pass:secret", "-out", plain)
	if read, err := (keys.Options{}).Open(t.Context(), plain); err != nil || !same(read, key) {
		t.Error(err)
	}
	for _, how := range [][]string{{"-v2", "aes-256-cbc"}, {"-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"}, {"-scrypt"}} {
		run(append([]string{"pkcs8", "-topk8", "-in", plain, "-passout", "pass:secret", "-out", plain + "2"}, how...)...)
		if read, err := (keys.Options{}).Open(t.Context(), plain+"2"); err != nil || !same(read, key) {
			t.Errorf("%v: %v", how, err)
		}
	}
}

func TestURIs(t *testing.T) {
	for uri, scheme := range map[string]string{"issuer.pem": "file", "/a:b": "file", "./a:b": "file", `C:\key`: "file", "file:a": "file",
		"awskms:///k": "awskms", "gcpkms://projects": "gcpkms", "pkcs11:object=a": "pkcs11"} {
		if got := keys.Scheme(uri); got != scheme {
			t.Errorf("%s is %s", uri, got)
		}
	}
	for uri, says := range map[string]string{"file://host/a": "no host", "file:": "names no file", "file:a?pass=b": "passphrase-file", "file:%zz": "invalid URL escape"} {
		if _, _, err := keys.File(uri); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

// remote is a key that fails at first.
type remote struct {
	crypto.Signer
	fails, calls int
}

func (r *remote) Public(context.Context) (crypto.PublicKey, error) { return r.Signer.Public(), nil }

func (r *remote) Sign(ctx context.Context, digest []byte, hash crypto.Hash) ([]byte, error) {
	if r.calls++; r.calls <= r.fails {
		if r.calls%2 == 0 { // it hangs
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return nil, errors.New("throttled")
	}
	return r.Signer.Sign(nil, digest, hash)
}

// TestPatience: a call waits as long as it may, and leaves a key alone that failed.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &remote{Signer: testlog.Key(t, "EdDSA"), fails: 6}
		o := keys.Options{Openers: map[string]keys.Opener{"test": func(context.Context, string) (keys.Remote, error) { return r, nil }}}
		impatient := testlog.Must(o.Open(t.Context(), "test:"))(t)
		start := time.Now()
		failed := 0
		for time.Since(start) < 40*time.Second {
			_, err := impatient.Sign(nil, []byte("message"), crypto.Hash(0))
			if err == nil {
				break
			}
			failed++
			time.Sleep(100 * time.Millisecond)
		}
		// The waits are 0.1, 0.2, 0.4, 0.8, 1.6 and 3.2 s, and three calls have no answer for 5 s.
		if took := time.Since(start); r.calls != 7 || failed < 60 || took < 21*time.Second || took > 23*time.Second {
			t.Errorf("%d calls and %d errors in %v", r.calls, failed, took)
		}
		r.calls = 0
		o.Patience = time.Minute
		patient := testlog.Must(o.Open(t.Context(), "test:"))(t)
		if _, err := patient.Sign(nil, []byte("message"), crypto.Hash(0)); err != nil || r.calls != 7 {
			t.Errorf("%d calls: %v", r.calls, err)
		}
		r.calls, r.fails = 0, 1000
		ctx, cancel := context.WithCancel(t.Context())
		patient = testlog.Must(o.Open(ctx, "test:"))(t)
		time.AfterFunc(time.Second, cancel)
		start = time.Now()
		if _, err := patient.Sign(nil, []byte("message"), crypto.Hash(0)); err == nil || time.Since(start) > time.Second {
			t.Errorf("it did not end with its context: %v", err)
		}
	})
}

// TestDescribe: a key has the names that its algorithm allows.
func TestDescribe(t *testing.T) {
	for alg, c := range map[string]struct{ jwk, key bool }{"ES256": {true, true}, "EdDSA": {true, true}, "PS256": {true, false}, "ML-DSA-44": {false, false}} {
		var key crypto.Signer = testlog.Must(rsa.GenerateKey(rand.Reader, 2048))(t)
		if alg != "PS256" {
			key = testlog.Key(t, alg)
		}
		d, err := keys.Describe(key.Public())
		kid := testlog.Must(scitt.Thumbprint(key.Public()))(t)
		if err != nil || d.Algorithm != alg || d.KID != fmt.Sprintf("%x", kid) || (d.DIDJWK != "") != c.jwk || (d.DIDKey != "") != c.key {
			t.Errorf("%s: %+v, %v", alg, d, err)
		}
		if c.jwk && (!strings.HasPrefix(d.DIDJWK, "did:jwk:") || c.key && !strings.HasPrefix(d.DIDKey, "did:key:z")) {
			t.Errorf("%s: %+v", alg, d)
		}
	}
	if _, err := keys.Describe("nothing"); err == nil {
		t.Error("something else was described")
	}
}

// TestCreate: a secret is for its owner, and never replaces what is there.
func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := keys.Create(path, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	if err := keys.Create(path, []byte("other")); err == nil || !strings.Contains(err.Error(), path+" is there already, and a secret is never replaced") {
		t.Error(err)
	}
	info := testlog.Must(os.Stat(path))(t)
	if got := testlog.Must(os.ReadFile(path))(t); string(got) != "secret" || info.Mode().Perm() != 0o600 {
		t.Errorf("%q, %v", got, info.Mode())
	}
	if err := keys.Create(filepath.Join(path, "below"), nil); err == nil {
		t.Error("a file below a file was made")
	}
}
