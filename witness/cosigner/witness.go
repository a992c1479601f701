package cosigner

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/time/rate"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

const (
	// turnTimeout is how long a request waits for others of its log.
	turnTimeout = 5 * time.Second
	// maxWaiting is how many requests of a log wait: one that floods keeps no others.
	maxWaiting = 32
	// maxBurst bounds how many checkpoints a log may have cosigned at once.
	maxBurst = 1000
	minBurst = 10
	day      = 24 * time.Hour
)

// Witness cosigns checkpoints. Its methods may be called at once. Errors of its
// methods are *[Refusal].
type Witness struct {
	cosigners []*scitt.Cosigner
	store     Store
	now       func() time.Time
	logger    *slog.Logger
	logs      atomic.Pointer[logs]

	mu    sync.Mutex
	turns map[string]*turn // by origins, also those that are not known any more
}

// logs are those that are known.
type logs struct {
	byOrigin map[string]*known
	byHash   map[string]*known // by the lowercase hexadecimal SHA-256 of their origins
}

// known is a log that is cosigned now.
type known struct {
	*Log
	all   []note.Verifier // its keys, those of Receipts too
	limit *rate.Limiter
}

// turn is the right to change what is remembered of a log.
type turn struct {
	free    chan struct{} // holds one value
	waiting atomic.Int32
	loaded  bool
	state   State // without the note
}

// New makes a witness whose keys have one name. It knows no log before SetLogs.
func New(cosigners []*scitt.Cosigner, store Store, now func() time.Time, logger *slog.Logger) (*Witness, error) {
	if len(cosigners) == 0 {
		return nil, errors.New("a witness without keys")
	}
	for _, c := range cosigners {
		if c.Name() != cosigners[0].Name() {
			return nil, fmt.Errorf("the keys of a witness have one name, and not %q and %q", cosigners[0].Name(), c.Name())
		}
	}
	w := &Witness{cosigners: cosigners, store: store, now: now, logger: logger, turns: map[string]*turn{}}
	w.logs.Store(&logs{})
	return w, nil
}

// Name is the witness's name.
func (w *Witness) Name() string { return w.cosigners[0].Name() }

// VKeys are the witness's verifier keys.
func (w *Witness) VKeys() (vkeys []string) {
	for _, c := range w.cosigners {
		vkeys = append(vkeys, c.String())
	}
	return vkeys
}

// Halted reports why the witness signs nothing any more, "" when it does.
func (w *Witness) Halted() string { return w.store.Halted() }

// Origins are the logs that are known.
func (w *Witness) Origins() []string { return slices.Collect(maps.Keys(w.logs.Load().byOrigin)) }

// Known returns the log with an origin.
func (w *Witness) Known(origin string) (*Log, error) {
	k, err := w.known(origin)
	if err != nil {
		return nil, err
	}
	return k.Log, nil
}

// OriginOf is the origin of a known log by its hash: see [HashOf].
func (w *Witness) OriginOf(hash string) (string, error) {
	log := w.logs.Load().byHash[hash]
	if log == nil {
		return "", refuse(http.StatusNotFound, "no log with this hash is known here")
	}
	return log.Origin, nil
}

// Logs is how many logs are known.
func (w *Witness) Logs() int { return len(w.logs.Load().byOrigin) }

// SetLogs replaces the logs that are known. What is remembered of others stays, so
// that one which comes back goes on where it was. Logs that cannot be cosigned are
// left out, and the error names them.
func (w *Witness) SetLogs(list List) error {
	before := w.logs.Load().byOrigin
	after := &logs{make(map[string]*known, len(list)), make(map[string]*known, len(list))}
	var errs []error
	for origin, l := range list {
		if err := w.refuses(l); err != nil {
			errs = append(errs, err)
			continue
		}
		k := &known{Log: l, all: slices.Concat(l.keys, l.tree), limit: newLimit(l.PerDay)}
		if b := before[origin]; b != nil && b.PerDay == l.PerDay {
			k.limit = b.limit // a list that is read again is not a new burst
		}
		after.byOrigin[origin] = k
		after.byHash[HashOf(origin)] = k
	}
	w.logs.Store(after)
	return errors.Join(errs...)
}

// HashOf names a log in the addresses of checkpoints.
//
// C2SP tlog-witness: "The origin hash is the SHA-256 hash of the log's origin, hex
// encoded, in lowercase."
func HashOf(origin string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(origin))) }

// refuses is about logs that would sign as the witness itself.
func (w *Witness) refuses(l *Log) error {
	if l.Origin == w.Name() {
		return badLog("%s has the name of this witness", l.Origin)
	}
	for _, key := range slices.Concat(l.keys, l.tree) {
		if key.Name() == w.Name() {
			return badLog("a key of %s has the name of this witness", l.Origin)
		}
	}
	if len(l.keys) == 0 {
		return badLog("%s has no key that signs its checkpoints, only one of Receipts", l.Origin)
	}
	return nil
}

func newLimit(perDay uint64) *rate.Limiter {
	burst := min(max(perDay/24, minBurst), maxBurst)
	return rate.NewLimiter(rate.Limit(float64(perDay)/day.Seconds()), int(burst))
}

// AddCheckpoint cosigns a checkpoint and returns the signature lines, if it is
// consistent with all that the witness cosigned of its log. When it returns them
// the checkpoint survives a crash of the machine.
func (w *Witness) AddCheckpoint(ctx context.Context, r *witness.AddCheckpoint) (lines []byte, err error) {
	cp, text, err := parse(r.Checkpoint)
	if err != nil {
		return nil, err
	}
	log, err := w.known(cp.Origin)
	if err != nil {
		return nil, err
	}
	sigs, err := log.verify(r.Checkpoint)
	if err != nil {
		return nil, err
	}
	t := w.turnOf(log.Origin)
	if err := t.take(ctx); err != nil {
		return nil, err
	}
	defer t.leave()
	// From here on the client's going away changes nothing: what is stored is stored.
	ctx = context.WithoutCancel(ctx)
	if err := w.mayGoOn(ctx, t, log, cp); err != nil {
		return nil, err
	}
	state := &t.state
	if refusal := state.judge(r, cp); refusal != nil {
		if refusal.Status == http.StatusUnprocessableEntity {
			w.logger.Warn("a log signed a checkpoint that is not shown to be consistent with the last one", "log", log.Origin,
				"cosigned", state.Size, "root", fmt.Sprintf("%x", state.Root), "checkpoint", string(text), "why", refusal.Error())
		}
		return nil, refusal
	}
	at, refusal := state.signAt(w.now())
	if refusal != nil {
		return nil, refusal
	}
	if state.Root != nil && cp.Size == state.Size && at.Unix() == state.At {
		// Whoever repeats a request in the same second gets the same answer, which
		// costs little. It does not count either: anybody can repeat what is public.
		if stored, err := w.State(ctx, log.Origin); err == nil && bytes.Equal(stored.Text, text) && stored.At == state.At {
			return stored.Lines, nil
		}
	}
	if cp.Size > state.Size {
		if now := w.now(); !log.limit.AllowN(now, 1) {
			wait := time.Duration(float64(time.Second) / float64(log.limit.Limit()))
			return nil, busy(http.StatusTooManyRequests, wait, "%s may have %d checkpoints a day cosigned, and this is more", log.Origin, log.PerDay)
		}
	}
	next := State{Size: cp.Size, Root: cp.Root, At: at.Unix(), Text: text, LogLines: appendLines(nil, sigs)}
	if next.Lines, err = w.cosign(text, at); err != nil {
		return nil, err
	}
	if err := w.store.Swap(ctx, log.Origin, *state, next); err != nil {
		t.loaded = false
		w.logger.Error("a checkpoint could not be stored, and is not cosigned", "log", log.Origin, "size", cp.Size, "err", err)
		return nil, busy(http.StatusServiceUnavailable, time.Second, "the checkpoint could not be stored")
	}
	t.state = next
	t.state.Text, t.state.LogLines, t.state.Lines = nil, nil, nil
	return next.Lines, nil
}

// parse reads a note without any key.
func parse(raw []byte) (cp *scitt.Checkpoint, text []byte, err error) {
	if cp, _, err = scitt.OpenNote(raw); err != nil {
		return nil, nil, &Refusal{Status: http.StatusBadRequest, Err: err}
	}
	return cp, raw[:bytes.LastIndex(raw, []byte("\n\n"))+1], nil
}

// known returns the log with an origin.
//
// C2SP tlog-witness: "If the checkpoint origin is unknown, the witness MUST respond
// with a "404 Not Found" HTTP status code."
func (w *Witness) known(origin string) (*known, error) {
	if log := w.logs.Load().byOrigin[origin]; log != nil {
		return log, nil
	}
	return nil, refuse(http.StatusNotFound, "the log %.200q is not known here", origin)
}

// verify returns the signatures of a checkpoint by the log's keys.
//
// C2SP tlog-witness: "403 Forbidden [...] if either no signature from a trusted key
// for the origin is present, or a signature line's key name and ID match a trusted
// key but the signature itself fails to verify".
func (k *known) verify(raw []byte) ([]note.Signature, error) {
	_, sigs, err := scitt.OpenNote(raw, k.all...)
	if err != nil {
		return nil, &Refusal{Status: http.StatusForbidden, Err: err}
	}
	for _, sig := range sigs {
		for _, key := range k.keys {
			if sig.Hash == key.KeyHash() && sig.Name == key.Name() {
				return sigs, nil
			}
		}
	}
	return nil, refuse(http.StatusForbidden, "no key of the log %q signed the checkpoint", k.Origin)
}

func (w *Witness) turnOf(origin string) *turn {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.turns[origin]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1)}
		t.leave()
		w.turns[origin] = t
	}
	return t
}

// take waits for the requests of this log that came before.
func (t *turn) take(ctx context.Context) error {
	if t.waiting.Add(1) > maxWaiting {
		t.waiting.Add(-1)
		return busy(http.StatusTooManyRequests, time.Second, "too many requests of this log wait")
	}
	defer t.waiting.Add(-1)
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	select {
	case <-t.free:
		return nil
	case <-ctx.Done():
		return busy(http.StatusServiceUnavailable, time.Second, "other requests of this log take too long: %w", ctx.Err())
	}
}

func (t *turn) leave() { t.free <- struct{}{} }

// mayGoOn loads what is remembered of the log. It refuses when this witness may
// not sign any more: it was told so, or the note carries its own valid cosignature
// of a tree that it does not remember, so that the database was rolled back.
func (w *Witness) mayGoOn(ctx context.Context, t *turn, log *known, cp *scitt.Checkpoint) error {
	if !t.loaded {
		state, err := w.State(ctx, log.Origin)
		if err != nil {
			return err
		}
		state.Text, state.LogLines, state.Lines = nil, nil, nil
		t.state, t.loaded = state, true
	}
	if cp.Size > t.state.Size || cp.Size == t.state.Size && !bytes.Equal(cp.Root, t.state.Root) {
		if w.ours(cp.Raw) {
			why := fmt.Sprintf("the cosignature of this witness is on a checkpoint of %s of size %d, and it remembers size %d: "+
				"its database was rolled back, or somebody else has its keys", log.Origin, cp.Size, t.state.Size)
			w.logger.Error("nothing is cosigned any more", "why", why, "checkpoint", string(cp.Raw))
			if err := w.store.Halt(ctx, why); err != nil {
				w.logger.Error("that nothing is cosigned any more could not be stored", "err", err)
			}
		}
	}
	if why := w.store.Halted(); why != "" {
		return refuse(http.StatusServiceUnavailable, "this witness signs nothing any more")
	}
	return nil
}

// ours reports whether a note has a valid line by this witness. Lines with its name
// that do not verify are nobody's: each key is asked by itself.
func (w *Witness) ours(raw []byte) bool {
	if !bytes.Contains(raw, []byte("— "+w.Name()+" ")) {
		return false
	}
	for _, c := range w.cosigners {
		if _, sigs, err := scitt.OpenNote(raw, c); err == nil && len(sigs) > 0 {
			return true
		}
	}
	return false
}

// cosign signs a checkpoint with each key that can. ML-DSA does not sign extension lines.
func (w *Witness) cosign(text []byte, at time.Time) (lines []byte, err error) {
	for _, c := range w.cosigners {
		sig, err := c.Cosign(text, at)
		switch {
		case errors.Is(err, scitt.ErrExtension):
		case err != nil:
			w.logger.Error("a checkpoint could not be signed", "key", c.Name(), "err", err)
			return nil, refuse(http.StatusInternalServerError, "the checkpoint could not be signed")
		default:
			lines = appendLines(lines, []note.Signature{sig})
		}
	}
	if lines == nil {
		return nil, refuse(http.StatusUnprocessableEntity, "no key of this witness signs extension lines")
	}
	return lines, nil
}

func appendLines(b []byte, sigs []note.Signature) []byte {
	for _, s := range sigs {
		b = fmt.Appendf(b, "— %s %s\n", s.Name, s.Base64)
	}
	return b
}

// Latest returns the latest cosigned checkpoint of a log by its hash: see [HashOf].
func (w *Witness) Latest(ctx context.Context, hash string) ([]byte, error) {
	origin, err := w.OriginOf(hash)
	if err != nil {
		return nil, err
	}
	state, err := w.State(ctx, origin)
	if err != nil {
		return nil, err
	}
	// C2SP tlog-witness: "If the witness has never cosigned a checkpoint for that
	// log, it MUST respond with a "404 Not Found"".
	if state.Text == nil {
		return nil, refuse(http.StatusNotFound, "no checkpoint of this log was cosigned here")
	}
	return state.Note(), nil
}
