package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/client"
	"github.com/conmotion/conmotion/scitt"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"conmotion": func() { os.Exit(Main()) }})
}

// TestScripts runs testdata/script against a real service. Beside the usual
// commands the scripts have:
//
//	service start [flags]   starts conmotiond; $LOG is its URL, $MANAGE that of its
//	                        management over TLS, $FILES its public directory, and
//	                        $OTHER_VKEY the key of another log
//	service stop            stops it as an operator would, and expects a clean end
//	service start NAME ...  one of several: $NAME in capitals is its URL, $NAME_MANAGE that of its management,
//	                        $NAME_FILES its public directory, NAME/public. It keeps its URL when it is started again
//	service stop NAME       stops that one
//	files start NAME DIR    serves the files of a directory; $NAME in capitals is the URL
//	files stop NAME         stops that
//	indexed N               waits until $LOG answers searches up to N entries
//	exit CODE command...    runs a command that ends with this exit code
//	flip FILE OFFSET        changes one byte of a file; a negative offset counts from the end
//	certificates            makes signer.pem, chain.pem and roots.pem, and other-roots.pem that lead nowhere
//	tlscertificates         makes ca.pem, server.pem, client.pem and stranger.pem, of another
//	                        authority, with keys in server-key.pem, client-key.pem and stranger-key.pem
//
// $POLICIES is the directory with the example policies and their keys.
func TestScripts(t *testing.T) {
	daemon := filepath.Join(t.TempDir(), "conmotiond")
	if out, err := exec.Command("go", "build", "-o", daemon, "../conmotiond").CombinedOutput(); err != nil {
		t.Fatalf("build conmotiond: %v\n%s", err, out)
	}
	policies, err := filepath.Abs("../../testdata/policies")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Values[servicesKey{}] = &services{daemon: daemon, named: map[string]*service{}, files: map[string]*httptest.Server{}}
			env.Setenv("FILES", filepath.Join(env.WorkDir, "log", "public"))
			env.Setenv("POLICIES", policies)
			// The race detector otherwise sleeps a second at each exit.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			// The key of a log that no script runs.
			public, _, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				return err
			}
			vkey, err := note.NewEd25519VerifierKey("other.example", public)
			env.Setenv("OTHER_VKEY", vkey)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"service":         cmdService,
			"files":           cmdFiles,
			"indexed":         cmdIndexed,
			"exit":            cmdExit,
			"flip":            cmdFlip,
			"certificates":    cmdCertificates,
			"tlscertificates": cmdTLSCertificates,
		},
	})
}

type servicesKey struct{}

// services are what one script runs.
type services struct {
	daemon string
	named  map[string]*service // "" is the one without a name
	files  map[string]*httptest.Server
}

// service is one conmotiond.
type service struct {
	daemon  string
	listen  string // where it is the next time
	running *exec.Cmd
	manage  string // URL of its management over TLS
}

var manageAddress = regexp.MustCompile(`msg="management over TLS" address=(\S+)`)

func cmdService(ts *testscript.TestScript, _ bool, args []string) {
	all := ts.Value(servicesKey{}).(*services)
	var verb, name string
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	s := all.named[name]
	if s == nil {
		s = &service{daemon: all.daemon, listen: "127.0.0.1:0"}
		all.named[name] = s
	}
	switch {
	case verb == "start" && s.running == nil:
		dir, env := name, strings.ToUpper(name)
		if name == "" {
			dir, env = "log", "LOG"
		}
		url, err := s.start(ts.MkAbs(dir), args)
		ts.Check(err)
		ts.Setenv(env, url)
		if name == "" {
			ts.Setenv("MANAGE", s.manage)
		} else {
			s.listen = strings.TrimPrefix(url, "http://")
			ts.Setenv(env+"_MANAGE", s.manage)
			ts.Setenv(env+"_FILES", filepath.Join(ts.MkAbs(dir), "public"))
		}
		ts.Defer(func() { ts.Check(s.stop()) })
	case verb == "stop" && len(args) == 0 && s.running != nil:
		ts.Check(s.stop())
	default:
		ts.Fatalf("usage: service start [NAME] [flags] | service stop [NAME]")
	}
}

// cmdFiles serves a directory as any file server would.
func cmdFiles(ts *testscript.TestScript, _ bool, args []string) {
	all := ts.Value(servicesKey{}).(*services)
	switch {
	case len(args) == 3 && args[0] == "start" && all.files[args[1]] == nil:
		server := httptest.NewServer(http.FileServer(http.Dir(ts.MkAbs(args[2]))))
		all.files[args[1]] = server
		ts.Setenv(strings.ToUpper(args[1]), server.URL)
		ts.Defer(server.Close)
	case len(args) == 2 && args[0] == "stop" && all.files[args[1]] != nil:
		all.files[args[1]].Close()
		delete(all.files, args[1])
	default:
		ts.Fatalf("usage: files start NAME DIR | files stop NAME")
	}
}

// start waits until the service says where it is.
func (s *service) start(dir string, flags []string) (url string, err error) {
	flags = append([]string{"--listen", s.listen, "--dir", dir, "--checkpoint-interval", "100ms"}, flags...)
	cmd := exec.Command(s.daemon, flags...)
	// A file has whatever was written before the welcome.
	stderr, err := os.Create(dir + ".stderr")
	if err != nil {
		return "", err
	}
	defer stderr.Close()
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) == 2 && fields[0] == "service" {
			s.running = cmd
			log, err := os.ReadFile(stderr.Name())
			if m := manageAddress.FindSubmatch(log); m != nil {
				s.manage = "https://" + string(m[1])
			}
			return fields[1], err
		}
	}
	err = cmd.Wait()
	log, readErr := os.ReadFile(stderr.Name())
	return "", fmt.Errorf("conmotiond: %w\n%s", errors.Join(err, readErr), log)
}

func (s *service) stop() error {
	if s.running == nil {
		return nil
	}
	cmd := s.running
	s.running = nil
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return cmd.Wait()
}

// cmdIndexed asks the service until its search has followed the log.
func cmdIndexed(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: indexed N")
	}
	want, err := strconv.ParseUint(args[0], 10, 64)
	ts.Check(err)
	c, err := client.New(ts.Getenv("LOG"), client.Options{})
	ts.Check(err)
	for deadline := time.Now().Add(30 * time.Second); ; {
		body, err := c.Search(context.Background(), url.Values{"limit": {"1"}})
		ts.Check(err)
		p, err := parsePage(body)
		ts.Check(err)
		if p.Checkpoint.Size >= want {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the search is at %d entries", p.Checkpoint.Size)
		}
	}
}

func cmdExit(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exit CODE command...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func cmdFlip(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	offset, err := strconv.Atoi(args[1])
	ts.Check(err)
	if offset < 0 {
		offset += len(data)
	}
	data[offset] ^= 1
	ts.Check(os.WriteFile(path, data, 0o644))
}

// cmdTLSCertificates makes what the management interface over TLS needs.
func cmdTLSCertificates(ts *testscript.TestScript, _ bool, _ []string) {
	now := time.Now()
	write := func(name, kind string, der []byte) {
		ts.Check(os.WriteFile(ts.MkAbs(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	}
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		ts.Check(err)
		return key
	}
	template := func(name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), BasicConstraintsValid: true,
		}
	}
	authority := func(name string) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, t := newKey(), template(name)
		t.IsCA, t.KeyUsage = true, x509.KeyUsageCertSign
		der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
		ts.Check(err)
		t, err = x509.ParseCertificate(der)
		ts.Check(err)
		return t, key
	}
	issue := func(name string, by *x509.Certificate, byKey *ecdsa.PrivateKey) {
		key, t := newKey(), template(name)
		t.KeyUsage = x509.KeyUsageDigitalSignature
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		t.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
		der, err := x509.CreateCertificate(rand.Reader, t, by, &key.PublicKey, byKey)
		ts.Check(err)
		write(name+".pem", "CERTIFICATE", der)
		private, err := x509.MarshalPKCS8PrivateKey(key)
		ts.Check(err)
		write(name+"-key.pem", "PRIVATE KEY", private)
	}
	ca, caKey := authority("CA")
	write("ca.pem", "CERTIFICATE", ca.Raw)
	issue("server", ca, caKey)
	issue("client", ca, caKey)
	other, otherKey := authority("Other CA")
	issue("stranger", other, otherKey)
}

func cmdCertificates(ts *testscript.TestScript, _ bool, args []string) {
	now := time.Now()
	make1 := func(name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		ts.Check(err)
		t := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
			IsCA: parent == nil, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		}
		if parent == nil {
			parent, parentKey = t, key
		}
		der, err := x509.CreateCertificate(rand.Reader, t, parent, &key.PublicKey, parentKey)
		ts.Check(err)
		cert, err := x509.ParseCertificate(der)
		ts.Check(err)
		return cert, key
	}
	write := func(name string, data []byte) { ts.Check(os.WriteFile(ts.MkAbs(name), data, 0o600)) }
	certPEM := func(c *x509.Certificate) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	root, rootKey := make1("Root", nil, nil)
	signer, key := make1("Signer", root, rootKey)
	private, err := scitt.MarshalPrivateKey(key)
	ts.Check(err)
	stranger, _ := make1("Stranger", nil, nil)
	write("roots.pem", certPEM(root))
	write("other-roots.pem", certPEM(stranger))
	write("chain.pem", certPEM(signer))
	write("signer.pem", private)
}
