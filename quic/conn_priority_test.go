package quic

import (
	"slices"
	"testing"
	"time"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// order returns the streams of the STREAM frames that came, without repetitions in a row.
func (s *script) order() (ids []StreamID) {
	for i := range s.raw {
		if f := &s.raw[i]; f.Type&^7 == wire.FrameStream {
			if id := StreamID(f.StreamID); len(ids) == 0 || ids[len(ids)-1] != id {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// prioritized has streams of 4 packets each, all of which wait for a window of the peer's.
func prioritized(t *testing.T, set func(s *script, ids []StreamID)) *script {
	s := newClientScript(t, scriptOptions{
		config: func(c *Config) { c.DisablePacing, c.InitialWindow = true, 100 },
		params: func(p *wire.TransportParameters) { p.InitialMaxData = 0 },
	})
	var ids []StreamID
	for range 4 {
		id, err := s.conn.OpenStream(Uni)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		if _, err := s.conn.StreamWrite(id, make([]byte, 4400), false); err != nil {
			t.Fatal(err)
		}
	}
	set(s, ids)
	s.collect()
	s.forget()
	return s
}

func TestTransmitOrder(t *testing.T) {
	for name, test := range map[string]struct {
		set  func(s *script, ids []StreamID)
		want []StreamID
	}{
		"as opened": {func(s *script, ids []StreamID) {}, []StreamID{3, 7, 11, 15}},
		"urgency": {func(s *script, ids []StreamID) {
			for i, u := range []uint8{6, 2, 7, 0} {
				s.conn.SetStreamPriority(ids[i], u, false)
			}
		}, []StreamID{15, 7, 3, 11}},
		"incremental": {func(s *script, ids []StreamID) {
			for _, id := range ids {
				s.conn.SetStreamPriority(id, 3, true)
			}
		}, []StreamID{3, 7, 11, 15, 3, 7, 11, 15, 3, 7, 11, 15, 3, 7, 11, 15}},
		"incremental beside one that is not": {func(s *script, ids []StreamID) {
			s.conn.SetStreamPriority(ids[1], 3, true)
			s.conn.SetStreamPriority(ids[2], 1, false)
			s.conn.SetStreamPriority(ids[3], 7, false)
		}, []StreamID{11, 3, 7, 3, 7, 3, 7, 3, 7, 15}},
	} {
		t.Run(name, func(t *testing.T) {
			s := prioritized(t, test.set)
			s.write(wire.AppendMaxData(nil, 1<<20))
			// A packet holds somewhat more or less than a quarter of a stream.
			got := s.order()
			if name == "incremental" || name == "incremental beside one that is not" {
				if len(got) < len(test.want)-2 || !slices.Equal(got[:6], test.want[:6]) || got[len(got)-1] != test.want[len(test.want)-1] {
					t.Errorf("order %v, want about %v", got, test.want)
				}
				return
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("order %v, want %v", got, test.want)
			}
		})
	}
}

// TestPriorityOfQueuedStream changes it half way.
func TestPriorityOfQueuedStream(t *testing.T) {
	s := prioritized(t, func(s *script, ids []StreamID) {})
	s.write(wire.AppendMaxData(nil, 2000))
	if got := s.order(); !slices.Equal(got, []StreamID{3}) {
		t.Fatalf("order %v", got)
	}
	if err := s.conn.SetStreamPriority(15, 0, false); err != nil {
		t.Fatal(err)
	}
	s.forget()
	s.write(wire.AppendMaxData(nil, 1<<20))
	if got := s.order(); !slices.Equal(got, []StreamID{15, 3, 7, 11}) {
		t.Fatalf("order %v", got)
	}
}

// TestLostDataGoesFirst: what was lost is sent before new data, by urgency too.
func TestLostDataGoesFirst(t *testing.T) {
	s := prioritized(t, func(s *script, ids []StreamID) {})
	s.write(wire.AppendMaxData(nil, 2*4400))
	s.conn.SetStreamPriority(7, 0, false)
	for range 4 {
		s.conn.Ping()
		s.collect()
	}
	s.forget()
	last := s.next[wire.SpaceApp] - 1
	s.write(wire.AppendMaxData(nil, 1<<20), s.ackFrame(last, last))
	s.tick(100 * time.Millisecond)
	if got := s.order(); !slices.Equal(got, []StreamID{7, 3, 11, 15}) {
		t.Errorf("order %v", got)
	}
}

// TestReadOrder: NextReadable tells the urgent streams first.
func TestReadOrder(t *testing.T) {
	s := newClientScript(t, scriptOptions{})
	for _, id := range []StreamID{2, 6, 10} {
		s.write(streamFrame(id, 0, "x", false))
	}
	s.conn.SetStreamPriority(10, 1, false)
	var got []StreamID
	for id, ok := s.conn.NextReadable(); ok; id, ok = s.conn.NextReadable() {
		got = append(got, id)
	}
	if !slices.Equal(got, []StreamID{10, 2, 6}) {
		t.Errorf("order %v", got)
	}
	// A stream that was told comes again by new data, or when it is armed again.
	s.conn.RearmRead(6)
	s.conn.RearmRead(14)
	s.write(streamFrame(2, 1, "y", false))
	got = nil
	for id, ok := s.conn.NextReadable(); ok; id, ok = s.conn.NextReadable() {
		got = append(got, id)
	}
	if !slices.Equal(got, []StreamID{2, 6}) {
		t.Errorf("order %v", got)
	}
}
