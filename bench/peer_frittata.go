package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/http3"
	"github.com/frittata-go/frittata/quic"
)

// frittataStack is frittata. The raw protocol is an Application, on both ends:
// it runs on the connection's strand and has no goroutine.
var frittataStack = &stack{
	serveRaw:  frittataServeRaw,
	dialRaw:   frittataDialRaw,
	serveHTTP: frittataServeHTTP,
	dialHTTP:  frittataDialHTTP,
	datagrams: true,
}

func frittataConfig(s *spec) *frittata.Config {
	cfg := &frittata.Config{QUIC: quic.Config{
		MaxIdleTimeout:  idleTimeout,
		StreamWindow:    streamWindow,
		MaxStreamWindow: streamWindow,
		ConnWindow:      connWindow,
		MaxConnWindow:   connWindow,
		MaxStreamsBidi:  maxStreams,
		MaxStreamsUni:   maxStreams,
		EnableDatagrams: true,
		MaxUDPPayload:   s.MaxUDPPayload,
	}}
	cfg.UDP.DisableGSO = s.DisableGSO
	cfg.UDP.DisableGRO = s.DisableGRO
	return cfg
}

// readBuffers are what Applications read into. A turn borrows one, so that an
// idle connection has none.
var readBuffers = sync.Pool{New: func() any { return new([chunk]byte) }}

// frittataServer is a server of the raw protocol.
type frittataServer struct {
	l *frittata.Listener
	errorLog
	received atomic.Int64
}

// frittataListen opens a server's socket.
func frittataListen(s *spec, alpn string) (*frittata.Listener, error) {
	tlsConfig, err := s.serverTLS(alpn)
	if err != nil {
		return nil, err
	}
	cfg := frittataConfig(s)
	cfg.QUIC.TLS = quic.ServerTLS(tlsConfig)
	return frittata.Listen("udp4", "127.0.0.1:0", cfg)
}

// frittataAccept starts the connections that come to l, until it is closed.
func frittataAccept(l *frittata.Listener, log *errorLog, app func() frittata.Application) {
	for {
		in, err := l.Accept(context.Background())
		if err != nil {
			return
		}
		if _, err := in.Start(app()); err != nil {
			log.add(err)
		}
	}
}

func frittataServeRaw(s *spec) (server, error) {
	l, err := frittataListen(s, rawALPN)
	if err != nil {
		return nil, err
	}
	srv := &frittataServer{l: l}
	go frittataAccept(l, &srv.errorLog, func() frittata.Application { return &serverApp{srv: srv} })
	return srv, nil
}

func (s *frittataServer) addr() string     { return s.l.Addr().String() }
func (s *frittataServer) close() error     { return s.l.Close() }
func (s *frittataServer) datagrams() int64 { return s.received.Load() }

// serverApp is the server's end of a connection.
type serverApp struct {
	srv     *frittataServer
	streams map[quic.StreamID]*request
}

// request is a stream with its request.
type request struct {
	head [requestLen]byte
	have int   // bytes of head
	op   byte  // zero until head is complete
	n    int64 // download: bytes that are still to be written; upload: bytes that came
}

func (a *serverApp) OnEstablished(*quic.Conn, frittata.HandshakeInfo) error { return nil }
func (a *serverApp) OnClose(*quic.Conn, error)                              {}

func (a *serverApp) ProcessReads(c *quic.Conn) error {
	for {
		e, ok := c.NextEvent()
		if !ok {
			break
		}
		if e.Kind == quic.EventDatagramReadable {
			a.readDatagrams(c)
		}
	}
	for {
		id, ok := c.NextReadable()
		if !ok {
			return nil
		}
		r := a.streams[id]
		if r == nil {
			if a.streams == nil {
				a.streams = make(map[quic.StreamID]*request)
			}
			r = &request{}
			a.streams[id] = r
		}
		if err := a.read(c, id, r); err != nil {
			a.srv.add(err)
			return err
		}
	}
}

func (a *serverApp) readDatagrams(c *quic.Conn) {
	buf := readBuffers.Get().(*[chunk]byte)
	defer readBuffers.Put(buf)
	var n int64
	for {
		if _, ok := c.ReadDatagram(buf[:]); !ok {
			a.srv.received.Add(n)
			return
		}
		n++
	}
}

// read takes what there is of a request. An answer is for ProcessWrites.
func (a *serverApp) read(c *quic.Conn, id quic.StreamID, r *request) error {
	buf := readBuffers.Get().(*[chunk]byte)
	defer readBuffers.Put(buf)
	for {
		n, fin, err := c.StreamRead(id, buf[:])
		if err != nil {
			return err
		}
		p := buf[:n]
		if r.op == 0 && n > 0 {
			m := copy(r.head[r.have:], p)
			if r.have += m; r.have == requestLen {
				if r.op, r.n, err = parseRequest(r.head[:]); err != nil {
					return err
				}
				if r.op == opDownload {
					c.RearmWrite(id)
				} else {
					r.n = 0
				}
			}
			p = p[m:]
		}
		if r.op == opUpload {
			r.n += int64(len(p))
			if fin {
				delete(a.streams, id)
				_, err := c.StreamWrite(id, binary.BigEndian.AppendUint64(nil, uint64(r.n)), true)
				return err
			}
		}
		if fin && r.op == 0 {
			return fmt.Errorf("stream %d ended within its request", id)
		}
		if fin || n == 0 {
			return nil
		}
	}
}

func (a *serverApp) ProcessWrites(c *quic.Conn) error {
	for {
		id, ok := c.NextWritable()
		if !ok {
			return nil
		}
		r := a.streams[id]
		if r == nil {
			continue // an answer that was complete
		}
		done, err := writeSome(c, id, &r.n)
		if err != nil {
			a.srv.add(err)
			return err
		}
		if done {
			delete(a.streams, id)
		}
	}
}

// writeSome writes as much of left bytes as the stream takes, and its end.
func writeSome(c *quic.Conn, id quic.StreamID, left *int64) (done bool, err error) {
	for {
		p := payloadChunk[:min(*left, chunk)]
		n, err := c.StreamWrite(id, p, *left <= chunk)
		if err != nil {
			return false, err
		}
		*left -= int64(n)
		if n < len(p) {
			return false, nil
		}
		if *left == 0 {
			return true, nil
		}
	}
}

type frittataDialer struct {
	tr *frittata.Transport
	to netip.AddrPort
}

func frittataDialRaw(s *spec) (dialer, error) {
	tlsConfig, err := s.clientTLS(rawALPN)
	if err != nil {
		return nil, err
	}
	to, err := netip.ParseAddrPort(s.Addr)
	if err != nil {
		return nil, err
	}
	cfg := frittataConfig(s)
	cfg.QUIC.TLS = quic.ClientTLS(tlsConfig)
	tr, err := frittata.Open("udp4", "127.0.0.1:0", cfg)
	if err != nil {
		return nil, err
	}
	return &frittataDialer{tr, to}, nil
}

func (d *frittataDialer) dial(ctx context.Context) (rawConn, error) {
	app := &clientApp{transfers: make(map[quic.StreamID]*transfer, 1)}
	c, err := d.tr.Dial(ctx, d.to, serverName, nil, app)
	if err != nil {
		return nil, err
	}
	return &frittataConn{c, app}, nil
}

func (d *frittataDialer) close() error { return d.tr.Close() }

// frittataConn is the client's end of a connection, for other goroutines.
type frittataConn struct {
	c   *frittata.Conn
	app *clientApp
}

func (c *frittataConn) download(ctx context.Context, n int64) (int64, error) {
	return c.transfer(ctx, opDownload, n)
}

func (c *frittataConn) upload(ctx context.Context, n int64) (int64, error) {
	return c.transfer(ctx, opUpload, n)
}

func (c *frittataConn) transfer(ctx context.Context, op byte, n int64) (int64, error) {
	t := &transfer{op: op, left: n, done: make(chan error, 1)}
	if err := c.c.Do(func(q *quic.Conn) { c.app.begin(q, t) }); err != nil {
		return 0, err
	}
	select {
	case err := <-t.done:
		return t.got, err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (c *frittataConn) sendDatagrams(ctx context.Context, payload int) (int64, error) {
	s := &datagramSender{p: make([]byte, payload), failed: make(chan error, 1)}
	if err := c.c.Do(func(*quic.Conn) { c.app.datagrams = s }); err != nil {
		return 0, err
	}
	select {
	case err := <-s.failed:
		return 0, err
	case <-ctx.Done():
	}
	err := c.c.Call(context.Background(), func(*quic.Conn) { c.app.datagrams = nil })
	if err == nil && s.sent == 0 {
		err = errors.New("no datagram fitted")
	}
	return s.sent, err
}

func (c *frittataConn) close() error { return c.c.Close() }

// clientApp is the client's end of a connection, on the strand.
type clientApp struct {
	transfers map[quic.StreamID]*transfer
	datagrams *datagramSender
}

// transfer is a stream that is under way.
type transfer struct {
	op     byte
	id     quic.StreamID
	left   int64 // upload: bytes that are still to be written
	got    int64 // bytes that reached the receiver
	answer [answerLen]byte
	have   int // bytes of answer
	done   chan error
}

type datagramSender struct {
	p      []byte
	sent   int64
	failed chan error
}

func (a *clientApp) OnEstablished(*quic.Conn, frittata.HandshakeInfo) error { return nil }

func (a *clientApp) OnClose(_ *quic.Conn, err error) {
	for _, t := range a.transfers {
		a.end(t, err)
	}
	if a.datagrams != nil {
		a.datagrams.failed <- err
		a.datagrams = nil
	}
}

func (a *clientApp) begin(c *quic.Conn, t *transfer) {
	id, err := c.OpenStream(quic.Bidi)
	if err == nil {
		t.id = id
		a.transfers[id] = t
		_, err = c.StreamWrite(id, appendRequest(nil, t.op, t.left), t.op == opDownload)
	}
	if err != nil {
		a.end(t, err)
		return
	}
	if t.op == opUpload {
		c.RearmWrite(id)
	}
}

func (a *clientApp) end(t *transfer, err error) {
	t.done <- err
	delete(a.transfers, t.id)
}

func (a *clientApp) ProcessReads(c *quic.Conn) error {
	for {
		if _, ok := c.NextEvent(); !ok {
			break
		}
	}
	for {
		id, ok := c.NextReadable()
		if !ok {
			return nil
		}
		if t := a.transfers[id]; t != nil {
			if fin, err := t.read(c); fin || err != nil {
				a.end(t, err)
			}
		}
	}
}

// read counts what a download brings, or takes the server's count of an upload.
func (t *transfer) read(c *quic.Conn) (fin bool, err error) {
	buf := readBuffers.Get().(*[chunk]byte)
	defer readBuffers.Put(buf)
	for {
		n, fin, err := c.StreamRead(t.id, buf[:])
		if err != nil {
			return false, err
		}
		if t.op == opDownload {
			t.got += int64(n)
		} else {
			t.have += copy(t.answer[t.have:], buf[:n])
		}
		if fin && t.op == opUpload {
			if t.have != answerLen {
				return true, errors.New("the server's count is not complete")
			}
			t.got = int64(binary.BigEndian.Uint64(t.answer[:]))
		}
		if fin || n == 0 {
			return fin, nil
		}
	}
}

func (a *clientApp) ProcessWrites(c *quic.Conn) error {
	for {
		id, ok := c.NextWritable()
		if !ok {
			break
		}
		if t := a.transfers[id]; t != nil && t.op == opUpload && t.left > 0 {
			if _, err := writeSome(c, id, &t.left); err != nil {
				a.end(t, err)
			}
		}
	}
	if s := a.datagrams; s != nil {
		// Until the path MTU search is done they may not fit.
		for c.DatagramLimit() >= len(s.p) {
			if err := c.SendDatagram(s.p); err != nil {
				break // the queue is full: an event comes when it is not
			}
			s.sent++
		}
	}
	return nil
}

type frittataHTTPServer struct {
	l   *frittata.Listener
	srv *http3.Server
}

func frittataServeHTTP(s *spec, h http.Handler) (server, error) {
	tlsConfig, err := s.serverTLS(http3.ALPN)
	if err != nil {
		return nil, err
	}
	srv := &http3.Server{Addr: "127.0.0.1:0", Handler: h, TLSConfig: tlsConfig, Config: frittataConfig(s)}
	l, err := srv.Listen()
	if err != nil {
		return nil, err
	}
	go srv.Serve(l)
	return &frittataHTTPServer{l, srv}, nil
}

func (s *frittataHTTPServer) addr() string  { return s.l.Addr().String() }
func (s *frittataHTTPServer) close() error  { return s.srv.Close() }
func (s *frittataHTTPServer) turns() uint64 { return s.l.Transport().Stats().Turns }

// frittataHTTPTransport is the socket that all HTTP clients of the process share.
var frittataHTTPTransport *frittata.Transport

// frittataDialHTTP is called by one goroutine at a time.
func frittataDialHTTP(s *spec) (httpClient, error) {
	tlsConfig, err := s.clientTLS(http3.ALPN)
	if err != nil {
		return nil, err
	}
	if frittataHTTPTransport == nil {
		if frittataHTTPTransport, err = frittata.Open("udp4", "127.0.0.1:0", frittataConfig(s)); err != nil {
			return nil, err
		}
	}
	return &http3.Transport{
		TLSClientConfig:    tlsConfig,
		Config:             frittataConfig(s),
		Transport:          frittataHTTPTransport,
		DisableCompression: true,
		IdleConnTimeout:    -1,
	}, nil
}
