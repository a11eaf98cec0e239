package ranges

import (
	"math"
	"slices"
	"testing"
)

func TestAdd(t *testing.T) {
	base := Set{{10, 20}, {30, 40}, {50, 60}}
	for _, tc := range []struct {
		name       string
		start, end uint64
		want       Set
	}{
		{"empty", 25, 25, base},
		{"reversed", 26, 25, base},
		{"before all", 1, 5, Set{{1, 5}, {10, 20}, {30, 40}, {50, 60}}},
		{"touching the first", 5, 10, Set{{5, 20}, {30, 40}, {50, 60}}},
		{"in a gap", 22, 28, Set{{10, 20}, {22, 28}, {30, 40}, {50, 60}}},
		{"touching from below", 22, 30, Set{{10, 20}, {22, 40}, {50, 60}}},
		{"touching from above", 20, 28, Set{{10, 28}, {30, 40}, {50, 60}}},
		{"filling a gap", 20, 30, Set{{10, 40}, {50, 60}}},
		{"contained", 32, 35, base},
		{"same", 30, 40, base},
		{"overlapping both", 15, 35, Set{{10, 40}, {50, 60}}},
		{"covering one", 25, 45, Set{{10, 20}, {25, 45}, {50, 60}}},
		{"covering all", 0, 100, Set{{0, 100}}},
		{"from the first on", 10, 100, Set{{10, 100}}},
		{"at the end", 60, 61, Set{{10, 20}, {30, 40}, {50, 61}}},
		{"behind all", 62, 63, Set{{10, 20}, {30, 40}, {50, 60}, {62, 63}}},
		{"to the greatest integer", 55, math.MaxUint64, Set{{10, 20}, {30, 40}, {50, math.MaxUint64}}},
	} {
		s := slices.Clone(base)
		s.Add(tc.start, tc.end)
		if !slices.Equal(s, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, s, tc.want)
		}
	}
}

func TestRemove(t *testing.T) {
	base := Set{{10, 20}, {30, 40}, {50, 60}}
	for _, tc := range []struct {
		name       string
		start, end uint64
		want       Set
	}{
		{"empty", 15, 15, base},
		{"reversed", 16, 15, base},
		{"before all", 1, 10, base},
		{"in a gap", 20, 30, base},
		{"behind all", 60, 100, base},
		{"a hole", 32, 35, Set{{10, 20}, {30, 32}, {35, 40}, {50, 60}}},
		{"a beginning", 30, 35, Set{{10, 20}, {35, 40}, {50, 60}}},
		{"an end", 35, 40, Set{{10, 20}, {30, 35}, {50, 60}}},
		{"one", 30, 40, Set{{10, 20}, {50, 60}}},
		{"one and the gaps", 20, 50, Set{{10, 20}, {50, 60}}},
		{"across", 15, 55, Set{{10, 15}, {55, 60}}},
		{"all", 0, math.MaxUint64, Set{}},
	} {
		s := slices.Clone(base)
		s.Remove(tc.start, tc.end)
		if !slices.Equal(s, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, s, tc.want)
		}
	}
}

func TestZeroValue(t *testing.T) {
	var s Set
	if s.Contains(0) || s.ContainsRange(0, 1) || !s.ContainsRange(5, 5) {
		t.Error("the zero value is not empty")
	}
	s.Remove(0, 10)
	s.Add(math.MaxUint64-1, math.MaxUint64)
	if !s.Contains(math.MaxUint64-1) || s.Contains(math.MaxUint64) || s[0].Len() != 1 {
		t.Errorf("wrong at the upper end: %v", s)
	}
}

func TestAllocations(t *testing.T) {
	s := make(Set, 0, 8)
	n := uint64(0)
	if a := testing.AllocsPerRun(100, func() {
		s.Add(n, n+1)   // a new range
		s.Add(n+1, n+3) // grows
		s.Remove(n+1, n+2)
		s.Add(n+1, n+2) // is closed again
		s.Remove(n, n+3)
		n += 4
	}); a != 0 {
		t.Errorf("%v allocations", a)
	}
}

// model is a set of small integers, a bit each.
type model [256]bool

func (m *model) set(start, end uint64, v bool) {
	for i := start; i < end; i++ {
		m[i] = v
	}
}

func (m *model) ranges() (s Set) {
	for i := 0; i < len(m); i++ {
		if !m[i] {
			continue
		}
		start := i
		for i < len(m) && m[i] {
			i++
		}
		s = append(s, Range{uint64(start), uint64(i)})
	}
	return s
}

// FuzzSet runs three bytes of input as one operation each, on a set and on a model of it.
func FuzzSet(f *testing.F) {
	f.Add([]byte{0, 10, 10, 0, 30, 10, 0, 20, 10, 1, 15, 10})
	f.Add([]byte{0, 0, 255, 1, 10, 1, 1, 20, 1, 1, 30, 1, 0, 5, 200, 1, 0, 255})
	f.Add([]byte{0, 3, 1, 0, 1, 1, 0, 5, 1, 0, 2, 1, 1, 1, 2, 2, 4, 9})
	f.Fuzz(func(t *testing.T, ops []byte) {
		var s Set
		var m model
		for ; len(ops) >= 3; ops = ops[3:] {
			start := uint64(ops[1])
			end := min(start+uint64(ops[2]), uint64(len(m)))
			before := len(s)
			if ops[0]%2 == 0 {
				s.Add(start, end)
				m.set(start, end, true)
			} else {
				s.Remove(start, end)
				m.set(start, end, false)
			}
			if len(s) > before+1 {
				t.Fatalf("grew by %d ranges", len(s)-before)
			}
			want := m.ranges()
			if !slices.Equal(s, want) {
				t.Fatalf("%v, want %v", s, want)
			}
			all := true
			for v := range m {
				if s.Contains(uint64(v)) != m[v] {
					t.Fatalf("Contains(%d) is %v in %v", v, !m[v], s)
				}
				if uint64(v) >= start && uint64(v) < end {
					all = all && m[v]
				}
			}
			if s.ContainsRange(start, end) != all {
				t.Fatalf("ContainsRange(%d, %d) is %v in %v", start, end, !all, s)
			}
		}
	})
}

// BenchmarkAddNext is a space without loss: each integer extends the last range.
func BenchmarkAddNext(b *testing.B) {
	s := make(Set, 0, 64)
	for i := range uint64(32) {
		s.Add(2*i, 2*i+1)
	}
	n := uint64(100)
	b.ReportAllocs()
	for b.Loop() {
		s.Add(n, n+1)
		n++
	}
}

// BenchmarkAddReordered fills a gap in the middle and makes it again.
func BenchmarkAddReordered(b *testing.B) {
	s := make(Set, 0, 64)
	for i := range uint64(32) {
		s.Add(2*i, 2*i+1)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Add(31, 32)
		s.Remove(31, 32)
	}
}
