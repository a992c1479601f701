package report

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) {
	testwait.Quick()
	m.Run()
}

// first is the beginning of the tests' time.
var first = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// testKey is an Ed25519 key: its signatures are the same every time.
func testKey(name string) crypto.Signer {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func issuer(t testing.TB, name string) string {
	return must(did.NewJWK(testKey(name).Public()))(t)
}

// files are the static files of a log in memory.
type files map[string][]byte

func (f files) Get(ctx context.Context, path string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if data, ok := f[path]; ok {
		return data, nil
	}
	return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
}

// testLog is a log in memory.
type testLog struct {
	t       testing.TB
	origin  string
	url     string
	entries [][]byte
	heads   map[string]*scitt.Head
	signed  time.Time // of the checkpoint
}

func newTestLog(t testing.TB, origin string) *testLog {
	return &testLog{t: t, origin: origin, url: "https://" + origin, heads: map[string]*scitt.Head{}}
}

// view is the log with its first n entries.
func (l *testLog) view(n int) *tiles.View {
	l.t.Helper()
	f := files{}
	root := testlog.WriteTree(l.entries[:n], func(path string, data []byte) { f[path] = data })
	cp := &scitt.Checkpoint{Origin: l.origin, Size: uint64(n), Root: root}
	if !l.signed.IsZero() {
		cp.Tree = must(scitt.SignTree(testKey(l.origin), l.url, l.origin, l.signed, root))(l.t)
	}
	return must(tiles.NewTree(f).At(l.t.Context(), cp))(l.t)
}

func (l *testLog) log(n int) monitor.Log {
	return monitor.NewLog(l.view(n), nil, scitt.SelfCertifying(nil, nil).Verifier(nil))
}

// source is the log as it is given to Make.
func (l *testLog) source(roles ...role) Source {
	now := l.log(len(l.entries))
	return Source{
		location: l.url, url: l.url, roles: roles, log: &now, state: stateGood, keys: keysRemembered, vkeys: []string{l.origin + "+00000000+AAAA"},
		seenBefore: true,
		at: func(_ context.Context, cp *scitt.Checkpoint) (monitor.Log, error) {
			return l.log(int(cp.Size)), nil
		},
	}
}

// cosigned is the newest checkpoint with the words of two witnesses of three.
func (l *testLog) cosigned() *witness.Cosigned {
	l.t.Helper()
	cp := l.view(len(l.entries)).Checkpoint
	raw, policy := fmt.Appendf(nil, "%s\n%d\n%s\n\n", cp.Origin, cp.Size, base64.StdEncoding.EncodeToString(cp.Root)), ""
	for i := range 3 {
		key := testlog.NewCosigner(l.t, fmt.Sprintf("w%d.example", i), "Ed25519")
		policy += fmt.Sprintf("witness w%d %s\n", i, key)
		if i > 0 {
			raw = testlog.Cosign(l.t, raw, key, first.Add(29*day+time.Duration(i)*time.Second))
		}
	}
	p := must(witness.ParsePolicy([]byte(policy + "group g 2 w0 w1 w2\nquorum g\n")))(l.t)
	return must(p.Open(raw))(l.t)
}

func (l *testLog) add(statement []byte) monitor.EntryRef {
	l.t.Helper()
	s := must(scitt.ParseStatement(statement))(l.t)
	l.entries = append(l.entries, s.Entry())
	return monitor.EntryRef{EntryID: s.ID().String(), Index: uint64(len(l.entries) - 1), Origin: l.origin}
}

type object = map[string]any

// record registers an event about an asset, or with data about its
// configuration.
func (l *testLog) record(who, typ string, action monitor.Action, when time.Time, uid string, data any) monitor.EntryRef {
	l.t.Helper()
	kind, resource := monitor.Inventory, object{"uid": uid}
	if data != nil {
		kind, resource["data"] = monitor.Configuration, data
	}
	event := object{
		"class_uid": 5023, "category_uid": 5, "activity_id": 1, "type_uid": 502301, "severity_id": 1, "time": when.UnixMilli(),
		"metadata":  object{"version": "1.5.0", "product": object{"name": "test", "vendor_name": "test"}},
		"resources": []object{resource},
	}
	r := must(monitor.NewRecord(must(json.Marshal(event))(l.t), kind, action))(l.t)
	chain := who + string(kind)
	o := scitt.SignOptions{Type: typ, IssuedAt: when.Add(time.Minute), Chain: l.heads[chain].Next(string(kind))}
	ref := l.add(must(testlog.SignAs(testKey(who), r, o))(l.t))
	l.heads[chain] = &scitt.Head{Seq: o.Chain.Seq, ID: must(scitt.ParseEntryID(ref.EntryID))(l.t)}
	return ref
}

// measure makes the measurement of two logs as they are.
func measure(t testing.TB, reported, observed *testLog, what monitor.Kind, from, to time.Time, scope ...string) *monitor.Measurement {
	t.Helper()
	c := must(monitor.Compare(t.Context(),
		monitor.Party{Log: reported.log(len(reported.entries)), Filter: monitor.Filter{Types: []string{scitt.TypeRecord}}},
		monitor.Party{Log: observed.log(len(observed.entries)), Filter: monitor.Filter{Types: []string{scitt.TypeObservation}}},
		monitor.Interval{From: from, To: to, Grace: 15 * time.Minute, Scope: scope}))(t)
	return must(monitor.Measure(c, monitor.MeasureOptions{What: what, At: to.Add(5 * time.Minute), Home: observed.origin, ReportedURL: reported.url, ObservedURL: observed.url}))(t)
}

func (l *testLog) measurement(m *monitor.Measurement, who string, signed time.Time) monitor.EntryRef {
	l.t.Helper()
	return l.add(must(testlog.SignAs(testKey(who), m, scitt.SignOptions{IssuedAt: signed}))(l.t))
}

func (l *testLog) endorsement(who string, e monitor.Endorsement, signed time.Time) monitor.EntryRef {
	l.t.Helper()
	return l.add(must(testlog.SignAs(testKey(who), &e, scitt.SignOptions{IssuedAt: signed}))(l.t))
}

// golden compares a document with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if filepath.Ext(name) == ".json" {
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, got, "", " "); err != nil {
			t.Fatal(err)
		}
		pretty.WriteByte('\n')
		got = pretty.Bytes()
	}
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := must(os.ReadFile(path))(t); !bytes.Equal(want, got) {
		t.Errorf("%s is another one now; run with -update if that is meant", path)
	}
}
