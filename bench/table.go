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
	at       int         // of what grows
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

// name tells the peer, and where it is of what grows.
func (l *line) name() string {
	if l.row.grows == nil {
		return l.peer.String()
	}
	return fmt.Sprintf("%s, %d %s", l.peer, l.at, l.row.grows.what)
}

// where tells the row, and where the line is of what grows.
func (l *line) where() string {
	if l.row.grows == nil {
		return l.row.name
	}
	return fmt.Sprintf("%s, %d %s", l.row.name, l.at, l.row.grows.what)
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
	At               int `json:",omitempty"` // of what grows
	Columns          []summary
	Failures         []string `json:",omitempty"`
}

// group is all lines of a row.
type group struct {
	row   *row
	lines []*line
}

// values returns a column's figures of a line, one of each round that has it.
func (g *group) values(l *line, c column) []float64 {
	for _, ref := range g.lines {
		if c.first && ref.peer == l.peer || !c.first && ref.peer.String() == reference && ref.at == l.at {
			return l.values(c, ref)
		}
	}
	return l.values(c, nil)
}

// together returns the lines that one pair of processes does.
func (g *group) together() [][]*line {
	var out [][]*line
	for _, l := range g.lines {
		if i := len(out) - 1; i >= 0 && g.row.grows != nil && g.row.grows.inOne && out[i][0].peer == l.peer {
			out[i] = append(out[i], l)
		} else {
			out = append(out, []*line{l})
		}
	}
	return out
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
	if grows := g.row.grows; grows != nil {
		fmt.Fprintf(tw, "\t%s", grows.what)
	}
	for _, c := range g.row.kind.columns {
		fmt.Fprintf(tw, "\t%s", c.title)
	}
	fmt.Fprintln(tw)
	for _, l := range g.lines {
		fmt.Fprintf(tw, "  %s", l.peer)
		if g.row.grows != nil {
			fmt.Fprintf(tw, "\t%d", l.at)
		}
		for _, c := range g.row.kind.columns {
			fmt.Fprintf(tw, "\t%s", cell(g.values(l, c), c.spread))
		}
		fmt.Fprintln(tw)
	}
	tw.Flush()
	for _, l := range g.lines {
		if len(l.failures) != 0 {
			fmt.Fprintf(w, "  FAILED %s: %d of %d runs: %s\n", l.name(), len(l.failures), len(l.runs), strings.Join(distinct(l.failures), "\n    and: "))
		}
	}
	fmt.Fprintln(w)
}

func (g *group) json(w io.Writer) error {
	for _, l := range g.lines {
		r := record{Row: g.row.name, Title: g.row.title, Peer: l.peer.String(), At: l.at, Failures: l.failures}
		for _, c := range g.row.kind.columns {
			if v := g.values(l, c); len(v) != 0 {
				r.Columns = append(r.Columns, summary{c.title, median(v), minimum(v), maximum(v), len(v)})
			}
		}
		if err := json.NewEncoder(w).Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// check returns what is wrong with the gates of the row.
func (g *group) check() (missed []string) {
	for _, gate := range g.row.gates {
		measured := false
		for _, l := range g.lines {
			if l.peer.String() != "frittata" {
				continue
			}
			measured = true
			if why := g.missed(gate, l); why != "" {
				missed = append(missed, fmt.Sprintf("%s: %s: %s", l.where(), gate, why))
			}
		}
		if !measured {
			missed = append(missed, fmt.Sprintf("%s: %s: not measured", g.row.name, gate))
		}
	}
	return missed
}

// missed tells why a line does not pass a gate, or nothing if it does.
func (g *group) missed(gate gate, l *line) string {
	if len(l.failures) != 0 {
		return fmt.Sprintf("%d runs failed", len(l.failures))
	}
	for _, c := range g.row.kind.columns {
		if c.title != gate.column {
			continue
		}
		v := g.values(l, c)
		if len(v) == 0 {
			break
		}
		if m := median(v); !gate.passes(m) {
			return "it is " + number(m)
		}
		return ""
	}
	return "not measured"
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
