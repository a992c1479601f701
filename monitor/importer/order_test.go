package importer

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"
)

// TestSorted: the order is that of the times, and of the inputs within one, whether all fits into memory or not.
func TestSorted(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var in []Item
	for i := range 300 {
		in = append(in, Item{Event: fmt.Append(nil, i), Time: time.UnixMilli(rng.Int64N(50)).UTC(), AssetUID: "a", Position: Position{Line: int64(i)}, File: "f"})
	}
	broken := errors.New("broken")
	items := func(fail int) iter.Seq2[Item, error] {
		return func(yield func(Item, error) bool) {
			for i, item := range in {
				if i == fail && !yield(Item{}, broken) || !yield(item, nil) {
					return
				}
			}
		}
	}
	want := slices.Clone(in)
	slices.SortStableFunc(want, func(a, b Item) int { return a.Time.Compare(b.Time) })
	for _, most := range []int{1, 10_000, 1 << 20} {
		var got []Item
		errs := 0
		for item, err := range sorted(items(100), most) {
			if err != nil {
				errs++
				continue
			}
			got = append(got, item)
		}
		same := slices.EqualFunc(got, want, func(a, b Item) bool {
			return string(a.Event) == string(b.Event) && a.Time.Equal(b.Time) && a.Position == b.Position && a.File == b.File
		})
		if !same || errs != 1 {
			t.Errorf("%d bytes: %d items, %d errors", most, len(got), errs)
		}
		for range sorted(items(-1), most) {
			break // it can be left early
		}
	}
}

// TestKnown: what is known comes as soon as it is met, as it is, and is not checked; the rest in the order of its times.
func TestKnown(t *testing.T) {
	file, err := os.ReadFile("testdata/gcp-export.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	read := func(o Options) (all []Item) {
		for item, err := range Sorted(gcpFormat.Read(bytes.NewReader(file), o)) {
			if err == nil {
				all = append(all, item)
			}
		}
		return all
	}
	all := read(Options{})
	last := all[len(all)-1]
	got := read(Options{Known: func(event []byte) bool { return bytes.Equal(event, last.Event) }})
	last.Known = true
	if want := append([]Item{last}, all[:len(all)-1]...); len(all) < 3 || !reflect.DeepEqual(got, want) {
		t.Errorf("%d items, and the first is %+v; want %+v", len(got), got[0], last)
	}
}
