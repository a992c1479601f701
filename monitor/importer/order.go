package importer

import (
	"bufio"
	"cmp"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
)

// maxSorted is how many bytes of events are sorted in memory; more go to a temporary file.
const maxSorted = 64 << 20

// Sorted gives the items of all its inputs in the order of their times, those of one time in the order of the inputs. It
// reads all of them first: an error, and what is known, comes as soon as it is met. Memory use does not grow with the inputs. What does not
// fit into it is in a file that has no name any more, so a crash leaves nothing of it.
func Sorted(items iter.Seq2[Item, error]) iter.Seq2[Item, error] { return sorted(items, maxSorted) }

func sorted(items iter.Seq2[Item, error], most int) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		var s sorter
		defer s.close()
		var pages paging
		size := 0
		for item, err := range items {
			if pages.hold(err) {
				continue
			}
			if err != nil || item.Known {
				if !yield(item, err) {
					return
				}
				continue
			}
			s.items = append(s.items, item)
			if size += len(item.Event) + 200; size > most {
				if err := s.spill(); err != nil {
					yield(Item{}, err)
					return
				}
				size = 0
			}
		}
		for _, p := range pages.missing() {
			if !yield(Item{}, p) {
				return
			}
		}
		if err := s.merge(yield); err != nil {
			yield(Item{}, err)
		}
	}
}

// paging are the pages of which it is known how many items all of them have.
type paging []*Problem

func (ps *paging) hold(err error) bool {
	p, ok := errors.AsType[*Problem](err)
	if ok = ok && p.More && p.page.total > 0; ok {
		*ps = append(*ps, p)
	}
	return ok
}

// missing are the pages that are not there with all others: those of one total that differ in what they say of the next,
// one of which is the last, have all its items.
func (ps paging) missing() (problems []*Problem) {
	sums, seen := map[int64]int64{}, map[page]bool{}
	for _, p := range ps {
		if key := (page{total: p.page.total, next: p.page.next}); !seen[key] {
			seen[key] = true
			sums[p.page.total] += p.page.items
		}
	}
	for _, p := range ps {
		if total := p.page.total; sums[total] != total || !seen[page{total: total}] {
			problems = append(problems, p)
		}
	}
	return problems
}

// sorter sorts items in runs.
type sorter struct {
	items []Item
	file  *os.File // runs, one after the other
	ends  []int64  // of the runs in the file
}

func (s *sorter) close() {
	if s.file != nil {
		_ = s.file.Close() // it is gone with it
	}
}

func (s *sorter) sort() {
	slices.SortStableFunc(s.items, func(a, b Item) int { return a.Time.Compare(b.Time) })
}

// spill writes what is in memory to the file.
func (s *sorter) spill() (err error) {
	if s.file == nil {
		if s.file, err = temporary(); err != nil {
			return err
		}
	}
	s.sort()
	w := bufio.NewWriterSize(s.file, 1<<20)
	e := gob.NewEncoder(w)
	for _, item := range s.items {
		if err := e.Encode(item); err != nil {
			return fmt.Errorf("importer: sort: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("importer: sort: %w", err)
	}
	end, err := s.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("importer: sort: %w", err)
	}
	s.ends, s.items = append(s.ends, end), s.items[:0]
	return nil
}

// merge gives the items of all runs. The number of runs is small: each has many megabytes.
func (s *sorter) merge(yield func(Item, error) bool) error {
	s.sort()
	var runs []func() (Item, error)
	begin := int64(0)
	for _, end := range s.ends {
		d := gob.NewDecoder(bufio.NewReader(io.NewSectionReader(s.file, begin, end-begin)))
		runs = append(runs, func() (item Item, err error) { err = d.Decode(&item); return item, err })
		begin = end
	}
	n := 0
	runs = append(runs, func() (Item, error) {
		if n++; n > len(s.items) {
			return Item{}, io.EOF
		}
		return s.items[n-1], nil
	})
	type head struct {
		Item
		run int
	}
	var heads []head
	next := func(run int) error {
		item, err := runs[run]()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("importer: sort: %w", err)
		}
		heads = append(heads, head{item, run})
		return nil
	}
	for run := range runs {
		if err := next(run); err != nil {
			return err
		}
	}
	for len(heads) > 0 {
		first := 0
		for i, h := range heads {
			if cmp.Or(h.Time.Compare(heads[first].Time), cmp.Compare(h.run, heads[first].run)) < 0 {
				first = i
			}
		}
		h := heads[first]
		heads = slices.Delete(heads, first, first+1)
		if !yield(h.Item, nil) {
			return nil
		}
		if err := next(h.run); err != nil {
			return err
		}
	}
	return nil
}
