// Package ranges has sets of integers as sorted half-open ranges.
package ranges

import (
	"slices"
	"sort"
)

// Range is [Start, End).
type Range struct{ Start, End uint64 }

// Len returns the number of integers in the range.
func (r Range) Len() uint64 { return r.End - r.Start }

// Set is a set of integers: ranges in ascending order that are not empty and
// neither overlap nor touch. The zero value is empty.
//
// Its owner bounds it: a call of Add or Remove makes it longer by one range at
// most. At its end, where most calls are, Add and Contains take constant time;
// elsewhere finding the place takes logarithmic time, and moving what is behind it linear time.
type Set []Range

// find returns the index of the first range that ends at or after v.
func (s Set) find(v uint64) int {
	if n := len(s); n == 0 || s[n-1].End < v {
		return n
	} else if s[n-1].Start <= v {
		return n - 1
	}
	return sort.Search(len(s), func(i int) bool { return s[i].End >= v })
}

// Add adds [start, end). An empty range adds nothing.
func (s *Set) Add(start, end uint64) {
	if start >= end {
		return
	}
	i := s.find(start)
	if i == len(*s) || (*s)[i].Start > end {
		*s = slices.Insert(*s, i, Range{start, end})
		return
	}
	j := i + 1
	for j < len(*s) && (*s)[j].Start <= end {
		j++
	}
	r := &(*s)[i]
	r.Start = min(r.Start, start)
	r.End = max(end, (*s)[j-1].End)
	if j > i+1 {
		*s = slices.Delete(*s, i+1, j)
	}
}

// Remove removes [start, end). An empty range removes nothing.
func (s *Set) Remove(start, end uint64) {
	if start >= end {
		return
	}
	i := s.find(start)
	if i < len(*s) && (*s)[i].End == start {
		i++
	}
	j := i
	for j < len(*s) && (*s)[j].Start < end {
		j++
	}
	if i == j {
		return
	}
	// Of the ranges from i to j, something before start and something from end on may stay.
	first, last := (*s)[i], (*s)[j-1]
	var keep [2]Range
	n := 0
	if first.Start < start {
		keep[n] = Range{first.Start, start}
		n++
	}
	if last.End > end {
		keep[n] = Range{end, last.End}
		n++
	}
	*s = slices.Replace(*s, i, j, keep[:n]...)
}

// Contains tells whether v is in the set.
func (s Set) Contains(v uint64) bool {
	i := s.find(v)
	return i < len(s) && s[i].Start <= v && v < s[i].End
}

// ContainsRange tells whether all of [start, end) is in the set. An empty range is in every set.
func (s Set) ContainsRange(start, end uint64) bool {
	if start >= end {
		return true
	}
	i := s.find(start)
	return i < len(s) && s[i].Start <= start && end <= s[i].End
}
