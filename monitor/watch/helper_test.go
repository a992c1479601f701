package watch

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
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
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

func TestMain(m *testing.M) {
	testwait.Quick()
	m.Run()
}

type object = map[string]any

// world are logs and receivers on hosts of their own, without a network, so
// that time can be the test's.
type world struct {
	t     *testing.T
	dir   string
	mu    sync.Mutex
	hosts map[string]http.Handler

	filled  int      // fillers so far: no two are the same
	lines   []*Alert // that were printed
	notices []string
	printer func(*Alert) error // may refuse
}

func newWorld(t *testing.T) *world {
	return &world{t: t, dir: t.TempDir(), hosts: map[string]http.Handler{}}
}

// RoundTrip implements [http.RoundTripper].
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	h := w.hosts[r.URL.Host]
	w.mu.Unlock()
	if h == nil {
		return nil, fmt.Errorf("dial tcp: lookup %s: no such host", r.URL.Host)
	}
	if r.Body != nil {
		defer r.Body.Close()
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

func (w *world) host(name string, h http.Handler) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hosts[name] = h; h == nil {
		delete(w.hosts, name)
	}
}

// site is a log in this world.
type site struct {
	w       *world
	keys    *testlog.Keys
	files   testlog.Files
	entries [][]byte
}

// log makes a log whose keys and policy are its first entries.
func (w *world) log(host string) *site {
	w.t.Helper()
	s := &site{w: w, keys: testlog.NewKeysOf(w.t, host)}
	s.entries = s.keys.Begin(w.t, `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}}`)
	s.publish()
	w.host(host, &s.files)
	return s
}

func (s *site) publish() {
	s.w.t.Helper()
	s.files.Publish(s.w.t, s.keys, s.entries)
}

// add appends statements and publishes them.
func (s *site) add(statements ...[]byte) {
	s.w.t.Helper()
	for _, data := range statements {
		st := testlog.Must(scitt.ParseStatement(data))(s.w.t)
		s.entries = append(s.entries, st.Entry())
	}
	s.publish()
}

// fill adds n statements that no rule asks for.
func (s *site) fill(n int) {
	s.w.t.Helper()
	var all [][]byte
	for i := range n {
		all = append(all, testlog.Statement(s.w.t, filler, "filler", fmt.Append(nil, s.w.filled+i)))
	}
	s.w.filled += n
	s.add(all...)
}

// filler signs quickly.
var filler, _ = scitt.GenerateKey("EdDSA")

// issuer is somebody who signs.
type issuer struct {
	t   *testing.T
	key crypto.Signer
	did string
}

func newIssuer(t *testing.T) *issuer {
	key := testlog.Key(t, "ES256")
	return &issuer{t, key, testlog.DIDJWK(t, key)}
}

func (i *issuer) sign(o scitt.SignOptions, payload []byte) []byte {
	i.t.Helper()
	if o.IssuedAt.IsZero() {
		o.IssuedAt = time.Now()
	}
	o.ContentType = "application/json"
	return testlog.Must(scitt.SignStatement(i.key, o, payload))(i.t)
}

// record is an inventory record.
func (i *issuer) record(action monitor.Action, uid string) []byte {
	i.t.Helper()
	return i.sign(scitt.SignOptions{Type: scitt.TypeRecord, Subject: "inventory/" + uid}, inventoryEvent(i.t, action, uid))
}

func inventoryEvent(t *testing.T, action monitor.Action, uid string) []byte {
	t.Helper()
	return testlog.Must(json.Marshal(object{
		"activity_id": 1, "category_uid": 5, "class_uid": 5023, "type_uid": 502301, "severity_id": 1, "time": time.Now().UnixMilli(),
		"metadata":  object{"version": "1.5.0", "event_code": "inventory." + string(action), "product": object{"name": "test", "vendor_name": "test"}},
		"resources": []object{{"uid": uid}},
	}))(t)
}

// endorse endorses an entry.
func (i *issuer) endorse(verdict monitor.Verdict, entry monitor.EntryRef, from, until time.Time, scope ...string) []byte {
	i.t.Helper()
	e := &monitor.Endorsement{Entry: entry, Home: "log.example", Verdict: verdict, Scope: scope, From: from.UTC().Truncate(time.Second), Until: until.UTC().Truncate(time.Second)}
	return testlog.Must(testlog.SignAs(i.key, e, scitt.SignOptions{IssuedAt: time.Now()}))(i.t)
}

func (s *site) ref(index int) monitor.EntryRef {
	id, _ := scitt.EntryIDOf(s.entries[index])
	return monitor.EntryRef{EntryID: id.String(), Index: uint64(index), Origin: s.keys.Note.Name()}
}

// watch starts a watcher with a configuration; DIR in it is the world's.
func (w *world) watch(config string) *Watcher {
	w.t.Helper()
	c := testlog.Must(ParseConfig([]byte("state: state\n" + config)))(w.t)
	c.Resolve(w.dir)
	out := testlog.Must(New(w.t.Context(), c, Options{
		Line: w.line, Notice: w.notice, Transport: w,
	}))(w.t)
	w.t.Cleanup(func() { out.Close() })
	return out
}

func (w *world) line(a *Alert, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !json.Valid(data) {
		w.t.Errorf("not JSON: %s", data)
	}
	if w.printer != nil {
		if err := w.printer(a); err != nil {
			return err
		}
	}
	w.lines = append(w.lines, a)
	return nil
}

func (w *world) notice(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notices = append(w.notices, fmt.Sprintf(format, args...))
}

// taken gives the lines that came since, as "log check status" each.
func (w *world) taken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, a := range w.lines {
		out = append(out, fmt.Sprintf("%s %s %s", a.Log, a.Check, a.Status))
	}
	w.lines = nil
	slices.Sort(out)
	return out
}

// once makes one run, as the command does, and expects exactly these lines.
func (w *world) once(config string, want ...string) (Result, []*Alert) {
	w.t.Helper()
	watcher := w.watch(config)
	r := watcher.Once(w.t.Context())
	if err := watcher.Close(); err != nil {
		w.t.Error(err)
	}
	w.mu.Lock()
	alerts := slices.Clone(w.lines)
	w.mu.Unlock()
	w.expect(want...)
	return r, alerts
}

func (w *world) expect(want ...string) {
	w.t.Helper()
	w.mu.Lock()
	var messages []string
	for _, a := range w.lines {
		messages = append(messages, a.Message)
	}
	w.mu.Unlock()
	slices.Sort(want)
	if got := w.taken(); !slices.Equal(got, want) {
		w.t.Fatalf("told %q, want %q: %s\nnotices %q", got, want, strings.Join(messages, "\n"), w.notices)
	}
}

// state is a file of the state directory.
func (w *world) state(name string) string { return filepath.Join(w.dir, "state", name) }

// receiver is a webhook that may be down.
type receiver struct {
	mu     sync.Mutex
	status int // 0 is 204
	got    []string
	bodies map[string][]byte
	tokens []string
}

// ServeHTTP implements [http.Handler].
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var body bytes.Buffer
	_, _ = body.ReadFrom(req.Body)
	a, err := ParseAlert(body.Bytes())
	switch {
	case err != nil || req.Method != http.MethodPost || req.Header.Get("Idempotency-Key") != a.ID || req.Header.Get("Content-Type") != "application/json":
		w.WriteHeader(http.StatusTeapot)
		return
	case r.status != 0:
		w.WriteHeader(r.status)
		return
	}
	if r.bodies == nil {
		r.bodies = map[string][]byte{}
	}
	if old, ok := r.bodies[a.ID]; ok && !bytes.Equal(old, body.Bytes()) {
		w.WriteHeader(http.StatusTeapot) // one id, two alerts
		return
	}
	r.bodies[a.ID] = body.Bytes()
	r.got = append(r.got, a.ID)
	r.tokens = append(r.tokens, req.Header.Get("Authorization"))
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) set(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *receiver) ids() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// run runs a watcher until the returned function ends it.
func (w *world) run(config string) (stop func()) {
	w.t.Helper()
	watcher := w.watch(config)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		watcher.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
		if err := watcher.Close(); err != nil {
			w.t.Error(err)
		}
	}
}

func signOptionsAt(at time.Time) scitt.SignOptions {
	return scitt.SignOptions{Type: scitt.TypeRecord, Subject: "inventory/i-1", IssuedAt: at}
}

func clientOf(w *world) *http.Client { return &http.Client{Transport: w} }

func removeFile(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// artifacts is an artifact storage.
type artifacts struct {
	mu      sync.Mutex
	content map[string][]byte
}

func (a *artifacts) put(content []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.content == nil {
		a.content = map[string][]byte{}
	}
	a.content[fmt.Sprintf("/artifacts/sha256/%x", sha256.Sum256(content))] = content
}

func (a *artifacts) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.content)
}

// ServeHTTP implements [http.Handler].
func (a *artifacts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	content, ok := a.content[r.URL.Path]
	a.mu.Unlock()
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

func readAll(r *http.Request) ([]byte, error) { return io.ReadAll(r.Body) }
