package handshake

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// An end is one side of a handshake in a test.
type end struct {
	h      Handshaker
	name   string
	read   [3][]byte // secrets by level
	write  [3][]byte
	params []byte
	late   []byte // our own, that wait for the peer's
	done   bool
	log    []string // events, in order
	out    []chunk  // for the peer
	sent   [3]int   // bytes by level
	err    error
}

type chunk struct {
	level Level
	data  []byte
}

// drain takes the events that are there.
func (e *end) drain() {
	for {
		ev := e.h.NextEvent()
		data := bytes.Clone(ev.Data)
		switch ev.Kind {
		case EventNone:
			return
		case EventReadSecret:
			e.read[ev.Level] = data
		case EventWriteSecret:
			e.write[ev.Level] = data
		case EventWriteCrypto:
			e.out = append(e.out, chunk{ev.Level, data})
			e.sent[ev.Level] += len(data)
		case EventPeerParams:
			e.params = data
			if e.late != nil {
				e.err = e.h.SetParams(e.late)
				e.late = nil
			}
		case EventDone:
			e.done = true
		}
		e.log = append(e.log, fmt.Sprintf("%d/%d", ev.Kind, ev.Level))
	}
}

// pump starts both sides and carries CRYPTO data, in pieces of at most piece bytes, until neither has any or one fails. It returns the first error.
func pump(client, server *end, piece int) error {
	for _, e := range []*end{client, server} {
		e.err = e.h.Start()
		e.drain()
		if e.err != nil {
			return e.err
		}
	}
	return carry(client, server, piece)
}

func carry(client, server *end, piece int) error {
	for len(client.out)+len(server.out) > 0 {
		for _, dir := range [][2]*end{{client, server}, {server, client}} {
			from, to := dir[0], dir[1]
			out := from.out
			from.out = nil
			for _, c := range out {
				for len(c.data) > 0 {
					n := min(piece, len(c.data))
					b := bytes.Clone(c.data[:n]) // HandleCrypto must not retain it
					to.err = to.h.HandleCrypto(c.level, b)
					clear(b)
					to.drain()
					if to.err != nil {
						return to.err
					}
					c.data = c.data[n:]
				}
			}
		}
	}
	return nil
}

// checkDone checks that both sides completed a handshake and agree.
func checkDone(t *testing.T, client, server *end) {
	t.Helper()
	if !client.done || !server.done {
		t.Fatalf("client done: %v, server done: %v", client.done, server.done)
	}
	for _, l := range []Level{LevelHandshake, LevelApp} {
		if len(client.read[l]) == 0 || !bytes.Equal(client.read[l], server.write[l]) {
			t.Errorf("%v secrets of the server are %x and %x", l, client.read[l], server.write[l])
		}
		if len(client.write[l]) == 0 || !bytes.Equal(client.write[l], server.read[l]) {
			t.Errorf("%v secrets of the client are %x and %x", l, client.write[l], server.read[l])
		}
		if bytes.Equal(client.read[l], client.write[l]) {
			t.Errorf("%v secrets of both sides are the same", l)
		}
	}
	if string(client.params) != "server params" || string(server.params) != "client params" {
		t.Errorf("parameters %q and %q", client.params, server.params)
	}
	for _, e := range []*end{client, server} {
		if s := e.h.State(); !s.HandshakeComplete || s.NegotiatedProtocol == "" {
			t.Errorf("state: complete %v, protocol %q", s.HandshakeComplete, s.NegotiatedProtocol)
		}
	}
}

// wantAlert checks the alert that an error carries, and that it is final.
func wantAlert(t *testing.T, e *end, alert uint8) {
	t.Helper()
	var a *AlertError
	if !errors.As(e.err, &a) || a.Alert != alert {
		t.Fatalf("%s: %v, want alert %d", e.name, e.err, alert)
	}
	if a.Err == nil || a.Error() == "" {
		t.Errorf("%s: no cause: %v", e.name, a)
	}
	if err := e.h.HandleCrypto(LevelInitial, []byte{0}); err != e.err {
		t.Errorf("%s: later error is %v", e.name, err)
	}
}
