package handshake

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
)

// What the fake's messages weigh, with their headers, in bytes: as much as those of crypto/tls with its hybrid key exchange and a chain of two certificates, so that each flight takes
// more than one datagram.
const (
	fakeClientHelloSize = 1500
	fakeServerHelloSize = 1210
	fakeServerFlight    = 3000 // all that a server sends at LevelHandshake
	fakeTicketSize      = 200
)

// maxFakeMessage bounds what a peer can make the fake buffer.
const maxFakeMessage = 1 << 16

const fakeRandomLen = 32

// NewFake makes a deterministic exchange with no security, of the shape of TLS's: a ClientHello that takes two datagrams; a ServerHello at LevelInitial; EncryptedExtensions with the
// protocol and the parameters, a certificate-sized blob and Finished at LevelHandshake; the client's Finished; a ticket, if SendTicket is called. Events come in the order of crypto/tls.
// Secrets, for TLS_AES_128_GCM_SHA256, are hashes of both sides' randoms, of which 32 bytes are read from random at Start or at the ClientHello.
//
// It negotiates ALPN and fails with the alert that TLS would (no_application_protocol). What was changed on the way
// makes the Finished wrong (decrypt_error). Its State has ServerName, NegotiatedProtocol, HandshakeComplete, CipherSuite and Version.
func NewFake(client bool, serverName string, alpn []string, random io.Reader) Handshaker {
	return &fake{client: client, serverName: serverName, alpn: slices.Clone(alpn), source: random, transcript: sha256.New()}
}

const fakeSuite = tls.TLS_AES_128_GCM_SHA256

type fake struct {
	client     bool
	serverName string
	alpn       []string
	source     io.Reader

	params  []byte // our own
	set     bool   // params are
	started bool
	done    bool
	ticket  bool // one was sent
	closed  bool
	err     error // final

	randoms    [2 * fakeRandomLen]byte // the client's, then the server's
	transcript hash.Hash               // of all messages
	protocol   string                  // that was negotiated

	read  Level
	want  byte // the type of the next message, 0 after the handshake
	frame framer
	body  []byte // of the message that comes in

	events events
}

func (f *fake) SetParams(p []byte) error {
	switch {
	case f.closed:
		return errClosed
	case f.err != nil:
		return f.err
	case f.set:
		return errParamsTwice
	}
	f.params, f.set = slices.Clone(p), true
	if f.protocol == "" {
		return nil
	}
	return f.writeServerFlight() // which has waited for them
}

func (f *fake) Start() error {
	switch {
	case f.closed:
		return errClosed
	case f.started:
		return errStarted
	case !f.set && f.client:
		return errParams
	case len(f.alpn) == 0:
		return errNoALPN
	}
	f.started = true
	if !f.client {
		f.want = typeClientHello
		return nil
	}
	if err := f.makeRandom(f.randoms[:fakeRandomLen]); err != nil {
		return err
	}
	f.want = typeServerHello
	return f.writeClientHello()
}

func (f *fake) fail(alert uint8, err error) error {
	f.err = &AlertError{Alert: alert, Err: err}
	return f.err
}

func (f *fake) makeRandom(b []byte) error {
	if _, err := io.ReadFull(f.source, b); err != nil {
		return f.fail(alertInternalError, fmt.Errorf("handshake: no randomness: %w", err))
	}
	return nil
}

func (f *fake) HandleCrypto(l Level, b []byte) error {
	switch {
	case f.closed:
		return errClosed
	case f.err != nil:
		return f.err
	case !f.started:
		return errors.New("handshake: not started")
	}
	for len(b) > 0 {
		if l != f.read {
			return f.fail(alertUnexpectedMessage, errLevel)
		}
		if f.frame.n < headLen {
			n, ok := f.frame.header(b)
			b = b[n:]
			if !ok {
				return nil
			}
			if err := f.checkHeader(); err != nil {
				return err
			}
		}
		n, end := f.frame.body(b)
		f.body = append(f.body, b[:n]...)
		b = b[n:]
		if !end {
			continue
		}
		err := f.handleMessage(f.frame.head[0], f.body)
		f.body = f.body[:0]
		if err != nil {
			return err
		}
	}
	return nil
}

// checkHeader refuses a message before it is buffered.
func (f *fake) checkHeader() error {
	t := f.frame.head[0]
	if (f.want == 0 || t != f.want) && !(f.done && f.client && t == typeNewSessionTicket) {
		return f.fail(alertUnexpectedMessage, fmt.Errorf("handshake: message of type %d, expected %d", t, f.want))
	}
	if f.frame.left > maxFakeMessage {
		return f.fail(alertDecodeError, fmt.Errorf("handshake: message of %d bytes", f.frame.left))
	}
	return nil
}

func (f *fake) handleMessage(t byte, body []byte) error {
	if t == typeNewSessionTicket {
		return nil
	}
	var mac [sha256.Size]byte
	if t == typeFinished {
		mac = f.finishedMAC(!f.client) // of what precedes it
	}
	f.hash(t, body)
	switch t {
	case typeClientHello:
		return f.handleClientHello(body)
	case typeServerHello:
		return f.handleServerHello(body)
	case typeEncryptedExtensions:
		return f.handleEncryptedExtensions(body)
	case typeCertificate:
		f.want = typeFinished
		return nil
	case typeFinished:
		if subtle.ConstantTimeCompare(body, mac[:]) != 1 {
			return f.fail(alertDecryptError, errors.New("handshake: wrong Finished"))
		}
		return f.handleFinished()
	}
	panic("BUG: message of an unexpected type")
}

func (f *fake) handleClientHello(body []byte) error {
	d := decoder{b: body}
	copy(f.randoms[:fakeRandomLen], d.bytes(fakeRandomLen))
	name := string(d.vector8())
	protos := d.vector16()
	params := d.vector16()
	d.vector16() // padding
	if !d.end() {
		return f.fail(alertDecodeError, errors.New("handshake: malformed ClientHello"))
	}
	offered, ok := decodeProtocols(protos)
	if !ok {
		return f.fail(alertDecodeError, errors.New("handshake: malformed list of protocols"))
	}
	f.serverName = name
	i := slices.IndexFunc(f.alpn, func(p string) bool { return slices.Contains(offered, p) })
	if i < 0 { // RFC 9001, Section 8.1
		return f.fail(alertNoApplicationProtocol, errNoProtocol)
	}
	f.protocol = f.alpn[i]
	if err := f.makeRandom(f.randoms[fakeRandomLen:]); err != nil {
		return err
	}
	f.events.push(Event{Kind: EventPeerParams, Data: slices.Clone(params)})
	f.want = 0
	if !f.set {
		return nil
	}
	return f.writeServerFlight()
}

// writeServerFlight is all that a server says.
func (f *fake) writeServerFlight() error {
	hello := slices.Clone(f.randoms[fakeRandomLen:])
	f.writeMessage(LevelInitial, typeServerHello, pad(hello, fakeServerHelloSize))
	f.pushSecrets(EventWriteSecret, LevelHandshake)
	f.pushSecrets(EventReadSecret, LevelHandshake)

	ext := appendVector8(nil, []byte(f.protocol))
	ext, err := appendVector16(ext, f.params)
	if err != nil {
		return f.fail(alertInternalError, err)
	}
	f.writeMessage(LevelHandshake, typeEncryptedExtensions, ext)
	f.writeMessage(LevelHandshake, typeCertificate, pad(nil, fakeServerFlight-(headLen+len(ext))-(headLen+sha256.Size)))
	mac := f.finishedMAC(false)
	f.writeMessage(LevelHandshake, typeFinished, mac[:])
	f.pushSecrets(EventWriteSecret, LevelApp)
	f.want = typeFinished
	return nil
}

func (f *fake) handleServerHello(body []byte) error {
	d := decoder{b: body}
	copy(f.randoms[fakeRandomLen:], d.bytes(fakeRandomLen))
	d.vector16() // padding
	if !d.end() {
		return f.fail(alertDecodeError, errors.New("handshake: malformed ServerHello"))
	}
	f.pushSecrets(EventWriteSecret, LevelHandshake)
	f.pushSecrets(EventReadSecret, LevelHandshake)
	f.want = typeEncryptedExtensions
	return nil
}

func (f *fake) handleEncryptedExtensions(body []byte) error {
	d := decoder{b: body}
	f.protocol = string(d.vector8())
	params := d.vector16()
	if !d.end() {
		return f.fail(alertDecodeError, errors.New("handshake: malformed EncryptedExtensions"))
	}
	if !slices.Contains(f.alpn, f.protocol) { // RFC 9001, Section 8.1
		return f.fail(alertNoApplicationProtocol, errNoProtocol)
	}
	f.events.push(Event{Kind: EventPeerParams, Data: slices.Clone(params)})
	f.want = typeCertificate
	return nil
}

func (f *fake) handleFinished() error {
	if f.client {
		mac := f.finishedMAC(true)
		f.writeMessage(LevelHandshake, typeFinished, mac[:])
		f.pushSecrets(EventWriteSecret, LevelApp)
	}
	f.done, f.want = true, 0
	f.events.push(Event{Kind: EventDone})
	f.pushSecrets(EventReadSecret, LevelApp)
	return nil
}

func (f *fake) writeClientHello() error {
	hello := slices.Clone(f.randoms[:fakeRandomLen])
	if len(f.serverName) > 255 {
		return f.fail(alertInternalError, errors.New("handshake: server name is too long"))
	}
	hello = appendVector8(hello, []byte(f.serverName))
	var protos []byte
	for _, p := range f.alpn {
		if len(p) == 0 || len(p) > 255 {
			return f.fail(alertInternalError, errors.New("handshake: protocol of no or too many bytes"))
		}
		protos = appendVector8(protos, []byte(p))
	}
	hello, err := appendVector16(hello, protos)
	if err == nil {
		hello, err = appendVector16(hello, f.params)
	}
	if err != nil {
		return f.fail(alertInternalError, err)
	}
	f.writeMessage(LevelInitial, typeClientHello, pad(hello, fakeClientHelloSize))
	return nil
}

// writeMessage joins messages of one level to one event, as crypto/tls does.
func (f *fake) writeMessage(l Level, t byte, body []byte) {
	if l != LevelApp {
		f.hash(t, body)
	}
	head := messageHead(t, len(body))
	if q := &f.events; len(q.list) > q.next {
		if last := &q.list[len(q.list)-1]; last.Kind == EventWriteCrypto && last.Level == l {
			last.Data = append(append(last.Data, head[:]...), body...)
			return
		}
	}
	f.events.push(Event{Kind: EventWriteCrypto, Level: l, Data: append(head[:], body...)})
}

func messageHead(t byte, n int) [headLen]byte {
	return [headLen]byte{t, byte(n >> 16), byte(n >> 8), byte(n)}
}

func (f *fake) hash(t byte, body []byte) {
	head := messageHead(t, len(body))
	f.transcript.Write(head[:])
	f.transcript.Write(body)
}

// finishedMAC is what the client's or the server's Finished has to be after what was sent so far.
func (f *fake) finishedMAC(client bool) [sha256.Size]byte {
	s := f.secret(client, "finished")
	return sha256.Sum256(f.transcript.Sum(s[:]))
}

// secret is what one side protects a level with, or its Finished.
func (f *fake) secret(client bool, name string) [sha256.Size]byte {
	side := "server "
	if client {
		side = "client "
	}
	return sha256.Sum256(append([]byte("frittata fake "+side+name), f.randoms[:]...))
}

func (f *fake) pushSecrets(kind EventKind, l Level) {
	if kind == EventReadSecret {
		f.read = l
	}
	s := f.secret(f.client == (kind == EventWriteSecret), l.String())
	f.events.push(Event{Kind: kind, Level: l, Suite: fakeSuite, Data: s[:]})
}

func (f *fake) NextEvent() Event { return f.events.pop() }

func (f *fake) SendTicket() error {
	switch {
	case f.closed:
		return errClosed
	case f.err != nil:
		return f.err
	case f.client || !f.done || f.ticket:
		return errors.New("handshake: a session ticket is a server's, one after the handshake")
	}
	f.ticket = true
	f.writeMessage(LevelApp, typeNewSessionTicket, pad(nil, fakeTicketSize))
	return nil
}

func (f *fake) State() tls.ConnectionState {
	return tls.ConnectionState{
		Version:            tls.VersionTLS13,
		HandshakeComplete:  f.done,
		CipherSuite:        fakeSuite,
		NegotiatedProtocol: f.protocol,
		ServerName:         f.serverName,
	}
}

func (f *fake) Close() {
	f.closed = true
	f.body = nil
}

// pad appends a vector of padding, so that b with a message header has the size, if it can.
func pad(b []byte, size int) []byte {
	n := max(size-headLen-len(b)-2, 0)
	b = append(b, byte(n>>8), byte(n))
	return append(b, bytes.Repeat([]byte{0xf0}, n)...)
}

func appendVector8(b, v []byte) []byte {
	return append(append(b, byte(len(v))), v...)
}

func appendVector16(b, v []byte) ([]byte, error) {
	if len(v) > 1<<15 {
		return nil, fmt.Errorf("handshake: %d bytes are too many for a message", len(v))
	}
	return append(append(b, byte(len(v)>>8), byte(len(v))), v...), nil
}

// A decoder reads a message. After an error, all is empty, and it never ends.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) bytes(n int) []byte {
	if d.bad || n > len(d.b) {
		d.bad = true
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) vector8() []byte {
	n := d.bytes(1)
	if d.bad {
		return nil
	}
	return d.bytes(int(n[0]))
}

func (d *decoder) vector16() []byte {
	n := d.bytes(2)
	if d.bad {
		return nil
	}
	return d.bytes(int(n[0])<<8 | int(n[1]))
}

func (d *decoder) end() bool { return !d.bad && len(d.b) == 0 }

func decodeProtocols(b []byte) (protos []string, ok bool) {
	d := decoder{b: b}
	for !d.end() {
		p := d.vector8()
		if len(p) == 0 {
			return nil, false
		}
		protos = append(protos, string(p))
	}
	return protos, true
}
