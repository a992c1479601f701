package tiles_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// statements are n entries as a log of this project has them.
func statements(t testing.TB, n int) [][]byte {
	t.Helper()
	key, err := scitt.GenerateKey("EdDSA")
	must(t, err)
	entries := make([][]byte, n)
	for i := range entries {
		entries[i], err = scitt.SignStatement(key, scitt.SignOptions{Subject: fmt.Sprint("subject ", i)}, []byte("payload"))
		must(t, err)
	}
	return entries
}

// fsck gives the problems found, and the error that ended it.
func fsck(t *testing.T, src tiles.Source, cp *scitt.Checkpoint) ([]error, error) {
	t.Helper()
	var problems []error
	err := tiles.Fsck(t.Context(), src, cp, func(p error) { problems = append(problems, p) }, nil)
	return problems, err
}

func TestFsckClean(t *testing.T) {
	o := newOracle(statements(t, 600))
	for _, size := range []int{0, 1, 2, 255, 256, 257, 511, 512, 513, 600} {
		var done []uint64
		err := tiles.Fsck(t.Context(), o.log(size), o.checkpoint(size),
			func(p error) { t.Errorf("size %d: %v", size, p) },
			func(n uint64) { done = append(done, n) })
		must(t, err)
		if len(done) != (size+255)/256 || (size > 0 && done[len(done)-1] != uint64(size)) {
			t.Errorf("size %d: progress %v", size, done)
		}
	}
	// The files of the past, and full ones in place of partial ones, are fine.
	src := o.log(300)
	o.write(src, 600)
	problems, err := fsck(t, src, o.checkpoint(600))
	if err != nil || problems != nil {
		t.Errorf("a log that grew: %v %v", problems, err)
	}
	delete(src, "tile/0/001.p/44")
	delete(src, "tile/entries/001.p/44")
	problems, err = fsck(t, src, o.checkpoint(300))
	if err != nil || problems != nil {
		t.Errorf("an old checkpoint: %v %v", problems, err)
	}
}

// TestFsckFindsCorruption damages every file in every way, one at a time.
func TestFsckFindsCorruption(t *testing.T) {
	const size = 600
	o := newOracle(statements(t, size))
	good := o.log(size)
	if len(good) != 7 {
		t.Fatalf("%d files", len(good))
	}
	for path, data := range good {
		damaged := map[string][]byte{
			"deleted": nil, "emptied": {}, "truncated": data[:len(data)-1], "halved": data[: len(data)/2 : len(data)/2],
			"longer": append(bytes.Clone(data), 0), "first bit": flip(data, 0, 7), "last bit": flip(data, len(data)-1, 0),
		}
		for i := range 20 {
			damaged[fmt.Sprint("bit in part ", i)] = flip(data, len(data)*i/20, i%8)
		}
		for name, data := range damaged {
			problems, err := fsck(t, good.but(path, data), o.checkpoint(size))
			if err == nil && len(problems) == 0 {
				t.Errorf("%s %s: not found", path, name)
			}
			for _, err := range append(problems, err) {
				if err != nil && !errors.Is(err, tiles.ErrCorrupt) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, scitt.ErrMalformed) && scitt.ProblemOf(err) == nil {
					t.Errorf("%s %s: unexpected kind of error: %v", path, name, err)
				}
			}
			if !strings.Contains(fmt.Sprint(problems, err), strings.Split(path, ".p/")[0]) && !strings.Contains(path, "entries") {
				t.Errorf("%s %s: the file is not named: %v %v", path, name, problems, err)
			}
		}
	}
	wrong := o.checkpoint(size)
	wrong.Root = o.leaf(0)
	problems, err := fsck(t, good, wrong)
	must(t, err)
	if len(problems) != 1 || !errors.Is(problems[0], tiles.ErrCorrupt) || !strings.Contains(problems[0].Error(), "the entries lead to root") {
		t.Errorf("wrong root: %v", problems)
	}
}

func flip(data []byte, i, bit int) []byte {
	data = bytes.Clone(data)
	data[i] ^= 1 << bit
	return data
}

// TestFsckEntries: what is in the tree but cannot be registered is reported.
func TestFsckEntries(t *testing.T) {
	entries := statements(t, 300)
	s, err := scitt.ParseStatement(entries[3])
	must(t, err)
	entries[3] = scitt.AttachReceipts(s, []byte("receipt"))
	entries[4] = append([]byte{0xd2, 0x98, 0x04}, entries[4][2:]...)
	entries[270] = []byte("not a statement")
	entries[271] = nil
	o := newOracle(entries)
	problems, err := fsck(t, o.log(300), o.checkpoint(300))
	must(t, err)
	want := []struct {
		err   error
		piece string
	}{
		{tiles.ErrCorrupt, "entry 3: "}, {tiles.ErrCorrupt, "entry 4: "}, {scitt.ErrMalformed, "entry 270: "}, {scitt.ErrMalformed, "entry 271: "},
	}
	if len(problems) != len(want) {
		t.Fatalf("problems: %v", problems)
	}
	for i, w := range want {
		if !errors.Is(problems[i], w.err) || !strings.HasPrefix(problems[i].Error(), w.piece) {
			t.Errorf("problem %d is %v, want %v %q", i, problems[i], w.err, w.piece)
		}
	}
	must(t, tiles.CheckEntry(entries[0]))
	if err := tiles.CheckEntry(entries[3]); !errors.Is(err, tiles.ErrCorrupt) || !strings.Contains(err.Error(), "not in the encoding of an entry") {
		t.Errorf("an entry with receipts: %v", err)
	}
}

func TestFsckCancelled(t *testing.T) {
	o := newOracle(statements(t, 600))
	src := o.log(600)
	ctx, cancel := context.WithCancel(t.Context())
	report := func(p error) { t.Errorf("reported: %v", p) }
	err := tiles.Fsck(ctx, src, o.checkpoint(600), report, func(uint64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled within: %v", err)
	}
	if err := tiles.Fsck(ctx, src, o.checkpoint(600), report, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
}
