package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// TestPlot checks that there is a panel for each row that grows and in it a line
// for each peer, that failed runs are left out, and that it is XML.
func TestPlot(t *testing.T) {
	peers := []peer{{"frittata", "frittata"}, {"quic-go", "quic-go"}}
	var groups []*group
	var want int // lines: one in the key of a panel, and one in it
	for _, r := range allRows(quickSizes) {
		g := &group{row: r}
		for _, p := range peers {
			if !r.can(p) {
				continue
			}
			g.lines = append(g.lines, r.lines(p)...)
			if r.grows != nil {
				want += 2
			}
		}
		for i, l := range g.lines {
			m := &measured{result: result{Ops: 1, Bytes: 1 << 30, Used: usage{CPU: float64(i + 1)}}}
			l.runs = []*measured{nil, m, m}
		}
		groups = append(groups, g)
		if r.grows != nil && plotted[r.kind.columns[0].title] == "" {
			t.Errorf("%s: no text for its axis", r.name)
		}
	}
	var b strings.Builder
	if err := writePlot(&b, groups, "a < b"); err != nil {
		t.Fatal(err)
	}
	lines := 0
	for d := xml.NewDecoder(strings.NewReader(b.String())); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "path" {
			for _, a := range e.Attr {
				if a.Name.Local == "class" && strings.HasPrefix(a.Value, "line ") {
					lines++
				}
				if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Errorf("%s=%q", a.Name.Local, a.Value)
				}
			}
		}
	}
	if lines != want {
		t.Errorf("%d lines, want %d", lines, want)
	}

	// Nothing has succeeded, and nothing grows.
	for _, g := range groups {
		for _, l := range g.lines {
			l.runs = []*measured{nil}
		}
	}
	if err := writePlot(io.Discard, groups, ""); err != nil {
		t.Error(err)
	}
	if err := writePlot(io.Discard, groups[:1], ""); err == nil {
		t.Error("a plot of nothing")
	}
}
