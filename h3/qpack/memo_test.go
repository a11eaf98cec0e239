package qpack

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// randomFields makes a section of what comes again and again and of what does not.
func randomFields(r *rand.Rand) []Field {
	fields := []Field{
		{Name: ":method", Value: "GET"},
		{Name: ":path", Value: fmt.Sprintf("/articles/%d", r.Uint64())},
		{Name: "User-Agent", Value: "frittata/" + strings.Repeat("x", r.IntN(3))},
		{Name: "user-agent", Value: ""},
	}
	for range r.IntN(2 * memoSlots) {
		n := r.IntN(3 * memoSlots)
		fields = append(fields, Field{
			Name:      []string{"cookie", "x-own", "X-Own", "x-other", "content-length"}[n%5],
			Value:     strings.Repeat(string(rune('a'+n%26)), n*n%301),
			Sensitive: n%7 == 0,
		})
	}
	return fields
}

// TestMemoChangesNothing holds what an Encoder and a Decoder make with their memos
// against what new ones make.
func TestMemoChangesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var e Encoder
	var d Decoder
	for i := range 2000 {
		fields := randomFields(r)
		got, want := e.AppendSection(nil, fields), new(Encoder).AppendSection(nil, fields)
		if !bytes.Equal(got, want) {
			t.Fatalf("section %d: %x, want %x", i, got, want)
		}
		limit := SectionSize(fields)
		if r.IntN(4) == 0 {
			limit = r.Uint64N(limit)
		}
		back, err := d.Decode(nil, got, limit)
		wantBack, wantErr := new(Decoder).Decode(nil, got, limit)
		if !slices.Equal(back, wantBack) || (err == nil) != (wantErr == nil) || err == ErrTooLarge != (wantErr == ErrTooLarge) {
			t.Fatalf("section %d, limit %d: %v, %v, want %v, %v", i, limit, back, err, wantBack, wantErr)
		}
		if i >= memoAfter {
			checkMemo(t, e.memo)
			checkMemo(t, d.memo)
		}
	}
}

// checkMemo checks that a memo knows how much it has, and that it is not too much.
func checkMemo(t *testing.T, m *memo) {
	t.Helper()
	size := 0
	for i := range m.slots {
		size += m.slots[i].size()
	}
	if size != m.size || size > maxMemo {
		t.Fatalf("%d bytes are remembered, and counted are %d of %d", size, m.size, maxMemo)
	}
}

// TestMemoIsBounded has a peer repeat each of many long strings until they are remembered.
func TestMemoIsBounded(t *testing.T) {
	var e Encoder
	var d Decoder
	filled := 0
	for i := range 10_000 {
		fields := []Field{{Name: "cookie", Value: fmt.Sprintf("%05d", i) + strings.Repeat("e", i%(2*maxCoding))}}
		section := new(Encoder).AppendSection(nil, fields)
		for range 3 {
			if _, err := d.Decode(nil, section, 1<<20); err != nil {
				t.Fatal(err)
			}
			e.AppendSection(nil, fields)
		}
		checkMemo(t, d.memo)
		checkMemo(t, e.memo)
		filled = max(filled, d.memo.size)
	}
	if filled < maxMemo/2 {
		t.Errorf("%d bytes at most, which tests nothing", filled)
	}
}

// TestMemoAllocations counts: what repeats costs none, and what is new each time one for all of a section.
func TestMemoAllocations(t *testing.T) {
	repeated := []Field{
		{Name: ":authority", Value: "www.example.com"}, {Name: "x-request-class", Value: "interactive"},
		{Name: "user-agent", Value: "frittata"}, {Name: "cookie", Value: strings.Repeat("abc", 100)},
	}
	var e Encoder
	var d Decoder
	fields := slices.Clone(repeated)
	var buf []byte
	allocs := testing.AllocsPerRun(1000, func() {
		buf = e.AppendSection(buf[:0], fields)
		fields, _ = d.Decode(fields[:0], buf, 1<<20)
	})
	if allocs != 0 || !slices.Equal(fields, repeated) {
		t.Errorf("%.1f allocations for what repeats, which became %v", allocs, fields)
	}
	long := []Field{{Name: "cookie", Value: strings.Repeat("abc", maxCoding)}}
	buf = e.AppendSection(buf[:0], long)
	allocs = testing.AllocsPerRun(100, func() {
		buf = e.AppendSection(buf[:0], long)
		fields, _ = d.Decode(fields[:0], buf, 1<<20)
	})
	if allocs != 1 {
		t.Errorf("%.1f allocations for what is too long to be remembered", allocs)
	}
	var sections [][]byte
	for i := range 1001 {
		path := fmt.Sprintf("/articles/%d", i)
		sections = append(sections, new(Encoder).AppendSection(nil, append(repeated[:2:2], Field{Name: ":path", Value: path})))
	}
	allocs = testing.AllocsPerRun(1000, func() {
		fields, _ = d.Decode(fields[:0], sections[0], 1<<20)
		sections = sections[1:]
	})
	if allocs > 1.1 { // two paths of a thousand may have the same hash
		t.Errorf("%.2f allocations for a path that is new", allocs)
	}
}

// TestMemoKeepsWhatIsOfUse: of more that repeats itself than there is room for, some is found each time, and
// nothing is remembered in its place; when it comes no more, it makes room.
func TestMemoKeepsWhatIsOfUse(t *testing.T) {
	var e Encoder
	var d Decoder
	var sections [2][]byte
	var lists [2][]Field
	for i := range lists {
		for n := range 3 * memoSlots {
			lists[i] = append(lists[i], Field{Name: "cookie", Value: fmt.Sprintf("list %d has value %d", i, n)})
		}
		sections[i] = new(Encoder).AppendSection(nil, lists[i])
	}
	var fields []Field
	var buf []byte
	for i := range lists {
		code := func() {
			fields, _ = d.Decode(fields[:0], sections[i], 1<<20)
			buf = e.AppendSection(buf[:0], lists[i][:2*memoSlots])
		}
		for range 2*memoStale + 2 {
			code()
		}
		if allocs := testing.AllocsPerRun(1000, code); allocs > 1 {
			t.Errorf("list %d: %.1f allocations a section", i, allocs)
		}
		for _, m := range []*memo{e.memo, d.memo} {
			n := 0
			for k := range m.slots {
				if strings.HasPrefix(m.slots[k].value, fmt.Sprintf("list %d", i)) && m.used[k] == m.now {
					n++
				}
			}
			if n < memoSlots/2 {
				t.Errorf("list %d: %d of %d slots are of use", i, n, memoSlots)
			}
		}
	}
}

// TestMemoIsToldNoSecrets: what is sensitive stays nowhere.
func TestMemoIsToldNoSecrets(t *testing.T) {
	const secret = "a secret that is to be coded anew each time"
	var e Encoder
	var d Decoder
	for range 5 {
		section := e.AppendSection(nil, []Field{{Name: "authorization", Value: secret, Sensitive: true}, {Name: "x-token", Value: secret, Sensitive: true}})
		if _, err := d.Decode(nil, section, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range []*memo{e.memo, d.memo} {
		for i := 0; m != nil && i < len(m.slots); i++ {
			if m.slots[i].value == secret {
				t.Error("remembered")
			}
		}
	}
}

// TestMemoRests: a connection has no memo when it begins, nor when it rests.
func TestMemoRests(t *testing.T) {
	var e Encoder
	var d Decoder
	fields := []Field{{Name: "user-agent", Value: "frittata"}}
	for range 2 {
		for n := 1; n <= memoAfter; n++ {
			back, err := d.Decode(nil, e.AppendSection(nil, fields), 1<<20)
			if err != nil || !slices.Equal(back, fields) {
				t.Errorf("%v, %v", back, err)
			}
			if has := e.memo != nil && d.memo != nil; has != (n == memoAfter) {
				t.Errorf("section %d: there is a memo: %v", n, has)
			}
		}
		e.Rest()
		d.Rest()
		if e.memo != nil || d.memo != nil {
			t.Error("a memo is left")
		}
	}
}
