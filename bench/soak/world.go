package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/http3"
	"github.com/frittata-go/frittata/quic"
)

const (
	// idleTimeout is how long the server keeps a connection whose client died.
	idleTimeout = 12 * time.Second
	keepAlive   = 3 * time.Second
	// handshakeTimeout is long enough for a machine with other things to do.
	handshakeTimeout = 30 * time.Second
	// stuckTime is how long something may take that has to come to an end: what
	// is due by a timeout of a connection has ended by then.
	stuckTime = time.Minute

	sharedSockets = 4
)

// ending is how a life ends.
type ending int

const (
	endClose  ending = iota // the client closes
	endServer               // the server closes, on the client's word
	endSocket               // the client closes its Transport, and with it the socket
	endDie                  // the client's socket falls silent, and is closed
	endCancel               // the client gives up within the handshake
)

// chooseEnding draws one.
func chooseEnding(r *rand.Rand) ending {
	switch x := r.IntN(100); {
	case x < 60:
		return endClose
	case x < 70:
		return endServer
	case x < 82:
		return endSocket
	case x < 94:
		return endDie
	}
	return endCancel
}

// life is what a client is to do.
type life struct {
	tr     *frittata.Transport // that it dials on
	rounds int
	end    ending
	kill   func() // of endDie: from now on nothing is sent
}

// stack is a protocol, with its server.
type stack interface {
	// live is a life up to its end, but for the socket's.
	live(ctx context.Context, r *rand.Rand, l *life)
	conns() int // of the server
	close() error
}

// world is the server and all that its clients share.
type world struct {
	stack  stack
	tally  *tally
	client frittata.Config
	shared []*frittata.Transport
	conns  int
	seed   uint64
}

func newWorld(o *options, t *tally) (*world, error) {
	w := &world{tally: t, conns: o.conns, seed: o.seed}
	alpn, serve := rawALPN, newRaw
	if o.http {
		alpn, serve = http3.ALPN, newHTTP
	}
	serverTLS, clientTLS, err := makeTLS(alpn)
	if err != nil {
		return nil, err
	}
	base := quic.Config{MaxIdleTimeout: idleTimeout, HandshakeTimeout: handshakeTimeout, EnableDatagrams: true}
	server := frittata.Config{QUIC: base, Logger: t.logger()}
	server.QUIC.TLS = quic.ServerTLS(serverTLS)
	w.client = frittata.Config{QUIC: base, Logger: t.logger()}
	w.client.QUIC.KeepAlive = keepAlive
	w.client.QUIC.TLS = quic.ClientTLS(clientTLS)
	if w.stack, err = serve(&server, &w.client, t, o.seed); err != nil {
		return nil, err
	}
	for range sharedSockets {
		tr, err := frittata.Open("udp4", "127.0.0.1:0", &w.client)
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.shared = append(w.shared, tr)
	}
	return w, nil
}

func (w *world) close() error {
	var errs []error
	for _, tr := range w.shared {
		errs = append(errs, tr.Close())
	}
	return errors.Join(append(errs, w.stack.close())...)
}

// work has all clients live until ctx ends. They begin within ramp.
func (w *world) work(ctx context.Context, ramp time.Duration) {
	var all sync.WaitGroup
	for i := range w.conns {
		all.Go(func() {
			r := rand.New(rand.NewPCG(w.seed, uint64(i)+1))
			pause(ctx, time.Duration(int64(ramp)*int64(i)/int64(w.conns)))
			for ctx.Err() == nil {
				w.life(ctx, r)
			}
		})
	}
	all.Wait()
}

// warm has one connection, for what the first use of packages brings for good.
func (w *world) warm(ctx context.Context) {
	w.tally.begun.Add(1)
	w.stack.live(ctx, rand.New(rand.NewPCG(w.seed, 0)), &life{tr: w.shared[0], rounds: 1})
	w.settle(ctx)
}

// life has one connection, from its dial to its end.
func (w *world) life(ctx context.Context, r *rand.Rand) {
	w.tally.begun.Add(1)
	l := &life{end: chooseEnding(r), rounds: 1 + r.IntN(maxRounds), tr: w.shared[r.IntN(len(w.shared))]}
	if l.end != endSocket && l.end != endDie {
		w.stack.live(ctx, r, l)
		return
	}
	tr, socket, err := mortal(&w.client)
	if err != nil {
		w.tally.fail("opening a socket: %v", err)
		pause(ctx, time.Second) // or nothing else would ever be done
		return
	}
	l.tr = tr
	l.kill = func() { socket.dead.Store(true) }
	w.stack.live(ctx, r, l)
	if l.end == endDie {
		w.tally.count("died")
	}
	if err := tr.Close(); err != nil {
		w.tally.fail("closing a socket: %v", err)
	}
}

// settle waits until nothing is left of any connection.
func (w *world) settle(ctx context.Context) {
	for ctx.Err() == nil {
		left := w.stack.conns()
		for _, tr := range w.shared {
			left += tr.Stats().Conns
		}
		if left == 0 {
			return
		}
		pause(ctx, 100*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// dialFailed takes the error of a dial.
func (t *tally) dialFailed(ctx, dial context.Context, err error) {
	var te *quic.TransportError
	var timeout *quic.HandshakeTimeoutError
	switch {
	case ctx.Err() != nil:
		t.count("left")
	case dial.Err() != nil && !errors.Is(context.Cause(dial), errStuck):
		t.count("cancelled")
	case errors.As(err, &te) && te.Remote && te.Code == quic.ConnectionRefused:
		t.count("refused")
	case errors.As(err, &timeout), errors.As(err, &te) && te.Remote && te.Code == quic.InvalidToken:
		// The token of a Retry ages while nobody has time for it.
		t.lose("dialing: %v", err)
	default:
		t.fail("dialing: %v", err)
	}
}

var errStuck = fmt.Errorf("nothing came of it within %v", stuckTime)

// dialContext bounds a dial: to a moment if that is the life's end.
func dialContext(ctx context.Context, r *rand.Rand, end ending) (context.Context, context.CancelFunc) {
	if end == endCancel {
		return context.WithTimeout(ctx, time.Duration(r.IntN(8_000))*time.Microsecond)
	}
	return context.WithTimeoutCause(ctx, stuckTime, errStuck)
}

// size draws the size of a transfer: small ones are as likely as large ones.
func size(r *rand.Rand) int64 {
	if r.IntN(500) == 0 {
		return 4 << 20
	}
	return r.Int64N(1 + 1<<r.IntN(18))
}

// maxThink is how long a client pauses between two rounds at most: so 2,000 of
// them keep about half of a processor busy, and what times out does so for a reason.
const maxThink = 10 * time.Second

func think(ctx context.Context, r *rand.Rand) { pause(ctx, time.Duration(r.Int64N(int64(maxThink)))) }

// maxRounds is how many rounds a life has at most.
const maxRounds = 6
