package aws_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/go-sql-driver/mysql"
	"github.com/transparency-dev/tessera"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/aws"
	"github.com/conmotion/conmotion/tiles"
)

// sql does something in the log's database.
func (s *service) sql(statement string) {
	s.t.Helper()
	db := sql.OpenDB(testlog.Must(mysql.NewConnector(s.config().Database))(s.t))
	defer db.Close()
	if _, err := db.ExecContext(s.t.Context(), statement); err != nil {
		s.t.Fatal(err)
	}
}

// try appends an entry, and gives the error of either step.
func (s *service) try(content string) error {
	s.t.Helper()
	st := testlog.Must(scitt.ParseStatement(testlog.Statement(s.t, testlog.Key(s.t, "ES256"), "asset", []byte(content))))(s.t)
	wait, err := s.log.Append(s.t.Context(), st.Entry())
	if err == nil {
		_, _, err = wait(s.t.Context())
	}
	return err
}

// TestOldWriter: a writer whose lease ran out while it did not notice cannot add an
// entry and cannot publish.
func TestOldWriter(t *testing.T) {
	old := newService(t).open()
	receipts := map[string][]byte{}
	old.addMany(3, "before", receipts)

	next := *old
	next.file = t.TempDir() + "/index.db"
	second := testlog.Must(aws.New(t.Context(), next.config()))(t)
	patience, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	if _, err := second.Open(patience, old.log.Published().Checkpoint); !errors.Is(err, storage.ErrLocked) {
		t.Fatalf("a second writer: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	old.sql(`UPDATE conmotion_writer SET expires = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND`)
	next.open()
	defer next.close()
	if err := old.try("late"); !errors.Is(err, scitt.ErrUnavailable) {
		t.Errorf("the old writer's entry: %v", err)
	}
	note := next.log.Published().Checkpoint.Raw
	if err := old.driver.Publish(t.Context(), note, note); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("the old writer publishes: %v", err)
	}
	next.addMany(3, "after", receipts)
	if view := next.checker().Check(t, receipts); view.Checkpoint.Size != 6 {
		t.Errorf("the log has %d entries, want 6", view.Checkpoint.Size)
	}
	// It cannot drain: that its entry is not stored is known, and that nothing is published.
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_ = errors.Join(old.log.Close(ended), old.index.Close(), old.driver.Close())
	old.log = nil
}

// TestBatchSize: the fence refuses a batch of another size than was announced, and
// takes one of that size.
func TestBatchSize(t *testing.T) {
	s := newService(t).open()
	s.sql(`UPDATE conmotion_writer SET batch = 2`)
	if err := s.try("one"); !errors.Is(err, scitt.ErrUnavailable) || !strings.Contains(err.Error(), "divided") {
		t.Errorf("one entry where two are announced: %v", err)
	}
	add := testlog.Must(s.driver.Whole(t.Context(), 3))(t)
	var futures []tessera.IndexFuture
	for i := range 3 {
		futures = append(futures, add(t.Context(), tessera.NewEntry(fmt.Append(nil, i))))
	}
	for i, future := range futures {
		if place, err := future(); err != nil || place.Index != uint64(i) {
			t.Errorf("entry %d of a whole batch: %v, %v", i, place, err)
		}
	}
	if err := s.try("alone"); err != nil {
		t.Errorf("a batch of another size afterwards: %v", err)
	}
}

func TestRuns(t *testing.T) {
	s := newService(t).open()
	key := testlog.Key(t, "ES256")
	add := s.log.Run()
	var waits []func(context.Context) (uint64, bool, error)
	const n = 1500 // more than a batch
	for i := range n {
		st := testlog.Must(scitt.ParseStatement(testlog.Statement(t, key, "asset", fmt.Append(nil, i))))(t)
		waits = append(waits, testlog.Must(add(t.Context(), st.Entry()))(t))
	}
	for i, wait := range waits {
		if index, duplicate, err := wait(t.Context()); err != nil || duplicate || index != uint64(i) {
			t.Fatalf("entry %d is at %d (%v): %v", i, index, duplicate, err)
		}
	}
	s.close()
	if view := s.checker().Check(t, nil); view.Checkpoint.Size != n {
		t.Errorf("the closed log has published %d entries, want %d", view.Checkpoint.Size, n)
	}
}

// TestForeign: buckets and databases that do not belong together are refused, and
// nothing is written.
func TestForeign(t *testing.T) {
	one, two := newService(t), newService(t)
	for _, s := range []*service{one, two} {
		s.open().addMany(2, "entry", map[string][]byte{})
		s.close()
	}
	fresh := newService(t)
	before := objects(t, one)
	for name, mixed := range map[string]struct {
		bucket, database, keys *service
		want                   error
	}{
		"an empty database":          {one, fresh, one, storage.ErrForeign},
		"an empty bucket":            {fresh, one, one, storage.ErrForeign},
		"a bucket of another log":    {one, two, two, scitt.ErrCheckpoint},
		"a database of another log":  {one, two, one, storage.ErrForeign},
		"a second log in one bucket": {one, fresh, fresh, scitt.ErrCheckpoint},
	} {
		s := &service{t: t, parts: one.parts, bucket: mixed.bucket.bucket, database: mixed.database.database, keys: mixed.keys.keys, file: t.TempDir() + "/index.db"}
		if err := s.tryOpen(); !errors.Is(err, mixed.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := objects(t, one); after != before {
		t.Errorf("the bucket had %s, and has %s", before, after)
	}
	if left := objects(t, fresh); left != "" {
		t.Errorf("the empty bucket has %s", left)
	}
	var tables int
	db := sql.OpenDB(testlog.Must(mysql.NewConnector(fresh.config().Database))(t))
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()`).Scan(&tables); err != nil || tables != 0 {
		t.Errorf("the empty database has %d tables: %v", tables, err)
	}
}

// objects are the names and ETags of a bucket's objects.
func objects(t *testing.T, s *service) string {
	t.Helper()
	out := testlog.Must(s.bucket.Client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &s.bucket.Name}))(t)
	var all strings.Builder
	for _, o := range out.Contents {
		fmt.Fprintf(&all, "%s %s\n", *o.Key, *o.ETag)
	}
	return all.String()
}

// TestHeaders: each object has the headers that our own server gives it.
func TestHeaders(t *testing.T) {
	s := newService(t).open()
	s.addMany(300, "entry", map[string][]byte{})
	if err := s.driver.Put(t.Context(), tiles.KeysPath, []byte("keys")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{tiles.CheckpointPath, tiles.KeysPath, tiles.BundlePath(0, 0), tiles.TilePath(0, 0, 0)} {
		answer := testlog.Must(http.Get(s.bucket.URL + "/" + path))(t)
		answer.Body.Close()
		mediaType, cacheControl := tiles.Headers(path)
		if h := answer.Header; answer.StatusCode != 200 || h.Get("Content-Type") != mediaType || h.Get("Cache-Control") != cacheControl {
			t.Errorf("%s: %s %v", path, answer.Status, h)
		}
	}
}

// TestPublish: whatever S3 answers, the public checkpoint is what the driver says.
func TestPublish(t *testing.T) {
	s := newService(t)
	store := faulty(t, s)
	s.open()
	if err := s.try("first"); err != nil {
		t.Fatal(err)
	}
	last := testlog.Must(s.log.Await(t.Context(), 0))(t).Checkpoint.Raw

	// It arrived, and the answer did not: the SDK's second attempt finds another object.
	store.fault.Store(&faultLost)
	note := append(bytes.Clone(last), "— more\n"...)
	if err := s.driver.Publish(t.Context(), note, last); err != nil {
		t.Errorf("an answer is lost: %v", err)
	}
	store.fault.Store(nil)
	// Another process was faster.
	other := []byte("somebody else's")
	if _, err := s.bucket.Client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.bucket.Name, Key: awssdk.String("checkpoint"), Body: bytes.NewReader(other)}); err != nil {
		t.Fatal(err)
	}
	if err := s.driver.Publish(t.Context(), last, note); !errors.Is(err, storage.ErrMoved) {
		t.Errorf("over somebody else's: %v", err)
	}
	if there := testlog.Must(s.driver.Get(t.Context(), tiles.CheckpointPath))(t); !bytes.Equal(there, other) {
		t.Errorf("public is %s", there)
	}
	if err := s.driver.Publish(t.Context(), last, other); err != nil {
		t.Errorf("over what is known: %v", err)
	}
}

// TestNoConditions: a store that ignores a condition is not used.
func TestNoConditions(t *testing.T) {
	for _, header := range []string{"If-Match", "If-None-Match"} {
		s := newService(t)
		store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conditional := r.Header.Get("If-Match")+r.Header.Get("If-None-Match") != ""
			switch {
			case r.Method == http.MethodGet && r.URL.Query().Has("list-type"):
				_, _ = w.Write([]byte(`<ListBucketResult/>`))
			case r.Method == http.MethodGet:
				w.WriteHeader(http.StatusNotFound)
				_, _ = w.Write([]byte(`<Error><Code>NoSuchKey</Code></Error>`))
			case r.Method == http.MethodPut && conditional && r.Header.Get(header) == "":
				w.WriteHeader(http.StatusPreconditionFailed)
			}
		}))
		defer store.Close()
		s.bucket.Location = strings.ReplaceAll(s.bucket.Location, s.parts.Endpoint, store.URL)
		if err := s.tryOpen(); err == nil || !strings.Contains(err.Error(), "ignores "+header+",") {
			t.Errorf("without %s: %v", header, err)
		}
	}
}
