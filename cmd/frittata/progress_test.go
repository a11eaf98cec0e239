package main

import (
	"strings"
	"testing"
	"time"
)

func TestProgress(t *testing.T) {
	var b strings.Builder
	now := time.Unix(1000, 0)
	p := &progress{w: &b, width: 80, count: size, now: func() time.Time { return now }}
	p.start(900<<10, 100<<10)
	p.add(1 << 10)
	if b.Len() != 0 {
		t.Errorf("a bar for what may be there at once: %q", &b)
	}
	now = now.Add(time.Second)
	p.add(99 << 10)
	if s := b.String(); !strings.HasPrefix(s, "\r[=====  ") || !strings.Contains(s, " 20%  200 KiB of 1000 KiB  100 KiB/s  0:08 left") || len(s) != 80 {
		t.Errorf("after a second: %q", s)
	}
	b.Reset()
	p.add(1)
	if b.Len() != 0 {
		t.Errorf("drawn again at once: %q", &b)
	}
	now = now.Add(7 * time.Second)
	p.add(800<<10 - 1)
	p.finish()
	if s := b.String(); !strings.Contains(s, "100%  1000 KiB of 1000 KiB") || strings.Contains(s, "left") || !strings.HasSuffix(s, "\n") {
		t.Errorf("at the end: %q", s)
	}

	// Without a length, and on a narrow terminal.
	b.Reset()
	p = &progress{w: &b, width: 20, count: size, now: func() time.Time { return now }}
	p.start(-1, 0)
	now = now.Add(2 * time.Second)
	p.add(4 << 20)
	if s := b.String(); s != "\r4.0 MiB  2.0 MiB/s " {
		t.Errorf("without a length: %q", s)
	}
	p.width = 0
	p.total = 8 << 20
	if s := p.line(now); len(s) != 1 {
		t.Errorf("on no terminal at all: %q", s)
	}

	var none *progress // nobody looks
	none.add(1)
	none.finish()
}

func TestSizeAndClock(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 10_137: "9.9 KiB", 10_240: "10 KiB", 1<<20 - 1: "1.0 MiB", 1023 << 10: "1023 KiB",
		1 << 30: "1.0 GiB", 5 << 40: "5.0 TiB", 1<<63 - 1: "8.0 EiB",
	} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for s, want := range map[float64]string{0: "0:00", 59.4: "0:59", 59.6: "1:00", 3599: "59:59", 3600: "1:00:00", 1e12: "days"} {
		if got := clock(s); got != want {
			t.Errorf("%v s: %s, want %s", s, got, want)
		}
	}
}
