package keeper

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/cosigner"
)

// damages are what may happen to the directory of a log of 1000 entries.
var damages = map[string]func(dir string) error{
	"an entry is another one":      flip(tiles.BundlePath(1, 256)),
	"the last entries are others":  flip(tiles.BundlePath(3, 232)),
	"a tile is another one":        flip(tiles.TilePath(0, 2, 256)),
	"the last tile is another one": flip(tiles.TilePath(0, 3, 232)),
	"a high tile is another one":   flip(tiles.TilePath(1, 0, 3)),
	"a bundle is cut off":          func(dir string) error { return os.Truncate(filepath.Join(dir, tiles.BundlePath(0, 256)), 1000) },
	"a bundle is gone":             gone(tiles.BundlePath(2, 256)),
	"a tile is gone":               gone(tiles.TilePath(1, 0, 3)),
	"the checkpoint is gone":       gone(tiles.CheckpointPath),
	"the checkpoint is another": func(dir string) error {
		return os.WriteFile(filepath.Join(dir, tiles.CheckpointPath), []byte("x"), 0o644)
	},
	"all is gone": os.RemoveAll,
}

func gone(path string) func(string) error {
	return func(dir string) error { return os.Remove(filepath.Join(dir, path)) }
}

// flip changes a bit in the middle of a file.
func flip(path string) func(string) error {
	return func(dir string) error {
		path := filepath.Join(dir, path)
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		data[len(data)/2] ^= 1
		return os.WriteFile(path, data, 0o644)
	}
}

func (w *world) keptIn() string { return filepath.Join(w.dir, "kept", cosigner.HashOf(testlog.Origin)) }

// damage does something to the directory while the mirror does nothing there.
func (w *world) damage(do func(dir string) error) {
	w.Helper()
	k := w.mirror.of(testlog.Origin)
	k.held <- struct{}{}
	defer k.free()
	k.checkedAt = time.Now() // where every is long nothing is looked at without a reason
	if err := do(w.keptIn()); err != nil {
		w.Fatal(err)
	}
}

// mirrored starts a witness that keeps a log of 1000 entries, which are pulled or uploaded.
func mirrored(t *testing.T, pulls bool, every time.Duration) *world {
	t.Helper()
	w := newWorld(t)
	w.pulls, w.every = pulls, every
	w.grow(1000)
	w.start()
	w.pend(1000)
	if !pulls {
		if status, i, _ := w.send(w.upload(0, 1000, 9, nil), ""); status != http.StatusOK {
			t.Fatalf("upload: %d %+v", status, i)
		}
	}
	w.until(1000)
	testwait.Until(t, func() bool {
		_, err := os.Stat(filepath.Join(w.keptIn(), tiles.CheckpointPath))
		return err == nil
	}, "the directory has its checkpoint")
	return w
}

// mended waits until the log is whole again, so often, at a size.
func (w *world) mended(times int64, size uint64) {
	w.Helper()
	testwait.Until(w, func() bool { return w.metric("mirror.mended") == times }, "it is mended")
	w.until(size)
	w.onlyFiles(int(size))
}

// TestMends: what is damaged or gone is found by reading it, and fetched from the log.
func TestMends(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := mirrored(t, true, 10*time.Millisecond)
			w.damage(damage)
			w.mended(1, 1000)
			w.grow(1300)
			w.pend(1300)
			w.until(1300)
			if n := w.metric("mirror.mended"); n != 1 {
				t.Errorf("it is mended %d times", n)
			}
		})
	}
}

// TestMendsForReaders: a file that a reader does not get is a reason to look.
func TestMendsForReaders(t *testing.T) {
	w := mirrored(t, true, time.Hour)
	w.damage(damages["a bundle is gone"])
	if _, err := w.readMirror(); err == nil {
		t.Fatal("it is whole")
	}
	w.mended(1, 1000)
}

// TestNeverSignsBroken: while the log does not give what is missing nothing is signed,
// also after a restart, and it is told.
func TestNeverSignsBroken(t *testing.T) {
	w := mirrored(t, true, 10*time.Millisecond)
	lost := tiles.BundlePath(1, 256)
	good := testlog.Must(w.files.Get(t.Context(), lost))(t)
	w.files.Put(lost, append([]byte{0, 1}, good[2:]...))
	w.damage(gone(lost))
	failing := func() {
		t.Helper()
		testwait.Until(t, func() bool { return w.metric("mirror.failing") == 1 }, "it fails")
		if own := testlog.Must(w.own.State(t.Context(), testlog.Origin))(t); own.Size != 1000 {
			t.Errorf("size %d is cosigned, and what it builds on is not there", own.Size)
		}
	}
	failing()
	w.grow(1300)
	w.files.Put(lost, append([]byte{0, 1}, good[2:]...))
	w.pend(1300)
	failing()
	w.stop()
	w.start()
	failing()
	w.files.Put(lost, good)
	w.mended(1, 1300)
}

// TestMendsUploaded: of a log that is uploaded the tiles follow from the entries.
func TestMendsUploaded(t *testing.T) {
	w := mirrored(t, false, 10*time.Millisecond)
	w.damage(damages["a tile is another one"])
	w.mended(1, 1000)
}

// TestUploadedAgain: entries that are damaged or gone are uploaded again, and nobody is
// told that those were wrong which he sent.
func TestUploadedAgain(t *testing.T) {
	for _, damage := range []string{"the last entries are others", "an entry is another one", "all is gone"} {
		t.Run(damage, func(t *testing.T) {
			t.Parallel()
			w := mirrored(t, false, 10*time.Millisecond)
			w.grow(1100)
			w.pend(1100)
			w.damage(damages[damage])
			testwait.Until(t, func() bool { return w.metric("mirror.failing") == 1 }, "it is told")
			for next, status := 1000, 0; status != http.StatusOK; {
				var i info
				status, i, _ = w.send(w.upload(next, 1100, 9, nil), "")
				switch {
				case status == http.StatusConflict && next == 1000 && i.next == 0:
					next = 0
				case status != http.StatusOK || next != 0:
					t.Fatalf("from %d: status %d %+v", next, status, i)
				}
			}
			w.mended(1, 1100)
		})
	}
}

// TestBlame: a package is not called wrong because of the entries that are kept before it.
func TestBlame(t *testing.T) {
	w := mirrored(t, false, time.Hour)
	w.grow(1100)
	w.pend(1100)
	w.damage(damages["the last entries are others"])
	if status, i, _ := w.send(w.upload(1000, 1100, 9, nil), ""); status != http.StatusServiceUnavailable {
		t.Errorf("status %d %+v", status, i)
	}
}
