package frittata

import (
	"net/netip"

	"github.com/frittata-go/frittata/internal/chunk"
	"github.com/frittata-go/frittata/quic"
)

// run is a piece of what was received with one message: datagrams for one
// connection that lie one behind the other, all of one size but the last.
type run struct {
	data    []byte
	segment int
	remote  netip.AddrPort
	local   netip.Addr
	ecn     quic.ECN
	next    int32 // of the same connection in this batch: its index plus 1
}

// recv hands the datagrams to the connection.
func (r *run) recv(c *Conn, w *worker) {
	d := &w.in
	*d = quic.Datagram{Remote: r.remote, Local: r.local, ECN: r.ecn}
	for data := r.data; len(data) > 0; {
		n := min(r.segment, len(data))
		d.Data, data = data[:n], data[n:]
		c.io.Recv(w.now, d)
	}
	d.Data = nil
}

// count is how many datagrams there are.
func (r *run) count() int { return (len(r.data) + r.segment - 1) / r.segment }

// boxed is a run that is kept until the connection has time.
type boxed struct {
	run
	buf *chunk.Buffer
}

// keep copies a run to the inbox. What does not fit is dropped and counted: to
// the connection it is as if the network had lost it. A client whose handshake
// takes long, maybe because a callback of tls.Config does, has less room. It returns true if the inbox is half full.
func (c *Conn) keep(r *run) (much bool) {
	t := c.t
	c.mu.Lock()
	limit := t.cfg.InboxBytes
	if c.boxHalf {
		limit = min(limit, halfOpenInboxBytes)
	}
	// A peer that sends the smallest datagrams should not have us hold many times the limit.
	n := max(len(r.data), chunk.MinSize)
	if c.gone || c.boxShut || c.boxBytes+n > limit {
		c.mu.Unlock()
		t.stats.inboxDropped.Add(uint64(len(r.data)))
		return true
	}
	b := t.buffers.Get(len(r.data))
	b.B = append(b.B, r.data...)
	k := boxed{run: *r, buf: b}
	k.data, k.next = b.B, 0
	c.box = append(c.box, k)
	c.boxBytes += n
	if c.boxHalf {
		t.load.inbox.Add(int64(n))
	}
	c.mail.Store(true)
	much = c.boxBytes > limit/2
	c.mu.Unlock()
	return much
}

// mail is what waits for the strand.
type mail struct {
	box  []boxed
	cmds []func(*quic.Conn)
}

// takeMail takes the mail, as far as the budget of the turn goes: the packets of the inbox, which
// the connection gets at once, and the functions of Do. What is left is for the next turn.
func (c *Conn) takeMail(w *worker) (m mail) {
	if !c.mail.Load() {
		return m
	}
	c.mu.Lock()
	m.box, m.cmds = c.takeBox(), c.takeCommands()
	c.mail.Store(len(c.box)+len(c.cmds) > 0)
	c.mu.Unlock()
	if w.computes && len(m.box) > 0 {
		w.enterSlot()
	}
	for i := range m.box {
		m.box[i].recv(c, w)
		m.box[i].buf.Release()
	}
	return m
}

// runCommands runs the functions.
func (c *Conn) runCommands(m mail) {
	for _, fn := range m.cmds {
		if err := c.command(fn); err != nil {
			c.fail(err)
		}
	}
	if cap(m.box) > 0 || cap(m.cmds) > 0 {
		c.giveBack(m)
	}
}

// takeBox takes packets out of the inbox. It is called with mu held.
func (c *Conn) takeBox() []boxed {
	n, size := 0, 0
	for n < len(c.box) && c.budget.datagrams > 0 {
		c.budget.datagrams -= c.box[n].count()
		size += max(len(c.box[n].data), chunk.MinSize)
		n++
	}
	box := c.box[:n:n]
	if n == len(c.box) {
		box = c.box
		c.forgetBox()
		return box
	}
	c.box = c.box[n:]
	c.boxBytes -= size
	if c.boxHalf {
		c.t.load.inbox.Add(-int64(size))
	}
	return box
}

// takeCommands takes functions of Do. It is called with mu held.
func (c *Conn) takeCommands() []func(*quic.Conn) {
	cmds := c.cmds
	c.cmds = nil
	if n := c.budget.commands; n < len(cmds) {
		cmds, c.cmds = cmds[:n:n], cmds[n:]
	}
	c.budget.commands -= len(cmds)
	return cmds
}

// emptyBox forgets what is in the inbox. It is called with mu held.
func (c *Conn) emptyBox() {
	c.forgetBox()
	c.cmds = nil
}

// forgetBox forgets the packets in the inbox. It is called with mu held.
func (c *Conn) forgetBox() {
	if c.boxHalf {
		c.t.load.inbox.Add(-int64(c.boxBytes))
	}
	c.box, c.boxBytes = nil, 0
}

// shutBox has the inbox take no more, and returns what is in it. It is called with mu held.
func (c *Conn) shutBox() []boxed {
	box := c.box
	c.forgetBox()
	c.boxShut = true
	return box
}

// keptEntries is how many entries the lists of an inbox keep their memory for.
const keptEntries = 16

// giveBack lets the lists be used again, unless they are large.
func (c *Conn) giveBack(m mail) {
	clear(m.box)
	clear(m.cmds)
	c.mu.Lock()
	if c.box == nil && cap(m.box) <= keptEntries {
		c.box = m.box[:0]
	}
	if c.cmds == nil && cap(m.cmds) <= keptEntries {
		c.cmds = m.cmds[:0]
	}
	c.mu.Unlock()
}
