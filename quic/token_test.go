package quic

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/protect"
	"github.com/frittata-go/frittata/quic/internal/wire"
)

// epRetry is a Retry packet taken apart as a client does.
type epRetry struct{ src, token []byte }

// epMakeRetry has e answer a first flight with a Retry, and checks that.
func epMakeRetry(t *testing.T, e *Endpoint, now time.Time, remote netip.AddrPort) epRetry {
	t.Helper()
	in := epIncoming(t, e, now, remote, epInitial(epDst, epSrc, nil))
	b, err := e.Retry(now, in)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 1200 {
		t.Errorf("a Retry of %d bytes", len(b))
	}
	inv, err := wire.ParseInvariant(b, 8)
	if err != nil || !inv.Long || inv.Version != Version1 || b[0]&0xf0 != 0xf0 || !bytes.Equal(inv.DstID, epSrc) {
		t.Fatalf("not a Retry: %+v, %v", inv, err)
	}
	if bytes.Equal(inv.SrcID, epDst) || len(inv.SrcID) != e.idLen {
		t.Fatalf("source ID is %x", inv.SrcID)
	}
	body, tag := b[:len(b)-16], b[len(b)-16:]
	if want := protect.RetryIntegrityTag(Version1, epDst, body); !bytes.Equal(tag, want[:]) {
		t.Fatal("wrong integrity tag")
	}
	return epRetry{src: bytes.Clone(inv.SrcID), token: bytes.Clone(body[7+len(inv.DstID)+len(inv.SrcID):])}
}

func (r *epRetry) initial() []byte { return epInitial(r.src, epSrc, r.token) }

func wantInvalidToken(t *testing.T, e *Endpoint, v Verdict, dst []byte) {
	t.Helper()
	if v.Kind != VerdictReply {
		t.Fatalf("verdict is %v (%v), want a reply", v.Kind, v.Drop)
	}
	if code := epOpenClose(t, v.Reply, dst, epSrc); code != InvalidToken {
		t.Errorf("code is %v", code)
	}
	if e.Counts().InvalidTokens == 0 {
		t.Error("not counted")
	}
}

func TestRetry(t *testing.T) {
	for _, n := range []int{4, 8, 20} {
		e := newTestEndpoint(t, EndpointConfig{Server: true, ConnIDs: RandomConnIDs(n)})
		r := epMakeRetry(t, e, epStart, epClient)
		if c := e.Counts(); c.Pending != 0 || c.Retries != 1 {
			t.Fatalf("counts are %+v", c)
		}
		in := epIncoming(t, e, epStart.Add(time.Second), epClient, r.initial())
		if !in.Validated() || !in.retried || in.OriginalDstID() != NewConnID(epDst) ||
			in.dstID != NewConnID(r.src) || in.retrySrcID != NewConnID(r.src) {
			t.Errorf("IDs of %d bytes: %+v", n, in)
		}
		if _, err := e.Retry(epStart, in); err == nil {
			t.Error("a second Retry")
		}
		wantDrop(t, e.Handle(epStart, epFrom(epClient, r.initial())), DropPending)
		if !e.Admit(in, "conn") {
			t.Fatal("not admitted after the refused Retry")
		}
		wantRoute(t, e.Handle(epStart, epFrom(epClient, r.initial())), "conn")
		e.Apply(&RouteChanges{Route: "conn", Removed: []ConnID{in.dstID}})
		if len(e.flights) != 0 || len(e.flightOf) != 0 {
			t.Error("flights are left")
		}
	}
}

func TestRetryTokenLifetime(t *testing.T) {
	e := newTestEndpoint(t, EndpointConfig{Server: true, TokenLifetime: 10 * time.Second})
	r := epMakeRetry(t, e, epStart, epClient)
	in := epIncoming(t, e, epStart.Add(10*time.Second), epClient, r.initial())
	if !in.Validated() {
		t.Error("not validated within the lifetime")
	}
	e.Ignore(in)
	wantInvalidToken(t, e, e.Handle(epStart.Add(10*time.Second+time.Millisecond), epFrom(epClient, r.initial())), r.src)
	if e.Counts().Pending != 0 {
		t.Error("what was refused is pending")
	}
}

func TestRetryTokenBinding(t *testing.T) {
	e := newTestServer(t)
	r := epMakeRetry(t, e, epStart, epClient)
	wantInvalidToken(t, e, e.Handle(epStart, epFrom(epOther, r.initial())), r.src)
	port := netip.AddrPortFrom(epClient.Addr(), epClient.Port()+1)
	wantInvalidToken(t, e, e.Handle(epStart, epFrom(port, r.initial())), r.src)
	dst := []byte{8, 7, 6, 5, 4, 3, 2, 1}
	wantInvalidToken(t, e, e.Handle(epStart, epFrom(epClient, epInitial(dst, epSrc, r.token))), dst)
	// The same address by another kind of socket is the same.
	mapped := netip.AddrPortFrom(netip.AddrFrom16(epClient.Addr().As16()), epClient.Port())
	if !epIncoming(t, e, epStart, mapped, r.initial()).Validated() {
		t.Error("an IPv4 address in an IPv6 one is not the same")
	}
}

func TestRetryTokenAddresses(t *testing.T) {
	for _, s := range []string{"[2001:db8::1]:443", "[fe80::1%eth0]:443", "10.0.0.1:65535", "[::ffff:10.0.0.1]:1"} {
		e := newTestServer(t)
		remote := netip.MustParseAddrPort(s)
		r := epMakeRetry(t, e, epStart, remote)
		if !epIncoming(t, e, epStart, remote, r.initial()).Validated() {
			t.Errorf("%s is not validated", s)
		}
	}
}

func TestRetryTokenTampered(t *testing.T) {
	e := newTestEndpoint(t, EndpointConfig{Server: true, MaxPending: 1 << 20, MaxPendingBytes: 1 << 30})
	r := epMakeRetry(t, e, epStart, epClient)
	try := func(token []byte) {
		t.Helper()
		if in := epIncoming(t, e, epStart, epClient, epInitial(r.src, epSrc, token)); in.Validated() || in.retried {
			t.Fatalf("token %x is valid", token)
		} else {
			e.Ignore(in)
		}
	}
	for i := range r.token {
		bad := bytes.Clone(r.token)
		bad[i] ^= 1 << (i % 8)
		try(bad)
		try(r.token[:i])
	}
	try(append(bytes.Clone(r.token), 0))
	try(make([]byte, 1000))
	try(make([]byte, len(r.token)))
}

func TestTokenKeysSharedAndRotated(t *testing.T) {
	k1, k2 := [32]byte{1}, [32]byte{2}
	a := newTestEndpoint(t, EndpointConfig{Server: true, Tokens: NewTokenKeys(k1)})
	b := newTestEndpoint(t, EndpointConfig{Server: true, Tokens: NewTokenKeys(k2, k1), Rand: &epRand{n: 77}})
	stranger := newTestEndpoint(t, EndpointConfig{Server: true, Tokens: NewTokenKeys(k2)})
	validated := func(e *Endpoint, r epRetry) bool {
		t.Helper()
		in := epIncoming(t, e, epStart, epClient, r.initial())
		defer e.Ignore(in)
		return in.Validated()
	}
	r := epMakeRetry(t, a, epStart, epClient)
	if !validated(b, r) {
		t.Error("another process with the key does not open the token")
	}
	if validated(stranger, r) {
		t.Error("a process without the key opens the token")
	}
	if r := epMakeRetry(t, b, epStart, epClient); validated(a, r) || !validated(stranger, r) {
		t.Error("it is not the first key that seals")
	}

	keys := a.cfg.Tokens
	for i := range 3 {
		keys = keys.With([32]byte{100 + byte(i)})
		a.SetTokenKeys(keys)
		if !validated(a, r) {
			t.Errorf("after %d rotations the token does not open", i+1)
		}
	}
	a.SetTokenKeys(keys.With([32]byte{200}))
	if validated(a, r) {
		t.Error("the token opens after four rotations")
	}
	a.SetTokenKeys(nil)
	if n := len(a.cfg.Tokens.keys); n != maxTokenKeys {
		t.Errorf("%d keys are kept", n)
	}
	if NewTokenKeys() != nil || len((*TokenKeys)(nil).With(k1).keys) != 1 {
		t.Error("keys of nothing")
	}
	if n := len(NewTokenKeys(make([][32]byte, 9)...).keys); n != maxTokenKeys {
		t.Errorf("%d keys are kept", n)
	}
}

// stuckConnIDs is a generator that ignores its randomness.
type stuckConnIDs []byte

func (g stuckConnIDs) Len() int                   { return len(g) }
func (g stuckConnIDs) Generate(id, random []byte) { copy(id, g) }

func TestRetryIDIsNeverTheClients(t *testing.T) {
	e := newTestEndpoint(t, EndpointConfig{Server: true, ConnIDs: stuckConnIDs(epDst)})
	epMakeRetry(t, e, epStart, epClient) // checks it
}

func FuzzToken(f *testing.F) {
	keys := NewTokenKeys([32]byte{1}, [32]byte{2})
	rng := rand.NewChaCha8([32]byte{})
	want := retryToken{issued: time.UnixMilli(12345), remote: epClient, origDstID: NewConnID(epDst), retrySrcID: NewConnID(epSrc)}
	good := keys.seal(nil, rng, &want)
	f.Add(good)
	f.Add(good[:minTokenLen])
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4, 1, 9, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var got retryToken
		if keys.open(b, &got) && !bytes.Equal(b, good) {
			t.Fatalf("opens a token that was not sealed: %x", b)
		}
		got.parse(b)
		// Whatever the fields, what was sealed opens.
		in := retryToken{issued: time.UnixMilli(int64(len(b)))}
		in.origDstID = NewConnID(b[:min(len(b), MaxConnIDLen)])
		in.retrySrcID = NewConnID(b[len(b)-min(len(b), MaxConnIDLen):])
		in.remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(len(b))}), uint16(len(b)))
		if len(b) >= 16 {
			in.remote = tokenAddr(netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[:16])), 9))
		}
		sealed := keys.seal(nil, rng, &in)
		if len(sealed) < minTokenLen || len(sealed) > maxTokenLen {
			t.Fatalf("a token of %d bytes", len(sealed))
		}
		var out retryToken
		if !keys.open(sealed, &out) || !out.issued.Equal(in.issued) || out.remote != in.remote ||
			out.origDstID != in.origDstID || out.retrySrcID != in.retrySrcID {
			t.Fatalf("%+v came back as %+v", in, out)
		}
		if len(b) > 0 {
			sealed[int(b[0])%len(sealed)] ^= 0x10
			if keys.open(sealed, &out) {
				t.Fatal("opens a token that was changed")
			}
		}
	})
}
