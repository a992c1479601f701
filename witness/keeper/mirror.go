package keeper

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/conmotion/conmotion/internal/content"
	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
	"github.com/conmotion/conmotion/witness/cosigner"
	"github.com/conmotion/conmotion/witness/mirror"
)

const (
	// mostCopies is how many logs are copied, or judged, at a time.
	mostCopies = 4
	// mostUploads is how many uploads are read at a time. Each holds a package: at most 17 MB.
	mostUploads = 8
	// retryCopy is the most time between attempts to copy a log that cannot be read.
	retryCopy = time.Minute
)

// logMirror keeps logs. Its pending checkpoint of a log is the one that the witness
// cosigned last, and its mirror checkpoint is the one that its own keys did.
type logMirror struct {
	pending, own *cosigner.Witness
	dir          string
	files        Files
	logger       *slog.Logger
	tickets      tickets
	uploads      chan struct{} // a slot for each upload that is read
	mended       metric.Int64Counter
	followers

	mu   sync.Mutex
	logs map[string]*kept // by origin
}

// kept is a log that is kept.
type kept struct {
	origin string
	dir    string

	held chan struct{} // a slot for whoever uses what follows, and the directory
	copy *mirror.Copy  // nil before the first use
	// next is the first entry that is not there: those from the mirror checkpoint on
	// were uploaded and authenticated by this process.
	next uint64
	// broken says that what the mirror's key signed is not all there.
	broken    bool
	tried     bool      // to make it whole from its own entries
	checked   uint64    // the entry that the next check begins with
	checkedAt time.Time // the last check

	missed atomic.Uint64 // an entry whose files a reader did not get, and 1; 0 for none
}

// NewMirror keeps the logs of the witness pending in directories below dir, and
// cosigns with the keys of own what is durable there. A log whose files are not known
// is kept when somebody uploads its entries. The work ends with the context.
func NewMirror(ctx context.Context, pending, own *cosigner.Witness, dir string, files Files, logger *slog.Logger) Companion {
	return &logMirror{
		pending: pending, own: own, dir: dir, files: files, logger: logger, tickets: tickets{[]byte(rand.Text())},
		uploads: make(chan struct{}, mostUploads), mended: noop.Int64Counter{}, logs: map[string]*kept{},
		followers: followers{
			ctx: ctx, slots: make(chan struct{}, mostCopies), most: retryCopy, every: checkEvery, logger: logger, logs: map[string]*followed{},
			failed: "a log could not be mirrored, and will be tried again",
		},
	}
}

func (m *logMirror) Close() (err error) {
	m.work.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.logs {
		if k.copy != nil {
			err = errors.Join(err, k.copy.Close())
		}
	}
	return err
}

func (m *logMirror) Resume() {
	for _, origin := range m.pending.Origins() {
		m.Stored(m.ctx, origin, nil)
	}
}

// Stored implements [cosigner.Companion]. It returns nothing.
//
// C2SP tlog-mirror: "The mirror cosigner MUST NOT sign the checkpoint in this process."
func (m *logMirror) Stored(_ context.Context, origin string, _ []byte) []byte {
	m.start(m.of(origin))
	return nil
}

func (m *logMirror) start(k *kept) {
	m.poke(k.origin, func(ctx context.Context) error { return m.pull(ctx, k) })
}

func (m *logMirror) of(origin string) *kept {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.logs[origin]
	if k == nil {
		k = &kept{origin: origin, dir: filepath.Join(m.dir, cosigner.HashOf(origin)), held: make(chan struct{}, 1)}
		m.logs[origin] = k
	}
	return k
}

// holdTimeout is how long an upload waits while the log is copied, or others upload it.
const holdTimeout = 5 * time.Second

// hold waits for the log; free lets others have it.
func (k *kept) hold(ctx context.Context) error {
	timeout := time.NewTimer(holdTimeout)
	defer timeout.Stop()
	select {
	case k.held <- struct{}{}:
		return nil
	case <-timeout.C:
	case <-ctx.Done():
	}
	return &cosigner.Refusal{Status: http.StatusServiceUnavailable, Retry: holdTimeout, Err: errors.New("the log is being copied")}
}

func (k *kept) free() { <-k.held }

// pull brings the copy up to the pending checkpoint from the log's own files, and makes
// it whole again where it is not.
func (m *logMirror) pull(ctx context.Context, k *kept) error {
	log, err := m.pending.Known(k.origin)
	if err != nil {
		return nil // it is not followed any more
	}
	src, _, err := m.files(log)
	if err != nil {
		return err
	}
	select {
	case k.held <- struct{}{}:
		defer k.free()
	case <-ctx.Done():
		return ctx.Err()
	}
	state, err := m.pending.State(ctx, k.origin)
	if err != nil || state.Text == nil {
		return err
	}
	own, err := m.own.State(ctx, k.origin)
	if err != nil || src == nil && own.Root == nil {
		return err
	}
	if err := m.open(ctx, k); err != nil {
		return err
	}
	if err := m.check(ctx, k, own); err != nil {
		return err
	}
	if !k.broken && (src == nil || own.Size == state.Size && own.Root != nil) {
		return nil
	}
	if src == nil && k.tried {
		return fmt.Errorf("%w: somebody has to upload its entries again", errBroken)
	}
	if src == nil { // the tiles may follow from the entries
		src, state, k.tried = built{tiles.Dir(k.dir), 0}, own, true
	}
	_, err = m.update(ctx, k, src, state.Signed())
	if err != nil && !k.broken {
		k.next = own.Size // of what was copied beyond nothing is known
	}
	return m.suspect(ctx, k, own, 1, err)
}

// update makes the copy the log at a checkpoint, and cosigns that. The log is held.
func (m *logMirror) update(ctx context.Context, k *kept, src tiles.Source, signed []byte) (lines []byte, err error) {
	cp, _, err := scitt.OpenNote(signed)
	if err != nil {
		return nil, err
	}
	if err := m.open(ctx, k); err != nil {
		return nil, err
	}
	view, err := tiles.NewTree(src).At(ctx, cp)
	if err != nil {
		return nil, err
	}
	_, err = k.copy.Update(ctx, mirror.Log{
		Files: &tiles.Log{Source: src}, View: view, Extends: view.Consistency,
		Publish: func(ctx context.Context, copied *tiles.View) (note []byte, err error) {
			// From here on all that the checkpoint covers is on the disk. A crash before the
			// end leaves a state of the cosigner with an older checkpoint beside the tiles.
			if lines, err = cosign(ctx, m.own, copied, signed); err != nil {
				return nil, err
			}
			return bytes.Join([][]byte{signed, lines}, nil), nil
		},
	}, mirror.Options{})
	if err == nil {
		k.next = max(k.next, cp.Size)
		m.whole(ctx, k)
	}
	return lines, err
}

// cosign has a cosigner sign a checkpoint whose tiles are read here.
func cosign(ctx context.Context, by *cosigner.Witness, view *tiles.View, signed []byte) ([]byte, error) {
	state, err := by.State(ctx, view.Checkpoint.Origin)
	if err != nil {
		return nil, err
	}
	r := &witness.AddCheckpoint{Old: state.Size, Checkpoint: signed}
	if state.Size <= view.Checkpoint.Size { // else it refuses
		if r.Proof, err = view.ConsistencyProof(ctx, state.Size); err != nil {
			return nil, err
		}
	}
	return by.AddCheckpoint(ctx, r)
}

// open opens the directory of the log, which begins at the mirror checkpoint, or at
// nothing when it has none.
func (m *logMirror) open(ctx context.Context, k *kept) error {
	if k.copy != nil {
		return nil
	}
	state, err := m.own.State(ctx, k.origin)
	if err != nil {
		return err
	}
	if k.copy, err = mirror.OpenCopy(ctx, k.dir); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(k.dir, tiles.CheckpointPath)); errors.Is(err, fs.ErrNotExist) && state.Root != nil && !k.broken {
		k.broken = true
		m.logger.Error(brokenMessage, "log", k.origin, "err", fmt.Errorf("%w: there is no checkpoint", errBroken))
	}
	if k.next = state.Size; k.broken {
		k.next = 0
	}
	return nil
}

// Routes implements [cosigner.Companion].
//
// C2SP tlog-mirror: the mirror "maintains a copy of each origin log and serves it
// publicly via the tiled transparency log interface. It uses a URL prefix of
// <monitoring prefix>/<origin hash>". "The monitoring prefixes MUST be distinct."
func (m *logMirror) Routes(mux *http.ServeMux) {
	mux.HandleFunc("POST /add-entries", m.addEntries)
	mux.HandleFunc("GET /mirror/{hash}/{path...}", func(w http.ResponseWriter, r *http.Request) {
		path := r.PathValue("path")
		media, cache := tiles.Headers(path)
		if path == tiles.CheckpointPath {
			note, err := m.own.Latest(r.Context(), r.PathValue("hash"))
			send(w, r, m.logger, media, cache, bytes.NewReader(note), err)
			return
		}
		f, err := m.file(r.Context(), r.PathValue("hash"), path)
		send(w, r, m.logger, media, cache, f, err)
		if err == nil {
			f.Close()
		}
	})
}

// send answers with content, of which nothing is in memory that is in a file: readers may
// be slow, and many. With an error it refuses.
func send(w http.ResponseWriter, r *http.Request, logger *slog.Logger, media, cache string, data io.ReadSeeker, err error) {
	if err == nil {
		w.Header().Set("Content-Type", media)
		w.Header().Set("Cache-Control", cache)
		if status := content.Serve(w, r, time.Time{}, data); status != 0 {
			err = cosigner.Refuse(status, "no such part of it can be sent")
		}
	}
	if err != nil {
		cosigner.WriteRefusal(w, r, logger, err)
	}
}

// file is a file of a log that is kept, as far as the mirror checkpoint covers it.
func (m *logMirror) file(ctx context.Context, hash, path string) (*os.File, error) {
	origin, err := m.own.OriginOf(hash)
	if err != nil {
		return nil, err
	}
	state, err := m.own.State(ctx, origin)
	if err != nil {
		return nil, err
	}
	level, index, width, ok := tiles.ParseTilePath(path)
	size := state.Size >> (8 * max(0, level))
	there := ok && index <= size/tiles.Width && uint64(width) <= min(tiles.Width, size-index*tiles.Width)
	if !there && path != tiles.KeysPath && path != tiles.ConfigurationPath {
		return nil, cosigner.Refuse(http.StatusNotFound, "not a file of this log, or not one that is kept yet")
	}
	f, _, err := plain.Open(filepath.Join(m.dir, hash, filepath.FromSlash(path)))
	if err != nil {
		if there && (width == tiles.Width || index == size/tiles.Width && uint64(width) == size%tiles.Width) {
			k := m.of(origin)
			if k.missed.CompareAndSwap(0, index*tiles.Width<<(8*max(0, level))+1) {
				m.start(k)
			}
		}
		if errors.Is(err, fs.ErrNotExist) { // such as a partial tile of an older state
			err = cosigner.Refuse(http.StatusNotFound, "not there")
		}
		return nil, err
	}
	return f, nil
}

// Observe implements [cosigner.Companion].
func (m *logMirror) Observe(meter metric.Meter) (err error) {
	if m.mended, err = meter.Int64Counter("conmotion.witness.mirror.mended",
		metric.WithDescription("How often what is kept of a log was not whole, and was made so again, by log")); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return m.observe(meter, "mirror", m.pending, m.own)
}

// About implements [cosigner.Companion].
func (m *logMirror) About() string {
	return fmt.Sprintf("The cosignature of %s says besides: all entries of this tree are kept here, durably, and can\n"+
		"be read below /mirror/ (https://c2sp.org/tlog-mirror).\n\n%s\n", m.own.Name(), strings.Join(m.own.VKeys(), "\n"))
}
