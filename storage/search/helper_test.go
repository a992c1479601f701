package search

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"iter"
	"net/url"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/teststorage"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/storage/index"
	"github.com/conmotion/conmotion/storage/posix"
	"github.com/conmotion/conmotion/tiles"
)

var treeRange = compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

// memLog is a log in memory: any entries, and checkpoints of any size of it.
type memLog [][]byte

func (l memLog) Entries(ctx context.Context, from, to uint64) iter.Seq2[tiles.Entry, error] {
	return func(yield func(tiles.Entry, error) bool) {
		for i := from; i < to; i++ {
			if err := ctx.Err(); err != nil {
				yield(tiles.Entry{}, err)
				return
			}
			if !yield(tiles.Entry{Index: i, Data: l[i]}, nil) {
				return
			}
		}
	}
}

// checkpoint is that of the first size entries.
func (l memLog) checkpoint(size int) *scitt.Checkpoint {
	tree := treeRange.NewEmptyRange(0)
	for _, e := range l[:size] {
		if err := tree.Append(scitt.LeafHash(e), nil); err != nil {
			panic(err) // only of ranges that do not meet
		}
	}
	root := rfc6962.DefaultHasher.EmptyRoot()
	if size > 0 {
		var err error
		if root, err = tree.GetRootHash(nil); err != nil {
			panic(err)
		}
	}
	return &scitt.Checkpoint{Origin: testlog.Origin, Size: uint64(size), Root: root}
}

// published makes a real log of these entries, in static files.
func (l memLog) published(t testing.TB) *tiles.View {
	t.Helper()
	keys := testlog.NewKeys(t)
	path := t.TempDir()
	dir := testlog.Must(storage.OpenDir(path))(t)
	idx, err := index.Open(t.Context(), dir.Private("index.db"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := teststorage.Options(keys)
	o.Antispam, o.BatchMaxSize = idx, 1024
	log := testlog.Must(storage.Open(t.Context(), posix.New(dir, o.Logger), o))(t)
	var last func(context.Context) (uint64, bool, error)
	for i, e := range l {
		if last, err = log.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if i%1024 == 1023 {
			if _, _, err := last(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, _, err := last(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := idx.Close(); err != nil {
		t.Fatal(err)
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
	src := testlog.Must(tiles.Open(dir.Public(), client.Options{}))(t)
	return testlog.Must(tiles.NewLog(src, keys.Verifiers).Latest(t.Context()))(t)
}

// idOf is the id of an entry.
func idOf(entry []byte) scitt.EntryID {
	id, _ := scitt.EntryIDOf(entry)
	return id
}

// statement is an entry without a valid signature: an index reads what a log
// has, and does not verify it.
func statement(t testing.TB, header map[any]any, payload []byte) []byte {
	t.Helper()
	// Sorted, so that the same log comes out each time.
	protected := testlog.Must(testlog.Must(cbor.CoreDetEncOptions().EncMode())(t).Marshal(header))(t)
	sum := sha256.Sum256(payload)
	b := []byte{0xd2, 0x84}
	for _, part := range []any{protected, nil, payload, append(sum[:], sum[:]...)} {
		if part == nil {
			b = append(b, 0xa0)
			continue
		}
		enc, err := cbor.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, enc...)
	}
	return b
}

// header is a protected header with these claims; more are added to it.
func header(iss, sub string, more map[any]any) map[any]any {
	h := map[any]any{1: -7, 4: []byte(iss), 15: map[int]any{1: iss, 2: sub}}
	for k, v := range more {
		h[k] = v
	}
	return h
}

func jsonStatement(t testing.TB, iss, sub string, payload any) []byte {
	t.Helper()
	data, ok := payload.(string)
	if !ok {
		data = string(testlog.Must(json.Marshal(payload))(t))
	}
	return statement(t, header(iss, sub, map[any]any{3: "application/json"}), []byte(data))
}

func openIndex(t testing.TB, path string, o Options) *Index {
	t.Helper()
	if path == "" {
		path = filepath.Join(t.TempDir(), "search.db")
	}
	x, err := Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

// indexed is an index of the whole log.
func indexed(t testing.TB, l memLog, o Options) *Index {
	t.Helper()
	x := openIndex(t, "", o)
	catchUp(t, x, l, len(l))
	return x
}

func catchUp(t testing.TB, x *Index, l memLog, size int) {
	t.Helper()
	if err := x.CatchUp(t.Context(), l.checkpoint(size), l); err != nil {
		t.Fatal(err)
	}
}

func parseQuery(t testing.TB, query string) Query {
	t.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	q, err := ParseQuery(values)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return q
}

// execute changes the database of an index behind its back.
func execute(t testing.TB, x *Index, statement string) {
	t.Helper()
	if err := x.Use(t.Context(), func(db *sql.DB) error { _, err := db.ExecContext(t.Context(), statement); return err }); err != nil {
		t.Fatal(err)
	}
}

func ask(t testing.TB, x *Index, query string) *Answer {
	t.Helper()
	a, err := x.Search(t.Context(), parseQuery(t, query))
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return a
}

func indexes(a *Answer) []uint64 {
	list := []uint64{}
	for _, h := range a.Entries {
		list = append(list, h.Index)
	}
	return list
}

// expect asks and compares the places of the hits.
func expect(t *testing.T, x *Index, query string, want ...uint64) {
	t.Helper()
	if got := indexes(ask(t, x, query)); !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", query, got, want)
	}
}

// artifacts are kept in memory.
type artifacts map[[32]byte][]byte

func (a artifacts) Artifact(_ context.Context, digest reader.Digest, limit int64) ([]byte, error) {
	content, ok := a[digest]
	switch {
	case !ok:
		return nil, fmt.Errorf("artifact %x: %w", digest, fs.ErrNotExist)
	case int64(len(content)) > limit:
		return nil, reader.ErrTooLarge
	}
	return content, nil
}

func (a artifacts) put(content []byte) []byte {
	digest := sha256.Sum256(content)
	a[digest] = content
	return digest[:]
}

// event is an OCSF event of about 1.7 KiB, as providers write them, different
// for each n.
func event(n int) []byte {
	id := func(what string) string {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(what), uint64(n)))
		h := hex.EncodeToString(sum[:16])
		return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	}
	code := []string{"inventory.create", "inventory.modify", "inventory.delete", "configuration.modify"}[n%4]
	class := []int{5023, 5001, 5019, 2004, 3004}[n%5]
	return fmt.Appendf(nil, `{"message":"%s of instance %d in region eu-west-%d","time":%d,"severity":"Informational","severity_id":%d,`+
		`"resources":[{"data":{"image":"ubuntu-24.04","kernel":"6.8.0-%d","cpus":%d},"name":"Example Instance %d","owner":{"name":"Cloud Service Provider Codename","type":"Unknown","uid":"%s","type_id":0},`+
		`"type":"Example Instance Type Codename","ip":"10.%d.%d.%d","uid":"%s","region":"eu-west-%d","labels":["env=prod","team=%d","tier=gold"]},`+
		`{"name":"Volume %d","type":"Block Storage","uid":"%s","region":"eu-west-%d","labels":["encrypted","backup=daily"]}],`+
		`"category_uid":5,"category_name":"Discovery","activity_id":1,"activity_name":"Log","type_uid":%d01,"type_name":"Cloud Resources Inventory Info: Log","class_uid":%d,"class_name":"Cloud Resources Inventory Info",`+
		`"timezone_offset":26,"status_code":"accepted","status_detail":"no determination made new inventory created","status_id":0,`+
		`"cloud":{"provider":"Example Cloud","region":"eu-west-%d","account":{"uid":"%012d","name":"tenant %d"}},`+
		`"metadata":{"version":"1.5.0","event_code":"%s","uid":"%s","logged_time":%d,"product":{"name":"conmotion","version":"0.1.0-alpha","uid":"264aff4e-18ce-4c10-a670-114fc9c5e3c1",`+
		`"feature":{"name":"mutual-monitoring_inventory","version":"0.1.0-alpha","uid":"dbd909a3-4721-4811-b54b-0d13f318ebb5"},"lang":"en","cpe_name":"cpe:2.3:a:aj-stein:conmotion:0.1.0:alpha:*:*:*:*:*:*","vendor_name":"github.com/aj-stein"},"profiles":["cloud"]}}`,
		code, n, n%7, 1750000000000+int64(n)*137, n%6, n%90, 1<<(n%6), n, id("owner"), n>>16&255, n>>8&255, n&255, id("resource"), n%7, n%50,
		n, id("volume"), n%7, class, class, n%7, n%1000, n%1000, code, id("meta"), 1750000000100+int64(n)*137)
}

// eventLog is a log of events by ten issuers from number first on, with a
// policy at entry 1.
func eventLog(t testing.TB, first, n int) memLog {
	t.Helper()
	l := make(memLog, n)
	for i := range n {
		at := first + i
		iss := fmt.Sprintf("https://provider-%d.example", at%10)
		more := map[any]any{3: "application/json", 16: scitt.TypeRecord, "chain": []any{"inventory", at, nil}}
		if at > 0 {
			prev := sha256.Sum256([]byte(iss))
			more["chain"] = []any{"inventory", at, prev[:]}
		}
		if at == 1 {
			more[16] = scitt.TypePolicy
		}
		l[i] = statement(t, header(iss, fmt.Sprintf("asset/%d", at/3), more), event(at))
	}
	return l
}

// verifyOne verifies one answer completely.
func verifyOne(t testing.TB, view *tiles.View, q Query, a *Answer, store reader.Artifacts, progress func(uint64)) error {
	t.Helper()
	s, err := Verify(t.Context(), view, []Page{{q, a}}, store, nil, progress)
	if err == nil && s.Entries != a.Checkpoint.Size {
		t.Errorf("%d entries were read of %d", s.Entries, a.Checkpoint.Size)
	}
	return err
}
