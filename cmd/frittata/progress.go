package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// progress is a bar on a terminal. A nil *progress shows nothing.
type progress struct {
	w           io.Writer
	width       int
	count       func(n int64) string // what is counted, as text
	now         func() time.Time
	total       int64 // -1: not known
	have, first int64 // first was there at the beginning
	begin, last time.Time
	drawn       bool
}

const (
	// progressDelay keeps the bar from flashing up for what is there at once.
	progressDelay = 500 * time.Millisecond
	progressEvery = 100 * time.Millisecond
)

// defaultWidth is the width of a terminal that does not tell its own.
const defaultWidth = 80

// newProgress returns a bar if somebody can see it: standard error is a terminal, and the
// body does not go to one.
func (c *client) newProgress(total, have int64, name string) *progress {
	if !isTerminal(c.e.stderr) || c.o.requests == 0 && (c.o.out == "" || c.o.out == "-") && isTerminal(c.e.stdout) {
		return nil
	}
	p := &progress{w: c.e.stderr, width: terminalWidth(c.e.stderr), now: time.Now, count: size}
	p.start(total, have)
	return p
}

func (p *progress) start(total, have int64) {
	if total >= 0 {
		total += have
	}
	p.total, p.have, p.first = total, have, have
	p.begin = p.now()
	p.last = p.begin.Add(progressDelay - progressEvery)
}

func (p *progress) add(n int64) {
	if p == nil {
		return
	}
	p.have += n
	if now := p.now(); now.Sub(p.last) >= progressEvery {
		p.last = now
		p.draw(now)
	}
}

// finish leaves the last state of the bar on a line of its own.
func (p *progress) finish() {
	if p == nil || !p.drawn {
		return
	}
	p.draw(p.now())
	fmt.Fprintln(p.w)
}

func (p *progress) draw(now time.Time) {
	p.drawn = true
	fmt.Fprint(p.w, "\r"+p.line(now))
}

// textWidth is as wide as what stands beside the bar usually is, so that the bar does not jump.
const textWidth = 50

// line is the bar as text, as wide as the terminal less one column.
func (p *progress) line(now time.Time) string {
	rate := 0.0
	if d := now.Sub(p.begin).Seconds(); d > 0 {
		rate = float64(p.have-p.first) / d
	}
	s := fmt.Sprintf("%s  %s/s", p.count(p.have), p.count(int64(rate)))
	if p.total > 0 {
		done := min(float64(p.have)/float64(p.total), 1)
		bar := ""
		if room := p.width - 1 - 2 - textWidth; room >= 10 {
			full := int(done * float64(room))
			bar = "[" + strings.Repeat("=", full) + strings.Repeat(" ", room-full) + "] "
		}
		s = fmt.Sprintf("%s%3d%%  %s of %s  %s/s", bar, int(done*100), p.count(p.have), p.count(p.total), p.count(int64(rate)))
		if left := p.total - p.have; left > 0 && rate > 0 {
			s += "  " + clock(float64(left)/rate) + " left"
		}
	}
	if pad := p.width - 1 - len(s); pad > 0 {
		s += strings.Repeat(" ", pad)
	}
	return s[:min(len(s), max(p.width-1, 1))]
}

// clock shows seconds as m:ss or h:mm:ss.
func clock(seconds float64) string {
	if seconds > 99*3600 {
		return "days"
	}
	s := int(seconds + 0.5)
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// size shows a number of bytes with three digits or so.
func size(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n)/(1<<10), 0
	for f >= 1023.5 && unit < len("KMGTPE")-1 {
		f /= 1 << 10
		unit++
	}
	format := "%.0f %ciB"
	if f < 9.95 {
		format = "%.1f %ciB"
	}
	return fmt.Sprintf(format, f, "KMGTPE"[unit])
}
