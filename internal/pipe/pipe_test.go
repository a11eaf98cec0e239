package pipe

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
	"unsafe"

	"github.com/frittata-go/frittata/internal/chunk"
	"github.com/frittata-go/frittata/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// loop is a strand: its turns run on one goroutine, after wake-ups.
type loop struct {
	wakes, yields atomic.Int64
	due           chan struct{}
}

func newLoop() *loop { return &loop{due: make(chan struct{}, 1)} }

func (l *loop) Wake() {
	l.wakes.Add(1)
	select {
	case l.due <- struct{}{}:
	default:
	}
}

func (l *loop) Yield() { l.yields.Add(1) }

func buf(pool *chunk.Pool, s string) *chunk.Buffer {
	b := pool.Get(len(s))
	b.B = append(b.B, s...)
	return b
}

func TestSize(t *testing.T) {
	if n := unsafe.Sizeof(Reader{}); n > 200 {
		t.Errorf("an idle pipe has %d bytes", n)
	}
}

func TestUnusedPipeAllocatesNothing(t *testing.T) {
	leak.Check(t)
	l := newLoop()
	var r Reader
	var w Writer
	n := testing.AllocsPerRun(100, func() {
		r, w = Reader{}, Writer{} //nolint:govet // they were not used
		r.Init(l, 0)
		w.Init(l, nil, 0)
		r.CloseWithError(nil)
		w.Close()
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// All that a goroutine writes, in pieces of any size, reaches the strand in
// order, and goes on to another goroutine.
func TestThroughBoth(t *testing.T) {
	leak.Check(t)
	for _, limit := range []int{0, 1, 1000, 20_000} {
		var pool chunk.Pool
		l := newLoop()
		var in Writer
		var out Reader
		in.Init(l, &pool, limit)
		out.Init(l, limit)
		total := 4 << 20
		if limit == 1 {
			total = 20_000
		}
		data := make([]byte, total)
		rand.NewChaCha8([32]byte{byte(limit)}).Read(data)

		var wg sync.WaitGroup
		wg.Go(func() { // the writer
			rng := rand.New(rand.NewPCG(1, uint64(limit)))
			for rest := data; len(rest) > 0; {
				n := min(rng.IntN(1<<rng.IntN(18)+1), len(rest))
				m, err := in.Write(rest[:n])
				if m != n || err != nil {
					t.Error(m, err)
					return
				}
				rest = rest[n:]
			}
			in.Close()
		})
		wg.Go(func() { // the strand
			for range l.due {
				for !out.Full() {
					b, fin := in.Pop()
					if b != nil {
						out.Push(b)
					}
					if fin {
						out.CloseWithError(nil)
						return
					}
					if b == nil {
						break
					}
				}
			}
		})
		got := sha256.New()
		n, err := io.CopyBuffer(got, struct{ io.Reader }{&out}, make([]byte, 3000))
		wg.Wait()
		want := sha256.Sum256(data)
		if err != nil || n != int64(total) || !bytes.Equal(got.Sum(nil), want[:]) {
			t.Errorf("limit %d: %d of %d bytes came out, or others: %v", limit, n, total, err)
		}
		t.Logf("limit %d: %d wake-ups, %d yields", limit, l.wakes.Load(), l.yields.Load())
	}
}

// Wake-ups are few: one when the pipe stops being empty.
func TestWriterWakesOnce(t *testing.T) {
	leak.Check(t)
	l := newLoop()
	var w Writer
	w.Init(l, nil, 0)
	for range 10 {
		io.WriteString(&w, "some")
	}
	if n := l.wakes.Load(); n != 1 {
		t.Errorf("%d wake-ups for a pipe that was empty once", n)
	}
	b, fin := w.Pop()
	if string(b.B) != strings.Repeat("some", 10) || fin {
		t.Errorf("popped %q, %v", b.B, fin)
	}
	if b, fin := w.Pop(); b != nil || fin {
		t.Errorf("popped %v, %v from an empty pipe", b, fin)
	}
	w.Close()
	if n := l.wakes.Load(); n != 2 {
		t.Errorf("%d wake-ups after the end", n)
	}
	if b, fin := w.Pop(); b != nil || !fin {
		t.Errorf("popped %v, %v", b, fin)
	}
	if _, err := w.Write([]byte{1}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a write after Close: %v", err)
	}
}

func TestUnpop(t *testing.T) {
	leak.Check(t)
	var w Writer
	w.Init(newLoop(), nil, 0)
	for range 3 {
		b := make([]byte, maxChunk)
		b[0] = byte(w.Len() / maxChunk)
		w.Write(b)
	}
	for i := range 3 {
		for range 2 {
			b, _ := w.Pop()
			if b.B[0] != byte(i) {
				t.Fatalf("buffer %d came instead of %d", b.B[0], i)
			}
			w.Unpop(b)
		}
		if n := w.Len(); n != (3-i)*maxChunk {
			t.Errorf("%d bytes are left", n)
		}
		b, _ := w.Pop()
		b.Release()
	}
}

// A reader that was held back by a full pipe has the strand woken at half.
func TestReaderWakesAtHalf(t *testing.T) {
	leak.Check(t)
	l := newLoop()
	var r Reader
	r.Init(l, 100)
	for i := range 10 {
		if more := r.Push(buf(nil, "0123456789")); more != (i < 9) {
			t.Errorf("push %d: %v", i, more)
		}
	}
	if !r.Full() {
		t.Error("not full")
	}
	b := make([]byte, 49)
	io.ReadFull(&r, b)
	if l.wakes.Load() != 0 {
		t.Error("woken early")
	}
	io.ReadFull(&r, b[:1])
	if l.wakes.Load() != 1 || r.Full() {
		t.Error("not woken at half")
	}
	io.ReadFull(&r, b)
	if l.wakes.Load() != 1 {
		t.Error("woken twice")
	}
}

// A writer that met a full pipe goes on at half.
func TestWriterGoesOnAtHalf(t *testing.T) {
	leak.Check(t)
	l := newLoop()
	var w Writer
	w.Init(l, nil, 4*maxChunk)
	done := make(chan error)
	go func() {
		_, err := w.Write(make([]byte, 5*maxChunk))
		done <- err
	}()
	<-l.due
	for w.Len() < 4*maxChunk {
		time.Sleep(time.Millisecond)
	}
	pop := func() {
		b, _ := w.Pop()
		if len(b.B) != maxChunk {
			t.Fatalf("%d bytes", len(b.B))
		}
		b.Release()
	}
	pop()
	select {
	case <-done:
		t.Error("the writer went on before half")
	default:
	}
	pop()
	if err := <-done; err != nil || w.Len() != 3*maxChunk {
		t.Errorf("%v, %d bytes", err, w.Len())
	}
}

func TestDeadlines(t *testing.T) {
	leak.Check(t)
	l := newLoop()
	var r Reader
	r.Init(l, 0)
	b := make([]byte, 10)
	r.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := r.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read after the deadline: %v", err)
	}
	r.SetReadDeadline(time.Time{})
	r.Push(buf(nil, "x"))
	if n, err := r.Read(b); n != 1 || err != nil {
		t.Errorf("read without a deadline: %d, %v", n, err)
	}
	r.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := r.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read until the deadline: %v", err)
	}
	r.SetReadDeadline(time.Now().Add(time.Hour))
	done := make(chan error)
	go func() {
		_, err := r.Read(b)
		done <- err
	}()
	r.SetReadDeadline(time.Now().Add(time.Millisecond))
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read whose deadline was moved: %v", err)
	}

	var w Writer
	w.Init(l, nil, 10)
	w.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	if n, err := w.Write(make([]byte, 30)); n != 10 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write until the deadline: %d, %v", n, err)
	}
	w.SetWriteDeadline(time.Time{})
	b2, _ := w.Pop()
	b2.Release()
	if n, err := w.Write([]byte{1}); n != 1 || err != nil {
		t.Errorf("write after the deadline was lifted: %d, %v", n, err)
	}
}

func TestReaderEnds(t *testing.T) {
	leak.Check(t)
	reason := errors.New("reset")
	for _, abort := range []bool{false, true} {
		l := newLoop()
		var r Reader
		r.Init(l, 0)
		r.Push(buf(nil, "rest"))
		if abort {
			r.CloseWithError(nil)
			r.Abort(reason)
		} else {
			r.CloseWithError(reason)
			r.CloseWithError(nil) // the first stays
		}
		if more := r.Push(buf(nil, "late")); more {
			t.Error("pushing to a pipe that has ended")
		}
		b, err := io.ReadAll(&r)
		if want := map[bool]string{false: "rest", true: ""}[abort]; string(b) != want || err != reason {
			t.Errorf("read %q, %v", b, err)
		}
		if l.wakes.Load() != 0 {
			t.Error("the strand was woken by what it did itself")
		}
	}

	l := newLoop()
	var r Reader
	r.Init(l, 1)
	r.Push(buf(nil, "unread"))
	r.Close()
	r.Close()
	if !r.Closed() || l.wakes.Load() != 1 || r.Full() || r.Len() != 0 {
		t.Error("the strand does not learn that the reader has gone")
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}

	r = Reader{} //nolint:govet // nobody uses it
	r.Init(l, 0)
	done := make(chan error)
	go func() {
		_, err := r.Read(make([]byte, 1))
		done <- err
	}()
	for r.p.waiting() == 0 {
		time.Sleep(time.Millisecond)
	}
	r.CloseWithError(nil)
	if err := <-done; err != io.EOF || l.yields.Load() != 1 {
		t.Errorf("a reader that waited got %v, %d yields", err, l.yields.Load())
	}
}

func (p *pipe) waiting() int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiters
}

func TestWriterEnds(t *testing.T) {
	leak.Check(t)
	reason := errors.New("stopped")
	l := newLoop()
	var w Writer
	w.Init(l, nil, 10)
	done := make(chan error)
	go func() {
		_, err := w.Write(make([]byte, 30))
		done <- err
	}()
	<-l.due
	w.Stop(reason)
	if err := <-done; err != reason {
		t.Errorf("the write returned %v", err)
	}
	if _, err := w.Write([]byte{1}); err != reason || w.Len() != 0 {
		t.Errorf("a later write returned %v, %d bytes", err, w.Len())
	}
	w.Unpop(buf(nil, "too late"))
	if b, fin := w.Pop(); b != nil || fin || w.Err() != nil {
		t.Error("something is left")
	}

	w = Writer{} //nolint:govet // nobody uses it
	w.Init(l, nil, 0)
	io.WriteString(&w, "lost")
	w.Close()
	w.CloseWithError(reason)
	if b, fin := w.Pop(); b != nil || fin || w.Err() != reason {
		t.Errorf("popped %v, %v, %v", b, fin, w.Err())
	}

	w = Writer{} //nolint:govet // nobody uses it
	w.Init(l, nil, 0)
	io.WriteString(&w, "last")
	w.Close()
	if b, fin := w.Pop(); string(b.B) != "last" || !fin {
		t.Errorf("popped %v, %v", b, fin)
	}
	w.CloseWithError(reason)
	w.Stop(reason)
	if w.Err() != nil {
		t.Error("an error after all was taken")
	}
}

func TestReadFrom(t *testing.T) {
	leak.Check(t)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader, "late error": iotest.DataErrReader,
	} {
		l := newLoop()
		var pool chunk.Pool
		var w Writer
		w.Init(l, &pool, 0)
		data := make([]byte, 20_000)
		rand.NewChaCha8([32]byte{}).Read(data)
		n, err := w.ReadFrom(wrap(bytes.NewReader(data)))
		if n != int64(len(data)) || err != nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		w.Close()
		var got []byte
		for fin := false; !fin; {
			var b *chunk.Buffer
			b, fin = w.Pop()
			got = append(got, b.B...)
			b.Release()
		}
		if !bytes.Equal(got, data) {
			t.Errorf("%s: other bytes", name)
		}
	}
	var w Writer
	w.Init(newLoop(), nil, 0)
	if _, err := w.ReadFrom(iotest.ErrReader(io.ErrUnexpectedEOF)); err != io.ErrUnexpectedEOF {
		t.Error(err)
	}
}

// However many small writes there are, they fill chunks.
func TestSmallWritesShareChunks(t *testing.T) {
	leak.Check(t)
	var pool chunk.Pool
	var w Writer
	w.Init(newLoop(), &pool, 1<<20)
	for range 10_000 {
		w.Write([]byte{1, 2, 3})
	}
	memory := 0
	for w.Len() > 0 {
		b, _ := w.Pop()
		memory += b.Size()
	}
	if memory > 2*30_000 {
		t.Errorf("30000 bytes take %d", memory)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	leak.Check(t)
	if raceEnabled {
		t.Skip("sync.Pool drops at random under the race detector")
	}
	var pool chunk.Pool
	l := newLoop()
	var w Writer
	var r Reader
	w.Init(l, &pool, 0)
	r.Init(l, 0)
	data := make([]byte, 40_000)
	if n := testing.AllocsPerRun(200, func() {
		w.Write(data)
		for {
			b, _ := w.Pop()
			if b == nil {
				break
			}
			r.Push(b)
		}
		for r.Len() > 0 {
			r.Read(data)
		}
	}); n > 0.1 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkWritePopPushRead(b *testing.B) {
	var pool chunk.Pool
	l := newLoop()
	var w Writer
	var r Reader
	w.Init(l, &pool, 0)
	r.Init(l, 0)
	data := make([]byte, 16<<10)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		w.Write(data)
		c, _ := w.Pop()
		r.Push(c)
		r.Read(data)
	}
}

// TestReadersShareAPiece has two goroutines wait for what comes as one piece, of
// which each takes a part.
func TestReadersShareAPiece(t *testing.T) {
	leak.Check(t)
	for range 100 {
		var r Reader
		r.Init(newLoop(), 0)
		read := make(chan byte, 2)
		for range 2 {
			go func() {
				var b [1]byte
				r.Read(b[:])
				read <- b[0]
			}()
		}
		for waiting := int32(0); waiting < 2; runtime.Gosched() {
			r.p.mu.Lock()
			waiting = r.p.waiters
			r.p.mu.Unlock()
		}
		r.Push(&chunk.Buffer{B: []byte("ab")})
		for range 2 {
			select {
			case <-read:
			case <-time.After(20 * time.Second):
				t.Fatal("a reader waits although something is there for it")
			}
		}
	}
}
