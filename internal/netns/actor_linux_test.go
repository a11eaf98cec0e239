package netns

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/quic"
	"github.com/frittata-go/frittata/udp"
)

const alpn = "netns"

// progress is how many bytes an end receives between two lines.
const progress = 256 << 10

// patternLen is prime, so that a piece in the wrong place is found out.
const (
	patternLen = 65521
	maxPiece   = 64 << 10
)

var pattern = func() []byte {
	b := make([]byte, patternLen)
	x := uint32(2463534242)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return append(b, append(slices.Clone(b), b...)[:maxPiece]...)
}()

// content returns n bytes of what an end sends at off.
func content(client bool, off int64, n int) []byte {
	if client {
		off += 4711
	}
	at := off % patternLen
	return pattern[at : at+int64(n)]
}

// exchange is the Application of both ends: one stream, which both write
// until the client has had enough, and each checks what comes.
type exchange struct {
	client         bool
	enough         atomic.Bool
	id             quic.StreamID
	open           bool
	sent, received int64
	told           int64 // of received
	ended          bool  // our half
	gotAll         bool  // the peer's half
	say            func(line)
	report         func(*quic.Conn)
	done           chan error
}

func (e *exchange) OnEstablished(c *quic.Conn, _ frittata.HandshakeInfo) (err error) {
	if e.client {
		e.open = true
		e.id, err = c.OpenStream(quic.Bidi)
	}
	return err
}

func (e *exchange) ProcessReads(c *quic.Conn) error {
	for {
		if _, ok := c.NextEvent(); !ok {
			break
		}
	}
	for {
		id, ok := c.NextReadable()
		if !ok {
			break
		}
		e.id, e.open = id, true
		for !e.gotAll {
			b, fin, err := c.StreamReadBuf(id, maxPiece)
			if err != nil {
				return err
			}
			if b != nil {
				if !bytes.Equal(b.B, content(!e.client, e.received, len(b.B))) {
					return fmt.Errorf("other bytes came than were sent, at %d", e.received)
				}
				e.received += int64(len(b.B))
				b.Release()
			}
			e.gotAll = fin
			if b == nil {
				break
			}
		}
	}
	if e.received-e.told >= progress {
		e.told = e.received
		e.say(line{Received: e.received})
	}
	if !e.client && e.gotAll {
		e.enough.Store(true)
	}
	if e.gotAll && e.ended && e.client {
		e.report(c)
		c.Close(quic.CloseError{Application: true, Code: 7})
	}
	return nil
}

func (e *exchange) ProcessWrites(c *quic.Conn) error {
	for {
		if _, ok := c.NextWritable(); !ok {
			break
		}
	}
	for e.open && !e.ended {
		p := content(e.client, e.sent, maxPiece)
		fin := e.enough.Load()
		if fin {
			p = nil
		}
		n, err := c.StreamWrite(e.id, p, fin)
		if err != nil {
			return err
		}
		e.sent += int64(n)
		e.ended = fin
		if n < len(p) {
			return nil
		}
	}
	return nil
}

func (e *exchange) OnClose(c *quic.Conn, err error) {
	var ae *quic.ApplicationError
	if errors.As(err, &ae) && ae.Code == 7 && e.gotAll && e.ended {
		err = nil
	}
	if !e.client && err == nil {
		e.report(c)
	}
	e.done <- err
}

// play is what the binary does within a namespace.
func play(role string, args []string) error {
	var cfg frittata.Config
	if args[0] == "-plain" {
		cfg.UDP = udp.Options{DisableGSO: true, DisableGRO: true}
		args = args[1:]
	}
	tlsConfig, err := selfSigned()
	if err != nil {
		return err
	}
	cfg.QUIC = quic.Config{TLS: tlsConfig, MaxIdleTimeout: testTime, HandshakeTimeout: testTime, KeepAlive: 200 * time.Millisecond}
	enc := json.NewEncoder(os.Stdout)
	e := &exchange{client: role == "client", done: make(chan error, 1)}
	e.say = func(l line) { _ = enc.Encode(l) } // of a test that is over
	socket, err := listen(args[0], e.client, &cfg.UDP)
	if err != nil {
		return err
	}
	had := socket.Caps().GSO
	tr, err := frittata.NewTransport(socket, &cfg)
	if err != nil {
		return err
	}
	defer tr.Close()
	e.report = func(c *quic.Conn) {
		s, n := c.Stats(), tr.Stats()
		e.say(line{Report: &report{
			Sent: e.sent, Received: e.received, Remote: c.RemoteAddr().String(), PathMTU: s.PathMTU,
			PathChanges: s.PathChanges, PacketsLost: s.PacketsLost, WriteErrors: n.WriteErrors, HadGSO: had, GSO: socket.Caps().GSO,
		}})
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTime)
	defer cancel()
	if !e.client {
		l, err := tr.Listen(nil)
		if err != nil {
			return err
		}
		e.say(line{Listening: l.Addr().String()})
		in, err := l.Accept(ctx)
		if err != nil {
			return err
		}
		if _, err := in.Start(e); err != nil {
			return err
		}
		select {
		case err = <-e.done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}

	to, err := net.ResolveUDPAddr("udp", args[0])
	if err != nil {
		return err
	}
	c, err := tr.Dial(ctx, to.AddrPort(), "netns.example", nil, e)
	if err != nil {
		return err
	}
	go func() {
		// A word or the end of the input: both mean that it is enough.
		_, _ = io.ReadFull(os.Stdin, make([]byte, 1))
		e.enough.Store(true)
		c.Wake()
	}()
	select {
	case err = <-e.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	<-c.Closed()
	return err
}

// listen opens the socket of a role. A client's is bound to no address: where it
// sends from is the kernel's choice.
func listen(server string, client bool, o *udp.Options) (*udp.Conn, error) {
	network := "udp4"
	if server[0] == '[' {
		network = "udp6"
	}
	if client {
		return udp.Listen(network, ":0", o)
	}
	return udp.Listen(network, server, o)
}

// selfSigned makes a configuration for both roles. The client does not look
// whom the certificate names: it is alone with the server.
func selfSigned() (*tls.Config, error) {
	pub, priv, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: alpn},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(nil, template, template, pub, priv)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates:       []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: priv}},
		InsecureSkipVerify: true,
		NextProtos:         []string{alpn},
	}, nil
}
