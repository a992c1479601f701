package search

import (
	"cmp"
	"slices"
)

const (
	digitBits = 12
	digits    = 1 << digitBits
)

// sortPostings sorts by key and entry. The postings come in the order of
// entries, and half of that is kept: a radix sort by the upper 24 bits of
// the hash leaves small groups, and long ones of one frequent term that are
// in order. It uses scratch, and gives both back.
func sortPostings(list, scratch []posting) (sorted, free []posting) {
	scratch = slices.Grow(scratch[:0], len(list))[:len(list)]
	for shift := 64 - 2*digitBits; shift < 64; shift += digitBits {
		var next [digits]int
		for i := range list {
			next[list[i].hi>>shift%digits]++
		}
		sum := 0
		for d := range next {
			sum, next[d] = sum+next[d], sum
		}
		for i := range list {
			d := list[i].hi >> shift % digits
			scratch[next[d]] = list[i]
			next[d]++
		}
		list, scratch = scratch, list
	}
	for start, i := 0, 1; i <= len(list); i++ {
		if i < len(list) && list[i].hi>>(64-2*digitBits) == list[start].hi>>(64-2*digitBits) {
			continue
		}
		if i-start > 1 {
			slices.SortFunc(list[start:i], comparePostings)
		}
		start = i
	}
	return slices.Compact(list), scratch
}

func comparePostings(a, b posting) int {
	switch {
	case a.hi != b.hi:
		return cmp.Compare(a.hi, b.hi)
	case a.lo != b.lo:
		return cmp.Compare(a.lo, b.lo)
	}
	return cmp.Compare(a.entry, b.entry)
}
