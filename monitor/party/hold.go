package party

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// ErrLate is wrapped when an event is older than what its issuer's log says already of the same object.
var ErrLate = errors.New("it is late: the log says something newer of the same object")

// holding is what an issuer's records in a log amount to, so that new ones can be held against it. It is remembered as
// HOME/replays/HASH, a saved replay, which counts only where the log extends the checkpoint that it was read at. A crash
// leaves the older file. It is safe for concurrent use.
type holding struct {
	service *service
	filter  monitor.Filter
	path    string // "" for nowhere

	mu     sync.Mutex
	replay *monitor.Replay // nil until it is read
	saved  uint64          // entries that the file has read
	behind bool            // something was registered that it has not read
}

func newHolding(home Home, s *service, issuer, typ string) *holding {
	h := &holding{service: s, filter: monitor.Filter{Issuers: []string{issuer}, Types: []string{typ}}}
	if home != "" {
		h.path = filepath.Join(string(home), "replays", hashName(s.log.Key()+"\x00"+issuer+"\x00"+typ))
	}
	return h
}

// ahead begins to read the log as it was last seen, and returns what waits for the end of that. If it fails, who needs
// it says why.
func (h *holding) ahead(ctx context.Context) (wait func()) {
	if h == nil {
		return func() {}
	}
	var reading sync.WaitGroup
	log := h.service.log.Monitor()
	h.mu.Lock()
	reading.Go(func() {
		defer h.mu.Unlock()
		if _, err := h.service.known(ctx); err == nil && h.replay == nil {
			_ = h.advance(ctx, log)
		}
	})
	return reading.Wait
}

// read reads the log to its end. The caller holds the lock.
func (h *holding) read(ctx context.Context) error {
	if h.replay != nil && !h.behind {
		return nil
	}
	if h.behind {
		if err := h.service.catchUp(ctx); err != nil {
			return err
		}
	}
	return h.advance(ctx, h.service.log.Monitor())
}

func (h *holding) advance(ctx context.Context, log monitor.Log) error {
	key := h.service.issuerKey.Public
	log.Verify = func(s *scitt.Statement) error { return s.VerifySignature(key) }
	if h.replay == nil {
		h.replay = h.remembered()
	}
	err := h.replay.Advance(ctx, log, log.Checkpoint.Size)
	if errors.Is(err, monitor.ErrResume) {
		h.replay, h.saved = monitor.NewReplay(h.filter, nil), 0
		err = h.replay.Advance(ctx, log, log.Checkpoint.Size)
	}
	if err != nil {
		h.replay = nil
		return fmt.Errorf("what %s has said before: %w", h.filter.Issuers[0], err)
	}
	h.behind = false
	return nil
}

// remembered is the replay that Home has, or a new one. A file that is damaged or of another version costs time and
// nothing else.
func (h *holding) remembered() *monitor.Replay {
	if h.path != "" {
		if data, err := durable.ReadFile(h.path); err == nil {
			if r, err := monitor.Resume(data); err == nil {
				h.saved = r.Next()
				return r
			}
		}
	}
	return monitor.NewReplay(h.filter, nil)
}

// save remembers what was read, and what was registered since, with the checkpoint that has it. While nineteen in twenty
// entries are remembered it writes nothing: to read the others again takes no longer than to write all.
func (h *holding) save(ctx context.Context) error {
	if h == nil || h.path == "" {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.replay == nil {
		return nil
	}
	h.behind = true
	if err := h.read(ctx); err != nil {
		return err
	}
	next := h.replay.Next()
	if 20*(next-h.saved) <= next {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(h.path), 0o700); err != nil {
		return err
	}
	if err := durable.Write(h.path, 0o600, h.replay.Save); err != nil {
		return err
	}
	h.saved = next
	return nil
}

// registered notes what is in the log now.
func (h *holding) registered(reg registered, e *monitor.Event) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.replay != nil && !h.behind {
		h.behind = reg.Type == scitt.TypeScan || !h.replay.Register(reg.Statement, e, reg.ref.Index)
	}
}

// same reports whether a draft says nothing that is not known, as far as the log was read.
func (h *holding) same(issuer string, d *Draft) bool {
	if h == nil || d.Event == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.replay != nil && h.replay.Hold(issuer, d.Event).Same
}

// settleHeld says of a draft that it is not to be registered, or makes it a correction: it is held to what the log says.
func (r *Registrar) settleHeld(ctx context.Context, d *Draft, at *At) error {
	h := r.holding
	if h == nil || d.Event == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.read(ctx)
	if err != nil {
		return err
	}
	switch held := h.replay.Hold(r.Issuer, d.Event); {
	case held.Same && (r.Scanning || d.Event.Action == monitor.Delete):
		at.Result = Unchanged
	case held.Newer == nil || d.Event.Correction:
	case !r.AllowLate:
		*at = At{Result: Late, err: fmt.Errorf("%w: entry %d is of %s, and this of %s (--allow-late records it as a correction)", ErrLate,
			held.Newer.Index, time.UnixMilli(held.Newer.Time).UTC().Format(time.RFC3339), time.UnixMilli(d.Event.Time).UTC().Format(time.RFC3339))}
	default:
		if d.Content, err = monitor.WithCorrection(d.Content); err != nil {
			return err
		}
		e := *d.Event
		e.Correction = true
		d.Event, d.Options.Location, d.hashed = &e, "", contentKey{}
		if p, ok := r.services[0].said.find(d.key()); ok {
			*at = At{Result: Known, Ref: r.services[0].ref(p)}
		}
	}
	return nil
}

// touches reports whether a draft is about an object that an earlier one of the same run is about, and notes its objects.
// Such a draft is not held: they come in the order of their times.
func (d Draft) touches(touched map[string]bool) (again bool) {
	if d.Event == nil {
		return false
	}
	objects := d.Event.Assets
	if d.Event.Kind == monitor.Configuration {
		objects = nil
		for _, c := range d.Event.Configurations {
			objects = append(objects, c.UID)
		}
	}
	for _, uid := range objects {
		key := string(d.Event.Kind) + "/" + uid
		again = again || touched[key]
		touched[key] = true
	}
	return again
}

// Scan registers the statement of a scan that saw everything in a scope, after what it saw was registered. Of what was
// known before it began, and was not seen, it says that it is gone: if that is more than maxGone percent, the error wraps
// ErrGone and nothing is registered. The scan is nil when the newest one of the issuer says the same.
func (r *Registrar) Scan(ctx context.Context, seen monitor.Seen, maxGone int) (*monitor.Scan, Outcome, error) {
	h := r.holding
	h.mu.Lock()
	h.behind = true
	err := h.read(ctx)
	if err != nil {
		h.mu.Unlock()
		return nil, Outcome{}, err
	}
	if n := h.replay.Unread(); n.Any() {
		seen.Incomplete = append(seen.Incomplete, n.String())
	}
	scan, share := h.replay.NewScan(r.Issuer, seen)
	h.mu.Unlock()
	switch {
	case scan == nil:
		return nil, Outcome{}, h.save(ctx)
	case share > maxGone && len(scan.Incomplete) == 0:
		return scan, Outcome{}, fmt.Errorf("%w: %d %% of what was known in the scope (%s) would be gone, and --max-gone is %d", ErrGone, share, plural.Of(len(scan.Gone), "asset"), maxGone)
	}
	payload, options, err := scan.ToSign()
	if err != nil {
		return nil, Outcome{}, err
	}
	outcomes, err := r.Register(ctx, []Draft{{Content: payload, Options: options, OrHash: true}})
	if err != nil {
		return scan, Outcome{}, err
	}
	return scan, outcomes[0], errors.Join(outcomes[0].Err(), r.holding.save(ctx))
}

// ErrGone is wrapped when a scan would end more of an inventory than it may.
var ErrGone = errors.New("the scan would end too much")
