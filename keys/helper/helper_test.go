package helper_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/keys"
	"github.com/conmotion/conmotion/keys/helper"
)

// TestMain is also the signer, under its name: its key is in the file that the URI
// names, and it does what the file FAULT beside it says.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) != helper.Program {
		os.Exit(m.Run())
	}
	if err := helper.Serve(context.Background(), os.Stdin, os.Stdout, map[string]keys.Opener{"pkcs11": openFile}, time.Second); err != nil {
		os.Exit(1)
	}
}

type fileKey struct {
	crypto.Signer
	path string
}

func openFile(_ context.Context, uri string) (keys.Remote, error) {
	path := strings.TrimPrefix(uri, "pkcs11:")
	key, err := keys.Options{}.Open(context.Background(), "file:"+path)
	return fileKey{key, path}, err
}

func (k fileKey) Public(context.Context) (crypto.PublicKey, error) { return k.Signer.Public(), nil }

func (k fileKey) Sign(_ context.Context, digest []byte, hash crypto.Hash) ([]byte, error) {
	fault, _ := os.ReadFile(k.path + ".fault")
	switch string(fault) {
	case "final":
		return nil, fmt.Errorf("this key cannot; %w", keys.ErrFinal)
	case "dies":
		fmt.Fprintln(os.Stderr, "out of memory")
		os.Exit(3)
	case "hangs":
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "chatters":
		fmt.Println("module loaded")
	}
	return k.Signer.Sign(nil, digest, hash)
}

// install puts the signer into the PATH, and a key into a file.
func install(t *testing.T, alg string) (uri string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(testlog.Must(os.Executable())(t), filepath.Join(dir, helper.Program)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	path := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(path, testlog.Must(keys.Marshal(testlog.Key(t, alg), keys.PEM, nil))(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return "pkcs11:" + path
}

func ExampleOpen() {
	defer os.Setenv("PATH", os.Getenv("PATH"))
	os.Setenv("PATH", "/nonexistent")
	_, err := helper.Open(context.Background(), "pkcs11:object=issuer")
	fmt.Println(strings.HasPrefix(err.Error(), "this key is opened by the program conmotion-signer"))
	// Output: true
}

func TestSign(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "EdDSA"} {
		key := testlog.Must(keys.Options{Openers: helper.Openers()}.Open(t.Context(), install(t, alg)))(t)
		for range 2 { // each signature is verified
			testlog.Statement(t, key, "s", make([]byte, 5000))
		}
	}
}

// TestFaults: whatever the signer does, the next signature is good.
func TestFaults(t *testing.T) {
	uri := install(t, "ES256")
	file := strings.TrimPrefix(uri, "pkcs11:") + ".fault"
	o := keys.Options{Openers: helper.Openers(), Timeout: time.Minute}
	key := testlog.Must(o.Open(t.Context(), uri))(t)
	for fault, says := range map[string]string{"dies": "out of memory", "hangs": "no answer within 2s", "chatters": "its answer is not one", "final": "this key cannot"} {
		if err := os.WriteFile(file, []byte(fault), 0o600); err != nil {
			t.Fatal(err)
		}
		o := o
		if fault == "hangs" {
			o.Timeout = 2 * time.Second
		}
		var key crypto.Signer
		testwait.Until(t, func() bool { // in 2 s
			var err error
			key, err = o.Open(t.Context(), uri)
			return err == nil
		}, "the key is opened")
		_, err := key.Sign(nil, make([]byte, 32), crypto.SHA256)
		if err == nil || !strings.Contains(err.Error(), says) || errors.Is(err, keys.ErrFinal) != (fault == "final") {
			t.Errorf("%s: %v", fault, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := key.Sign(nil, make([]byte, 32), crypto.SHA256); err != nil {
		t.Error(err)
	}
	if _, err := o.Open(t.Context(), "gcpkms://other"); err == nil || !strings.Contains(err.Error(), `no key with the scheme "gcpkms"`) {
		t.Errorf("another scheme: %v", err)
	}
}

type memory struct{ crypto.Signer }

func (k memory) Public(context.Context) (crypto.PublicKey, error) { return k.Signer.Public(), nil }
func (k memory) Sign(_ context.Context, digest []byte, hash crypto.Hash) ([]byte, error) {
	return k.Signer.Sign(nil, digest, hash)
}

// FuzzServe: any input is answered line by line, and never signs before a key is open.
func FuzzServe(f *testing.F) {
	key := testlog.Key(f, "EdDSA")
	f.Add([]byte("{\"open\":\"pkcs11:object=a\"}\n{\"sign\":\"AAAA\"}\n"))
	f.Add([]byte("{\"sign\":\"AAAA\",\"hash\":\"SHA-256\"}\n[]\n\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		var out bytes.Buffer
		_ = helper.Serve(t.Context(), bytes.NewReader(input), &out, map[string]keys.Opener{"pkcs11": func(context.Context, string) (keys.Remote, error) { return memory{key}, nil }}, time.Second)
		first, _, _ := bytes.Cut(out.Bytes(), []byte("\n"))
		if bytes.Contains(first, []byte(`"signature"`)) {
			t.Errorf("%q was answered with %q", input, first)
		}
		if bytes.Count(out.Bytes(), []byte("\n")) > bytes.Count(input, []byte("\n"))+1 {
			t.Errorf("%d bytes were answered with %q", len(input), &out)
		}
	})
}
