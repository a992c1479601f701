package search

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// questions are asked of two indexes that should be the same.
var questions = []string{
	"", "order=desc&limit=1000", "order=time-desc&limit=17", "q=ubuntu prod&order=desc", "f.severity_id=>=3", "class_uid=5023",
	"iss=https://provider-3.example&sub=asset/1", "f.resources.labels=team=7", "from=1750000001000&to=1750000002000", "event_code=inventory.delete&order=time-asc",
}

// answers are those to all questions, as a client gets them.
func answers(t testing.TB, x *Index) string {
	t.Helper()
	var all []any
	for _, q := range questions {
		all = append(all, ask(t, x, q))
	}
	all = append(all, testlog.Must(x.Stats(t.Context()))(t))
	return string(testlog.Must(json.MarshalIndent(all, "", " "))(t))
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: other answers:\n%.2000s\nwant\n%.2000s", what, got, want)
	}
}

// TestRebuild: an index answers the same however it came to be.
func TestRebuild(t *testing.T) {
	l := eventLog(t, 0, 2000)
	at := l.checkpoint(len(l))
	once := indexed(t, l, Options{})
	want := answers(t, once)

	path := filepath.Join(t.TempDir(), "search.db")
	x := openIndex(t, path, Options{})
	for size := 0; size < len(l); size += 1 + rand.IntN(80) {
		catchUp(t, x, l, size)
	}
	catchUp(t, x, l, len(l))
	same(t, "in small steps", answers(t, x), want)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}

	x = openIndex(t, path, Options{})
	same(t, "opened again", answers(t, x), want)
	if x.Next() != 2000 {
		t.Errorf("next is %d", x.Next())
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	x = openIndex(t, path, Options{})
	if a := ask(t, x, ""); len(a.Entries) != 0 || a.Checkpoint.Size != 0 {
		t.Errorf("an empty index answers %+v", a)
	}
	if err := x.CatchUp(t.Context(), at, l); err != nil {
		t.Fatal(err)
	}
	same(t, "deleted", answers(t, x), want)
}

// TestOtherLogs: an index that does not fit the log is built anew, and says
// so; a checkpoint from a cache does no harm.
func TestOtherLogs(t *testing.T) {
	l, other := eventLog(t, 0, 300), eventLog(t, 5000, 300)
	x := indexed(t, l[:200], Options{})
	want := answers(t, x)
	if err := x.CatchUp(t.Context(), l.checkpoint(100), l); !errors.Is(err, ErrOlder) || x.Err() != err {
		t.Errorf("an older checkpoint: %v, %v", err, x.Err())
	}
	same(t, "after an older checkpoint", answers(t, x), want)

	mixed := append(slices.Clone(l[:150]), other...)
	if err := x.CatchUp(t.Context(), mixed.checkpoint(250), mixed); !errors.Is(err, ErrOtherLog) {
		t.Errorf("a forked log: %v", err)
	}
	if _, err := x.Search(t.Context(), Query{}); x.Next() != 0 || scitt.ProblemOf(err) == nil {
		t.Errorf("something of the other log is left: %v", err)
	}
	catchUp(t, x, mixed, 250)
	if x.Err() != nil {
		t.Error(x.Err())
	}
	same(t, "after a fork", answers(t, x), answers(t, indexed(t, mixed[:250], Options{})))

	if err := x.CatchUp(t.Context(), l.checkpoint(250), l); !errors.Is(err, ErrOtherLog) {
		t.Errorf("another log of the same size: %v", err)
	}
	catchUp(t, x, l, 250)
	named := l.checkpoint(250)
	named.Origin = "another.example"
	if err := x.CatchUp(t.Context(), named, l); err != nil {
		t.Fatal(err)
	}
	if a := ask(t, x, ""); a.Checkpoint.Origin != "another.example" || a.Checkpoint.Size != 250 {
		t.Errorf("%+v", a.Checkpoint)
	}
	bad := slices.Clone(l)
	bad[17] = other[17]
	if err := x.CatchUp(t.Context(), l.checkpoint(251), bad); err == nil {
		t.Error("another origin at another size was believed")
	}
}

// stopping is a log that fails, or waits, at an entry.
type stopping struct {
	memLog
	at   uint64
	stop func() error
}

func (s stopping) Entries(ctx context.Context, from, to uint64) iter.Seq2[tiles.Entry, error] {
	return func(yield func(tiles.Entry, error) bool) {
		for e, err := range s.memLog.Entries(ctx, from, to) {
			if e.Index == s.at && err == nil {
				err = s.stop()
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// TestHalfWay: while the index catches up it answers up to the checkpoint
// before; when it fails it goes on from there.
func TestHalfWay(t *testing.T) {
	l := eventLog(t, 0, 6000)
	x := openIndex(t, "", Options{})
	catchUp(t, x, l, 100)
	broken := errors.New("the disk is gone")
	err := x.CatchUp(t.Context(), l.checkpoint(6000), stopping{l, 5500, func() error { return broken }})
	if !errors.Is(err, broken) || !errors.Is(x.Err(), broken) {
		t.Errorf("%v, %v", err, x.Err())
	}
	if x.Next() < 4000 || x.Next() > 5500 {
		t.Errorf("next is %d", x.Next())
	}
	a := ask(t, x, "limit=1000&order=desc")
	if a.Checkpoint.Size != 100 || len(a.Entries) != 100 || a.Indexed != x.Next() {
		t.Errorf("half-way: %+v, %d entries, %d indexed", a.Checkpoint, len(a.Entries), a.Indexed)
	}
	for _, query := range []string{"q=volume&order=desc", "f.severity_id=3&order=time-desc", "policy=" + idOf(l[1]).String() + "&order=desc", "from=0&order=desc"} {
		for _, i := range indexes(ask(t, x, query)) {
			if i >= 100 {
				t.Errorf("%s: entry %d is not under the checkpoint", query, i)
			}
		}
	}
	stats := testlog.Must(x.Stats(t.Context()))(t)
	if sum := total(stats.Days); sum != 100 {
		t.Errorf("%d entries are counted", sum)
	}
	catchUp(t, x, l, 6000)
	same(t, "in two attempts", answers(t, x), answers(t, indexed(t, l, Options{})))
	if x.Err() != nil {
		t.Error(x.Err())
	}
}

func total(list []Count) (sum int64) {
	for _, c := range list {
		sum += c.Entries
	}
	return sum
}

// TestBusy: while something more important needs the processors, each bundle is
// a step of its own.
func TestBusy(t *testing.T) {
	l := eventLog(t, 0, 700)
	for busy, want := range map[bool]uint64{false: 0, true: 512} {
		x := openIndex(t, "", Options{Busy: func() bool { return busy }})
		err := x.CatchUp(t.Context(), l.checkpoint(700), stopping{l, 600, func() error { return io.ErrUnexpectedEOF }})
		if !errors.Is(err, io.ErrUnexpectedEOF) || x.Next() != want {
			t.Errorf("busy is %v: %d entries are read, want %d: %v", busy, x.Next(), want, err)
		}
	}
}

// TestStrangeLogs gives entries out of order, or too few.
func TestStrangeLogs(t *testing.T) {
	l := eventLog(t, 0, 10)
	for _, strange := range []Log{skipping{l}, short{l}} {
		x := openIndex(t, "", Options{})
		if err := x.CatchUp(t.Context(), l.checkpoint(10), strange); err == nil {
			t.Errorf("%T was believed", strange)
		}
	}
}

type skipping struct{ memLog }

func (s skipping) Entries(ctx context.Context, from, to uint64) iter.Seq2[tiles.Entry, error] {
	return s.memLog.Entries(ctx, from+1, to)
}

type short struct{ memLog }

func (s short) Entries(ctx context.Context, from, to uint64) iter.Seq2[tiles.Entry, error] {
	return s.memLog.Entries(ctx, from, to-1)
}

// TestPaging reads an answer page by page while the log grows: every entry
// that was there at the first page comes exactly once.
func TestPaging(t *testing.T) {
	l := eventLog(t, 0, 1500)
	for _, order := range []order{ascending, descending, byTime, byTimeDescending} {
		x := openIndex(t, "", Options{})
		size := 500
		catchUp(t, x, l, size)
		seen := map[uint64]int{}
		for after, pages := "", 0; ; pages++ {
			query := "class_uid=5023&limit=7&order=" + string(order)
			if after != "" {
				query += "&after=" + after
			}
			a := ask(t, x, query)
			for _, i := range indexes(a) {
				seen[i]++
			}
			if after = a.Next; after == "" {
				break
			}
			if size < len(l) {
				size += 50
				catchUp(t, x, l, size)
			}
		}
		for i := range uint64(500) {
			if want := map[bool]int{true: 1}[i%5 == 0]; seen[i] != want {
				t.Errorf("%s: entry %d came %d times, want %d", order, i, seen[i], want)
			}
		}
		for i, n := range seen {
			if n != 1 {
				t.Errorf("%s: entry %d came %d times", order, i, n)
			}
		}
	}
}

// TestReaders asks while the index grows, merges and is replaced: every answer
// is that of one checkpoint.
func TestReaders(t *testing.T) {
	const size = 600
	l := eventLog(t, 0, size)
	x := openIndex(t, "", Options{})
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var refused atomic.Int64
	for reader := range 4 {
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				a, err := x.Search(ctx, parseQuery(t, "class_uid=5023&limit=1000&q=volume"))
				if p := scitt.ProblemOf(err); p != nil && p.Status == 503 { // it is being made anew
					refused.Add(1)
					runtime.Gosched()
					continue
				}
				if err != nil {
					if ctx.Err() == nil {
						t.Errorf("reader %d: %v", reader, err)
					}
					return
				}
				if want := (a.Checkpoint.Size + 4) / 5; uint64(len(a.Entries)) != want {
					t.Errorf("reader %d: %d entries of checkpoint %d, want %d", reader, len(a.Entries), a.Checkpoint.Size, want)
				}
				if s, err := x.Stats(ctx); err == nil && total(s.Days) != int64(s.Checkpoint.Size) {
					t.Errorf("reader %d: %d counted of %d", reader, total(s.Days), s.Checkpoint.Size)
				}
				_, _ = x.Next(), x.Err()
			}
		})
	}
	for at := 0; at < size; at += 12 {
		catchUp(t, x, l, at)
		if at == 300 {
			execute(t, x, "DROP TABLE hit")
			for refused.Load() == 0 { // until a reader has seen it
				runtime.Gosched()
			}
		}
	}
	catchUp(t, x, l, size)
	cancel()
	group.Wait()
	same(t, "after all", answers(t, x), answers(t, indexed(t, l, Options{})))
}

// TestFollow runs the loop that a daemon runs.
func TestFollow(t *testing.T) {
	l := eventLog(t, 0, 100)
	x := openIndex(t, "", Options{})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		calls := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			x.Follow(ctx, time.Second/4, func(context.Context) (*scitt.Checkpoint, Log, error) {
				calls++
				if calls == 2 {
					return nil, nil, io.ErrUnexpectedEOF
				}
				return l.checkpoint(10 * calls), l, nil
			})
		}()
		time.Sleep(time.Second / 8)
		if x.Next() != 10 || x.Err() != nil {
			t.Errorf("%d, %v", x.Next(), x.Err())
		}
		time.Sleep(time.Second / 4)
		if !errors.Is(x.Err(), io.ErrUnexpectedEOF) {
			t.Errorf("%v", x.Err())
		}
		time.Sleep(time.Second) // and not a quarter of it
		if x.Next() != 30 || x.Err() != nil || calls != 3 {
			t.Errorf("%d, %v, %d calls", x.Next(), x.Err(), calls)
		}
		cancel()
		<-done
	})
}

// TestTooBroad: a query that would read too much is refused, and says what to do.
func TestTooBroad(t *testing.T) {
	l := eventLog(t, 0, 6000)
	x := indexed(t, l, Options{maxWork: 55_000})
	for _, query := range []string{"f.time=>0&f.severity_id=<0", "f.time=>0&limit=1000&after=none.0&order=time-asc", "f.time=>0&order=time-desc&limit=1000"} {
		_, err := x.Search(t.Context(), parseQuery(t, query))
		p := scitt.ProblemOf(err)
		if !errors.Is(err, ErrTooBroad) || p == nil || p.Status != 400 || !bytes.Contains([]byte(p.Detail), []byte("narrow your query")) {
			t.Errorf("%s: %v", query, err)
		}
	}
	expect(t, x, "f.message=inventory.create of instance 44 in region eu-west-2", 44)
	expect(t, x, "from=1750000000000&to=1750000000137", 0)
	for _, query := range []string{"limit=1000", "order=desc", "order=time-desc&index_from=5500", "f.time=>0", "f.time=>0&order=desc", "order=time-desc"} {
		if _, err := x.Search(t.Context(), parseQuery(t, query)); err != nil {
			t.Error(err)
		}
	}
}

// TestNewer: a file of a version to come is built anew.
func TestNewer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "search.db")
	db := testlog.Must(sql.Open("sqlite", "file:"+path))(t)
	if _, err := db.Exec("PRAGMA user_version = 3; CREATE TABLE state (other TEXT)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	x := openIndex(t, path, Options{})
	catchUp(t, x, eventLog(t, 0, 10), 10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, path, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("opened under a context that has ended: %v", err)
	}
	expect(t, x, "limit=1", 0)
	if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "no", "such", "directory", "search.db"), Options{}); err == nil {
		t.Error("a file in no directory was opened")
	}
}

// TestOlder: a file from before entry ids were what they are is built anew, and
// it is said why. Who may not change it is told.
func TestOlder(t *testing.T) {
	l := eventLog(t, 0, 10)
	path := filepath.Join(t.TempDir(), "search.db")
	x := openIndex(t, path, Options{})
	catchUp(t, x, l, 10)
	execute(t, x, "PRAGMA user_version = 1")
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	const why = "it was made by an older version (1, and this is 3)"
	if _, err := Open(t.Context(), path, Options{Keep: true}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), why) {
		t.Errorf("%v", err)
	}
	var said strings.Builder
	y := openIndex(t, path, Options{Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if y.Next() != 0 || !strings.Contains(said.String(), "made anew") || !strings.Contains(said.String(), why) {
		t.Errorf("%d entries: %s", y.Next(), said.String())
	}
	catchUp(t, y, l, 10)
	expect(t, y, "limit=1", 0)
}

// TestTwoIndexers: a second one on the same file stops before it does harm.
func TestTwoIndexers(t *testing.T) {
	l := eventLog(t, 0, 300)
	path := filepath.Join(t.TempDir(), "search.db")
	x, y := openIndex(t, path, Options{}), openIndex(t, path, Options{})
	catchUp(t, x, l, 100)
	if err := y.CatchUp(t.Context(), l.checkpoint(200), l); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("%v", err)
	}
	catchUp(t, x, l, 300)
	same(t, "the first", answers(t, x), answers(t, indexed(t, l, Options{})))
}
