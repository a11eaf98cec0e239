package pipe

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/chunk"
)

// FuzzModel compares both pipes, one behind the other, with a plain slice. The
// goroutine's side has a deadline in the past, so that it never waits.
func FuzzModel(f *testing.F) {
	f.Add([]byte{0, 10, 1, 0, 2, 5, 0, 200, 1, 1, 2, 255, 3, 0, 1, 0, 2, 100}, uint16(50))
	f.Add([]byte{0, 255, 0, 255, 1, 0, 4, 0, 1, 0, 2, 255, 5, 0, 2, 3}, uint16(1000))
	f.Add([]byte{0, 9, 6, 0, 1, 0, 1, 0, 2, 9}, uint16(1))
	f.Fuzz(func(t *testing.T, ops []byte, limit uint16) {
		var pool chunk.Pool
		l := newLoop()
		var w Writer
		var r Reader
		w.Init(l, &pool, int(limit))
		r.Init(l, int(limit))
		past := time.Unix(1, 0)
		w.p.expired = false
		var inW, inR []byte // what each pipe should hold
		var closed, moved, ended bool
		next := byte(0)
		for len(ops) >= 2 {
			op, arg := ops[0]%7, int(ops[1])
			ops = ops[2:]
			switch op {
			case 0: // write what fits without waiting
				room := w.p.limit - w.Len()
				if w.p.held {
					room = 0
				}
				b := make([]byte, min(arg, max(room, 0)))
				for i := range b {
					b[i] = next
					next++
				}
				if len(b) == 0 {
					continue
				}
				n, err := w.Write(b)
				switch {
				case closed && !errors.Is(err, ErrClosed):
					t.Fatalf("write after Close: %d, %v", n, err)
				case !closed && (n != len(b) || err != nil):
					t.Fatalf("write: %d, %v", n, err)
				case !closed:
					inW = append(inW, b...)
				default:
					next -= byte(len(b))
				}
			case 1: // the strand moves a buffer
				b, fin := w.Pop()
				if b != nil {
					if len(b.B) > len(inW) || !bytes.Equal(b.B, inW[:len(b.B)]) {
						t.Fatalf("popped %x, have %x", b.B, inW)
					}
					inW = inW[len(b.B):]
					if arg%3 == 0 && !fin {
						inW = append(bytes.Clone(b.B), inW...)
						w.Unpop(b)
						continue
					}
					if !ended {
						inR = append(inR, b.B...)
					}
					r.Push(b)
				}
				if fin != (closed && len(inW) == 0) {
					t.Fatalf("fin is %v", fin)
				}
				if fin && !moved {
					moved, ended = true, true
					r.CloseWithError(nil)
				}
			case 2: // the goroutine reads
				r.SetReadDeadline(time.Time{})
				if len(inR) == 0 && !ended {
					r.SetReadDeadline(past)
				}
				b := make([]byte, arg)
				n, err := r.Read(b)
				if n > len(inR) || !bytes.Equal(b[:n], inR[:n]) || n == 0 && len(inR) > 0 && arg > 0 {
					t.Fatalf("read %x, have %x", b[:n], inR)
				}
				if len(inR) == 0 && ended && arg > 0 && err != io.EOF {
					t.Fatalf("at the end: %v", err)
				}
				inR = inR[n:]
			case 3:
				w.Close()
				closed = true
			case 4:
				if b, err := w.Len(), r.Len(); b != len(inW) || err != len(inR) {
					t.Fatalf("%d and %d bytes, should be %d and %d", b, err, len(inW), len(inR))
				}
			case 5:
				if !ended {
					r.Abort(io.EOF)
					ended, inR = true, nil
				}
			case 6:
				if full := r.Full(); full != (len(inR) >= r.p.limit) {
					t.Fatalf("full is %v with %d bytes", full, len(inR))
				}
			}
		}
	})
}
