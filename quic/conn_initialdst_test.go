package quic

import (
	"bytes"
	"testing"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// namedIDs makes IDs that begin with a word.
type namedIDs struct {
	word string
	n    int
}

func (g namedIDs) Len() int { return g.n }

func (g namedIDs) Generate(id, random []byte) {
	copy(id, random)
	copy(id, g.word)
}

// TestInitialDstIDs has a client choose where its first packets lead.
func TestInitialDstIDs(t *testing.T) {
	for _, n := range []int{8, 13, 20} {
		cfg := fakeConfig(1)
		cfg.InitialDstIDs = namedIDs{"east", n}
		p := newPair(t, cfg, fakeConfig(2))
		seen := 0
		p.drop = func(toServer bool, _ int, b []byte) bool {
			var h wire.Header
			if err := wire.ParseHeader(b, 8, &h); toServer && err == nil && h.Type == wire.PacketInitial && seen < 2 {
				seen++
				if len(h.DstID) != n || !bytes.HasPrefix(h.DstID, []byte("east")) {
					t.Errorf("the first packets go to %x", h.DstID)
				}
			}
			return false
		}
		p.connect()
		if seen == 0 || p.client.OriginalDstID() != p.server.OriginalDstID() || p.client.ids.origDst.Len() != n {
			t.Errorf("%d Initials; %v and %v", seen, p.client.OriginalDstID(), p.server.OriginalDstID())
		}
	}
	for _, n := range []int{-1, 0, 7, 21} {
		cfg := fakeConfig(1)
		cfg.InitialDstIDs = namedIDs{"", n}
		if err := cfg.Validate(); err == nil {
			t.Errorf("%d bytes: no error", n)
		}
	}
}
