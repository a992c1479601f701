package daemon_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/storage/aws"
)

// said is what a service logged.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements [io.Writer].
func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// await waits for a text, and forgets what was said.
func (s *said) await(t *testing.T, text string) {
	t.Helper()
	testwait.Until(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		found := strings.Contains(s.text.String(), text)
		if found {
			s.text.Reset()
		}
		return found
	}, "it says ", text, ", and said ", &s.text)
}

// TestSnapshot: an instance without an index begins with the snapshot, and one that
// does not fit is not used.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	p := cloud.AWS(t)
	private, other := testlog.Must(p.NewBucket(t.Context(), false))(t), testlog.Must(p.NewBucket(t.Context(), false))(t)
	const manifest = "index/manifest.json"
	store := testlog.Must(aws.OpenStore(t.Context(), testlog.Must(aws.ParseBucket(private.Location))(t)))(t)
	strange := testlog.Must(aws.OpenStore(t.Context(), testlog.Must(aws.ParseBucket(other.Location))(t)))(t)
	get := func(from interface {
		Get(context.Context, string) ([]byte, error)
	}, key string) []byte {
		return testlog.Must(from.Get(t.Context(), key))(t)
	}
	log := &said{}
	var url string
	with := func(snapshots string) func(*daemon.Config) {
		place, public, _ := inBucket(t, p)
		url = public.URL
		return func(c *daemon.Config) {
			place(c)
			c.Search, c.Snapshots, c.SnapshotEntries, c.Logger = false, snapshots, 1, slog.New(slog.NewTextHandler(log, nil))
		}
	}
	foreign := newService(t, with(other.Location))
	log.await(t, `"a snapshot of the index is saved" entries=`)
	foreign.stop()

	s := newService(t, with(private.Location))
	s.url = url
	log.await(t, `"a snapshot of the index is saved" entries=2`) // keys and policy
	first := get(store, manifest)
	s.config.SnapshotEntries = 300
	s.stop()
	s.start() // with which there is no other one before long
	key := testlog.Key(t, "ES256")
	all := chain(t, key, "records", nil, 300)
	if _, receipts, problem := s.bulk(all); problem != nil || len(receipts) != len(all) {
		t.Fatal(problem)
	}
	restart := func() {
		t.Helper()
		s.stop()
		for _, name := range testlog.Must(filepath.Glob(filepath.Join(s.config.Dir, "private", "index.db*")))(t) {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
		write(t, filepath.Join(s.config.Dir, "private", "index.db.copy"), []byte("left by a crash"))
		s.start()
		for _, statement := range append(all[:2:2], all[len(all)-1]) {
			if a := s.do(http.MethodPost, "/entries", statement); a.StatusCode != http.StatusCreated {
				t.Errorf("what is registered, again: %s", a.Status)
			}
		}
		if size := s.checker().Check(t, nil).Checkpoint.Size; size != uint64(2+len(all)) {
			t.Fatalf("the log has %d entries", size)
		}
	}
	log.await(t, `"a snapshot of the index is saved" entries=302`)
	restart()
	log.await(t, `"the index begins with a snapshot" entries=302 of=302`)
	if left := testlog.Must(filepath.Glob(filepath.Join(s.config.Dir, "private", "index.db.*")))(t); len(left) != 0 {
		t.Errorf("beside the index is %v", left)
	}

	put := func(key string, data []byte) {
		t.Helper()
		if err := store.Put(t.Context(), key, data); err != nil {
			t.Fatal(err)
		}
	}
	whole, strangers := get(store, manifest), get(strange, manifest)
	slot := func(manifest []byte) string {
		if bytes.Contains(manifest, []byte(`"slot":"a"`)) {
			return "a"
		}
		return "b"
	}
	if slot(first) == slot(whole) {
		t.Error("a snapshot is written over the one before it, which the manifest still names")
	}
	key0 := "index/" + slot(whole) + "/000000"
	part := get(store, key0)
	s.config.SnapshotEntries = 1000 // none is saved from here on
	more := testlog.Statement(t, key, "asset", []byte("after the snapshot"))
	s.register(more)
	all = append(all, more)
	restart()
	log.await(t, `"the index begins with a snapshot" entries=302 of=303`)
	for name, c := range map[string]struct {
		change func()
		why    string
	}{
		"a part is damaged": {func() { put(key0, append(part[:len(part)-1:len(part)-1], part[len(part)-1]^1)) }, "part 0 of the snapshot is not"},
		"another sum": {func() {
			put(manifest, bytes.Replace(whole, []byte(`"sha256":"`), []byte(`"sha256":"00`), 1))
		}, "is not what its manifest names"},
		"no manifest": {func() { put(manifest, []byte("{")) }, "cannot be used"},
		"another log's": {func() {
			put(manifest, bytes.Replace(strangers, []byte(`"slot":"`+slot(strangers)), []byte(`"slot":"`+slot(whole)), 1))
			put(key0, get(strange, "index/"+slot(strangers)+"/000000"))
		}, "the log of size 303 does not extend"},
	} {
		t.Log(name)
		c.change()
		restart()
		log.await(t, c.why)
		put(manifest, whole)
		put(key0, part)
	}

	// Those of another log stay.
	theirs := bytes.Replace(whole, []byte(`"origin":"transparency.example"`), []byte(`"origin":"other.example"`), 1)
	put(manifest, theirs)
	s.config.SnapshotEntries = 1
	restart()
	log.await(t, `"no snapshot of the index is saved" err="this is another log's: `)
	if now := get(store, manifest); !bytes.Equal(now, theirs) {
		t.Errorf("the manifest of another log was replaced by %s", now)
	}
	// Those of an earlier log of the same name, which had more entries, do not.
	put(manifest, bytes.Replace(whole, []byte(`"size":302`), []byte(`"size":900000`), 1))
	restart()
	log.await(t, `"a snapshot of the index is saved" entries=303`)
}
