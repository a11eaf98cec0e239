package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/frittata-go/frittata/quic"
)

const rawALPN = "frittata-soak"

// The codes of the raw protocol, each for one occasion.
const (
	codeServerReset = 0x51
	codeServerStop  = 0x52
	codeNoHeader    = 0x53 // the client reset its half before the server knew what it was about
	codeClientReset = 0x61
	codeClientStop  = 0x62
	codeClientClose = 0x70
	codeServerClose = 0x77
)

// op is what a stream is for, beside its transfer.
type op byte

const (
	opPlain       op = iota
	opServerReset    // the server resets its half at cut
	opServerStop     // the server stops reading at cut
	opClientReset    // the client resets its half at cut
	opClientStop     // the client stops reading at cut
	opPush           // the server sends its part on a stream of its own
	opClose          // the server closes the connection when it has read all
	numOps
)

// header is what each stream begins with, but for the server's half of the
// client's streams.
type header struct {
	op   op
	key  uint64 // of the connection
	up   int64  // bytes from the client
	down int64  // bytes from the server
	cut  int64
}

const headerLen = 1 + 4*8

func (h *header) append(b []byte) []byte {
	b = append(b, byte(h.op))
	for _, v := range []uint64{h.key, uint64(h.up), uint64(h.down), uint64(h.cut)} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

func parseHeader(b []byte) (h header, err error) {
	h.op = op(b[0])
	for i, p := range []*int64{&h.up, &h.down, &h.cut} {
		*p = int64(binary.BigEndian.Uint64(b[9+8*i:]))
		if *p < 0 {
			err = errors.New("negative size in a header")
		}
	}
	h.key = binary.BigEndian.Uint64(b[1:])
	if h.op >= numOps {
		err = fmt.Errorf("unknown op %d", h.op)
	}
	return h, err
}

// sender is the sending half of a stream.
type sender struct {
	head []byte // to be sent first
	origin
	off, size int64
	cut       int64  // where to reset; -1: nowhere
	code      uint64 // of that
	stop      uint64 // the code with which the peer may stop it; 0: it may not
	done      bool
}

// write sends what the stream takes.
func (s *sender) write(c *quic.Conn, id quic.StreamID) error {
	for !s.done {
		limit := s.size
		if s.cut >= 0 {
			limit = s.cut
		}
		p, head := s.head, len(s.head) > 0
		if !head {
			p = s.at(s.off, limit-s.off)
		}
		fin := s.cut < 0 && !head && s.off+int64(len(p)) == limit
		if s.cut >= 0 && !head && s.off == limit {
			s.done = true
			return c.ResetStream(id, s.code)
		}
		n, err := c.StreamWrite(id, p, fin)
		var stopped *quic.StreamStoppedError
		if errors.As(err, &stopped) && s.stop != 0 && stopped.Code == s.stop {
			s.done = true
			return nil
		}
		if err != nil {
			return fmt.Errorf("writing: %w", err)
		}
		if head {
			s.head = s.head[n:]
		} else {
			s.off += int64(n)
		}
		if n < len(p) {
			return nil
		}
		s.done = fin
	}
	return nil
}

// receiver is the receiving half of a stream.
type receiver struct {
	origin
	head  []byte // what came of the header
	known bool   // the header, or that there is none
	off   int64
	size  int64
	cut   int64  // where to stop; -1: nowhere
	code  uint64 // of that
	reset uint64 // the code with which the peer may reset it; 0: it may not
	done  bool
}

var readBuffers = sync.Pool{New: func() any { return new([maxPiece]byte) }}

// read takes what there is and checks it. onHeader is called when the header is there.
func (r *receiver) read(c *quic.Conn, id quic.StreamID, t *tally, onHeader func(header) error) error {
	buf := readBuffers.Get().(*[maxPiece]byte)
	defer readBuffers.Put(buf)
	for !r.done {
		p := buf[:]
		if !r.known {
			p = p[:headerLen-len(r.head)]
		}
		n, fin, err := c.StreamRead(id, p)
		var reset *quic.StreamResetError
		if errors.As(err, &reset) && (r.reset != 0 && reset.Code == r.reset || !r.known && reset.Code == codeClientReset) {
			r.done = true
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading: %w", err)
		}
		t.bytes.Add(int64(n))
		if !r.known {
			r.head = append(r.head, p[:n]...)
			if len(r.head) == headerLen {
				h, err := parseHeader(r.head)
				if err != nil {
					return err
				}
				r.known, r.head = true, nil
				if err := onHeader(h); err != nil {
					return err
				}
			} else if fin {
				return fmt.Errorf("ended within its header, after %d bytes", len(r.head))
			}
		} else {
			if err := r.check(r.off, p[:n]); err != nil {
				return err
			}
			r.off += int64(n)
			if r.off > r.size {
				return fmt.Errorf("%d bytes came, more than the %d that were sent", r.off, r.size)
			}
		}
		if r.known && r.cut >= 0 && r.off >= r.cut {
			r.done = true
			if fin {
				return nil
			}
			return c.StopSending(id, r.code)
		}
		if fin {
			r.done = true
			if r.off != r.size {
				return fmt.Errorf("ended after %d bytes of %d", r.off, r.size)
			}
			return nil
		}
		if n == 0 {
			return nil
		}
	}
	return nil
}

// flow is a stream; a half that it does not have is nil.
type flow struct {
	out *sender
	in  *receiver
}

func (f *flow) done() bool { return (f.out == nil || f.out.done) && (f.in == nil || f.in.done) }
