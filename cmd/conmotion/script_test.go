package main

import (
	"cmp"
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
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testprogram"
	"github.com/conmotion/conmotion/internal/vectors"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

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
//	capture NAME REGEXP     $NAME is what the first group matches in the last standard output
//	searchof start [flags]  starts conmotiond as a search over somebody else's log; $SEARCH is its
//	                        URL, $SEARCH_ADMIN that of its health and metrics
//	searchof stop           stops it
//	indexed URL N           waits until the service there answers searches up to N entries
//	operator DIR FILE...    writes the log DIR.example of an operator who puts in anything, signed by the
//	                        log's own keys: entries 0 and 1 as usual, then these statements; of
//	                        garbage:FILE a copy that its issuer did not sign, of twin:FILE
//	                        one with the other valid signature, of raw:FILE its bytes as they are. first:garbage, first:TEXT
//	                        and second:garbage put such a thing in the place of entries 0 and 1
//	conmotion args...       runs the tool, which succeeds, in the one process that the script has for it;
//	                        "exec conmotion" starts one, for what a process needs of its own, such as stdin
//	exit CODE command...    runs a command, or conmotion in that process, that ends with this exit code
//	flip FILE OFFSET        changes one byte of a file; a negative offset counts from the end
//	twin FROM TO            copies an ES256 statement with the other form of its signature
//	certificates            makes signer.pem, chain.pem for vendor.example and roots.pem, and other-roots.pem that lead nowhere
//	tlscertificates         makes ca.pem, server.pem, client.pem and stranger.pem, of another
//	                        authority, with keys in server-key.pem, client-key.pem and stranger-key.pem
//
// conmotiond, conmotion-index and conmotion-witness are in the PATH. $CONMOTION_HOME is a directory of the script's own. $POLICIES is the directory with the example policies and their keys, and
// $ROOT that of the project. Where the condition [shared] holds, $SHARED has
// real events.
func TestScripts(t *testing.T) {
	t.Parallel()
	daemon, index, witness := testprogram.Path(t, "conmotiond"), testprogram.Path(t, "conmotion-index"), testprogram.Path(t, "conmotion-witness")
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	policies, shared := filepath.Join(root, "testdata/policies"), filepath.Join(sharedData(t), "ocsf")
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Condition: func(cond string) (bool, error) {
			if cond != "shared" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			_, err := os.Stat(shared)
			return err == nil, nil
		},
		RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Values[servicesKey{}] = &services{daemon: daemon, named: map[string]*service{}, files: map[string]*httptest.Server{}}
			env.Values[searchKey{}] = &service{daemon: daemon, listen: "127.0.0.1:0"}
			env.Setenv("PATH", strings.Join([]string{filepath.Dir(daemon), filepath.Dir(index), filepath.Dir(witness), env.Getenv("PATH")}, string(filepath.ListSeparator)))
			env.Setenv("CONMOTION_HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("FILES", filepath.Join(env.WorkDir, "log", "public"))
			env.Setenv("POLICIES", policies)
			env.Setenv("ROOT", root)
			env.Setenv("SHARED", shared)
			env.Setenv("GOGC", "400") // each ends before it has much to collect
			// The race detector otherwise sleeps a second at each exit.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Values[toolKey{}] = &scriptTool{env: env.Vars}
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
			"conmotion":       cmdConmotion,
			"service":         cmdService,
			"files":           cmdFiles,
			"ledger":          cmdLedger,
			"searchof":        cmdSearchOf,
			"indexed":         cmdIndexed,
			"capture":         cmdCapture,
			"operator":        func(ts *testscript.TestScript, _ bool, args []string) { cmdOperator(t, ts, args) },
			"exit":            cmdExit,
			"flip":            cmdFlip,
			"twin":            cmdTwin,
			"certificates":    cmdCertificates,
			"tlscertificates": cmdTLSCertificates,
		},
	})
}

// sharedData is the folder of test data that may be there beside the project.
func sharedData(t *testing.T) string {
	dir, err := filepath.Abs(cmp.Or(os.Getenv("CONMOTION_SHARED"), filepath.Join("..", "..", "..", "shared")))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func cmdExit(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exit CODE command...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if args[1] == "conmotion" {
		got = callTool(ts, args[2:])
	} else if err = ts.Exec(args[1], args[2:]...); err != nil {
		e, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Check(err)
		}
		got = e.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func cmdOperator(t *testing.T, ts *testscript.TestScript, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: operator DIR FILE...")
	}
	keys, files := testlog.NewKeysOf(t, args[0]+".example"), &testlog.Files{}
	begin := keys.Begin(t, `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}}`)
	entries := slices.Clone(begin)
	for _, arg := range args[1:] {
		what, name, copied := strings.Cut(arg, ":")
		place := map[string]int{"first": 0, "second": 1}
		switch i, ok := place[what]; {
		case ok && name == "garbage":
			entries[i] = testlog.Garbage(entries[i])
			continue
		case ok:
			entries[i] = []byte(name)
			continue
		case what == "raw":
			entries = append(entries, []byte(ts.ReadFile(name)))
			continue
		case !copied:
			name = arg
		}
		s, err := scitt.DecodeStatement([]byte(ts.ReadFile(name)))
		ts.Check(err)
		switch entry := s.Entry(); what {
		case "garbage":
			entries = append(entries, testlog.Garbage(entry))
		case "twin":
			entries = append(entries, testlog.Twin(t, entry))
		default:
			entries = append(entries, entry)
		}
	}
	// What it says of itself stays what it says of the log that it should have.
	files.Publish(t, keys, begin)
	configuration, err := files.Get(t.Context(), tiles.ConfigurationPath)
	ts.Check(err)
	files.Clear()
	files.Publish(t, keys, entries)
	files.Put(tiles.ConfigurationPath, configuration)
	files.WriteTo(t, ts.MkAbs(args[0]))
}

func cmdCapture(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: capture NAME REGEXP")
	}
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	m := re.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) < 2 {
		ts.Fatalf("no match for %q", args[1])
	}
	ts.Setenv(args[0], m[1])
}

func cmdTwin(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: twin FROM TO")
	}
	key, err := scitt.GenerateKey("ES256") // anybody's: it takes no key of the issuer
	ts.Check(err)
	st, err := scitt.DecodeStatement([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	data, err := vectors.Twin(key, st.Entry())
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o600))
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
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"vendor.example"},
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
