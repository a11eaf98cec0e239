package qpack

import "hash/maphash"

// Without a dynamic table each section spells out again what the one before had: who asks, with
// which cookie, of which host. A memo remembers what was coded more than once, so that
// it need not be coded anew.
//
// What came once leaves 16 bits behind and no more, so paths that are
// all different cost next to nothing. Each Encoder and each Decoder has a memo of its own: nothing
// in it is of another connection.
type memo struct {
	met    [memoMet]uint16 // hashes of what came and is not remembered
	hashes [memoSlots]uint32
	slots  [memoSlots]coding
	size   int   // of all codings, in bytes
	turn   uint8 // of the slots of a set
}

// coding is something with its coded form: a field with its line, or a string, which has no name, with its Huffman code.
type coding struct {
	name, value, coded string
}

const (
	memoMet   = 64
	memoSlots = 16
	memoWays  = 4 // slots in which something can be
	// maxMemo bounds what a memo remembers, in bytes, and maxCoding one thing in both of its forms.
	maxMemo   = 8 << 10
	maxCoding = 2 << 10
)

// memoAfter is the section with which a memo begins: many connections have one message in each direction, and no more.
const memoAfter = 2

// begin returns the memo for a section, nil if it is too early for one.
func (m *memo) begin(sections *uint8) *memo {
	if m == nil {
		if *sections++; *sections < memoAfter {
			return nil
		}
		*sections = 0
		return new(memo)
	}
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

// set is the first of the slots in which something with that hash can be, and tag what is in hashes then.
func set(hash uint64) int    { return int(hash % (memoSlots / memoWays) * memoWays) }
func tag(hash uint64) uint32 { return uint32(hash >> 32) }

// line returns the line of a field, "" if it is not remembered.
func (m *memo) line(hash uint64, f *Field) string {
	first := set(hash)
	for i, t := range m.hashes[first : first+memoWays] {
		if t == tag(hash) {
			if s := &m.slots[first+i]; s.value == f.Value && s.name == f.Name {
				return s.coded
			}
		}
	}
	return ""
}

// decoded returns the string that has that Huffman code, "" if it is not remembered.
func (m *memo) decoded(hash uint64, coded []byte) string {
	first := set(hash)
	for i, t := range m.hashes[first : first+memoWays] {
		if t == tag(hash) {
			if s := &m.slots[first+i]; s.coded == string(coded) {
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
	met := &m.met[hash>>8%memoMet]
	if *met == uint16(hash>>48) {
		return true
	}
	*met = uint16(hash >> 48)
	return false
}

// remember keeps copies: what it is given may be pieces of something large.
func (m *memo) remember(hash uint64, name, value string, coded []byte) {
	n := len(name) + len(value) + len(coded)
	if m.size+n > maxMemo {
		m.hashes, m.slots, m.size = [memoSlots]uint32{}, [memoSlots]coding{}, 0
	}
	i := m.victim(hash)
	s := &m.slots[i]
	m.size += n - len(s.name) - len(s.value) - len(s.coded)
	all := name + value + string(coded)
	valueEnd := len(name) + len(value)
	*s = coding{name: all[:len(name)], value: all[len(name):valueEnd], coded: all[valueEnd:]}
	m.hashes[i] = tag(hash)
}

// victim returns a slot that is free, or else one after the other.
func (m *memo) victim(hash uint64) int {
	first := set(hash)
	for i := range memoWays {
		if m.slots[first+i].coded == "" {
			return first + i
		}
	}
	m.turn++
	return first + int(m.turn%memoWays)
}
