package quic_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/frittata-go/frittata/quic"
)

// end is a connection with its application, and what a runtime has to know of it.
type end struct {
	*quic.Conn
	name     string
	addr     netip.AddrPort
	endpoint *quic.Endpoint       // that routes for it, if there is one
	deliver  func(*quic.Datagram) // to the other end
	got      []byte
}

// work is the application: the client says a word, the server says it in capitals, the client closes.
func (e *end) work() {
	for ev, ok := e.NextEvent(); ok; ev, ok = e.NextEvent() {
		fmt.Println(e.name, "is", ev.Kind)
		if ev.Kind == quic.EventConnected && e.IsClient() {
			id, err := e.OpenStream(quic.Bidi)
			check(err)
			e.say(id, []byte("hello"))
		}
	}
	for id, ok := e.NextReadable(); ok; id, ok = e.NextReadable() {
		for {
			var buf [1000]byte
			n, fin, err := e.StreamRead(id, buf[:])
			check(err)
			e.got = append(e.got, buf[:n]...)
			if fin {
				e.answer(id)
				break
			}
			if n == 0 {
				break // NextReadable tells when there is more
			}
		}
	}
}

// answer is called when a stream has come to its end.
func (e *end) answer(id quic.StreamID) {
	fmt.Printf("%s got %q\n", e.name, e.got)
	if e.IsClient() {
		e.Close(quic.CloseError{Application: true, Reason: "done"})
		return
	}
	e.say(id, bytes.ToUpper(e.got))
}

// say sends what is short enough to be taken at once.
func (e *end) say(id quic.StreamID, p []byte) {
	_, err := e.StreamWrite(id, p, true)
	check(err)
}

// send moves what the connection has to send, and tells whether that was anything.
func (e *end) send(now time.Time) (sent bool) {
	buf := make([]byte, 64<<10)
	for {
		// The packets may tell the peer about connection IDs that lead here.
		if routes, ok := e.IO().TakeRoutes(); ok && e.endpoint != nil {
			routes.Route = e
			e.endpoint.Apply(&routes)
		}
		train, ok := e.IO().Transmit(now, buf, 64)
		if !ok {
			return sent
		}
		sent = true
		for data := buf[:train.N]; len(data) > 0; {
			n := min(train.Segment, len(data))
			e.deliver(&quic.Datagram{Data: data[:n], Remote: e.addr, ECN: train.ECN})
			data = data[n:]
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// A runtime of one's own, with a clock that is set in place of a real one, and a function call in place of the network.
func Example() {
	now := time.Unix(0, 0)
	config := func(seed byte) *quic.Config {
		return &quic.Config{
			TLS:                   &tls.Config{NextProtos: []string{"shout"}},
			InsecureFakeHandshake: true, // for tests alone: else TLS has a certificate
			Rand:                  rand.NewChaCha8([32]byte{seed}),
		}
	}
	endpoint, err := quic.NewEndpoint(&quic.EndpointConfig{Server: true, Rand: rand.NewChaCha8([32]byte{0})})
	check(err)
	client := &end{name: "client", addr: netip.MustParseAddrPort("192.0.2.1:1000")}
	server := &end{name: "server", addr: netip.MustParseAddrPort("192.0.2.2:443"), endpoint: endpoint}
	client.Conn, err = quic.Connect(now, config(1), server.addr, "example.org")
	check(err)
	ends := []*end{client}

	// The client's socket has one connection, the server's may have many, which the Endpoint tells apart.
	server.deliver = func(d *quic.Datagram) { client.IO().Recv(now, d) }
	client.deliver = func(d *quic.Datagram) {
		switch v := endpoint.Handle(now, d); v.Kind {
		case quic.VerdictRoute:
			v.Route.(*end).IO().Recv(now, d)
		case quic.VerdictReply:
			server.deliver(&quic.Datagram{Data: v.Reply, Remote: server.addr})
		case quic.VerdictIncoming:
			endpoint.Admit(v.Incoming, server)
			server.Conn, err = quic.Accept(now, v.Incoming, config(2))
			check(err)
			ends = append(ends, server)
		}
	}

	for {
		for busy := true; busy; {
			busy = false
			for _, e := range ends {
				e.work()
				busy = e.send(now) || busy
			}
		}
		// Nothing happens before the next timer. Without one the connections are gone.
		var next time.Time
		for _, e := range ends {
			if d, ok := e.IO().Deadline(); ok && (next.IsZero() || d.Before(next)) {
				next = d
			}
		}
		if next.IsZero() {
			break
		}
		now = next
		for _, e := range ends {
			e.IO().HandleDeadline(now)
		}
	}
	fmt.Println(server.Err())
	// Output:
	// client is connected
	// server is connected
	// server is confirmed
	// server got "hello"
	// client is confirmed
	// client got "HELLO"
	// server is closed
	// client is closed
	// quic: peer closed the connection: application error 0x0: done
}
