package quic

import "fmt"

// CheckInvariants returns what is wrong inside the connection, nil if nothing
// is. It is for simulators and tests, which call it after each step: it looks
// at all streams and all packets in flight, so it costs more than the step.
func (io *IO) CheckInvariants() error { return io.c.checkInvariants() }

func (c *Conn) checkInvariants() error {
	if err := c.loss.CheckInvariants(); err != nil {
		return err
	}
	s := &c.strs
	if c.life.phase != phaseOpen {
		if len(s.live) != 0 && c.life.phase != phaseDraining {
			return fmt.Errorf("%d streams after the end", len(s.live))
		}
		return nil
	}
	found := false
	for _, p := range c.paths.list {
		found = found || p == c.paths.active
		if !p.validated && p.sent > 3*p.received {
			return fmt.Errorf("%d bytes sent to an address that is not validated and sent %d", p.sent, p.received)
		}
	}
	if !found {
		return fmt.Errorf("the active path is not in the list")
	}
	if len(c.ids.remote) == 0 || len(c.ids.remote) > c.cfg.ActiveConnIDLimit || len(c.ids.retiring) > maxRetiring || len(c.ids.lingering) > maxLingering {
		return fmt.Errorf("%d remote IDs, %d to retire, %d lingering", len(c.ids.remote), len(c.ids.retiring), len(c.ids.lingering))
	}
	if *noSend != (sendHalf{done: true}) || *noRecv != (recvHalf{done: true}) {
		return fmt.Errorf("a half that no stream has was changed")
	}
	var lent [2]uint64
	unsent := 0
	for id, st := range s.live {
		if st.id != id || st.removed || st.finished() && !st.held {
			return fmt.Errorf("stream %d should be gone", id)
		}
		if local := st.id.ServerInitiated() != c.client; st.id.Dir() == Uni && (local && st.recv != noRecv || !local && st.send != noSend) {
			return fmt.Errorf("stream %d has a half of the wrong direction", id)
		}
		if st.send.sendable() && !st.send.node.Queued() {
			return fmt.Errorf("stream %d has data to send and is not queued", id)
		}
		if _, n := st.send.buf.Lost(); n > 0 && !st.send.lostNode.Queued() {
			return fmt.Errorf("stream %d has lost data and is not queued", id)
		}
		if st.hasControl() && !st.ctlNode.Queued() {
			if n, ok := lostOf(st); !ok || n == 0 {
				return fmt.Errorf("stream %d has control frames to send and is not queued", id)
			}
		}
		unsent += st.send.buf.Unsent()
		if st.credited {
			lent[id.Dir()]++
		}
		if st.recv.highest > st.recv.window.Limit() && !st.recv.done {
			return fmt.Errorf("stream %d received beyond its limit", id)
		}
	}
	if unsent != s.unsent {
		return fmt.Errorf("%d bytes are not sent, %d are counted", unsent, s.unsent)
	}
	for d := range lent {
		if s.peer[d].lent != lent[d] {
			return fmt.Errorf("%d streams gave credit early, %d are counted", lent[d], s.peer[d].lent)
		}
		if uint64(len(s.live)) > 2*(s.peer[0].most+s.peer[1].most)+s.own[0].next+s.own[1].next {
			return fmt.Errorf("%d streams", len(s.live))
		}
	}
	if s.received > s.recvWindow.Limit() {
		return fmt.Errorf("received %d bytes, the limit is %d", s.received, s.recvWindow.Limit())
	}
	return nil
}

func lostOf(st *streamState) (int, bool) {
	_, n := st.send.buf.Lost()
	return n, st.send.lostNode.Queued()
}
