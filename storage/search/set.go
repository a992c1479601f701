package search

import (
	"iter"
	"math/bits"
	"slices"
)

// set is a set of entries between low and high: a list while it is small, and
// a bitmap from then on. The zero value of list and bits is the empty set.
type set struct {
	low, high uint64 // high is not in it
	list      []uint64
	bits      []uint64 // of low and up; nil for a list
}

const longList = 1 << 12

// add adds an entry; what is not between low and high is not added.
func (s *set) add(entry uint64) {
	switch {
	case entry < s.low || entry >= s.high:
	case s.bits != nil:
		s.bits[(entry-s.low)/64] |= 1 << ((entry - s.low) % 64)
	default:
		s.list = append(s.list, entry)
		if len(s.list) >= longList {
			s.list = compactList(s.list)
			if len(s.list) >= longList/2 {
				s.grow()
			}
		}
	}
}

func compactList(list []uint64) []uint64 {
	slices.Sort(list)
	return slices.Compact(list)
}

func (s *set) grow() {
	s.bits = make([]uint64, (s.high-s.low+63)/64)
	for _, entry := range s.list {
		s.bits[(entry-s.low)/64] |= 1 << ((entry - s.low) % 64)
	}
	s.list = nil
}

// addRange adds the entries from first up to, and not including, next.
func (s *set) addRange(first, next uint64) {
	for entry := max(first, s.low); entry < min(next, s.high); entry++ {
		s.add(entry)
	}
}

// done ends the adding.
func (s *set) done() { s.list = compactList(s.list) }

func (s *set) has(entry uint64) bool {
	if entry < s.low || entry >= s.high {
		return false
	}
	if s.bits != nil {
		return s.bits[(entry-s.low)/64]>>((entry-s.low)%64)&1 == 1
	}
	_, ok := slices.BinarySearch(s.list, entry)
	return ok
}

// and keeps what is in both; they have the same low and high.
func (s *set) and(o *set) {
	switch {
	case s.bits != nil && o.bits != nil:
		for i := range s.bits {
			s.bits[i] &= o.bits[i]
		}
	case s.bits != nil:
		s.list = slices.DeleteFunc(slices.Clone(o.list), func(entry uint64) bool { return !s.has(entry) })
		s.bits = nil
	default:
		s.list = slices.DeleteFunc(s.list, func(entry uint64) bool { return !o.has(entry) })
	}
}

func (s *set) empty() bool { return s.bits == nil && len(s.list) == 0 }

// all gives the entries in order, or from the last to the first.
func (s *set) all(descending bool) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		n := len(s.list)
		if s.bits != nil {
			n = len(s.bits)
		}
		for i := range n {
			if descending {
				i = n - 1 - i
			}
			if s.bits == nil {
				if !yield(s.list[i]) {
					return
				}
				continue
			}
			for word := s.bits[i]; word != 0; {
				bit := bits.TrailingZeros64(word)
				if descending {
					bit = 63 - bits.LeadingZeros64(word)
				}
				word &^= 1 << bit
				if !yield(s.low + uint64(i)*64 + uint64(bit)) {
					return
				}
			}
		}
	}
}

// everything gives the entries between low and high.
func everything(low, high uint64, descending bool) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for i := range high - low {
			entry := low + i
			if descending {
				entry = high - 1 - i
			}
			if !yield(entry) {
				return
			}
		}
	}
}
