package wire

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// paramDefaults is what an empty list of parameters stands for.
var paramDefaults = TransportParameters{MaxUDPPayloadSize: 65527, AckDelayExponent: 3, MaxAckDelay: 25, ActiveConnIDLimit: 2}

// serverParams has a value in each field that is not the default.
func serverParams() TransportParameters {
	return TransportParameters{
		OriginalDstID:                  NewConnID([]byte{1, 2, 3, 4, 5, 6, 7, 8}),
		HasOriginalDstID:               true,
		MaxIdleTimeout:                 30_000,
		StatelessResetToken:            [16]byte{1, 2, 3},
		HasStatelessResetToken:         true,
		MaxUDPPayloadSize:              1200,
		InitialMaxData:                 MaxVarint,
		InitialMaxStreamDataBidiLocal:  1 << 20,
		InitialMaxStreamDataBidiRemote: 1 << 21,
		InitialMaxStreamDataUni:        1 << 22,
		InitialMaxStreamsBidi:          1 << 60,
		InitialMaxStreamsUni:           100,
		AckDelayExponent:               20,
		MaxAckDelay:                    1<<14 - 1,
		DisableActiveMigration:         true,
		PreferredAddress: PreferredAddress{
			IPv4:       netip.MustParseAddrPort("192.0.2.1:443"),
			IPv6:       netip.MustParseAddrPort("[2001:db8::1]:444"),
			ConnID:     NewConnID([]byte{9}),
			ResetToken: [16]byte{7},
		},
		HasPreferredAddress:  true,
		ActiveConnIDLimit:    8,
		InitialSrcID:         NewConnID([]byte{5, 5}),
		HasInitialSrcID:      true,
		RetrySrcID:           NewConnID(make([]byte, 20)),
		HasRetrySrcID:        true,
		MaxDatagramFrameSize: 65535,
	}
}

func TestTransportParameters(t *testing.T) {
	p := serverParams()
	var got TransportParameters
	if err := ParseTransportParameters(p.Append(nil), false, &got); err != nil {
		t.Fatal(err)
	}
	if got != p {
		t.Errorf("%+v\nwant %+v", got, p)
	}
	if !bytes.Equal(p.Append([]byte{1}), append([]byte{1}, p.Append(nil)...)) {
		t.Error("Append does not append")
	}

	// All that was there before goes.
	if err := ParseTransportParameters(nil, true, &got); err != nil || got != paramDefaults {
		t.Errorf("%+v, %v", got, err)
	}
	if b := paramDefaults.Append(nil); len(b) != 0 {
		t.Errorf("the defaults are written as %x", b)
	}
	// 0 is a value of the two that the others would reject.
	var zero TransportParameters
	if err := ParseTransportParameters(zero.Append(nil), true, &got); err != nil {
		t.Fatal(err)
	}
	want := paramDefaults
	want.AckDelayExponent, want.MaxAckDelay = 0, 0
	if got != want {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	p.PreferredAddress.ConnID = ConnID{}
	wantPanic(t, "preferred address without ID", func() { p.Append(nil) })
}

func TestPreferredAddressFamilies(t *testing.T) {
	p := serverParams()
	for _, v4 := range []netip.AddrPort{{}, netip.MustParseAddrPort("192.0.2.1:443")} {
		for _, v6 := range []netip.AddrPort{{}, netip.MustParseAddrPort("[2001:db8::1]:444")} {
			p.PreferredAddress.IPv4, p.PreferredAddress.IPv6 = v4, v6
			var got TransportParameters
			if err := ParseTransportParameters(p.Append(nil), false, &got); err != nil || got != p {
				t.Errorf("%v and %v: %+v, %v", v4, v6, got.PreferredAddress, err)
			}
		}
	}
}

// TestParamsVector parses the parameters in the ClientHello of RFC 9001, Appendix A.2.
func TestParamsVector(t *testing.T) {
	b := unhex("0408ffffffffffffffff 05048000ffff 07048000ffff 080110 010480007530 090110 0f088394c8f03e515708 06048000ffff")
	want := paramDefaults
	want.InitialMaxData = MaxVarint
	want.InitialMaxStreamDataBidiLocal = 0xffff
	want.InitialMaxStreamDataBidiRemote = 0xffff
	want.InitialMaxStreamDataUni = 0xffff
	want.InitialMaxStreamsBidi = 16
	want.InitialMaxStreamsUni = 16
	want.MaxIdleTimeout = 30_000
	want.InitialSrcID = NewConnID(unhex("8394c8f03e515708"))
	want.HasInitialSrcID = true
	var got TransportParameters
	if err := ParseTransportParameters(b, true, &got); err != nil || got != want {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
}

func TestParamErrors(t *testing.T) {
	addr := func(idLen string, n int) string { return strings.Repeat("00", 24) + idLen + strings.Repeat("00", n) }
	for _, tc := range []struct {
		name       string
		hex        string
		fromClient bool
	}{
		{"ID cut off", "40", false},
		{"no length", "01", false},
		{"length cut off", "01 40", false},
		{"value cut off", "01 02 40", false},
		{"value of 2^62-1 bytes", "01 ffffffffffffffff 00", false},
		{"unknown, cut off", "4abc 05 00", false},
		{"twice", "01 01 05 01 01 05", false},
		{"twice, with other encodings", "01 01 05 4001 01 06", false},
		{"unknown, twice", "3e 00 3e 00", false},
		{"unknown and large, twice", "4abc 00 01 01 05 4abc 01 00", false},
		{"integer too short", "01 01 40", false},
		{"integer too long", "01 02 05 00", false},
		{"empty integer", "01 00", false},
		{"original_destination_connection_id of 21 bytes", "00 15" + strings.Repeat("00", 21), false},
		{"initial_source_connection_id of 21 bytes", "0f 15" + strings.Repeat("00", 21), false},
		{"retry_source_connection_id of 255 bytes", "10 40ff" + strings.Repeat("00", 255), false},
		{"stateless_reset_token of 15 bytes", "02 0f" + strings.Repeat("00", 15), false},
		{"stateless_reset_token of 17 bytes", "02 11" + strings.Repeat("00", 17), false},
		{"max_udp_payload_size of 1199", "03 02 44af", false},
		{"initial_max_streams_bidi above 2^60", "08 08 d000000000000001", false},
		{"initial_max_streams_uni above 2^60", "09 08 ffffffffffffffff", false},
		{"ack_delay_exponent of 21", "0a 01 15", false},
		{"max_ack_delay of 2^14", "0b 04 80004000", false},
		{"disable_active_migration with a value", "0c 01 00", false},
		{"active_connection_id_limit of 1", "0e 01 01", false},
		{"active_connection_id_limit of 0", "0e 01 00", false},
		{"empty preferred_address", "0d 00", false},
		{"preferred_address without ID", "0d 29" + addr("00", 16), false},
		{"preferred_address with 21 bytes of ID", "0d 3e" + addr("15", 37), false},
		{"preferred_address cut off", "0d 29" + addr("01", 16), false},
		{"preferred_address too long", "0d 2b" + addr("01", 18), false},
		{"preferred_address of an empty initial ID", "0d 2a" + addr("01", 17) + "0f 00", false},
		{"preferred_address of an empty initial ID before it", "0f 00 0d 2a" + addr("01", 17), false},
		{"original_destination_connection_id of a client", "00 00", true},
		{"stateless_reset_token of a client", "02 10" + strings.Repeat("00", 16), true},
		{"preferred_address of a client", "0d 2a" + addr("01", 17), true},
		{"retry_source_connection_id of a client", "10 00", true},
	} {
		err := ParseTransportParameters(unhex(tc.hex), tc.fromClient, new(TransportParameters))
		var e *Error
		if !errors.As(err, &e) || e.Code != ErrTransportParameterError || e.Reason == "" {
			t.Errorf("%s: %v", tc.name, err)
		}
		if tc.fromClient {
			if err := ParseTransportParameters(unhex(tc.hex), false, new(TransportParameters)); err != nil {
				t.Errorf("%s, but of a server: %v", tc.name, err)
			}
		}
	}
}

// TestUnknownParams has far more unknown parameters than are remembered: they are
// ignored, and the work is bounded.
func TestUnknownParams(t *testing.T) {
	var b []byte
	for i := range uint64(10_000) {
		b = appendParam(b, 31*(i+10)+27, []byte{1, 2, 3})
	}
	b = appendIntParam(b, paramMaxIdleTimeout, 5, 0)
	var p TransportParameters
	if n := testing.AllocsPerRun(2, func() {
		if err := ParseTransportParameters(b, true, &p); err != nil || p.MaxIdleTimeout != 5 {
			t.Fatalf("%+v, %v", p, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	// A duplicate of one that is remembered is found however late it comes, and one of a known parameter always.
	if ParseTransportParameters(appendParam(bytes.Clone(b), 31*10+27, nil), true, &p) == nil {
		t.Error("a duplicate of the first is not found")
	}
	if ParseTransportParameters(appendIntParam(bytes.Clone(b), paramMaxIdleTimeout, 5, 0), true, &p) == nil {
		t.Error("a duplicate of a known parameter is not found")
	}
}

func FuzzTransportParameters(f *testing.F) {
	p := serverParams()
	f.Add(p.Append(nil), false)
	f.Add(p.Append(nil), true)
	f.Add(unhex("0408ffffffffffffffff 05048000ffff 07048000ffff 080110 010480007530 090110 0f088394c8f03e515708 06048000ffff"), true)
	f.Add(unhex("01 02 4005 4abc 00 3e 01 00 0c 00"), true)
	f.Fuzz(func(t *testing.T, b []byte, fromClient bool) {
		p := serverParams()
		if err := ParseTransportParameters(b, fromClient, &p); err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Code != ErrTransportParameterError {
				t.Fatal(err)
			}
			return
		}
		if p.MaxUDPPayloadSize < 1200 || p.AckDelayExponent > 20 || p.MaxAckDelay >= 1<<14 || p.ActiveConnIDLimit < 2 ||
			p.InitialMaxStreamsBidi > 1<<60 || p.InitialMaxStreamsUni > 1<<60 {
			t.Fatalf("%+v", p)
		}
		if fromClient && (p.HasOriginalDstID || p.HasStatelessResetToken || p.HasPreferredAddress || p.HasRetrySrcID) {
			t.Fatalf("a client's %+v", p)
		}
		var again TransportParameters
		if err := ParseTransportParameters(p.Append(nil), fromClient, &again); err != nil || again != p {
			t.Fatalf("%+v, then %+v, %v", p, again, err)
		}
	})
}

func BenchmarkParseTransportParameters(b *testing.B) {
	p := serverParams()
	buf := p.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := ParseTransportParameters(buf, false, &p); err != nil {
			b.Fatal(err)
		}
	}
}
