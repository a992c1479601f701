package drivertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transparency-dev/tessera"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/teststorage"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/index"
	"github.com/conmotion/conmotion/storage/internal/cloud"
	"github.com/conmotion/conmotion/tiles"
)

// Try appends an entry, and gives the error of either step.
func (s *Service) Try(content string) error {
	s.t.Helper()
	st := testlog.Must(scitt.ParseStatement(testlog.Statement(s.t, testlog.Key(s.t, "ES256"), "asset", []byte(content))))(s.t)
	wait, err := s.log.Append(s.t.Context(), st.Entry())
	if err == nil {
		_, _, err = wait(s.t.Context())
	}
	return err
}

// term is that of the newest writer.
func (s *Service) term() uint64 {
	s.t.Helper()
	return testlog.Must(s.Driver.Database.Term(s.t.Context()))(s.t)
}

// oldWriter: a writer whose lease ran out while it did not notice cannot add an
// entry and cannot publish.
func oldWriter(t *testing.T, newService func(testing.TB) *Service) {
	old := newService(t).Open()
	receipts := map[string][]byte{}
	old.addMany(3, "before", receipts)

	next := *old
	next.file = t.TempDir() + "/index.db"
	second := next.connect()
	if _, err := second.Open(t.Context(), old.log.Published().Checkpoint); !errors.Is(err, storage.ErrLocked) {
		t.Fatalf("a second writer: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	err := storage.ErrLocked
	for errors.Is(err, storage.ErrLocked) { // unless it renews its lease just then
		if err := old.Driver.Database.Release(t.Context(), old.term()); err != nil { // it ran out
			t.Fatal(err)
		}
		err = next.openNow()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if err := old.Try("late"); !errors.Is(err, scitt.ErrUnavailable) {
		t.Errorf("the old writer's entry: %v", err)
	}
	note := next.log.Published().Checkpoint.Raw
	if err := old.Driver.Publish(t.Context(), note, note); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("the old writer publishes: %v", err)
	}
	next.addMany(3, "after", receipts)
	if view := next.checker().Check(t, receipts); view.Checkpoint.Size != 6 {
		t.Errorf("the log has %d entries, want 6", view.Checkpoint.Size)
	}
	// It cannot drain: that its entry is not stored is known, and that nothing is published.
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_ = errors.Join(old.log.Close(ended), old.index.Close(), old.Driver.Close())
	old.log = nil
}

// batchSize: the fence refuses a batch of another size than was announced, and
// takes one of that size.
func batchSize(t *testing.T, newService func(testing.TB) *Service) {
	s := newService(t).Open()
	if err := s.Driver.Database.Batch(t.Context(), s.term(), 2); err != nil {
		t.Fatal(err)
	}
	if err := s.Try("one"); !errors.Is(err, scitt.ErrUnavailable) || !strings.Contains(err.Error(), "divided") {
		t.Errorf("one entry where two are announced: %v", err)
	}
	add := testlog.Must(s.Driver.Whole(t.Context(), 3))(t)
	var futures []tessera.IndexFuture
	for i := range 3 {
		futures = append(futures, add(t.Context(), tessera.NewEntry(fmt.Append(nil, i))))
	}
	for i, future := range futures {
		if place, err := future(); err != nil || place.Index != uint64(i) {
			t.Errorf("entry %d of a whole batch: %v, %v", i, place, err)
		}
	}
	if err := s.Try("alone"); err != nil {
		t.Errorf("a batch of another size afterwards: %v", err)
	}
}

func runs(t *testing.T, newService func(testing.TB) *Service) {
	s := newService(t).Open()
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
	s.Close()
	if view := s.checker().Check(t, nil); view.Checkpoint.Size != n {
		t.Errorf("the closed log has published %d entries, want %d", view.Checkpoint.Size, n)
	}
}

// foreign: buckets and databases that do not belong together are refused, and
// nothing is written, neither while their logs have a writer, so that a start is one of a
// replica, nor without one.
func foreign(t *testing.T, newService func(testing.TB) *Service) {
	one, two, fresh := newService(t), newService(t), newService(t)
	places := []*Service{one, two, fresh}
	for _, s := range places[:2] {
		s.Open().addMany(2, "entry", map[string][]byte{})
	}
	// What is there but the lease, which its writer renews.
	there := func() (all []string) {
		t.Helper()
		for _, s := range places {
			d := s.connect()
			w := testlog.Must(d.Database.Writer(t.Context()))(t)
			all = append(all, fmt.Sprintf("%v; %d tables, %+v, term %d", testlog.Must(s.Objects(t.Context()))(t),
				testlog.Must(s.Tables(t.Context()))(t), testlog.Must(d.Database.State(t.Context()))(t), w.Term))
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
		return all
	}
	for _, held := range []bool{true, false} {
		if !held {
			one.Close()
			two.Close()
		}
		before := there()
		for name, mixed := range map[string]struct {
			bucket, database, keys *Service
			want                   error
		}{
			"an empty database":          {one, fresh, one, storage.ErrForeign},
			"an empty bucket":            {fresh, one, one, storage.ErrForeign},
			"a bucket of another log":    {one, two, two, scitt.ErrCheckpoint},
			"a database of another log":  {one, two, one, storage.ErrForeign},
			"a second log in one bucket": {one, fresh, fresh, scitt.ErrCheckpoint},
		} {
			s := *mixed.keys
			s.file = t.TempDir() + "/index.db"
			s.Connect = func(ctx context.Context, endpoint string, o storage.WriterOptions) (*cloud.Driver, error) {
				bucket := testlog.Must(mixed.bucket.Connect(ctx, endpoint, o))(t)
				database := testlog.Must(mixed.database.Connect(ctx, endpoint, o))(t)
				return cloud.New(cloud.Place{Bucket: bucket.Bucket, Database: database.Database, Engine: database.Engine, Interval: database.Interval}, o), bucket.Close()
			}
			if err := s.openNow(); !errors.Is(err, mixed.want) {
				t.Errorf("%s, with a writer %v: %v", name, held, err)
			}
		}
		if after := there(); !slices.Equal(after, before) {
			t.Errorf("with a writer %v: there was\n%s\nand is\n%s", held, strings.Join(before, "\n"), strings.Join(after, "\n"))
		}
	}
}

// madeMeanwhile: a new log of which nothing is public yet leaves a bucket in which another
// log is public.
func madeMeanwhile(t *testing.T, newService func(testing.TB) *Service) {
	s := newService(t).Open()
	theirs := []byte("other.example\n0\n")
	if _, err := s.Driver.Bucket.Put(t.Context(), tiles.CheckpointPath, theirs, cloud.Condition{}); err != nil {
		t.Fatal(err)
	}
	<-s.Driver.Lost()
	Says(t, "ready", s.Driver.Ready(t.Context()), storage.ErrForeign, []string{s.Driver.String(), "other.example"})
	s.log.Abandon()
	if there := testlog.Must(s.Driver.Get(t.Context(), tiles.CheckpointPath))(t); !bytes.Equal(there, theirs) {
		t.Errorf("public is %s", there)
	}
}

// format: of a log of a later format nobody who does not know it becomes the writer, and
// one that runs follows it; one without a format, which an earlier release made, goes on.
func format(t *testing.T, newService func(testing.TB) *Service) {
	s := newService(t).Open()
	receipts := map[string][]byte{}
	set := func(format int) {
		t.Helper()
		if err := s.SetFormat(t.Context(), format); err != nil {
			t.Fatal(err)
		}
	}
	s.addMany(2, "before", receipts)
	follower, o := s.connect(), teststorage.Options(s.keys)
	x := testlog.Must(index.Open(t.Context(), t.TempDir()+"/index.db", nil, nil))(t)
	o.Antispam = x
	log := testlog.Must(storage.Follow(t.Context(), follower, o))(t)
	s.Close()
	before := testlog.Must(s.Objects(t.Context()))(t)
	set(cloud.Format + 1)
	const want = "start a newer release"
	start, takeOver := s.TryOpen(), log.Write(t.Context())
	s.log = nil
	if start == nil || takeOver == nil || !strings.Contains(start.Error(), want) || !strings.Contains(takeOver.Error(), want) || errors.Is(takeOver, storage.ErrLocked) {
		t.Errorf("a start: %v; a replica that takes over: %v", start, takeOver)
	}
	if after := testlog.Must(s.Objects(t.Context()))(t); !maps.Equal(after, before) {
		t.Errorf("the bucket had %s, and has %s", before, after)
	}
	if log.PublishedSize() != 2 || !errors.Is(log.ReadOnly(), storage.ErrLocked) {
		t.Errorf("the replica follows %d entries: %v", log.PublishedSize(), log.ReadOnly())
	}
	for _, format := range []int{cloud.Format, 0} {
		set(format)
		s.Open().addMany(2, fmt.Sprint(format), receipts)
		s.Close()
	}
	s.checker().Check(t, receipts)
	log.Abandon() // as one that loses the lease while it takes over
	if err := errors.Join(log.Close(t.Context()), x.Close(), follower.Close()); err != nil {
		t.Error(err)
	}
}

// moved: a log that was moved has no writer any more, also where one takes the lease that had
// looked before.
func moved(t *testing.T, newService func(testing.TB) *Service) {
	s := newService(t).Open()
	if err := s.Try("entry"); err != nil {
		t.Fatal(err)
	}
	if err := s.Driver.MovedTo(t.Context(), "elsewhere"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	d := s.connect()
	term := testlog.Must(d.Database.Take(t.Context(), "", time.Minute))(t)
	if to := testlog.Must(d.Moved(t.Context()))(t); to != "elsewhere" {
		t.Errorf("to a writer that took the lease the log is at %q", to)
	}
	if err := errors.Join(d.Database.Release(t.Context(), term), d.Close()); err != nil {
		t.Error(err)
	}
	if err := s.TryOpen(); !errors.Is(err, storage.ErrMovedAway) {
		t.Errorf("a start: %v", err)
	}
}

// headers: each object has the headers that our own server gives it.
func headers(t *testing.T, newService func(testing.TB) *Service) {
	s := newService(t).Open()
	s.addMany(300, "entry", map[string][]byte{})
	if err := s.Driver.Put(t.Context(), tiles.KeysPath, []byte("keys")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{tiles.CheckpointPath, tiles.KeysPath, tiles.BundlePath(0, 0), tiles.TilePath(0, 0, 0)} {
		answer := testlog.Must(http.Get(s.URL + "/" + path))(t)
		answer.Body.Close()
		mediaType, cacheControl := tiles.Headers(path)
		if h := answer.Header; answer.StatusCode != 200 || h.Get("Content-Type") != mediaType || h.Get("Cache-Control") != cacheControl {
			t.Errorf("%s: %s %v", path, answer.Status, h)
		}
	}
}

// publish: whatever S3 answers, the public checkpoint is what the driver says.
func publish(t *testing.T, newService func(testing.TB) *Service) {
	s := newService(t)
	store := faulty(t, s)
	s.Open()
	if err := s.Try("first"); err != nil {
		t.Fatal(err)
	}
	last := testlog.Must(s.log.Await(t.Context(), 0))(t).Checkpoint.Raw

	// It arrived, and the answer did not: the SDK's second attempt finds another object.
	store.fault.Store(&faultLost)
	note := append(bytes.Clone(last), "— more\n"...)
	if err := s.Driver.Publish(t.Context(), note, last); err != nil {
		t.Errorf("an answer is lost: %v", err)
	}
	store.fault.Store(nil)
	// Another process was faster.
	other := append(bytes.Clone(note), "— somebody else's\n"...)
	if _, err := s.Driver.Bucket.Put(t.Context(), tiles.CheckpointPath, other, cloud.Condition{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Driver.Publish(t.Context(), last, note); !errors.Is(err, storage.ErrMoved) {
		t.Errorf("over somebody else's: %v", err)
	}
	if there := testlog.Must(s.Driver.Get(t.Context(), tiles.CheckpointPath))(t); !bytes.Equal(there, other) {
		t.Errorf("public is %s", there)
	}
	if err := s.Driver.Publish(t.Context(), last, other); err != nil {
		t.Errorf("over what is known: %v", err)
	}
}

// atOnce: of instances that start at once one is the writer, and the others know it.
func atOnce(t *testing.T, newService func(testing.TB) *Service) {
	s := newService(t)
	rounds := 0
	testwait.Until(t, func() bool {
		var drivers [4]*cloud.Driver
		var errs [4]error
		for i := range drivers {
			drivers[i] = s.connect()
		}
		var group sync.WaitGroup
		for i, d := range drivers {
			group.Go(func() { errs[i] = OpenLog(t.Context(), d) })
		}
		group.Wait()
		writers := 0
		for i, err := range errs {
			if err == nil {
				writers++
			} else if !errors.Is(err, storage.ErrLocked) {
				t.Error(err)
			}
			if err := drivers[i].Close(); err != nil {
				t.Error(err)
			}
		}
		if writers > 1 {
			t.Errorf("there are %d writers", writers)
		}
		rounds += writers // without one, one that was very slow has the lease until it runs out
		return rounds == 5 || t.Failed()
	}, "there is a writer in each of five rounds")
}
