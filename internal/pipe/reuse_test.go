package pipe

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/chunk"
)

// countingStrand counts wake-ups.
type countingStrand struct{ wakes, yields int }

func (s *countingStrand) Wake()  { s.wakes++ }
func (s *countingStrand) Yield() { s.yields++ }

func bufferOf(s string) *chunk.Buffer { return &chunk.Buffer{B: []byte(s)} }

func TestPut(t *testing.T) {
	var s countingStrand
	var w Writer
	w.Init(&s, nil, 10)
	if err := w.Put(bufferOf("first"), false); err != nil || s.wakes != 1 {
		t.Fatal(err, s.wakes)
	}
	if err := w.Put(bufferOf("second"), true); err != nil || s.wakes != 1 {
		t.Fatal(err, s.wakes)
	}
	if err := w.Put(bufferOf("late"), false); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := w.Put(nil, true); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	for _, want := range []struct {
		s   string
		fin bool
	}{{"first", false}, {"second", true}} {
		b, fin := w.Pop()
		if b == nil || string(b.B) != want.s || fin != want.fin {
			t.Errorf("got %v, %v", b, fin)
		}
	}

	// The end alone wakes, and so does a last piece, once each.
	for _, b := range []*chunk.Buffer{nil, bufferOf(""), bufferOf("x")} {
		s = countingStrand{}
		var w Writer
		w.Init(&s, nil, 0)
		if err := w.Put(b, true); err != nil || s.wakes != 1 {
			t.Error(err, s.wakes)
		}
		if _, fin := w.Pop(); !fin {
			t.Error("no end")
		}
	}

	// Stopped by the strand.
	var stopped Writer
	stopped.Init(&s, nil, 0)
	stopped.Stop(io.ErrUnexpectedEOF)
	if err := stopped.Put(bufferOf("x"), true); err != io.ErrUnexpectedEOF {
		t.Error(err)
	}
}

func TestReset(t *testing.T) {
	var s countingStrand
	var r Reader
	r.Init(&s, 10)
	r.Push(bufferOf("left over"))
	r.CloseWithError(io.ErrUnexpectedEOF)
	if !r.Complete() {
		t.Error("not complete")
	}
	if !r.Reset() {
		t.Fatal("cannot be used again")
	}
	r.Init(&s, 10)
	if r.Complete() || r.Len() != 0 || r.Closed() {
		t.Error("what was before shows")
	}
	r.Push(bufferOf("new"))
	r.CloseWithError(nil)
	if got, err := io.ReadAll(&r); string(got) != "new" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	r.SetReadDeadline(time.Now().Add(time.Hour))
	if r.Reset() {
		t.Error("can be used again although a timer knows it")
	}

	var w Writer
	w.Init(&s, nil, 10)
	w.Write([]byte("left over"))
	w.CloseWithError(io.ErrUnexpectedEOF)
	if !w.Reset() {
		t.Fatal("cannot be used again")
	}
	w.Init(&s, nil, 10)
	if b, fin := w.Pop(); b != nil || fin || w.Err() != nil {
		t.Error("what was before shows")
	}
}

// TestTrickle has a peer send one byte at a time: no buffer is held for each.
func TestTrickle(t *testing.T) {
	var s countingStrand
	var pool chunk.Pool
	var r Reader
	r.Init(&s, 0)
	for range 5000 {
		b := pool.Get(1)
		b.B = append(b.B, 'x')
		r.Push(b)
	}
	if n := len(r.p.bufs) - r.p.head; n > 5000/400 {
		t.Errorf("%d buffers", n)
	}
	if r.Len() != 5000 {
		t.Errorf("%d bytes", r.Len())
	}
}
