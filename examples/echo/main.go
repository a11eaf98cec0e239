// Echo is a protocol of one's own on frittata, by hand: a server that sends
// back what it gets on each stream, and a client that checks it.
//
// It is also the tutorial for [frittata.Application]. There are no goroutines
// and no locks in it: the runtime calls an Application's methods one at a time.
//
//	go run ./examples/echo                          # both ends
//	go run ./examples/echo -listen :4444            # a server
//	go run ./examples/echo -connect localhost:4444  # a client
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/signal"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/quic"
)

// alpn names the protocol: both ends have to agree on it.
const alpn = "frittata-echo"

// echoServer is the server's Application, one for each connection.
type echoServer struct {
	// A stream whose peer reads more slowly than it writes. Its next piece
	// waits here, and nothing more is read: QUIC's flow control then holds the
	// client back.
	waiting map[quic.StreamID]piece
}

// piece is bytes that came and were not sent back yet.
type piece struct {
	buf *quic.Buffer // nil: only the end of the stream is left
	fin bool
}

func (e *echoServer) OnEstablished(c *quic.Conn, info frittata.HandshakeInfo) error {
	e.waiting = make(map[quic.StreamID]piece)
	return nil
}

// ProcessReads is called when packets came in. Streams of the peer need no accepting:
// they are there when NextReadable returns them first.
func (e *echoServer) ProcessReads(c *quic.Conn) error {
	for {
		id, ok := c.NextReadable()
		if !ok {
			return nil
		}
		if err := e.echo(c, id); err != nil {
			return err
		}
	}
}

// ProcessWrites is called in every turn, before packets go out: now streams may
// have room that had none.
func (e *echoServer) ProcessWrites(c *quic.Conn) error {
	for {
		id, ok := c.NextWritable()
		if !ok {
			return nil
		}
		if err := e.echo(c, id); err != nil {
			return err
		}
	}
}

func (e *echoServer) OnClose(c *quic.Conn, err error) {
	for _, p := range e.waiting {
		if p.buf != nil {
			p.buf.Release()
		}
	}
}

// echo moves what a stream has from its receiving half to its sending half,
// without a copy: the buffer that StreamReadBuf returns is passed on as it is.
func (e *echoServer) echo(c *quic.Conn, id quic.StreamID) error {
	p, held := e.waiting[id]
	delete(e.waiting, id)
	for {
		if !held {
			var err error
			p.buf, p.fin, err = c.StreamReadBuf(id, 64<<10)
			if err != nil {
				return e.streamError(c, id, err)
			}
			if p.buf == nil && !p.fin {
				return nil // nothing more is there now
			}
		}
		held = false
		if p.buf == nil {
			_, err := c.StreamWrite(id, nil, true)
			return e.streamError(c, id, err)
		}
		ok, err := c.StreamWriteBuf(id, p.buf, p.fin)
		if err != nil {
			p.buf.Release()
			return e.streamError(c, id, err)
		}
		if !ok {
			e.waiting[id] = p // NextWritable will tell
			return nil
		}
		if p.fin {
			return nil
		}
	}
}

// streamError ends a stream whose peer has given it up. Any other error is the
// connection's, and closes it.
func (e *echoServer) streamError(c *quic.Conn, id quic.StreamID, err error) error {
	var reset *quic.StreamResetError
	var stopped *quic.StreamStoppedError
	switch {
	case errors.As(err, &reset):
		return c.ResetStream(id, reset.Code)
	case errors.As(err, &stopped):
		return c.StopSending(id, stopped.Code)
	}
	return err
}

// echoClient sends a message on one stream and compares what comes back.
type echoClient struct {
	message  []byte
	id       quic.StreamID
	sent     int
	ended    bool // the end of our half was taken too
	received []byte
	result   chan error
}

func (e *echoClient) OnEstablished(c *quic.Conn, info frittata.HandshakeInfo) (err error) {
	e.id, err = c.OpenStream(quic.Bidi)
	return err
}

func (e *echoClient) ProcessReads(c *quic.Conn) error {
	for {
		id, ok := c.NextReadable()
		if !ok {
			return nil
		}
		for {
			b, fin, err := c.StreamReadBuf(id, 64<<10)
			if err != nil {
				return err
			}
			if b != nil {
				e.received = append(e.received, b.B...)
				b.Release()
			}
			if fin {
				e.finish(c)
				return nil
			}
			if b == nil {
				break
			}
		}
	}
}

func (e *echoClient) finish(c *quic.Conn) {
	var err error
	if string(e.received) != string(e.message) {
		err = fmt.Errorf("%d bytes came back of %d, or others", len(e.received), len(e.message))
	}
	e.result <- err
	c.Close(quic.CloseError{Application: true, Reason: "thank you"})
}

func (e *echoClient) ProcessWrites(c *quic.Conn) error {
	for { // which stream it is we know
		if _, ok := c.NextWritable(); !ok {
			break
		}
	}
	if e.ended {
		return nil
	}
	// StreamWrite takes what has room now; the rest has its turn later. The end
	// counts only with the last byte.
	n, err := c.StreamWrite(e.id, e.message[e.sent:], true)
	e.sent += n
	e.ended = e.sent == len(e.message)
	return err
}

func (e *echoClient) OnClose(c *quic.Conn, err error) {
	select {
	case e.result <- fmt.Errorf("closed before the echo was complete: %w", err):
	default: // finish has said how it went
	}
}

// serve accepts connections until ctx ends.
func serve(ctx context.Context, l *frittata.Listener) error {
	for {
		in, err := l.Accept(ctx)
		if err != nil {
			return l.Close()
		}
		if _, err := in.Start(&echoServer{}); err != nil {
			fmt.Fprintln(os.Stderr, "echo:", err)
		}
	}
}

func listen(addr string) (*frittata.Listener, error) {
	cert, err := selfSigned()
	if err != nil {
		return nil, err
	}
	cfg := &frittata.Config{}
	cfg.QUIC.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{alpn}}
	return frittata.Listen("udp", addr, cfg)
}

// ask sends a message to the server and waits for its echo.
func ask(ctx context.Context, addr string, message []byte) (time.Duration, error) {
	cfg := &frittata.Config{}
	// The certificate is made anew each time; a real client verifies it.
	cfg.QUIC.TLS = &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpn}}
	app := &echoClient{message: message, result: make(chan error, 1)}
	conn, err := frittata.Dial(ctx, addr, cfg, app)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	select {
	case err = <-app.result:
	case <-ctx.Done():
		err = ctx.Err()
		conn.Close()
	}
	took := time.Since(begin)
	<-conn.Closed()
	return took, err
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "frittata echo"},
		DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// run is main with what it depends on as arguments.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("echo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	listenAddr := flags.String("listen", "", "serve on this `address`, host:port, and nothing else")
	connectAddr := flags.String("connect", "", "send to the server at this `address` instead of one of our own")
	size := flags.Int("size", 1<<20, "how many `bytes` the client sends")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *size < 0 || *listenAddr != "" && *connectAddr != "" {
		return errors.New("-size is not negative, and -listen and -connect exclude each other")
	}
	if *connectAddr == "" {
		addr := *listenAddr
		if addr == "" {
			addr = "127.0.0.1:0"
		}
		l, err := listen(addr)
		if err != nil {
			return err
		}
		fmt.Fprintln(stdout, "listening on", l.Addr())
		if *listenAddr != "" {
			return serve(ctx, l)
		}
		serveCtx, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- serve(serveCtx, l) }()
		defer func() { stop(); <-done }()
		*connectAddr = l.Addr().String()
	}
	message := make([]byte, *size)
	rand.Read(message)
	took, err := ask(ctx, *connectAddr, message)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d bytes there and back in %v\n", *size, took.Round(10*time.Microsecond))
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "echo:", err)
		}
		os.Exit(1)
	}
}
