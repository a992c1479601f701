package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
	"github.com/conmotion/conmotion/witness/audit"
)

// follower follows one log. All but log belongs to its one goroutine.
type follower struct {
	w       *Watcher
	c       *logConfig
	book    *book
	look    *lookState
	rules   []rule
	options party.Options
	client  *http.Client

	alerts []*Alert // that are not in the book yet
	found  int      // alerts so far that are no ends
	said   map[string]bool

	audit   *audit.Options
	auditor *audit.Auditor
	stopped string // why the audit cannot go on
	shown   string // what is wrong with the configuration that the log shows
	ahead   uint64 // the entry of the policy that it showed at the last look, which was in no tree yet

	once *monitor.Once             // what counted for rules, as the book has it or will
	log  atomic.Pointer[party.Log] // as it was last seen
}

// say tells what concerns the monitor and not the log. Each kind of notice is
// told once in a life: looks are many.
func (f *follower) say(format string, args ...any) {
	if !f.said[format] {
		f.said[format] = true
		f.w.o.Notice("log %s: %s", f.c.Name, fmt.Sprintf(format, args...))
	}
}

func (f *follower) now() time.Time { return f.w.o.now().UTC() }

// attempts is how often a look is tried before it failed.
const attempts = 3

// unread is an error of reading entries, when the log itself is well.
type unread struct{ error }

func (u unread) Unwrap() error { return u.error }

// lookOnce makes one look and puts what it came to into the book.
func (f *follower) lookOnce(ctx context.Context) {
	wait := f.w.o.retry
	var err error
	for attempt := 1; ; attempt++ {
		if err = f.try(ctx); err == nil || attempt == attempts || final(err) || !pause(ctx, jitter(wait)) {
			break
		}
		wait *= 2
	}
	if ctx.Err() != nil {
		return // it did not happen
	}
	switch {
	case errors.Is(err, party.ErrRolledBack):
		f.behind(err)
	case err != nil:
		f.failed(err)
	default:
		for _, key := range []string{keyReach, string(checkEntries)} {
			f.resolve(key, "the log can be read again")
		}
	}
	f.overdue()
	_ = f.commit() // which tells, and the next look tries again
}

// commit puts alerts into the book. When that fails they stay for the next
// time: nothing of them was delivered.
func (f *follower) commit() error {
	f.look.Once = f.once.Save()
	err := f.book.commit(f.look, f.alerts)
	if err != nil {
		f.w.o.Notice("log %s: nothing is delivered until its state can be written: %v", f.c.Name, err)
		return err
	}
	f.alerts = nil
	return nil
}

// keyReach is the condition of a log that cannot be looked at. Whatever the
// reason is then, it is reported once.
const keyReach = "reach"

// openChecks are conditions that end when the log opens.
var openChecks = []Check{checkOtherLog, checkKeysChanged, checkCheckpoint, checkFork, checkQuorum, checkCosigned, checkBehind, checkRolledBack, checkTiles}

// try opens the log and follows it.
func (f *follower) try(ctx context.Context) error {
	log, err := party.Open(ctx, f.c.Location, f.options)
	if err != nil {
		return err
	}
	if err := f.held(ctx, log); err != nil {
		return err
	}
	for _, check := range openChecks {
		text := "the log is again what it was"
		if check == checkFork {
			text = "the log shows the first of its histories again; that it signed two stays proven"
		}
		f.resolve(string(check), "%s", text)
	}
	f.silent(log.Cosigned)
	if err := f.compareWitnesses(ctx, log); err != nil {
		return err
	}
	f.saw(log.View.Checkpoint)
	f.agree(log.View.Checkpoint.Size)
	f.log.Store(log)
	scanned := f.scan(ctx, log)
	if errors.Is(scanned, tiles.ErrCorrupt) || errors.Is(scanned, fs.ErrNotExist) {
		return unread{scanned} // the audit would tell it once more
	}
	// An artifact that cannot be read hides nothing from the others.
	shown, judged := f.configuration(ctx, log), f.admission(ctx, log)
	if judged != nil {
		judged = fmt.Errorf("audit: %w", judged)
	}
	if shown == nil && judged == nil {
		f.misshown()
	}
	if err := errors.Join(scanned, shown, judged, f.reread(ctx, log)); err != nil {
		return unread{err}
	}
	return nil
}

// held holds the log against the state, beside what Home remembers of it.
func (f *follower) held(ctx context.Context, log *party.Log) error {
	cp := log.View.Checkpoint
	if f.look.Origin == "" {
		return nil
	}
	if f.look.Origin != cp.Origin {
		return fmt.Errorf("%w: it was %q and is %q", tiles.ErrOtherLog, f.look.Origin, cp.Origin)
	}
	err := log.Extends(ctx, &scitt.Checkpoint{Origin: cp.Origin, Size: f.look.Size, Root: f.look.Root, Raw: []byte(f.look.Note)}, f.options)
	if err != nil {
		return err
	}
	f.look.Behind = time.Time{}
	return f.settleDoubt(ctx, log)
}

// saw notes the newest checkpoint. Of one tree the first signature counts: to
// sign it again makes nothing of it newer.
func (f *follower) saw(cp *scitt.Checkpoint) {
	l, now := f.look, f.now()
	first, grown := l.Origin == "", cp.Size > l.Size
	if first || grown {
		l.Signed, l.Grew = time.Time{}, now
	}
	if l.Signed.IsZero() && cp.Tree != nil && cp.Tree.IssuedAt > 0 {
		l.Signed = cp.Tree.IssuedTime()
	}
	if first && !l.Signed.IsZero() && l.Signed.Before(now) {
		l.Grew = l.Signed
	}
	l.Location, l.Origin, l.Size, l.Root, l.Note = f.c.Location, cp.Origin, cp.Size, cp.Root, string(cp.Raw)
}

// failed tells why the log could not be looked at.
func (f *follower) failed(err error) {
	check := checkOf(err)
	a := &Alert{Check: check, Severity: severityOf(check), Message: describe(check) + err.Error()}
	switch check {
	case checkUnreachable, checkTimeout, checkHTTP, checkMissing, checkError:
		if _, reading := errors.AsType[unread](err); reading {
			a.Message = "the log opens, and not all of it or of its artifacts can be read: " + err.Error()
		}
		f.fire(keyReach, a)
		return
	}
	if h, ok := errors.AsType[*party.HistoryError](err); ok && h.Proof != nil {
		a.ProofFile = h.ProofFile
		if proof, err := h.Proof.Marshal(); err == nil {
			a.Proof = string(proof)
		}
	}
	f.resolve(keyReach, "the log answers, and is not well: see the alert about %s", check)
	f.fire(string(check), a)
}

// describe says in words what a check means.
func describe(c Check) string {
	return map[Check]string{
		checkUnreachable: "the log cannot be reached: ",
		checkTimeout:     "the log does not answer in time: ",
		checkHTTP:        "the log's server answers with an error: ",
		checkMissing:     "there is no log at the location: ",
		checkError:       "the log cannot be looked at: ",
		checkCheckpoint:  "the checkpoint is not signed by the log's key: ",
		checkQuorum:      "whether everybody is shown this log is not known: ",
		checkCosigned:    "whether this is still the newest checkpoint is not known: ",
		checkTiles:       "a tile of the log is wrong or missing: ",
		checkEntries:     "entries of the log are wrong or missing: ",
	}[c]
}

// final errors are not tried again: they are no accidents, or took their time.
func final(err error) bool {
	for _, f := range []error{party.ErrForked, tiles.ErrOtherLog, party.ErrKeysChanged, party.ErrDamaged} {
		if errors.Is(err, f) {
			return true
		}
	}
	return isTimeout(err)
}

func isTimeout(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || ok && n.Timeout()
}

// checkOf says what kind of an error it is.
func checkOf(err error) Check {
	_, reading := errors.AsType[unread](err)
	if reading && errors.Is(err, tiles.ErrCorrupt) {
		return checkEntries // whatever else could not be read
	}
	for _, c := range []struct {
		err   error
		check Check
	}{
		{party.ErrDamaged, checkError}, {party.ErrForked, checkFork},
		{tiles.ErrOtherLog, checkOtherLog}, {party.ErrKeysChanged, checkKeysChanged}, {client.ErrStatus, checkHTTP}, {party.ErrNoLog, checkMissing},
		{scitt.ErrCheckpoint, checkCheckpoint}, {witness.ErrQuorum, checkQuorum}, {witness.ErrStale, checkCosigned},
	} {
		if errors.Is(err, c.err) {
			return c.check
		}
	}
	_, isURL := errors.AsType[*url.Error](err)
	_, isNet := errors.AsType[net.Error](err)
	switch {
	case isTimeout(err):
		return checkTimeout
	case errors.Is(err, tiles.ErrKeys):
		return checkEntries
	case errors.Is(err, tiles.ErrCorrupt) || errors.Is(err, fs.ErrNotExist):
		if reading {
			return checkEntries
		}
		return checkTiles
	case isURL || isNet:
		return checkUnreachable
	}
	return checkError
}

// event tells something that happened. What tells it from all others makes its id.
func (f *follower) event(a *Alert, unique ...string) {
	a.Status = event
	a.ID = idOf(append([]string{f.c.Name, string(a.Check), a.Rule}, unique...)...)
	f.add(a)
}

// fire begins a condition, unless it holds.
func (f *follower) fire(key string, a *Alert) {
	if f.look.Conditions[key] != nil {
		return
	}
	f.look.Alerts++
	a.Status = fired
	a.ID = idOf(f.c.Name, key, strconv.FormatUint(f.look.Alerts, 10), f.now().String())
	f.add(a)
	f.look.Conditions[key] = a
}

// resolve ends a condition, if it holds.
func (f *follower) resolve(key, format string, args ...any) {
	began := f.look.Conditions[key]
	if began == nil {
		return
	}
	delete(f.look.Conditions, key)
	f.add(&Alert{
		ID: idOf(began.ID, string(Resolved)), Status: Resolved, Severity: monitor.Informational, Check: began.Check, Rule: began.Rule,
		Issuer: began.Issuer, Subject: began.Subject, Entry: began.Entry, Resolves: began.ID, Message: fmt.Sprintf(format, args...),
	})
}

func (f *follower) add(a *Alert) {
	a.Format, a.Log, a.Location, a.Time = formatAlert, f.c.Name, f.c.Location, f.now().Truncate(time.Millisecond)
	a.Message = limit(a.Message)
	if a.Status != Resolved {
		f.found++
	}
	f.alerts = append(f.alerts, a)
}

// agree makes the state's rules those of the configuration. Of a rule that is
// new or changed, the entries up to size are history, unless the log is
// followed from its start.
func (f *follower) agree(size uint64) {
	known := map[string]bool{}
	for _, r := range f.rules {
		known[r.key()] = true
		st := f.look.Rules[r.key()]
		if st != nil && st.Hash == r.hash() {
			continue
		}
		f.drop(r.key())
		st = &ruleState{Hash: r.hash(), Since: f.now()}
		if f.c.From == fromNow {
			st.Quiet = size
			if !r.history() {
				st.Next = size
			}
		}
		f.look.Rules[r.key()] = st
	}
	for _, key := range slices.Sorted(maps.Keys(f.look.Rules)) {
		if !known[key] {
			f.drop(key)
			delete(f.look.Rules, key)
		}
	}
}

// drop ends the conditions of a rule that is no more what it was.
func (f *follower) drop(rule string) {
	for _, key := range slices.Sorted(maps.Keys(f.look.Conditions)) {
		if key == rule || strings.HasPrefix(key, rule+"|") {
			f.resolve(key, "the rule was changed or taken away")
		}
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// readToken reads a bearer token; "" when there is no file.
func readToken(ctx context.Context, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	token, err := party.ReadToken(ctx, path)
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return token, nil
}
