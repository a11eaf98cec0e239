package frittata_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/quic"
)

// greeter answers each stream of a client with a greeting.
type greeter struct {
	names map[quic.StreamID][]byte // what has come of them
}

func (g *greeter) OnEstablished(c *quic.Conn, info frittata.HandshakeInfo) error {
	g.names = make(map[quic.StreamID][]byte)
	return nil
}

func (g *greeter) ProcessReads(c *quic.Conn) error {
	for {
		id, ok := c.NextReadable()
		if !ok {
			return nil
		}
		var buf [64]byte
		n, fin, err := c.StreamRead(id, buf[:])
		name := append(g.names[id], buf[:n]...)
		if err != nil || len(name) >= len(buf) {
			// An error closes the connection, and the peer is told this code.
			return &quic.ApplicationError{Code: 1, Reason: "a name has up to 63 bytes"}
		}
		if !fin {
			g.names[id] = name
			continue // NextReadable tells when there is more
		}
		delete(g.names, id)
		if _, err := c.StreamWrite(id, fmt.Appendf(nil, "Hello, %s!", name), true); err != nil {
			return err
		}
	}
}

func (g *greeter) ProcessWrites(c *quic.Conn) error { return nil }
func (g *greeter) OnClose(c *quic.Conn, err error)  { log.Print(err) }

func ExampleListen() {
	cert, err := tls.LoadX509KeyPair("cert.pem", "key.pem")
	if err != nil {
		log.Fatal(err)
	}
	l, err := frittata.Listen("udp", ":4433", &frittata.Config{QUIC: quic.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"greet"}},
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	for {
		in, err := l.Accept(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		if _, err := in.Start(&greeter{}); err != nil {
			log.Print(err)
		}
	}
}

// A server with a socket for each processor, which ends gracefully: it accepts
// no more, tells the clients that are there, and waits for them for half a minute.
func ExampleListenGroup() {
	cert, err := tls.LoadX509KeyPair("cert.pem", "key.pem")
	if err != nil {
		log.Fatal(err)
	}
	l, err := frittata.ListenGroup("udp", ":4433", 0, &frittata.Config{QUIC: quic.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"greet"}},
	}})
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		interrupt, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		<-interrupt.Done()
		l.Drain(true) // who comes now may go elsewhere
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		ended <- l.Shutdown(ctx)
	}()
	for {
		in, err := l.Accept(context.Background())
		if err != nil {
			break
		}
		if _, err := in.Start(&greeter{}); err != nil {
			log.Print(err)
		}
	}
	if err := <-ended; err != nil {
		log.Print(err)
	}
	for i, t := range l.Transports() {
		log.Printf("socket %d: %d connections", i, t.Stats().ConnsAccepted)
	}
}

// Other goroutines reach a connection by its handle.
func ExampleConn_Call() {
	var conn *frittata.Conn // of Dial, Start or HandshakeInfo

	var streams int
	err := conn.Call(context.Background(), func(c *quic.Conn) { streams = c.OpenStreams() })
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(streams, "streams are open")
}
