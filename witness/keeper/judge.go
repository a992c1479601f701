package keeper

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/audit"
	"github.com/conmotion/conmotion/witness/cosigner"
)

const (
	// retryJudge is the most time between attempts to judge a log that cannot be judged.
	retryJudge = 10 * time.Minute
	// saveJudge is the least time between two savings of an audit. What came after the
	// last one is judged again after a restart.
	saveJudge = 10 * time.Second
	// listed is how many violations of one pass are looked at.
	listed = 100
	// mostWaiting is how many requests wait for a log to be judged.
	mostWaiting = 64
)

// judge replays every admission of logs, and cosigns what holds none that their
// policies in force do not allow. An entry that should not be in a log ends that for
// the log, for good, and the evidence is published. What cannot be judged makes it wait.
type judge struct {
	pending, own *cosigner.Witness
	dir          string
	files        Files
	wait         time.Duration
	logger       *slog.Logger
	waits        metric.Float64Histogram
	followers

	mu   sync.Mutex
	logs map[string]*judged // by origin
}

// judged is a log that is judged. Only its follower uses what has no lock.
type judged struct {
	origin, dir string
	url         string   // that the audit was begun with
	vkeys       []string // and the keys
	base        *tiles.Log
	auditor     *audit.Auditor
	found       []audit.Violation
	saved       time.Time

	mu      sync.Mutex
	waiting []waiter
}

// waiter is a request that waits for lines on a checkpoint.
type waiter struct {
	body  []byte
	lines chan []byte
}

// NewJudge judges the logs of the witness pending by their files, and cosigns with the
// keys of own. Where it is with each log, and evidence, is below dir. A request waits so
// long for it. The work ends with the context.
func NewJudge(ctx context.Context, pending, own *cosigner.Witness, dir string, files Files, wait time.Duration, logger *slog.Logger) Companion {
	return &judge{
		pending: pending, own: own, dir: dir, files: files, wait: wait, logger: logger, waits: noop.Float64Histogram{}, logs: map[string]*judged{},
		followers: followers{
			ctx: ctx, slots: make(chan struct{}, mostCopies), most: retryJudge, logger: logger, logs: map[string]*followed{},
			failed: "a log cannot be judged now, and is not cosigned as audited",
		},
	}
}

func (j *judge) Close() error {
	j.work.Wait()
	return nil
}

func (j *judge) Resume() {
	for _, origin := range j.pending.Origins() {
		j.start(j.of(origin))
	}
}

func (j *judge) start(k *judged) {
	j.poke(k.origin, func(ctx context.Context) error { return j.judge(ctx, k) })
}

func (j *judge) of(origin string) *judged {
	j.mu.Lock()
	defer j.mu.Unlock()
	k := j.logs[origin]
	if k == nil {
		k = &judged{origin: origin, dir: filepath.Join(j.dir, cosigner.HashOf(origin))}
		j.logs[origin] = k
	}
	return k
}

// Stored implements [cosigner.Companion]. It returns lines when the log was judged up to
// this checkpoint in time.
func (j *judge) Stored(ctx context.Context, origin string, note []byte) (lines []byte) {
	start := time.Now()
	defer func() {
		j.waits.Record(ctx, time.Since(start).Seconds(), metric.WithAttributes(attribute.Bool("cosigned", len(lines) > 0)))
	}()
	k := j.of(origin)
	w := waiter{note[:bytes.LastIndex(note, []byte("\n\n"))+1], make(chan []byte, 1)}
	k.mu.Lock()
	full := len(k.waiting) == mostWaiting
	if !full {
		k.waiting = append(k.waiting, w)
	}
	k.mu.Unlock()
	if j.start(k); full {
		return nil
	}
	timeout := time.NewTimer(j.wait)
	defer timeout.Stop()
	select {
	case lines = <-w.lines:
	case <-timeout.C:
	case <-ctx.Done():
	}
	return lines
}

// judge replays a log up to what the witness cosigned last, and cosigns that.
func (j *judge) judge(ctx context.Context, k *judged) (err error) {
	k.mu.Lock()
	waiting := k.waiting
	k.waiting = nil
	k.mu.Unlock()
	var state cosigner.State
	var lines []byte
	defer func() {
		for _, w := range waiting {
			if bytes.Equal(w.body, state.Text) {
				w.lines <- lines
			} else {
				w.lines <- nil
			}
		}
	}()
	if k.stopped() {
		return nil
	}
	if state, err = j.pending.State(ctx, k.origin); err != nil || state.Text == nil {
		return err
	}
	own, err := j.own.State(ctx, k.origin)
	if err != nil || own.Size == state.Size && own.Root != nil && len(waiting) == 0 {
		return err
	}
	cp, err := j.open(k, state.Signed())
	if err != nil || cp == nil {
		return err
	}
	view, err := k.base.At(ctx, cp)
	if err != nil {
		return err
	}
	if own.Size < cp.Size || own.Root == nil {
		err := j.replay(ctx, k, view)
		if s := k.auditor.Summary(); s.Violations > 0 || s.Unjudged > 0 {
			k.auditor = nil // the next one begins where the last good pass ended
		}
		if err != nil || k.stopped() {
			return err
		}
	}
	// A cosignature says that no larger tree was seen. The next pass is for that.
	if now, err := j.pending.State(ctx, k.origin); err != nil || now.Size != state.Size {
		return err
	}
	lines, err = cosign(ctx, j.own, view, state.Signed())
	return err
}

// open opens the audit of a log, where it was, and a checkpoint that the log signed,
// which is nil when the files of the log are not known.
func (j *judge) open(k *judged, signed []byte) (*scitt.Checkpoint, error) {
	log, err := j.pending.Known(k.origin)
	if err != nil {
		return nil, nil // it is not judged any more
	}
	verifiers, vkeys, cp, err := signedBy(log, signed)
	if err != nil {
		return nil, err
	}
	if k.auditor != nil && k.url == log.URL && slices.Equal(k.vkeys, vkeys) {
		return cp, nil
	}
	src, artifacts, err := j.files(log)
	if err != nil || src == nil {
		return nil, err
	}
	state, err := k.state()
	if err != nil {
		j.logger.Warn("a log is audited from its first entry", "log", k.origin, "err", err)
	}
	k.url, k.vkeys, k.base, k.found = log.URL, vkeys, tiles.NewLog(src, verifiers), nil
	k.auditor, err = audit.New(k.base, state, audit.Options{
		VKeys: vkeys, Artifacts: artifacts, List: listed,
		Report: func(v audit.Violation) { k.found = append(k.found, v) },
		Save:   k.save,
	})
	return cp, err
}

// signedBy finds the key of a log that signed a checkpoint: after a change of keys there
// are several. It gives that key with those of the log's Receipts.
func signedBy(log *cosigner.Log, signed []byte) (cv scitt.CheckpointVerifiers, vkeys []string, cp *scitt.Checkpoint, err error) {
	isTree := func(vkey string) bool {
		_, err := scitt.NewTreeVerifier(vkey)
		return err == nil
	}
	for _, vkey := range slices.Backward(log.VKeys) {
		if isTree(vkey) {
			continue
		}
		vkeys = slices.DeleteFunc(slices.Clone(log.VKeys), func(v string) bool { return v != vkey && !isTree(v) })
		if cv, err = scitt.NewCheckpointVerifiers(vkeys); err != nil {
			continue
		}
		if cp, err = cv.Open(signed); err == nil {
			return cv, vkeys, cp, nil
		}
	}
	return cv, nil, nil, fmt.Errorf("none of the keys of the log is one that an audit can use: %w", err)
}

// state is where the audit was; nil at the beginning, and when the file is damaged, as the
// error says. Its checkpoint may be by a key that the log had before, as the auditor finds out.
func (k *judged) state() (*audit.State, error) {
	s, err := audit.ReadState(k.path("audit.json"))
	if err != nil || s == nil {
		return nil, err
	}
	if _, _, err := scitt.OpenNote([]byte(s.Checkpoint)); err != nil {
		return nil, err
	}
	return s, nil
}

func (k *judged) path(name string) string { return filepath.Join(k.dir, name) }

// save keeps the state of a pass that is whole and found nothing. A crash leaves an
// older one, from which the log is judged again.
func (k *judged) save(s *audit.State) error {
	if !s.Closed || s.Unjudged > 0 || len(s.Unread) > 0 || len(s.Counts) > 0 || time.Since(k.saved) < saveJudge {
		return nil
	}
	if err := os.MkdirAll(k.dir, 0o755); err != nil {
		return err
	}
	start := time.Now()
	err := s.Write(k.path("audit.json"))
	k.saved = start.Add(10 * time.Since(start)) // a large one is saved less often
	return err
}

// errUnjudged says that there is neither a reason to cosign nor one to accuse.
var errUnjudged = errors.New("it cannot be told whether every entry was admitted by its policy")

// replay judges what is new up to a view. It is nil when all that is there was admitted,
// or when the log is stopped.
func (j *judge) replay(ctx context.Context, k *judged, view *tiles.View) error {
	if err := k.auditor.RunAt(ctx, view.Checkpoint); err != nil {
		return err
	}
	s := k.auditor.Summary()
	switch {
	case s.Violations > 0:
		return j.accuse(ctx, k, view, s)
	case len(s.Keys) == 0:
		return fmt.Errorf("%w: it announces no keys of a service", errUnjudged)
	case !s.Complete:
		return fmt.Errorf("%w: the content behind the hashes of %d is needed and is not there: %s", errUnjudged, s.Unjudged, cmp.Or(s.Unread, "it is withheld"))
	case s.Size != view.Checkpoint.Size:
		return fmt.Errorf("%w: it was read up to %d", errUnjudged, s.Size)
	}
	return nil
}

// Routes implements [cosigner.Companion].
func (j *judge) Routes(mux *http.ServeMux) {
	const cache = "public, max-age=5"
	mux.HandleFunc("GET /audited/{hash}/checkpoint", func(w http.ResponseWriter, r *http.Request) {
		note, err := j.own.Latest(r.Context(), r.PathValue("hash"))
		send(w, r, j.logger, "text/plain; charset=utf-8", cache, bytes.NewReader(note), err)
	})
	mux.HandleFunc("GET /audited/{hash}/"+evidenceFile, func(w http.ResponseWriter, r *http.Request) {
		f, err := j.evidence(r.PathValue("hash"))
		send(w, r, j.logger, "application/json", cache, f, err)
		if err == nil {
			f.Close()
		}
	})
}

// evidence is the file with what was found against a log.
func (j *judge) evidence(hash string) (*os.File, error) {
	origin, err := j.pending.OriginOf(hash)
	if err != nil {
		return nil, err
	}
	f, _, err := plain.Open(j.of(origin).path(evidenceFile))
	if errors.Is(err, fs.ErrNotExist) {
		err = cosigner.Refuse(http.StatusNotFound, "there is no evidence against this log")
	}
	return f, err
}

// Observe implements [cosigner.Companion].
func (j *judge) Observe(m metric.Meter) (err error) {
	if j.waits, err = m.Float64Histogram("conmotion.witness.audited.wait", metric.WithUnit("s"),
		metric.WithDescription("Time that a request waited for the audited cosignature, by whether it got it")); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if _, err := m.Int64ObservableGauge("conmotion.witness.audited.stopped",
		metric.WithDescription("Logs with an entry that their policy does not admit, which are never cosigned as audited again: an alarm"),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			n := int64(0)
			for _, origin := range j.pending.Origins() {
				if j.of(origin).stopped() {
					n++
				}
			}
			o.Observe(n)
			return nil
		})); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return j.observe(m, "audited", j.pending, j.own)
}

// About implements [cosigner.Companion].
func (j *judge) About() string {
	return fmt.Sprintf("The cosignature of %s says besides: audited. Every entry of this tree was replayed, and is\n"+
		"admitted by the Registration Policy that was in force before it. Evidence against a log is\n"+
		"at /audited/HASH/evidence.json.\n\n%s\n", j.own.Name(), strings.Join(j.own.VKeys(), "\n"))
}
