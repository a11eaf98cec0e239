package main

import (
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{3, 1}, 2}, {[]float64{9, 1, 2}, 2}} {
		if got := median(test.values); got != test.want {
			t.Errorf("median of %v: %v, want %v", test.values, got, test.want)
		}
	}
}

func TestQuantile(t *testing.T) {
	var s []time.Duration
	for i := range 100 {
		s = append(s, time.Duration(i)*time.Microsecond)
	}
	if got := quantile(s, 0.5); got != 50 {
		t.Errorf("p50: %v", got)
	}
	if got := quantile(s, 0.99); got != 99 {
		t.Errorf("p99: %v", got)
	}
	if got := quantile(s[:1], 1); got != 0 {
		t.Errorf("of one: %v", got)
	}
}

// TestRatios checks that ratios are taken within rounds, and that a failed run
// on either side takes its round out.
func TestRatios(t *testing.T) {
	run := func(bytes int64) *measured { return &measured{result: result{Bytes: bytes, Seconds: 1}} }
	r := &row{name: "r", kind: bulkKind, gates: []gate{{column: "x quic-go", min: 2}}}
	ref := &line{row: r, peer: peer{reference, reference}, runs: []*measured{run(100), nil, run(50), run(100)}}
	l := &line{row: r, peer: peer{"frittata", "frittata"}, runs: []*measured{run(300), run(300), run(100), nil}, failures: []string{"x"}}
	v := l.values(bulkKind.columns[1], ref)
	if len(v) != 2 || v[0] != 3 || v[1] != 2 {
		t.Errorf("ratios: %v", v)
	}
	g := &group{row: r, lines: []*line{l, ref}}
	if len(g.check()) == 0 {
		t.Error("a gate is passed though a run failed")
	}
	l.failures = nil
	if m := g.check(); len(m) != 0 {
		t.Error(m)
	}
	g.row.gates[0].min = 2.6
	if len(g.check()) == 0 {
		t.Error("a gate is passed that was missed")
	}
}

func TestSelectRows(t *testing.T) {
	rows := allRows(quickSizes)
	got, err := selectRows(rows, "W2,turns,W1/jumbo")
	if err != nil || len(got) != 5 {
		t.Errorf("%d rows, %v", len(got), err)
	}
	if _, err := selectRows(rows, "W"); err == nil {
		t.Error("part of a name selects")
	}
	for _, r := range rows {
		for _, gate := range r.gates {
			found := false
			for _, c := range r.kind.columns {
				found = found || c.title == gate.column
			}
			if !found {
				t.Errorf("%s: no column %q for the gate", r.name, gate.column)
			}
		}
	}
}

func TestParse(t *testing.T) {
	for s, want := range map[string]int64{"12": 12, "3K": 3 << 10, "512M": 512 << 20, "2G": 2 << 30} {
		if got, err := parseSize(s); err != nil || got != want {
			t.Errorf("%s: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "K", "-1", "1T", "99999G", "0"} {
		if _, err := parseSize(s); err == nil {
			t.Errorf("%q is a size", s)
		}
	}
	if p, err := parsePeer("frittata+quic-go"); err != nil || p != (peer{"frittata", "quic-go"}) {
		t.Errorf("%v, %v", p, err)
	}
	for _, s := range []string{"", "+", "frittata+", "nobody"} {
		if _, err := parsePeer(s); err == nil {
			t.Errorf("%q is a peer", s)
		}
	}
}

// TestLink checks the queue of the lossy link.
func TestLink(t *testing.T) {
	s := &spec{Rate: 8, Queue: 100} // a byte a second
	l := newLink(s, 1, nil)
	for range 10 {
		l.send(make([]byte, 30))
	}
	if got := len(l.queue); got != 3 {
		t.Errorf("%d packets are queued, want 3", got)
	}
	s.Loss = 1
	l = newLink(s, 1, nil)
	l.send(make([]byte, 30))
	if len(l.queue) != 0 {
		t.Error("a packet was not lost")
	}
}
