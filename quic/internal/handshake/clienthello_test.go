package handshake

import (
	"crypto/tls"
	"slices"
	"testing"
)

// TestTicketsWanted: a client that could not resume is sent no ticket (RFC 8446, Section 4.2.9).
func TestTicketsWanted(t *testing.T) {
	for _, test := range []struct {
		name   string
		client *tls.Config
		want   bool
	}{{"cache", caching(t), true}, {"no cache", clientConfig1(t), false}} {
		for _, piece := range []int{1, 500, 1 << 20} {
			c, s := newTLSPair(t, serverConfig1(t), test.client)
			if err := pump(c, s, piece); err != nil {
				t.Fatal(err)
			}
			checkDone(t, c, s)
			if err := s.h.SendTicket(); err != nil {
				t.Fatal(err)
			}
			s.drain()
			if got := len(s.out) > 0; got != test.want {
				t.Errorf("%s, pieces of %d bytes: a ticket was sent: %v", test.name, piece, got)
			}
		}
	}
}

// A clientHello has what comes before the extensions, and these.
func clientHello(exts ...byte) []byte {
	b := make([]byte, headLen+2+32)
	b[0] = typeClientHello
	b = append(b, 0, 0, 2, 0x13, 0x01, 1, 0)
	b = append(b, byte(len(exts)>>8), byte(len(exts)))
	return append(b, exts...)
}

func TestWantsTickets(t *testing.T) {
	for _, test := range []struct {
		name string
		msg  []byte
		want bool
	}{
		{"nothing", nil, false},
		{"no extensions", clientHello(), false},
		{"another extension", clientHello(0, 44, 0, 2, 1, 1), false},
		{"key exchange", clientHello(0, 44, 0, 0, 0, 45, 0, 2, 1, 1), true},
		{"both modes", clientHello(0, 45, 0, 3, 2, 0, 1), true},
		{"without key exchange", clientHello(0, 45, 0, 2, 1, 0), false},
		{"cut", clientHello(0, 45, 0, 3, 1, 1), false},
		{"cut list", clientHello(0, 45, 0, 1, 1, 1), false},
	} {
		if got := wantsTickets(test.msg); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func FuzzWantsTickets(f *testing.F) {
	f.Add(clientHello(0, 44, 0, 0, 0, 45, 0, 2, 1, 1))
	f.Add(clientHello(0, 45, 0, 2, 1, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		kept := slices.Clone(b)
		if wantsTickets(b) && len(b) < headLen+34+7+4+3 {
			t.Error("a mode was found where there is no room for one")
		}
		if !slices.Equal(kept, b) {
			t.Error("it was changed")
		}
	})
}
