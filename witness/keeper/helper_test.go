package keeper

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	_ "modernc.org/sqlite" // the driver of the stores

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	artifacts "github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/cosigner"
	"github.com/conmotion/conmotion/witness/cosigner/store"
)

func TestMain(m *testing.M) {
	testwait.Quick()
	m.Run()
}

// world is a log, and a witness with companions, which may be started again.
type world struct {
	testing.TB
	keys    *testlog.Keys
	files   testlog.Files
	entries [][]byte
	dir     string
	pulls   bool          // the log's files are known
	every   time.Duration // between two checks of the mirror, where it is not the default
	// artifacts is the content behind its hashes; nil when it is not known.
	artifacts *artifacts.Reader

	pending, own *cosigner.Witness
	audited      *cosigner.Witness
	mirror       *logMirror
	judge        *judge
	handler      http.Handler
	metrics      *sdk.ManualReader
	stop         func()
}

func newWorld(t *testing.T) *world {
	w := &world{TB: t, keys: testlog.NewKeys(t), dir: t.TempDir()}
	w.entries = w.keys.Begin(t, `{"version": 1}`)
	return w
}

// grow makes the log larger by entries of any content.
func (w *world) grow(size int) {
	for i := len(w.entries); i < size; i++ {
		w.entries = append(w.entries, fmt.Appendf(nil, "entry %d", i))
	}
	w.files.Publish(w, w.keys, w.entries)
}

// witness opens a witness whose key and state are in a directory.
func (w *world) witness(name string) (*cosigner.Witness, *store.Store) {
	w.Helper()
	dir := filepath.Join(w.dir, filepath.Base(name))
	keyFile := filepath.Join(dir, "key")
	key, err := os.ReadFile(keyFile)
	isNew := err != nil
	if isNew {
		ed, _, err := scitt.GenerateCosignerKeys(name)
		if err != nil {
			w.Fatal(err)
		}
		key = []byte(ed)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			w.Fatal(err)
		}
		if err := os.WriteFile(keyFile, key, 0o600); err != nil {
			w.Fatal(err)
		}
	}
	s := testlog.Must(store.Open(w.Context(), filepath.Join(dir, "db"), filepath.Join(dir, "guard"), isNew))(w)
	c := testlog.Must(scitt.ParseCosignerKey(string(key)))(w)
	out := testlog.Must(cosigner.New([]*scitt.Cosigner{c}, s, time.Now, slog.New(slog.DiscardHandler)))(w)
	w.know(out, w.keys.VKeys)
	return out, s
}

// know tells witnesses the keys of the log.
func (w *world) know(c *cosigner.Witness, vkeys []string) {
	w.Helper()
	list := cosigner.List{}
	for _, vkey := range vkeys {
		if err := list.Add(testlog.Must(cosigner.NewLog(vkey, "", 1<<30, "a test"))(w)); err != nil {
			w.Fatal(err)
		}
	}
	if err := c.SetLogs(list); err != nil {
		w.Fatal(err)
	}
}

// source is where the log's files are read, when w.pulls.
func (w *world) source(*cosigner.Log) (tiles.Source, *artifacts.Reader, error) {
	if !w.pulls {
		return nil, nil, nil
	}
	return &w.files, w.artifacts, nil
}

// start starts the witness, as a process does. The test ends it, or stop does.
func (w *world) start() {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var stores [3]*store.Store
	w.pending, stores[0] = w.witness("witness.example/w1")
	w.own, stores[1] = w.witness("witness.example/w1/mirror")
	w.mirror = NewMirror(ctx, w.pending, w.own, filepath.Join(w.dir, "kept"), w.source, slog.New(slog.DiscardHandler)).(*logMirror)
	w.audited, stores[2] = w.witness("witness.example/w1/audited")
	w.judge = NewJudge(ctx, w.pending, w.audited, filepath.Join(w.dir, "judged"), w.source, time.Minute, slog.New(slog.DiscardHandler)).(*judge)
	w.metrics = sdk.NewManualReader()
	meter := sdk.NewMeterProvider(sdk.WithReader(w.metrics)).Meter("test")
	w.handler = testlog.Must(cosigner.NewHandler(w.pending, meter, w.mirror, w.judge))(w)
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(w.mirror.Close(), w.judge.Close()); err != nil {
			w.Error(err)
		}
		for _, s := range stores {
			if err := s.Close(); err != nil {
				w.Error(err)
			}
		}
	})
	w.Cleanup(w.stop)
	w.mirror.every = cmp.Or(w.every, w.mirror.every)
	w.mirror.Resume()
	w.judge.Resume()
}

// metric is a gauge, or how often a histogram got a value; -1 when it is not there.
func (w *world) metric(name string) (value int64) {
	w.Helper()
	var all metricdata.ResourceMetrics
	if err := w.metrics.Collect(w.Context(), &all); err != nil {
		w.Fatal(err)
	}
	value = -1
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != "conmotion.witness."+name {
				continue
			}
			value = 0
			switch d := m.Data.(type) {
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					value += p.Value
				}
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					value += p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					value += int64(p.Count)
				}
			}
		}
	}
	return value
}

// view is the log as its checkpoint of a size commits to it.
func (w *world) view(size int) *tiles.View {
	w.Helper()
	var f testlog.Files
	f.Publish(w, w.keys, w.entries[:size])
	return testlog.Must(tiles.NewLog(&f, w.keys.Verifiers).Latest(w.Context()))(w)
}

// pend has the witness cosign the log at a size, from the size that it has.
func (w *world) pend(size int) {
	w.Helper()
	if rec := w.ask(http.MethodPost, "/add-checkpoint", w.request(size).Marshal(), ""); rec.Code != http.StatusOK {
		w.Fatalf("add-checkpoint of size %d: %d %s", size, rec.Code, rec.Body)
	}
}

func (w *world) ask(method, path string, body []byte, encoding string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(w.Context(), method, path, bytes.NewReader(body))
	if encoding != "" {
		r.Header.Set("Content-Encoding", encoding)
	}
	w.handler.ServeHTTP(rec, r)
	return rec
}

// upload is the body that uploads entries, of so many packages at most.
func (w *world) upload(start, end, packages int, ticket []byte) []byte {
	w.Helper()
	u := upload{origin: testlog.Origin, start: uint64(start), end: uint64(end), ticket: ticket}
	body := u.append(nil)
	for at := u.start; at < u.end && packages > 0; packages-- {
		s := u.next(at)
		body = w.parcel(s, end).append(body)
		at = s.end
	}
	return body
}

func (w *world) parcel(s span, size int) parcel {
	w.Helper()
	nodes := testlog.Must(proof.SubtreeConsistency(s.first, s.end, uint64(size)))(w)
	var hashes [][]byte
	for _, id := range nodes.IDs {
		var leaves [][]byte
		for _, e := range w.entries[id.Index<<id.Level : (id.Index+1)<<id.Level] {
			leaves = append(leaves, scitt.LeafHash(e))
		}
		hashes = append(hashes, testlog.Must(rootOf(leaves))(w))
	}
	return parcel{w.entries[s.start:s.end], testlog.Must(nodes.Rehash(hashes, scitt.TreeHasher{}.HashChildren))(w)}
}

// entries sends an upload and returns what the mirror says of where it is.
func (w *world) send(body []byte, encoding string) (status int, i info, lines []byte) {
	w.Helper()
	rec := w.ask(http.MethodPost, "/add-entries", body, encoding)
	switch rec.Code {
	case http.StatusOK:
		lines = rec.Body.Bytes()
	case http.StatusAccepted, http.StatusConflict:
		parts := strings.Split(rec.Body.String(), "\n")
		if rec.Header().Get("Content-Type") != infoMediaType || len(parts) != 4 || parts[3] != "" {
			w.Fatalf("%d: %q", rec.Code, rec.Body)
		}
		i.size = testlog.Must(strconv.ParseUint(parts[0], 10, 64))(w)
		i.next = testlog.Must(strconv.ParseUint(parts[1], 10, 64))(w)
		i.ticket = unbase64(w, parts[2])
	}
	return rec.Code, i, lines
}

// served is the mirror to a reader, who verifies all of it.
func (w *world) served() *scitt.Checkpoint {
	w.Helper()
	cp, err := w.readMirror()
	if err != nil {
		w.Fatal(err)
	}
	return cp
}

func (w *world) readMirror() (*scitt.Checkpoint, error) {
	files := tiles.NewLog(monitored{w}, w.keys.Verifiers)
	view, err := files.Latest(w.Context())
	if err != nil {
		return nil, err
	}
	mirrorKey := testlog.Must(scitt.NewCosignatureVerifier(w.own.VKeys()[0]))(w)
	if _, sigs, err := scitt.OpenNote(view.Checkpoint.Raw, mirrorKey); err != nil || len(sigs) != 1 {
		return nil, fmt.Errorf("the mirror's cosignature: %d, %w", len(sigs), err)
	}
	for e, err := range view.Entries(w.Context(), 0, view.Checkpoint.Size) {
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(e.Data, w.entries[e.Index]) {
			return nil, fmt.Errorf("entry %d is another one", e.Index)
		}
	}
	return view.Checkpoint, nil
}

// monitored are the files of the log below the monitoring prefix of the mirror.
type monitored struct{ w *world }

func (m monitored) Get(_ context.Context, path string) ([]byte, error) {
	rec := m.w.ask(http.MethodGet, "/mirror/"+cosigner.HashOf(testlog.Origin)+"/"+path, nil, "")
	switch rec.Code {
	case http.StatusOK:
		return rec.Body.Bytes(), nil
	case http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w", path, os.ErrNotExist)
	}
	return nil, fmt.Errorf("%s: status %d", path, rec.Code)
}

func zip(t testing.TB, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readerOf(body []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(body)) }
