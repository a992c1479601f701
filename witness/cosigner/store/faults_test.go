package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness/conformance"
	"github.com/conmotion/conmotion/witness/cosigner"
	"github.com/conmotion/conmotion/witness/cosigner/store"
)

// add asks for a cosignature in the process and returns the refusal's status.
func (r *running) add(l *conformance.Log, history int, old, size uint64) (lines []byte, status int) {
	r.t.Helper()
	lines, err := r.witness.AddCheckpoint(r.t.Context(), l.Growing(history, old, size))
	if refusal, ok := errors.AsType[*cosigner.Refusal](err); ok {
		return nil, refusal.Status
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return lines, http.StatusOK
}

func (r *running) want(what string, status int, l *conformance.Log, history int, old, size uint64) []byte {
	r.t.Helper()
	lines, got := r.add(l, history, old, size)
	if got != status {
		r.t.Errorf("%s: status %d, want %d", what, got, status)
	}
	return lines
}

// TestConformanceFinds: a witness that forgets is found out, so the check can fail.
func TestConformanceFinds(t *testing.T) {
	logs := newLogs(t, conformance.LogsNeeded)
	r := start(t, logs...)
	target := r.target()
	target.Restart = func(context.Context) error {
		if err := errors.Join(r.store.Close(), os.Remove(filepath.Join(r.dir, "guard"))); err != nil {
			return err
		}
		r.open(true) // as if it never signed
		return nil
	}
	results, err := conformance.Run(t.Context(), target, logs)
	if err != nil {
		t.Fatal(err)
	}
	last := results[len(results)-1]
	if last.Check != "restart" || !strings.Contains(last.Deviates, "old 0 after the restart") {
		t.Errorf("a witness that forgot: %+v", last)
	}
}

// copyDir copies the files of a witness that does not run.
func copyDir(t *testing.T, from, to string, names ...string) {
	t.Helper()
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestRolledBack: a database that is older than its guard, or one without the other,
// is not used. One that is put back with its guard is found out by the witness's own
// cosignature, and signs nothing from then on, also after a restart.
func TestRolledBack(t *testing.T) {
	l := newLogs(t, 2)
	r := start(t, l...)
	r.want("first", http.StatusOK, l[0], 0, 0, 3)
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	backup, newer := t.TempDir(), t.TempDir()
	both := []string{"witness.db", "guard"}
	copyDir(t, r.dir, backup, both...)
	r.open(false)
	lines := r.want("growth", http.StatusOK, l[0], 0, 3, 9)
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	copyDir(t, r.dir, newer, both...)
	db, guard := filepath.Join(r.dir, "witness.db"), filepath.Join(r.dir, "guard")
	refused := func(what string) {
		t.Helper()
		if s, err := store.Open(t.Context(), db, guard, false); !errors.Is(err, store.ErrRolledBack) {
			t.Errorf("%s: %v", what, err)
			if err == nil {
				s.Close()
			}
		}
	}
	copyDir(t, backup, r.dir, "witness.db")
	refused("an older database")
	for what, gone := range map[string]string{"no database": db, "no guard": guard} {
		copyDir(t, newer, r.dir, both...)
		if err := os.Remove(gone); err != nil {
			t.Fatal(err)
		}
		refused(what)
	}
	copyDir(t, newer, r.dir, both...)
	if s, err := store.Open(t.Context(), db, guard, true); err == nil {
		t.Error("new keys with the database of others")
		s.Close()
	}
	copyDir(t, backup, r.dir, both...)
	r.open(false)
	request := l[0].Growing(0, 3, 9)
	request.Checkpoint = append(request.Checkpoint, lines...)
	for range 2 {
		var refusal *cosigner.Refusal
		if _, err := r.witness.AddCheckpoint(t.Context(), request); !errors.As(err, &refusal) || refusal.Status != http.StatusServiceUnavailable {
			t.Errorf("its own cosignature that it does not remember: %v", err)
		}
		r.want("another log", http.StatusServiceUnavailable, l[1], 0, 0, 3)
		if r.witness.Halted() == "" {
			t.Error("it is not halted")
		}
		r.restart()
	}
}

// TestClock: no later tree has an earlier time, whatever the clock does. One that goes back
// by more than a minute stops the logs that were cosigned later, and no others, for as
// long as the witness says, also over a restart.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLogs(t, 2)
		r := start(t, l...)
		var jump time.Duration // of the witness's clock, beside the time that passes
		r.now = func() time.Time { return time.Now().Add(jump) }
		size, last := uint64(0), time.Time{}
		// grows has the log cosigned at its next size, at the time that is wanted.
		grows := func(what string, want time.Time) {
			t.Helper()
			lines := r.want(what, http.StatusOK, l[0], 0, size, size+1)
			_, base64, _ := strings.Cut(strings.TrimPrefix(strings.SplitN(string(lines), "\n", 2)[0], "— "), " ")
			at := testlog.Must(scitt.CosignatureTime(note.Signature{Base64: base64}))(t)
			if !at.Equal(want) || at.Before(last) {
				t.Errorf("%s: signed at %v, want %v, and the last one was at %v", what, at, want, last)
			}
			size, last = size+1, at
		}
		// refuses gives how long the witness wants the log to wait.
		refuses := func(what string) time.Duration {
			t.Helper()
			_, err := r.witness.AddCheckpoint(t.Context(), l[0].Growing(0, size, size+1))
			refusal, ok := errors.AsType[*cosigner.Refusal](err)
			if !ok || refusal.Status != http.StatusServiceUnavailable {
				t.Fatalf("%s: %v", what, err)
			}
			return refusal.Retry
		}
		grows("first", time.Now())
		time.Sleep(time.Hour)
		grows("an hour later", time.Now())
		jump = -30 * time.Second
		grows("a little back", last)
		time.Sleep(10 * time.Second)
		grows("still behind", last)
		time.Sleep(40 * time.Second)
		grows("caught up", time.Now().Add(jump))
		jump = 24 * time.Hour
		grows("a day ahead", time.Now().Add(jump))
		jump = 0
		wait := refuses("a day back")
		r.want("another log", http.StatusOK, l[1], 0, 0, 3)
		r.restart()
		if again := refuses("a day back, after a restart"); again != wait || wait > 24*time.Hour {
			t.Errorf("wait for %v, and after a restart for %v", wait, again)
		}
		time.Sleep(wait - 2*time.Minute)
		refuses("two minutes too early")
		time.Sleep(2 * time.Minute)
		grows("when the witness said", time.Now())
	})
}

// TestClockAndFloods: a clock that jumps neither gives a log more than it may have in a day
// at once, nor takes from it for longer than it went back.
func TestClockAndFloods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLogs(t, 1)[0]
		r := start(t)
		r.know(l.VKey, 1)
		if err := r.witness.SetLogs(r.list); err != nil {
			t.Fatal(err)
		}
		var jump time.Duration
		r.now = func() time.Time { return time.Now().Add(jump) }
		size := uint64(0)
		// most is how many are cosigned before one is refused.
		most := func() (n int) {
			for ; ; n++ {
				switch _, status := r.add(l, 0, size, size+1); status {
				case http.StatusOK:
					size++
				case http.StatusTooManyRequests:
					return n
				default:
					t.Fatalf("status %d", status)
				}
			}
		}
		first := most()
		jump = 30 * 24 * time.Hour
		if n := most(); n != first || n == 0 {
			t.Errorf("%d at once, and %d after the clock jumped by a month", first, n)
		}
		jump -= time.Minute
		if n := most(); n != 0 {
			t.Errorf("%d when the clock went back", n)
		}
		time.Sleep(24*time.Hour + time.Minute)
		if n := most(); n == 0 {
			t.Error("none on the next day")
		}
	})
}

// TestKeyRotation: a log changes its key by configuration, and its history goes on.
func TestKeyRotation(t *testing.T) {
	old := newLogs(t, 1)[0]
	next, err := conformance.NewLog(old.Origin, []byte("another key"))
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, old)
	r.want("the old key", http.StatusOK, old, 0, 0, 3)
	r.want("a key that nobody knows", http.StatusForbidden, next, 0, 3, 3)
	r.know(next.VKey, 1<<30)
	if err := r.witness.SetLogs(r.list); err != nil {
		t.Fatal(err)
	}
	// The new key's tree is another one: it may sign, and not begin anew.
	r.want("another history by the new key", http.StatusUnprocessableEntity, next, 0, 3, 9)
	r.want("the old key, both count", http.StatusOK, old, 0, 3, 9)
	l, err := cosigner.NewLog(next.VKey, "", 1<<30, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.witness.SetLogs(cosigner.List{l.Origin: l}); err != nil {
		t.Fatal(err)
	}
	r.want("the old key is removed", http.StatusForbidden, old, 0, 9, 10)
	if err := r.witness.SetLogs(cosigner.List{}); err != nil {
		t.Fatal(err)
	}
	r.want("the log is removed", http.StatusNotFound, old, 0, 9, 10)
	if err := r.witness.SetLogs(r.list); err != nil {
		t.Fatal(err)
	}
	r.want("it is remembered", http.StatusConflict, old, 0, 0, 3)
	own, err := conformance.NewLog(r.witness.Name(), []byte("seed"))
	if err != nil {
		t.Fatal(err)
	}
	if l, err = cosigner.NewLog(own.VKey, "log.example", 1, ""); err != nil {
		t.Fatal(err)
	}
	if err := r.witness.SetLogs(cosigner.List{l.Origin: l}); !errors.Is(err, cosigner.ErrLog) || r.witness.Logs() != 0 {
		t.Errorf("a log that signs as the witness: %v", err)
	}
}

// TestFlood: of a hundred logs one asks for more than it may, and the others do not
// notice. Repeating what is public costs a log nothing of what it may.
func TestFlood(t *testing.T) {
	logs := newLogs(t, 100)
	r := start(t)
	for _, l := range logs {
		r.know(l.VKey, 1)
	}
	if err := r.witness.SetLogs(r.list); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for size := uint64(1); size <= 30; size++ {
		if _, status := r.add(logs[0], 0, size-1, size); status == http.StatusTooManyRequests {
			refused++
			break
		}
		for range 5 {
			r.want("the same again", http.StatusOK, logs[0], 0, size, size)
		}
	}
	if refused == 0 {
		t.Error("a log that may have one checkpoint a day had thirty")
	}
	for i, l := range logs[1:] {
		r.want(fmt.Sprint("log ", i+1), http.StatusOK, l, 0, 0, 3)
	}
}
