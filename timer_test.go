package frittata

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// timedConn is a connection whose timer is set for at, with a deadline that may be later; zero: none.
func timedConn(at, deadline time.Duration) *Conn {
	t := new(Transport)
	t.queue.init(1, func(*lane) {})
	t.wheel.init()
	c := newConn(t, nil, netip.AddrPort{})
	c.strand.tryHold()
	now := time.Now()
	c.armed = now.Add(at)
	if deadline != 0 {
		c.deadline = now.Add(deadline)
	}
	t.wheel.set(c, now, c.armed)
	c.strand.finish(false)
	return c
}

func TestTimerThatFiresInVainIsSetAnewWithoutATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := timedConn(10*time.Millisecond, 25*time.Millisecond)
		time.Sleep(10*time.Millisecond + wheelTick)
		synctest.Wait()
		if !c.strand.tryHold() {
			t.Fatal("a turn is due before the deadline")
		}
		if !c.armed.Equal(c.deadline) {
			t.Errorf("the timer is set for %v, want %v", c.armed, c.deadline)
		}
		c.strand.finish(false)
		time.Sleep(15 * time.Millisecond)
		synctest.Wait()
		if !c.strand.tryRun() {
			t.Fatal("a turn is under way")
		}
		if due := c.t.queue.poll(nil, time.Now()); len(due) != 1 || due[0] != c {
			t.Error("no turn is due at the deadline")
		}
		if !c.armed.IsZero() {
			t.Error("the timer is still set")
		}
	})
}

func TestTimerWithoutADeadlineIsNotSetAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := timedConn(time.Millisecond, 0)
		time.Sleep(time.Millisecond + wheelTick)
		synctest.Wait()
		if !c.strand.tryHold() || !c.armed.IsZero() || c.wheel.set {
			t.Error("something is to come")
		}
	})
}

func TestTimerThatFiresInATurnLeavesAWakeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := timedConn(time.Millisecond, time.Hour)
		c.strand.tryRun()
		time.Sleep(time.Millisecond + wheelTick)
		synctest.Wait()
		if !c.timerFired.Load() {
			t.Error("the next turn does not learn that the timer has fired")
		}
		if !c.strand.finish(false) {
			t.Error("there is no next turn")
		}
	})
}
