package frittata

import (
	"slices"
	"testing"
)

// TestReserve checks that buffers stay with whoever used them last, and that no more are kept than
// are meant to be.
func TestReserve(t *testing.T) {
	var r reserve
	got := make([]*buffer, 8)
	r.get(got)
	if len(r.free) != reserved-len(got) {
		t.Errorf("%d are left", len(r.free))
	}
	before := slices.Clone(got)
	train := make([]*buffer, 1)
	r.get(train)
	r.put(got)
	if slices.IndexFunc(got, func(b *buffer) bool { return b != nil }) >= 0 {
		t.Error("a buffer was left with who had it")
	}
	r.get(got)
	if !slices.Equal(got, before) {
		t.Error("not the buffers that were put, in their order")
	}
	// One that has some gets the others.
	one := got[3]
	got[3] = nil
	r.get(got)
	if got[3] == nil || got[3] == one || got[4] != before[4] {
		t.Error("not one more")
	}

	more := make([]*buffer, 3*reserved)
	r.get(more)
	all := slices.Concat(more, got, train, []*buffer{one})
	seen := make(map[*buffer]bool)
	for _, b := range all {
		if b == nil || seen[b] {
			t.Fatal("a buffer for two, or none")
		}
		seen[b] = true
	}
	if len(r.free) != 0 {
		t.Errorf("%d are left", len(r.free))
	}
	r.put(all)
	if len(r.free) != reserved {
		t.Errorf("%d are kept", len(r.free))
	}
}
