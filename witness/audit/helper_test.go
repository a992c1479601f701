package audit

import (
	"context"
	"crypto"
	"encoding/binary"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
	"github.com/conmotion/conmotion/tiles"
)

func TestMain(m *testing.M) {
	testwait.Quick()
	m.Run()
}

// memory is a log's files in memory.
type memory struct {
	mu    sync.Mutex
	files map[string][]byte
}

func (m *memory) Get(ctx context.Context, path string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.files[path]
	if !ok {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	return data, ctx.Err()
}

func (m *memory) put(path string, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[path] = slices.Clone(data)
}

// replace makes the files those of another log.
func (m *memory) replace(o *memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files = maps.Clone(o.files)
}

// writer writes the files of a log as an operator does who checks nothing.
type writer struct {
	t      testing.TB
	put    func(path string, data []byte)
	bundle []byte
	size   uint64
	levels []level
}

type level struct {
	index  uint64
	hashes [][]byte
}

func (w *writer) add(entries ...[]byte) {
	for _, e := range entries {
		w.bundle = append(binary.BigEndian.AppendUint16(w.bundle, uint16(len(e))), e...)
		w.size++
		if w.size%tiles.Width == 0 {
			w.put(tiles.BundlePath(w.size/tiles.Width-1, 0), w.bundle)
			w.bundle = nil
		}
		w.hash(0, scitt.LeafHash(e))
	}
}

func (w *writer) hash(l int, hash []byte) {
	if l == len(w.levels) {
		w.levels = append(w.levels, level{})
	}
	w.levels[l].hashes = append(w.levels[l].hashes, hash)
	if h := w.levels[l].hashes; len(h) == tiles.Width {
		w.put(tiles.TilePath(l, w.levels[l].index, 0), slices.Concat(h...))
		w.levels[l] = level{index: w.levels[l].index + 1}
		w.hash(l+1, rootOf(h))
	}
}

// rootOf is the root of a tree of these leaves.
func rootOf(h [][]byte) []byte {
	if len(h) == 1 {
		return h[0]
	}
	k := 1
	for 2*k < len(h) {
		k *= 2
	}
	return hashChildren(rootOf(h[:k]), rootOf(h[k:]))
}

// publish writes the partial files and a checkpoint.
func (w *writer) publish(signers ...note.Signer) {
	w.t.Helper()
	if n := int(w.size % tiles.Width); n > 0 {
		w.put(tiles.BundlePath(w.size/tiles.Width, n), w.bundle)
	}
	var root []byte
	for l, lv := range w.levels {
		hashes := lv.hashes
		if len(hashes) > 0 {
			w.put(tiles.TilePath(l, lv.index, len(hashes)), slices.Concat(hashes...))
		}
		// What is below belongs to the right of the tile.
		if root != nil {
			hashes = append(slices.Clone(hashes), root)
		}
		if len(hashes) > 0 {
			root = rootOf(hashes)
		}
	}
	body := fmt.Sprintf("%s\n%d\n%s\n", testlog.Origin, w.size, b64(root))
	raw := testlog.Must(note.Sign(&note.Note{Text: body}, signers...))(w.t)
	w.put(tiles.CheckpointPath, raw)
}

// world is a service with its parties.
type world struct {
	t     testing.TB
	keys  *testlog.Keys
	alice crypto.Signer // may sign everything that a policy of the tests allows
	admin crypto.Signer // may change policies
	bob   crypto.Signer // a stranger
	made  *int          // statements and keys, so that none says the same as another

	proved map[string]bool // violations whose evidence was held to the audit
}

func newWorld(t testing.TB) *world {
	return &world{t, testlog.NewKeys(t), testlog.Key(t, "ES256"), testlog.Key(t, "ES256"), testlog.Key(t, "ES256"), new(int), map[string]bool{}}
}

func (w *world) did(key crypto.Signer) string {
	return testlog.Must(did.NewJWK(key.Public()))(w.t)
}

// corp is an issuer by the name in its certificate, where a policy has roots.
const corp = "https://corp.example"

// policy is a document in which Alice and corp may sign and the administrator
// may change it.
func (w *world) policy(previous []byte, members string) string {
	if previous != nil {
		members += fmt.Sprintf(`, "previous": "%v"`, testlog.ID(previous))
	}
	return fmt.Sprintf(`{"version": 1, "issuers": [{"issuer": %q, "subjects": ["asset*"], "content_types": ["application/json"]}, {"issuer": %q}], "administrators": [{"issuer": %q}]%s}`,
		w.did(w.alice), corp, w.did(w.admin), members)
}

func (w *world) sign(key crypto.Signer, o scitt.SignOptions, content string) []byte {
	w.t.Helper()
	if o.Subject == "" {
		o.Subject = "asset"
	}
	if o.ContentType == "" {
		o.ContentType = "application/json"
	}
	return testlog.Must(scitt.SignStatement(key, o, []byte(content)))(w.t)
}

func (w *world) signPolicy(key crypto.Signer, doc string) []byte {
	return w.sign(key, scitt.SignOptions{Type: scitt.TypePolicy, Subject: scitt.PolicySubject(testlog.Origin)}, doc)
}

// nextKeys is a keys statement that replaces the one with this entry.
func (w *world) nextKeys(by crypto.Signer, prev []byte, change func(*scitt.Keys)) []byte {
	k := *w.keys.Announced
	k.Previous = testlog.ID(prev)
	change(&k)
	return w.keys.Announce(w.t, by, &k)
}

// asIs is a change of keys that changes nothing.
func asIs(*scitt.Keys) {}

// recovered has the recovery key make another service key.
func (w *world) recovered(prev []byte, service crypto.Signer) []byte {
	return w.nextKeys(w.keys.Recovery, prev, func(k *scitt.Keys) {
		k.RecoveryKey, k.Recovery, k.Service = &testlog.KeySet(w.t, w.keys.Recovery)[0], nil, testlog.KeySet(w.t, service)
	})
}

// begin is what a log begins with: keys, and a policy by the service.
func (w *world) begin(members string) [][]byte {
	return w.keys.Begin(w.t, w.policy(nil, members))
}

// statements are good ones by Alice.
func (w *world) statements(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		*w.made++
		out[i] = w.sign(w.alice, scitt.SignOptions{}, fmt.Sprintf(`{"n": %d}`, *w.made))
	}
	return out
}

func (w *world) log(entries ...[]byte) *memory {
	m := &memory{files: map[string][]byte{}}
	w.write(m, entries...)
	return m
}

// write writes the whole log anew.
func (w *world) write(m *memory, entries ...[]byte) {
	wr := &writer{t: w.t, put: m.put}
	wr.add(entries...)
	wr.publish(w.keys.Note, w.keys.Tree)
}

// audited is what an audit of a test found.
type audited struct {
	*Auditor
	told   []Violation
	states []*State // as they would be read again
	t      testing.TB
}

// auditor begins an audit that keeps its states.
func (w *world) auditor(src tiles.Source, state *State, o Options) *audited {
	w.t.Helper()
	a := &audited{t: w.t}
	o.VKeys, o.List = w.keys.VKeys, 1000
	o.Report = func(v Violation) { a.told = append(a.told, v) }
	path := filepath.Join(w.t.TempDir(), "state")
	o.Save = func(s *State) error {
		if err := s.Write(path); err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		again, err := ParseState(data)
		a.states = append(a.states, again)
		return err
	}
	a.Auditor = testlog.Must(New(tiles.NewLog(src, w.keys.Verifiers), state, o))(w.t)
	return a
}

// audit makes one pass.
func (w *world) audit(src tiles.Source, o Options) *audited {
	w.t.Helper()
	a := w.auditor(src, nil, o)
	if err := a.Run(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.evidence(src, o, a.told)
	return a
}

// expect compares what was told with lines "index check".
func (a *audited) expect(want ...string) {
	a.t.Helper()
	got := lines(a.told)
	if !slices.Equal(got, want) {
		var messages []string
		for _, v := range a.told {
			messages = append(messages, v.Message)
		}
		a.t.Fatalf("got %q, want %q: %s", got, want, strings.Join(messages, "; "))
	}
	if s := a.Summary(); s.Violations != uint64(len(want)) {
		a.t.Errorf("the summary counts %d violations, want %d", s.Violations, len(want))
	}
}

func lines(told []Violation) []string {
	var out []string
	for _, v := range told {
		line := v.Check
		if v.Index != nil {
			line = fmt.Sprintf("%d %s", *v.Index, v.Check)
		}
		out = append(out, line)
	}
	return out
}
