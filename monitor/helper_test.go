package monitor

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) {
	testwait.Quick()
	m.Run()
}

// noon is 2026-01-01T12:00:00Z in milliseconds.
const noon = int64(1_767_268_800_000)

func at(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

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

// staticLog writes the tiles of a log with these entries and gives a view of it.
func staticLog(t testing.TB, origin string, entries [][]byte) *tiles.View {
	t.Helper()
	f := files{}
	cp := writeLog(origin, entries, func(path string, data []byte) { f[path] = data })
	return must(tiles.NewTree(f).At(t.Context(), cp))(t)
}

// writeLog writes the tiles of a log with these entries.
func writeLog(origin string, entries [][]byte, write func(path string, data []byte)) *scitt.Checkpoint {
	return &scitt.Checkpoint{Origin: origin, Size: uint64(len(entries)), Root: testlog.WriteTree(entries, write)}
}

// blobs are artifacts.
type blobs map[[sha256.Size]byte][]byte

func (b blobs) Artifact(_ context.Context, digest reader.Digest, _ int64) ([]byte, error) {
	if data, ok := b[digest]; ok {
		return data, nil
	}
	return nil, fmt.Errorf("%x: %w", digest, fs.ErrNotExist)
}

// party is a provider or an auditor with a log.
type party struct {
	t       testing.TB
	key     crypto.Signer
	typ     string
	entries [][]byte
	heads   map[Kind]*scitt.Head
	blobs   blobs
	hash    bool // sign hashes
}

func newParty(t testing.TB, name, typ string) *party {
	return &party{t: t, key: testKey(name), typ: typ, heads: map[Kind]*scitt.Head{}, blobs: blobs{}}
}

func (p *party) issuer() string { return must(did.NewJWK(p.key.Public()))(p.t) }

func (p *party) add(statement []byte) *scitt.Statement {
	p.t.Helper()
	s := must(scitt.ParseStatement(statement))(p.t)
	p.entries = append(p.entries, s.Entry())
	return s
}

// record registers an event, a moment after it happened unless issued is given.
func (p *party) record(event object, issued ...int64) *scitt.Statement {
	p.t.Helper()
	code := event["metadata"].(object)["event_code"].(string)
	kind, action, _ := parseCode(code)
	r := must(NewRecord(encode(event), kind, action))(p.t)
	when := event["time"].(int64)
	if len(issued) > 0 {
		when = issued[0]
	}
	o := scitt.SignOptions{Type: p.typ, IssuedAt: at(when), Chain: p.heads[kind].Next(string(kind)), Hash: p.hash}
	s := p.add(must(testlog.SignAs(p.key, r, o))(p.t))
	p.heads[kind] = &scitt.Head{Seq: o.Chain.Seq, ID: s.ID()}
	if p.hash {
		p.blobs[sha256.Sum256(r.Payload)] = r.Payload
	}
	return s
}

// idOf is the id of an entry.
func idOf(t testing.TB, entry []byte) scitt.EntryID {
	t.Helper()
	return must(scitt.DecodeStatement(entry))(t).ID()
}

func (p *party) log() Log {
	return NewLog(staticLog(p.t, p.origin(), p.entries), p.blobs, scitt.SelfCertifying(nil, nil).Verifier(nil))
}

func (p *party) origin() string {
	if p.typ == scitt.TypeObservation {
		return "log.auditor.example"
	}
	return "log.provider.example"
}

func (p *party) side() Party { return Party{Log: p.log(), Filter: Filter{Types: []string{p.typ}}} }

func (p *party) replay(until *time.Time) *Replay {
	p.t.Helper()
	r := NewReplay(p.side().Filter, until)
	if err := r.Advance(p.t.Context(), p.log(), 1<<40); err != nil {
		p.t.Fatal(err)
	}
	return r
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // test data
	}
	return data
}

// event is a valid event of a class, without what it is about.
func event(class, activity int, code string, ms int64) object {
	return object{
		"class_uid": class, "category_uid": class / 1000, "activity_id": activity, "type_uid": class*100 + activity,
		"severity_id": 1, "time": ms,
		"metadata": object{"version": "1.5.0", "event_code": code, "product": object{"name": "test", "vendor_name": "test"}},
	}
}

// inventory is an event of class 5023 about assets.
func inventory(action Action, ms int64, uids ...string) object {
	e := event(classCloudInventory, 1, eventCode(Inventory, action), ms)
	var resources []object
	for _, uid := range uids {
		resources = append(resources, object{"uid": uid, "name": "instance " + uid})
	}
	e["resources"] = resources
	return e
}

// configured is an event of class 5023 about the configuration of an asset itself.
func configured(action Action, ms int64, uid string, data any) object {
	e := event(classCloudInventory, 1, eventCode(Configuration, action), ms)
	e["resources"] = []object{{"uid": uid, "data": data}}
	return e
}

// shared is an event of class 5023 about the configuration of several assets.
func shared(action Action, ms int64, config string, content any, uids ...string) object {
	e := inventory(action, ms, uids...)
	e["metadata"].(object)["event_code"] = eventCode(Configuration, action)
	e["unmapped"] = object{"conmotion": object{"configuration": object{"uid": config, "content": content}}}
	return e
}

// golden compares with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, got, "", " "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := must(os.ReadFile(path))(t)
	if !bytes.Equal(want, pretty.Bytes()) {
		paths, _ := differences(want, got)
		t.Errorf("%s differs at %v; run with -update if that is meant", path, paths)
	}
	if again := must(canonical(got))(t); !bytes.Equal(got, again) {
		t.Errorf("%s is not in JCS form", name)
	}
}

// bytesOf is what a method such as Replay.Write writes.
func bytesOf(t testing.TB, write func(io.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
