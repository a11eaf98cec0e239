package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// line is a peer's runs of a row.
type line struct {
	row      *row
	peer     peer
	runs     []*measured // by round; nil: failed
	failures []string
}

// values returns a column's figures, one of each round that has it.
func (l *line) values(c column, ref *line) []float64 {
	var v []float64
	for i, m := range l.runs {
		switch {
		case m == nil:
		case c.of != nil:
			v = append(v, c.of(m))
		case ref != nil && i < len(ref.runs) && ref.runs[i] != nil:
			v = append(v, ratio(c.ratio(m), c.ratio(ref.runs[i])))
		}
	}
	return v
}

// summary is a column of a line, for -json.
type summary struct {
	Column           string
	Median, Min, Max float64
	N                int
}

// record is a line, for -json.
type record struct {
	Row, Title, Peer string
	Columns          []summary
	Failures         []string `json:",omitempty"`
}

// group is all lines of a row.
type group struct {
	row   *row
	lines []*line
}

func (g *group) reference() *line {
	for _, l := range g.lines {
		if l.peer.String() == reference {
			return l
		}
	}
	return nil
}

// print prints the table of a row.
func (g *group) print(w io.Writer) {
	n := 0
	for _, l := range g.lines {
		n = max(n, len(l.runs))
	}
	fmt.Fprintf(w, "%s: %s  (n=%d)\n", g.row.name, g.row.title, n)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(tw, "  ")
	for _, c := range g.row.kind.columns {
		fmt.Fprintf(tw, "\t%s", c.title)
	}
	fmt.Fprintln(tw)
	ref := g.reference()
	for _, l := range g.lines {
		fmt.Fprintf(tw, "  %s", l.peer)
		for _, c := range g.row.kind.columns {
			fmt.Fprintf(tw, "\t%s", cell(l.values(c, ref), c.spread))
		}
		fmt.Fprintln(tw)
	}
	tw.Flush()
	for _, l := range g.lines {
		if len(l.failures) != 0 {
			fmt.Fprintf(w, "  FAILED %s: %d of %d runs: %s\n", l.peer, len(l.failures), len(l.runs), strings.Join(distinct(l.failures), "\n    and: "))
		}
	}
	fmt.Fprintln(w)
}

func (g *group) json(w io.Writer) error {
	ref := g.reference()
	for _, l := range g.lines {
		r := record{Row: g.row.name, Title: g.row.title, Peer: l.peer.String(), Failures: l.failures}
		for _, c := range g.row.kind.columns {
			if v := l.values(c, ref); len(v) != 0 {
				r.Columns = append(r.Columns, summary{c.title, median(v), minimum(v), maximum(v), len(v)})
			}
		}
		if err := json.NewEncoder(w).Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// check returns what is wrong with the gate of the row, or an empty string.
func (g *group) check() string {
	if g.row.gate == nil {
		return ""
	}
	gate := g.row.gate
	for _, l := range g.lines {
		if l.peer.String() != "frittata" {
			continue
		}
		if len(l.failures) != 0 {
			return fmt.Sprintf("%s: %s: %d runs failed", g.row.name, gate, len(l.failures))
		}
		for _, c := range g.row.kind.columns {
			if c.title != gate.column {
				continue
			}
			v := l.values(c, g.reference())
			if len(v) == 0 {
				return fmt.Sprintf("%s: %s: not measured", g.row.name, gate)
			}
			if m := median(v); !gate.passes(m) {
				return fmt.Sprintf("%s: %s: it is %s", g.row.name, gate, number(m))
			}
			return ""
		}
	}
	return fmt.Sprintf("%s: %s: not measured", g.row.name, gate)
}

func cell(v []float64, spread bool) string {
	switch {
	case len(v) == 0:
		return "-"
	case spread:
		return fmt.Sprintf("%s [%s %s]", number(median(v)), number(minimum(v)), number(maximum(v)))
	}
	return number(median(v))
}

// number prints three digits, and no fewer than the whole number has.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100 || a == 0:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.01:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.1g", v)
}

// distinct returns each of list once.
func distinct(list []string) []string {
	var out []string
	seen := make(map[string]bool)
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}
