package quic

import (
	"crypto/tls"
	"net/netip"
	"time"
)

// Conn is a connection. (Skeleton: bodies are being written.)
type Conn struct{}

// IO is the side of a Conn that is for whoever moves its packets.
type IO struct{}

// Accept makes the server's connection of an Incoming that Endpoint.Admit let in, and processes its first flight.
// It does cryptography and calls the user's TLS callbacks, so it may take long. Anywhere, any goroutine.
func Accept(now time.Time, in *Incoming, cfg *Config) (*Conn, error) { panic("skeleton") }

// Connect makes a client's connection. serverName may be empty for an IP address: see tls.Config.ServerName.
func Connect(now time.Time, cfg *Config, remote netip.AddrPort, serverName string) (*Conn, error) {
	panic("skeleton")
}

func (c *Conn) IO() *IO { panic("skeleton") }

// Recv takes a datagram. Errors of the peer close the connection; they come out by EventClosed.
func (io *IO) Recv(now time.Time, d *Datagram) {}

// Transmit writes the next train to buf, of at most maxSegments datagrams. buf should hold 64 KiB; it must hold 1 datagram of Config.MaxUDPPayload. False: nothing to send now.
func (io *IO) Transmit(now time.Time, buf []byte, maxSegments int) (Train, bool) { panic("") }

// Deadline tells when HandleDeadline is to be called next; it may change with every call of another method.
func (io *IO) Deadline() (time.Time, bool)      { panic("") }
func (io *IO) HandleDeadline(now time.Time)     {}
func (io *IO) TakeRoutes() (RouteChanges, bool) { panic("") }

// HandleSendError tells that a train could not be sent because its datagrams are larger than the interface takes (EMSGSIZE).
func (io *IO) HandleTooLarge(now time.Time, t *Train) {}

// SetSocket sets the socket number and source address of the path in use, before the first Transmit of a client.
func (io *IO) SetSocket(local netip.Addr, socket uint32) {}

// Gone tells that the connection is closed and drained: nothing more will be sent, and its routes have been removed. The caller may forget it.
func (io *IO) Gone() bool { panic("") }

// Handshaking tells that Recv may still do handshake cryptography and call TLS callbacks.
func (io *IO) Handshaking() bool { panic("") }

// Abort ends the connection at once with err, sending nothing.
func (io *IO) Abort(err error) {}

func (c *Conn) NextEvent() (Event, bool)                                             { panic("") }
func (c *Conn) OpenStream(dir Dir) (StreamID, error)                                 { panic("") }
func (c *Conn) NextReadable() (StreamID, bool)                                       { panic("") } // pops; incoming streams are opened implicitly: their first appearance here
func (c *Conn) NextWritable() (StreamID, bool)                                       { panic("") } // pops; a stream appears after a StreamWrite came up short and there is room again, or after STOP_SENDING
func (c *Conn) RearmRead(id StreamID)                                                { panic("") } // NextReadable will return it again (it was popped but not read to the end)
func (c *Conn) RearmWrite(id StreamID)                                               { panic("") }
func (c *Conn) StreamRead(id StreamID, p []byte) (n int, fin bool, err error)        { panic("") } // n=0, fin=false, nil: nothing there now, and the stream is armed; *StreamResetError; ErrNoStream
func (c *Conn) StreamReadBuf(id StreamID, max int) (b *Buffer, fin bool, err error)  { panic("") } // as StreamRead, passing ownership; b nil: nothing now
func (c *Conn) StreamReadable(id StreamID) int                                       { panic("") } // contiguous bytes ready
func (c *Conn) StreamWrite(id StreamID, p []byte, fin bool) (n int, err error)       { panic("") } // short n, nil error: armed for NextWritable; fin counts only when n == len(p)
func (c *Conn) StreamWriteBuf(id StreamID, b *Buffer, fin bool) (ok bool, err error) { panic("") } // takes the whole buffer (ownership) if StreamCapacity > 0, else ok=false and armed
func (c *Conn) StreamCapacity(id StreamID) int                                       { panic("") } // bytes that StreamWrite would take now (send buffer bound, not the window)
func (c *Conn) ResetStream(id StreamID, code uint64) error                           { panic("") } // RESET_STREAM: our sending half
func (c *Conn) StopSending(id StreamID, code uint64) error                           { panic("") } // STOP_SENDING: drops what comes; the read half is done for the application
func (c *Conn) SetStreamPriority(id StreamID, urgency uint8, incremental bool) error { panic("") } // RFC 9218; default 3, false
func (c *Conn) HoldStream(id StreamID)                                               { panic("") } // the peer's stream counts against its limit until ReleaseStream, even when both halves are done
func (c *Conn) ReleaseStream(id StreamID)                                            { panic("") }
func (c *Conn) SendDatagram(p []byte) error                                          { panic("") }
func (c *Conn) ReadDatagram(p []byte) (n int, ok bool)                               { panic("") }
func (c *Conn) DatagramLimit() int                                                   { panic("") } // largest payload SendDatagram takes now; 0 = unsupported
func (c *Conn) Close(e CloseError)                                                   { panic("") }
func (c *Conn) Ping()                                                                { panic("") }
func (c *Conn) UpdateKeys() error                                                    { panic("") }
func (c *Conn) Err() error                                                           { panic("") } // why it is closed; nil while open
func (c *Conn) IsClient() bool                                                       { panic("") }
func (c *Conn) Connected() bool                                                      { panic("") }
func (c *Conn) TLS() tls.ConnectionState                                             { panic("") }
func (c *Conn) RemoteAddr() netip.AddrPort                                           { panic("") }
func (c *Conn) LocalAddr() netip.Addr                                                { panic("") }
func (c *Conn) Stats() Stats                                                         { panic("") }
func (c *Conn) OpenStreams() int                                                     { panic("") }

func prepareServerTLS(cfg *tls.Config) *tls.Config { panic("skeleton") }
func prepareClientTLS(cfg *tls.Config) *tls.Config { panic("skeleton") }
