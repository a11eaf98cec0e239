package qpack

import (
	"hash/maphash"
	"slices"
)

// Without a dynamic table each section spells out again what the one before had: who asks, with
// which cookie, of which host. A memo remembers what was coded more than once, so that
// it need not be coded anew.
//
// What came once leaves 16 bits behind and no more, so paths that are
// all different cost next to nothing. Each Encoder and each Decoder has a memo of its own: nothing
// in it is of another connection.
type memo struct {
	met    [memoMet]uint16 // hashes of what came last and is not remembered
	next   int             // of met
	noted  int             // in met, of this section
	hashes [memoSlots]uint32
	slots  [memoSlots]coding
	size   int               // of all codings, in bytes
	now    uint32            // sections that there have been
	used   [memoSlots]uint32 // the section in which each was of use last
}

// coding is something with its coded form: a field with its line, or a string, which has no name, with its Huffman code.
type coding struct {
	name, value, coded string
}

const (
	memoMet   = 32
	memoSlots = 16
	// memoStale is after how many sections without it something makes room. What is of use keeps its
	// place: of more that repeats itself than there is room for, all take turns otherwise, and none is found.
	memoStale = 32
	// maxMemo bounds what a memo remembers, in bytes, and maxCoding one thing in both of its forms.
	maxMemo   = 8 << 10
	maxCoding = 2 << 10
	// memoAfter is the section with which a memo begins: many connections have one message in each direction, and no more.
	memoAfter = 2
)

// begin returns the memo for a section, nil if it is too early for one.
func (m *memo) begin(sections *uint8) *memo {
	if m == nil {
		if *sections++; *sections < memoAfter {
			return nil
		}
		*sections = 0
		m = new(memo)
	}
	m.now++
	m.noted = 0
	return m
}

var memoSeed = maphash.MakeSeed()

// hashField is the hash of a field. It leaves it to the value to tell fields with similar names apart.
func hashField(f *Field) uint64 {
	h := maphash.String(memoSeed, f.Value)
	if n := len(f.Name); n > 0 {
		h += uint64(n)<<16 | uint64(f.Name[0])<<8 | uint64(f.Name[n-1])
	}
	return h
}

// line returns the line of a field, "" if it is not remembered.
func (m *memo) line(hash uint64, f *Field) string {
	for i, h := range m.hashes {
		if h == uint32(hash) {
			if s := &m.slots[i]; s.value == f.Value && s.name == f.Name {
				m.used[i] = m.now
				return s.coded
			}
		}
	}
	return ""
}

// decoded returns the string that has that Huffman code, "" if it is not remembered.
func (m *memo) decoded(hash uint64, coded []byte) string {
	for i, h := range m.hashes {
		if h == uint32(hash) {
			if s := &m.slots[i]; s.coded == string(coded) {
				m.used[i] = m.now
				return s.value
			}
		}
	}
	return ""
}

// again tells whether something that is not remembered has come before, and should be. size is of
// both of its forms.
func (m *memo) again(hash uint64, size int) bool {
	if size > maxCoding {
		return false
	}
	h := uint16(hash >> 48)
	if slices.Contains(m.met[:], h) {
		return m.room(size)
	}
	if m.noted < memoMet/2 { // or a long section would find nothing of the one before
		m.met[m.next] = h
		m.next = (m.next + 1) % memoMet
		m.noted++
	}
	return false
}

// room forgets what is stale, if that is needed, and tells whether there is room then.
func (m *memo) room(size int) bool {
	if m.free() < 0 || m.size+size > maxMemo {
		for i := range m.slots {
			if m.now-m.used[i] > memoStale {
				m.put(i, 0, coding{})
			}
		}
	}
	return m.free() >= 0 && m.size+size <= maxMemo
}

// free returns a slot that nothing is in, or -1.
func (m *memo) free() int {
	return slices.IndexFunc(m.slots[:], func(s coding) bool { return s.coded == "" })
}

// remember keeps what there is room for. They are copies: what it is given may be pieces of something large.
func (m *memo) remember(hash uint64, name, value string, coded []byte) {
	all := name + value + string(coded)
	valueEnd := len(name) + len(value)
	m.put(m.free(), uint32(hash), coding{name: all[:len(name)], value: all[len(name):valueEnd], coded: all[valueEnd:]})
}

func (m *memo) put(i int, hash uint32, c coding) {
	s := &m.slots[i]
	m.size += c.size() - s.size()
	m.hashes[i], m.slots[i], m.used[i] = hash, c, m.now
}

func (c *coding) size() int { return len(c.name) + len(c.value) + len(c.coded) }
