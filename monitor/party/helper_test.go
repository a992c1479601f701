package party

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testprogram"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
)

const (
	anybody = `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}}`
	chained = `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}, "chain": "required",
		"rules": [{"id": "no-bad", "expr": "!claims[2].startsWith('inventory/bad')", "message": "no bad assets"}]}`
)

func TestMain(m *testing.M) {
	testwait.Together()
	testwait.Quick()
	m.Run()
}

// testService is a conmotiond behind a proxy, which can keep requests and answers back.
type testService struct {
	t       testing.TB
	URL     string
	direct  string
	process *exec.Cmd

	mu     sync.Mutex
	at     func(forward func()) // breaks registrations, when not nil
	before func()               // runs before each registration, when not nil
	sent   [][]byte             // what was to be registered
}

// newService starts a service with a policy.
func newService(t testing.TB, policy string, flags ...string) *testService {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "policy.json")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &testService{t: t}
	s.process = exec.Command(testprogram.Path(t, "conmotiond"), append([]string{"--listen", "127.0.0.1:0", "--dir", filepath.Join(dir, "log"), "--policy", file,
		"--rate", "0", "--search=false", "--checkpoint-interval", "100ms", "--artifacts-public"}, flags...)...)
	var stderr bytes.Buffer
	s.process.Stderr = &stderr
	out := testlog.Must(s.process.StdoutPipe())(t)
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	for lines := bufio.NewScanner(out); lines.Scan() && s.direct == ""; {
		if fields := strings.Fields(lines.Text()); len(fields) == 2 && fields[0] == "service" {
			s.direct = fields[1]
		}
	}
	if s.direct == "" {
		t.Fatalf("conmotiond does not start: %s", &stderr)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	proxy := httptest.NewServer(s.proxy(testlog.Must(url.Parse(s.direct))(t)))
	t.Cleanup(proxy.Close)
	s.URL = proxy.URL
	return s
}

func (s *testService) stop() {
	if s.process.ProcessState != nil {
		return
	}
	if err := errors.Join(s.process.Process.Signal(syscall.SIGTERM), s.process.Wait()); err != nil {
		s.t.Error(err)
	}
}

func (s *testService) proxy(to *url.URL) http.HandlerFunc {
	forward := httputil.NewSingleHostReverseProxy(to)
	forward.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/entries" {
			forward.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.mu.Lock()
		s.sent = append(s.sent, body)
		at, before := s.at, s.before
		s.mu.Unlock()
		if before != nil {
			before()
		}
		if at == nil {
			forward.ServeHTTP(w, r)
			return
		}
		lost := httptest.NewRecorder()
		at(func() { forward.ServeHTTP(lost, r.WithContext(context.WithoutCancel(r.Context()))) })
		panic(http.ErrAbortHandler) // as if the connection broke
	}
}

// first has f run before each registration from now on; nil has nothing run.
func (s *testService) first(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

// breaks makes registrations break at a point, until mended.
func (s *testService) breaks(stored bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = func(forward func()) {
		if stored {
			forward()
		}
	}
}

// mended lets registrations through again, and returns what was sent since the last call.
func (s *testService) mended() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := s.sent
	s.at, s.sent = nil, nil
	return sent
}

// holds are the statements of all others than the service in its log.
func (s *testService) holds() (all []*scitt.Statement) {
	s.t.Helper()
	l := testlog.Must(Open(s.t.Context(), s.direct, Options{}))(s.t)
	for e, err := range l.View.Entries(s.t.Context(), 2, l.View.Checkpoint.Size) {
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, testlog.Must(scitt.DecodeStatement(e.Data))(s.t))
	}
	return all
}

// contents expects these contents in the log, inline or by their hash, each once, in
// this order and in one chain if they are in any.
func (s *testService) contents(want ...string) {
	s.t.Helper()
	s.has(s.holds(), want)
}

// wrote expects these contents of an author in a log, as contents does.
func (a *author) wrote(s *testService, want ...string) {
	a.t.Helper()
	issuer := testlog.DIDJWK(a.t, a.key)
	s.has(slices.DeleteFunc(s.holds(), func(st *scitt.Statement) bool { return st.Issuer != issuer }), want)
}

func (s *testService) has(all []*scitt.Statement, want []string) {
	s.t.Helper()
	for i, st := range all {
		var text string
		if i < len(want) {
			text = want[i]
		}
		if ok, err := st.PayloadMatches([]byte(text)); string(st.Payload) != text && (err != nil || !ok) {
			s.t.Errorf("statement %d is %q and not %q", i, st.Payload, text)
		}
		if st.Chain != nil && st.Chain.Seq != uint64(i) {
			s.t.Errorf("statement %d has seq %d", i, st.Chain.Seq)
		}
	}
	if len(all) != len(want) {
		s.t.Errorf("%d statements and not %d", len(all), len(want))
	}
}

// author is somebody who registers, with a home.
type author struct {
	t       testing.TB
	key     crypto.Signer
	home    Home
	notices []string
	change  func(*RegistrarOptions)
}

func newAuthor(t testing.TB) *author {
	return &author{t: t, key: testlog.Key(t, "ES256"), home: Home(t.TempDir())}
}

// registrar is that of the next command.
func (a *author) registrar(services ...*testService) *Registrar {
	a.t.Helper()
	return testlog.Must(a.open(services...))(a.t)
}

func (a *author) open(services ...*testService) (*Registrar, error) {
	o := RegistrarOptions{Key: a.key, Options: Options{Home: a.home, Client: client.Options{Retries: -1},
		Notice: func(format string, args ...any) { a.notices = append(a.notices, fmt.Sprintf(format, args...)) }}}
	for _, s := range services {
		o.Services = append(o.Services, s.URL)
	}
	if a.change != nil {
		a.change(&o)
	}
	return NewRegistrar(a.t.Context(), o)
}

// left expects so many files in all journals.
func (a *author) left(n int) []string {
	a.t.Helper()
	files := testlog.Must(filepath.Glob(filepath.Join(string(a.home), "journal", "*", "*")))(a.t)
	if len(files) != n {
		a.t.Errorf("%d files in the journal and not %d: %q", len(files), n, files)
	}
	return files
}

// drafts are records of contents.
func drafts(contents ...string) (all []Draft) {
	for _, c := range contents {
		all = append(all, Draft{Content: []byte(c), Options: scitt.SignOptions{Type: scitt.TypeRecord, Subject: fmt.Sprintf("inventory/%.20s", c), ContentType: "text/plain"}})
	}
	return all
}

// says is a draft with words.
func says(content string, words ...string) Draft {
	d := drafts(content)[0]
	d.Words = words
	return d
}

// results are those at each service, by draft.
func results(outcomes []Outcome) string {
	var all []string
	for _, o := range outcomes {
		var one []string
		for _, at := range o.At {
			r := string(at.Result)
			if r == "" {
				r = "unreached"
			}
			one = append(one, r)
		}
		all = append(all, strings.Join(one, "+"))
	}
	return strings.Join(all, " ")
}

// register registers drafts, and expects the results.
func (a *author) register(r *Registrar, want string, all ...Draft) []Outcome {
	a.t.Helper()
	outcomes, err := r.Register(a.t.Context(), all)
	if got := results(outcomes); err != nil || got != want {
		a.t.Fatalf("%s, %v; want %s", got, err, want)
	}
	return outcomes
}

// verified holds the copies to the services' logs, by the files of these.
func verified(t testing.TB, o Outcome, services ...*testService) {
	t.Helper()
	for n, s := range services {
		l := testlog.Must(Open(t.Context(), s.direct, Options{}))(t)
		v := testlog.Must(l.verifier(t.Context(), "", time.Now()))(t)
		c := o.Copies[o.At[n].Copy]
		out, err := v.Verify(c.Transparent())
		if err == nil {
			err = out.Err()
		}
		if err != nil {
			t.Errorf("the copy of %s: %v", s.URL, err)
		}
		e := testlog.Must(l.Find(t.Context(), EntryName{Index: o.At[n].Ref.Index}, nil))(t)
		if l.Ref(e) != o.At[n].Ref || !bytes.Equal(e.Statement.Entry(), c.Statement.Entry()) {
			t.Errorf("entry %d of %s is another one than %+v", e.Index, s.URL, o.At[n].Ref)
		}
	}
}
