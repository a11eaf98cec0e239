package handshake

import (
	"bytes"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/frittata-go/frittata/quic/internal/protect"
)

func fakeEnds(alpnClient, alpnServer []string) (client, server *end) {
	client = &end{name: "client", h: NewFake(true, "example.org", alpnClient, rand.NewChaCha8([32]byte{1}))}
	server = &end{name: "server", h: NewFake(false, "", alpnServer, rand.NewChaCha8([32]byte{2}))}
	client.h.SetParams([]byte("client params"))
	server.h.SetParams([]byte("server params"))
	return client, server
}

func TestFake(t *testing.T) {
	var logs [][]string
	for _, piece := range []int{1, 3, 1000, 1 << 20} {
		client, server := fakeEnds([]string{"h3", "x"}, []string{"y", "x"})
		if err := pump(client, server, piece); err != nil {
			t.Fatal(err)
		}
		checkDone(t, client, server)
		if client.h.State().NegotiatedProtocol != "x" || server.h.State().NegotiatedProtocol != "x" || server.h.State().ServerName != "example.org" {
			t.Errorf("client %+v, server %+v", client.h.State(), server.h.State())
		}
		if client.sent[LevelInitial] != fakeClientHelloSize || server.sent[LevelInitial] != fakeServerHelloSize || server.sent[LevelHandshake] != fakeServerFlight {
			t.Errorf("sent %v and %v", client.sent, server.sent)
		}
		logs = append(logs, append(client.log, server.log...))
		if !slices.Equal(logs[0], logs[len(logs)-1]) {
			t.Errorf("events depend on how the data is cut: %v, %v", logs[0], logs[len(logs)-1])
		}

		if client.h.SendTicket() == nil {
			t.Error("a client sent a ticket")
		}
		if err := server.h.SendTicket(); err != nil {
			t.Fatal(err)
		}
		server.drain()
		if server.sent[LevelApp] != fakeTicketSize {
			t.Errorf("ticket of %d bytes", server.sent[LevelApp])
		}
		if err := carry(client, server, piece); err != nil {
			t.Fatal(err)
		}
		if server.h.SendTicket() == nil {
			t.Error("second ticket")
		}
		client.h.Close()
		client.h.Close()
		if err := client.h.HandleCrypto(LevelApp, []byte{1}); !errors.Is(err, errClosed) {
			t.Errorf("after Close: %v", err)
		}
		if !client.h.State().HandshakeComplete {
			t.Error("the state is lost with Close")
		}
	}
}

// TestFakeOrder: the events come in the order of crypto/tls.
func TestFakeOrder(t *testing.T) {
	client, server := fakeEnds([]string{"h3"}, []string{"h3"})
	if err := pump(client, server, 1<<20); err != nil {
		t.Fatal(err)
	}
	ct, st := newTLSPair(t, serverConfig1(t), clientConfig1(t))
	if err := pump(ct, st, 1<<20); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(client.log, ct.log) {
		t.Errorf("client: %v, crypto/tls: %v", client.log, ct.log)
	}
	if !slices.Equal(server.log, st.log) {
		t.Errorf("server: %v, crypto/tls: %v", server.log, st.log)
	}
}

func TestFakeDeterministic(t *testing.T) {
	var flights [2][]byte
	for i := range flights {
		client, server := fakeEnds([]string{"h3"}, []string{"h3"})
		if err := client.h.Start(); err != nil {
			t.Fatal(err)
		}
		if err := server.h.Start(); err != nil {
			t.Fatal(err)
		}
		client.drain()
		if err := server.h.HandleCrypto(LevelInitial, client.out[0].data); err != nil {
			t.Fatal(err)
		}
		server.drain()
		for _, c := range append(client.out, server.out...) {
			flights[i] = append(flights[i], c.data...)
		}
		flights[i] = append(flights[i], server.write[LevelApp]...)
	}
	if !bytes.Equal(flights[0], flights[1]) {
		t.Error("two runs differ")
	}
}

// TestFakeSecrets: they are what packet protection takes.
func TestFakeSecrets(t *testing.T) {
	client, server := fakeEnds([]string{"h3"}, []string{"h3"})
	if err := pump(client, server, 500); err != nil {
		t.Fatal(err)
	}
	var a, b protect.AppKeys
	for _, err := range []error{
		a.SetWriteSecret(1, fakeSuite, client.write[LevelApp]),
		b.SetReadSecret(1, fakeSuite, server.read[LevelApp]),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p := append(make([]byte, 0, 100), 0x40, 0, 1, 2, 3, 4)
	_, payload, _, err := b.Open(a.Seal(p, 1, 1, 0), 1, 0, 0, 0)
	if err != nil || !bytes.Equal(payload, []byte{1, 2, 3, 4}) {
		t.Fatalf("%x, %v", payload, err)
	}
}

func TestFakeALPN(t *testing.T) {
	client, server := fakeEnds([]string{"h3"}, []string{"doq"})
	_ = pump(client, server, 1<<20)
	wantAlert(t, server, alertNoApplicationProtocol)

	// A server that picks what was not offered.
	client, server = fakeEnds([]string{"h3"}, []string{"h3"})
	server.h.(*fake).alpn = []string{"h3"}
	if err := client.h.Start(); err != nil {
		t.Fatal(err)
	}
	_ = server.h.Start()
	client.drain()
	client.h.(*fake).alpn = []string{"other"}
	_ = carry(client, server, 1<<20)
	wantAlert(t, client, alertNoApplicationProtocol)

	none := NewFake(true, "", nil, rand.NewChaCha8([32]byte{}))
	none.SetParams(nil)
	if err := none.Start(); err != errNoALPN {
		t.Errorf("started without protocols: %v", err)
	}
}

func TestFakeTampering(t *testing.T) {
	for i := range fakeServerFlight {
		client, server := fakeEnds([]string{"h3"}, []string{"h3"})
		_ = client.h.Start()
		_ = server.h.Start()
		client.drain()
		if err := server.h.HandleCrypto(LevelInitial, client.out[0].data); err != nil {
			t.Fatal(err)
		}
		client.out = nil
		server.drain()
		server.out[1].data[i] ^= 1
		_ = carry(client, server, 1<<20)
		if client.done {
			t.Fatalf("byte %d was changed, and the client did not see it", i)
		}
	}
}

func TestFakeMisuse(t *testing.T) {
	h := NewFake(true, "", []string{"h3"}, rand.NewChaCha8([32]byte{}))
	if err := h.HandleCrypto(LevelInitial, []byte{1}); err == nil {
		t.Error("data before Start")
	}
	if err := h.Start(); err != errParams {
		t.Errorf("no parameters: %v", err)
	}
	h.SetParams(nil)
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	if err := h.Start(); err != errStarted {
		t.Errorf("second Start: %v", err)
	}
	for _, h := range []Handshaker{
		NewFake(true, "", []string{"h3"}, iotest.ErrReader(errors.New("none"))),
		NewFake(true, strings.Repeat("n", 256), []string{"h3"}, rand.NewChaCha8([32]byte{})),
		NewFake(true, "", []string{strings.Repeat("n", 256)}, rand.NewChaCha8([32]byte{})),
	} {
		h.SetParams(nil)
		e := &end{name: "client", h: h}
		e.err = h.Start()
		wantAlert(t, e, alertInternalError)
	}
}

// TestFakeLimits: what does not fit the state, or is too long, is refused before it is buffered.
func TestFakeLimits(t *testing.T) {
	for _, test := range []struct {
		level Level
		data  []byte
		alert uint8
	}{
		{LevelInitial, []byte{typeFinished, 0, 0, 1}, alertUnexpectedMessage},
		{LevelInitial, []byte{typeNewSessionTicket, 0, 0, 1}, alertUnexpectedMessage},
		{LevelInitial, []byte{typeClientHello, 0xff, 0xff, 0xff}, alertDecodeError},
		{LevelInitial, []byte{typeClientHello, 0, 0, 1, 0}, alertDecodeError},
		{LevelHandshake, []byte{typeClientHello}, alertUnexpectedMessage},
	} {
		_, server := fakeEnds(nil, []string{"h3"})
		if err := server.h.Start(); err != nil {
			t.Fatal(err)
		}
		server.err = server.h.HandleCrypto(test.level, test.data)
		wantAlert(t, server, test.alert)
		if test.level == LevelHandshake && !errors.Is(server.err, ErrProtocolViolation) {
			t.Errorf("%v is not ErrProtocolViolation", server.err)
		}
	}
}

// FuzzFake feeds a side what a peer might send. The first byte says which side, and where the data begins.
func FuzzFake(f *testing.F) {
	client, server := fakeEnds([]string{"h3"}, []string{"h3"})
	_ = client.h.Start()
	_ = server.h.Start()
	client.drain()
	hello := client.out[0].data
	if err := server.h.HandleCrypto(LevelInitial, hello); err != nil {
		f.Fatal(err)
	}
	server.drain()
	f.Add(byte(0), uint16(100), hello)
	f.Add(byte(0), uint16(1), append(slices.Clone(hello), 20, 0, 0, 0))
	f.Add(byte(1), uint16(1200), slices.Concat(server.out[0].data, server.out[1].data))
	f.Add(byte(2), uint16(5), server.out[1].data)
	f.Add(byte(2), uint16(5), []byte{8, 0, 0, 0, 11, 0, 0, 0})
	f.Fuzz(func(t *testing.T, which byte, piece uint16, data []byte) {
		client, server := fakeEnds([]string{"h3"}, []string{"h3"})
		_ = client.h.Start()
		_ = server.h.Start()
		e := server
		switch which % 3 {
		case 1:
			e = client
		case 2: // a client that has the ServerHello
			client.drain()
			if err := server.h.HandleCrypto(LevelInitial, client.out[0].data); err != nil {
				t.Fatal(err)
			}
			server.drain()
			if err := client.h.HandleCrypto(LevelInitial, server.out[0].data); err != nil {
				t.Fatal(err)
			}
			e = client
		}
		e.drain()
		for len(data) > 0 {
			n := min(int(piece)+1, len(data))
			f := e.h.(*fake)
			if err := e.h.HandleCrypto(f.read, data[:n]); err != nil {
				var a *AlertError
				if !errors.As(err, &a) {
					t.Fatal(err)
				}
				return
			}
			if len(f.body) > maxFakeMessage {
				t.Fatalf("%d bytes are buffered", len(f.body))
			}
			e.drain()
			data = data[n:]
		}
		if e.done && e.h.State().Version != tls.VersionTLS13 {
			t.Fatal("no version")
		}
	})
}
