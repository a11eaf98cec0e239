package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestContent(t *testing.T) {
	o := originOf(1, 4, true)
	var all []byte
	for off := int64(0); off < 3*tableLen; {
		p := o.at(off, 1+off%maxPiece)
		all = append(all, p...)
		off += int64(len(p))
	}
	if err := o.check(0, all); err != nil {
		t.Fatal(err)
	}
	if err := o.check(1000, all[1000:]); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]error{
		"shifted":            o.check(1, all),
		"of the other end":   originOf(1, 4, false).check(0, all),
		"of another stream":  originOf(1, 8, true).check(0, all),
		"of another key":     originOf(2, 4, true).check(0, all),
		"with a wrong byte":  o.check(0, append(bytes.Clone(all[:99_999]), all[99_999]^1)),
		"a power of two off": o.check(1<<16, all),
	} {
		if bad == nil {
			t.Errorf("bytes %s pass", name)
		}
	}
}

func TestHeader(t *testing.T) {
	h := header{op: opServerStop, key: 1<<63 | 5, up: 7, down: 1 << 40, cut: 3}
	got, err := parseHeader(h.append(nil))
	if err != nil || got != h {
		t.Errorf("%+v, %v", got, err)
	}
	h.op = numOps
	if _, err := parseHeader(h.append(nil)); err == nil {
		t.Error("an unknown op passes")
	}
	h.op, h.up = opPlain, -1
	if _, err := parseHeader(h.append(nil)); err == nil {
		t.Error("a negative size passes")
	}
}

func TestDatagram(t *testing.T) {
	p := makeDatagram(nil, 5, 6, 700, true)
	key, number, err := checkDatagram(p, true)
	if err != nil || key != 5 || number != 6 || len(p) != datagramHead+700 {
		t.Errorf("%d, %d, %v", key, number, err)
	}
	for i := range p {
		p[i] ^= 0x40
		if k, n, err := checkDatagram(p, true); err == nil && k == key && n == number {
			t.Fatalf("a datagram with a wrong byte at %d passes", i)
		}
		p[i] ^= 0x40
	}
}

func steady(n int, grow func(i int) sample) *census {
	c := &census{}
	for i := range n {
		s := grow(i)
		s.open, s.at = 100, time.Duration(i)*time.Second
		c.steady = append(c.steady, s)
	}
	return c
}

func TestGrowth(t *testing.T) {
	flat := sample{heap: 50e6, goroutines: 300, files: 60}
	none := sample{heap: 1e6, goroutines: 10, files: 8}
	for _, test := range []struct {
		name  string
		c     *census
		after sample
		want  []string
	}{
		{"flat", steady(30, func(int) sample { return flat }), none, nil},
		{"noisy", steady(30, func(i int) sample {
			s := flat
			s.heap += uint64(i%5) * 5e6
			s.goroutines += i % 7 * 10
			return s
		}), none, nil},
		{"heap", steady(30, func(i int) sample {
			s := flat
			s.heap += uint64(i) * 2e6
			return s
		}), none, []string{"heap (MB) under load"}},
		{"goroutines and files", steady(30, func(i int) sample {
			s := flat
			s.goroutines += i * 20
			s.files += i * 4
			return s
		}), none, []string{"goroutines under load", "files under load"}},
		{"too short to tell", steady(3, func(i int) sample { return sample{heap: uint64(i) * 1e9} }), none, nil},
		{"left", &census{}, sample{heap: 20e6, goroutines: 40, files: 20, server: 2}, []string{"heap:", "goroutines:", "files:", "2 connections"}},
	} {
		got := test.c.growth(none, test.after)
		if len(got) != len(test.want) {
			t.Errorf("%s: %q", test.name, got)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i], test.want[i]) {
				t.Errorf("%s: %q", test.name, got[i])
			}
		}
	}
}

func TestReport(t *testing.T) {
	check := func(name string, want bool, text string, edit func(*tally), growth ...string) {
		t.Helper()
		y := newTally()
		y.bytes.Store(1e9)
		y.begun.Store(5000)
		edit(y)
		var out bytes.Buffer
		if got := y.report(&out, growth); got != want || !strings.Contains(out.String(), text) {
			t.Errorf("%s: %v, %s", name, got, out.String())
		}
	}
	lose := func(n int) func(*tally) {
		return func(y *tally) {
			for range n {
				y.count(kindLost)
			}
		}
	}
	check("well", true, "ok:", func(*tally) {})
	check("few lost", true, "ok:", lose(6))
	check("many lost", false, "7 connections of 5000 were lost", lose(7))
	check("failed", false, "2 times: stream 4 broke", func(y *tally) {
		y.fail("stream %d broke", 4)
		y.fail("stream %d broke", 4)
	})
	check("grown", false, "heap grew", func(*tally) {}, "heap grew")
	check("idle", false, "nothing", func(y *tally) { y.bytes.Store(0) })
}
