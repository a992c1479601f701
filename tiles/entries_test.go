package tiles_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

func TestParseBundle(t *testing.T) {
	three := [][]byte{[]byte("one"), {}, []byte("three")}
	largest := bytes.Repeat([]byte{7}, scitt.MaxEntrySize)
	tooMany := naiveBundle(make([][]byte, 257))
	for name, c := range map[string]struct {
		data  []byte
		n     int
		want  [][]byte
		piece string // of the refusal
	}{
		"empty":               {nil, 0, [][]byte{}, ""},
		"three":               {naiveBundle(three), 3, three, ""},
		"two of three":        {naiveBundle(three), 2, three[:2], ""},
		"none of three":       {naiveBundle(three), 0, [][]byte{}, ""},
		"full":                {naiveBundle(numbered(256)), 256, numbered(256), ""},
		"largest":             {naiveBundle([][]byte{largest}), 1, [][]byte{largest}, ""},
		"too few":             {naiveBundle(three), 4, nil, "3 entries and 4 are needed"},
		"nothing":             {nil, 1, nil, "0 entries and 1 are needed"},
		"half a length":       {append(naiveBundle(three), 0), 3, nil, "ends within a length"},
		"half an entry":       {append(naiveBundle(three), 0, 5, 'x'), 3, nil, "ends within an entry"},
		"length without more": {[]byte{0xff, 0xff}, 1, nil, "ends within an entry"},
		"more than a bundle":  {tooMany, 256, nil, "more than 256"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tiles.ParseBundle(c.data, c.n)
			if c.piece != "" {
				if !errors.Is(err, tiles.ErrCorrupt) || !strings.Contains(err.Error(), c.piece) {
					t.Errorf("got %v, want %q", err, c.piece)
				}
				return
			}
			must(t, err)
			if !slices.EqualFunc(got, c.want, bytes.Equal) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func FuzzParseBundle(f *testing.F) {
	f.Add(naiveBundle(numbered(3)), 3)
	f.Add([]byte{0, 1}, 0)
	f.Add(naiveBundle(make([][]byte, 257)), 256)
	f.Fuzz(func(t *testing.T, data []byte, n int) {
		n &= 0xff
		entries, err := tiles.ParseBundle(data, n)
		if err != nil {
			return
		}
		if len(entries) != n || !bytes.HasPrefix(data, naiveBundle(entries)) {
			t.Fatalf("%d entries of %d, %q", len(entries), n, entries)
		}
	})
}

func TestEntries(t *testing.T) {
	o := newOracle(numbered(600))
	for _, size := range []int{1, 255, 256, 257, 512, 600} {
		v := at(t, o.log(size), o.checkpoint(size))
		for _, r := range [][2]int{{0, size}, {0, 1}, {255, 257}, {256, 512}, {100, 100}, {300, 200}, {size - 1, size}, {size / 2, size + 1000}, {size, size + 1}, {size + 5, size + 9}} {
			next, end := r[0], min(r[1], size)
			for e, err := range v.Entries(t.Context(), uint64(r[0]), uint64(r[1])) {
				must(t, err)
				if e.Index != uint64(next) || !bytes.Equal(e.Data, o.entries[next]) {
					t.Fatalf("size %d, %v: entry %d is %d %q", size, r, next, e.Index, e.Data)
				}
				next++
			}
			if next != max(end, r[0]) {
				t.Errorf("size %d, %v: ended before %d", size, r, next)
			}
		}
	}
	v := at(t, o.log(600), o.checkpoint(600))
	n := 0
	for range v.Entries(t.Context(), 0, 600) {
		if n++; n == 300 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for e, err := range v.Entries(ctx, 0, 600) {
		if last = err; err == nil && e.Index == 255 {
			cancel()
		}
	}
	if last != nil && !errors.Is(last, context.Canceled) {
		t.Errorf("cancelled: %v", last)
	}
	cancel()
	for _, err := range v.Entries(ctx, 0, 600) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled before: %v", err)
		}
	}
}

// readAll reads a log as a distrustful reader does and gives what went wrong.
// Data that does not fit the oracle fails the test.
func readAll(t *testing.T, o *oracle, src memory, size int) []error {
	t.Helper()
	v, err := tiles.NewTree(src).At(t.Context(), o.checkpoint(size))
	if err != nil {
		return []error{err}
	}
	var errs []error
	next := 0
	for e, err := range v.Entries(t.Context(), 0, uint64(size)) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if e.Index != uint64(next) || !bytes.Equal(e.Data, o.entries[next]) {
			t.Fatalf("wrong data: entry %d is %d %q", next, e.Index, e.Data)
		}
		next++
	}
	if len(errs) == 0 && next != size {
		t.Fatalf("%d entries of %d, and no error", next, size)
	}
	for i := 0; i < size; i += 17 {
		if e, err := v.Entry(t.Context(), uint64(i)); err != nil {
			errs = append(errs, err)
		} else if !bytes.Equal(e, o.entries[i]) {
			t.Fatalf("wrong data: entry %d is %q", i, e)
		}
		if _, err := v.Inclusion(t.Context(), uint64(i), o.leaf(i)); err != nil {
			errs = append(errs, err)
		}
		if _, err := v.Inclusion(t.Context(), uint64(i), o.leaf((i+1)%size)); err == nil {
			t.Fatalf("a proof that leaf %d is leaf %d", i, i+1)
		}
	}
	return errs
}

// TestCorruptionIsNeverData damages each file of a log in each way.
func TestCorruptionIsNeverData(t *testing.T) {
	const size = 600
	o := newOracle(numbered(size))
	good := o.log(size)
	if errs := readAll(t, o, good, size); errs != nil {
		t.Fatal(errs)
	}
	check := func(t *testing.T, src memory, allowed ...error) {
		t.Helper()
		errs := readAll(t, o, src, size)
		if len(errs) == 0 {
			t.Error("nobody noticed")
		}
		for _, err := range errs {
			if !slices.ContainsFunc(allowed, func(a error) bool { return errors.Is(err, a) }) {
				t.Errorf("unexpected kind of error: %v", err)
			}
		}
	}
	for path, data := range good {
		t.Run(path, func(t *testing.T) {
			for _, i := range []int{0, 1, 2, len(data) / 2, len(data) - 1} {
				flipped := bytes.Clone(data)
				flipped[i] ^= 0x10
				check(t, good.but(path, flipped), tiles.ErrCorrupt, scitt.ErrProof)
			}
			for _, n := range []int{0, 1, 32, len(data) / 2, len(data) - 1} {
				check(t, good.but(path, data[:n:n]), tiles.ErrCorrupt, scitt.ErrProof)
			}
			check(t, good.but(path, nil), fs.ErrNotExist)
			other := bytes.Clone(data) // the same file of another log
			for i := range other {
				other[i] ^= 0xff
			}
			check(t, good.but(path, other), tiles.ErrCorrupt, scitt.ErrProof)
		})
	}
	t.Run("swapped", func(t *testing.T) {
		for _, dir := range []string{"tile/entries/", "tile/0/"} {
			check(t, good.but(dir+"000", good[dir+"001"]).but(dir+"001", good[dir+"000"]), tiles.ErrCorrupt, scitt.ErrProof)
		}
	})
	t.Run("order within a bundle", func(t *testing.T) {
		entries := slices.Clone(o.entries[:256])
		entries[3], entries[4] = entries[4], entries[3]
		check(t, good.but("tile/entries/000", naiveBundle(entries)), tiles.ErrCorrupt)
	})
	// A forger who changes an entry and its leaf alike is found by the proof.
	t.Run("bundle and tile alike", func(t *testing.T) {
		entries := slices.Clone(o.entries)
		entries[300] = []byte("forged")
		forged := newOracle(entries).log(size)
		check(t, good.but("tile/entries/001", forged["tile/entries/001"]).but("tile/0/001", forged["tile/0/001"]), tiles.ErrCorrupt, scitt.ErrProof)
	})
}
