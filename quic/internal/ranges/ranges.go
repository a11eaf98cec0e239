// Package ranges has sets of integers as sorted half-open ranges.
package ranges

import "sort"

// Range is [Start, End).
type Range struct{ Start, End uint64 }

// Len returns the number of integers in the range.
func (r Range) Len() uint64 { return r.End - r.Start }

// Set is a set of integers: ranges in ascending order that neither overlap nor
// touch. The zero value is empty. Its owner bounds it: see Add's result.
type Set []Range

// find returns the index of the first range that ends at or after v.
func (s Set) find(v uint64) int {
	if n := len(s); n > 0 && s[n-1].End < v {
		return n
	} else if n > 0 && s[n-1].Start <= v {
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
		*s = append(*s, Range{})
		copy((*s)[i+1:], (*s)[i:])
		(*s)[i] = Range{start, end}
		return
	}
	r := &(*s)[i]
	r.Start = min(r.Start, start)
	j := i + 1
	for j < len(*s) && (*s)[j].Start <= end {
		j++
	}
	r.End = max(r.End, end, (*s)[j-1].End)
	*s = append((*s)[:i+1], (*s)[j:]...)
}

// Remove removes [start, end).
func (s *Set) Remove(start, end uint64) {
	if start >= end {
		return
	}
	i := s.find(start)
	for i < len(*s) && (*s)[i].Start < end {
		r := (*s)[i]
		switch {
		case r.End <= start:
			i++
		case r.Start >= start && r.End <= end:
			*s = append((*s)[:i], (*s)[i+1:]...)
		case r.Start >= start:
			(*s)[i].Start = end
			return
		case r.End <= end:
			(*s)[i].End = start
			i++
		default:
			*s = append(*s, Range{})
			copy((*s)[i+1:], (*s)[i:])
			(*s)[i].End = start
			(*s)[i+1].Start = end
			return
		}
	}
}

// Contains tells whether v is in the set.
func (s Set) Contains(v uint64) bool {
	i := s.find(v)
	// A range that ends at v does not contain it, but the next may.
	if i < len(s) && s[i].End == v {
		i++
	}
	return i < len(s) && s[i].Start <= v && v < s[i].End
}

// ContainsRange tells whether all of [start, end) is in the set.
func (s Set) ContainsRange(start, end uint64) bool {
	if start >= end {
		return true
	}
	i := s.find(start)
	if i < len(s) && s[i].End == start {
		i++
	}
	return i < len(s) && s[i].Start <= start && end <= s[i].End
}
