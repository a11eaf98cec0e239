package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
)

// plotted is what the panels of the plot show, by the first column of a kind
// that has an "x first".
var plotted = map[string]string{
	cpuPerRequest: "CPU per request",
	cpuPerByte:    "CPU per byte",
}

// The plot's measures in pixels: a grid of panels, and in each, within margins,
// the axes. Above them are the title and a line for each peer.
const (
	panelWidth  = 480
	panelHeight = 350
	panelsInRow = 2
	marginLeft  = 52
	marginRight = 20
	marginBelow = 46
	textHeight  = 16
	titleLength = 70 // characters of a line of the title
)

// plotStyle has the colours. The plot brings its own background, so that it can
// be read wherever it is shown. Lines differ in dashes and marks too.
const plotStyle = `<style>
svg { font: 12px system-ui, sans-serif; }
path { fill: none; } .ground { fill: #ffffff; }
text { fill: #1f2328; } text.faint { fill: #59636e; } .title { font-weight: 600; }
.grid { stroke: #d8dee4; } .axis { stroke: #59636e; }
path.gate { stroke: #b42318; stroke-dasharray: 6 4; } text.gate { fill: #b42318; }
.line { stroke-width: 2; } .mark { stroke-width: 1.5; } .spread { opacity: .7; }
.p0 { stroke: #1f6feb; } .p1 { stroke: #bc4c00; } .p2 { stroke: #6e40c9; } .p3 { stroke: #116329; }
.line.p1 { stroke-dasharray: 8 3; } .line.p2 { stroke-dasharray: 2 3; } .line.p3 { stroke-dasharray: 10 3 2 3; }
.mark.p0 { fill: #1f6feb; } .mark.p2 { fill: #6e40c9; } .mark.p1, .mark.p3 { fill: #ffffff; }
@media (prefers-color-scheme: dark) {
.ground { fill: #0d1117; }
text { fill: #e6edf3; } text.faint { fill: #9198a1; }
.grid { stroke: #30363d; } .axis { stroke: #9198a1; }
path.gate { stroke: #ff7b72; } text.gate { fill: #ff7b72; }
.p0 { stroke: #6cb0ff; } .p1 { stroke: #f0a15e; } .p2 { stroke: #c39bff; } .p3 { stroke: #56d364; }
.mark.p0 { fill: #6cb0ff; } .mark.p2 { fill: #c39bff; } .mark.p1, .mark.p3 { fill: #0d1117; }
}
</style>
`

const peerStyles = 4 // that plotStyle has

// point is a line of a row in the plot: the ratio to the first line.
type point struct {
	at                   int
	figure               float64 // what it is a ratio of, in the unit of the first column
	median, least, great float64
}

// curve is a peer's lines of a row.
type curve struct {
	peer   peer
	points []point
}

// curves returns what is plotted of a row. Lines without a run that succeeded
// are not there.
func (g *group) curves() []curve {
	columns := g.row.kind.columns
	var out []curve
	for _, l := range g.lines {
		for _, c := range columns {
			if c.title != "x first" {
				continue
			}
			if v := g.values(l, c); len(v) != 0 {
				if n := len(out); n == 0 || out[n-1].peer != l.peer {
					out = append(out, curve{peer: l.peer})
				}
				last := &out[len(out)-1]
				last.points = append(last.points, point{l.at, median(g.values(l, columns[0])), median(v), minimum(v), maximum(v)})
			}
		}
	}
	return out
}

// writePlot writes an SVG with a panel for each row in which something grows. The
// horizontal axis is logarithmic.
func writePlot(w io.Writer, rows []*group, note string) error {
	var panels []*group
	for _, g := range rows {
		if g.row.grows != nil {
			panels = append(panels, g)
		}
	}
	if len(panels) == 0 {
		return errors.New("nothing that grows was measured")
	}
	width := panelWidth * min(panelsInRow, len(panels))
	height := panelHeight*((len(panels)+panelsInRow-1)/panelsInRow) + 2*textHeight
	p := &plot{}
	p.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="CPU time as connections, streams and requests grow">`,
		width, height, width, height)
	p.b.WriteString(plotStyle)
	p.add(`<rect class="ground" width="%d" height="%d"/>`, width, height)
	for i, g := range panels {
		p.add(`<g transform="translate(%d,%d)">`, panelWidth*(i%panelsInRow), panelHeight*(i/panelsInRow))
		p.panel(g)
		p.add(`</g>`)
	}
	p.text(12, float64(height-textHeight), "faint", "start", note)
	p.add(`</svg>`)
	_, err := io.WriteString(w, p.b.String())
	return err
}

// plot is an SVG in the making.
type plot struct{ b strings.Builder }

func (p *plot) add(format string, args ...any) {
	fmt.Fprintf(&p.b, format+"\n", args...)
}

func (p *plot) text(x, y float64, class, anchor, s string) {
	p.add(`<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`, x, y, class, anchor, escape(s))
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}

// panel draws a row.
func (p *plot) panel(g *group) {
	curves := g.curves()
	unit := g.row.kind.columns[0].title
	y := 1.5 * textHeight
	p.text(12, y, "title", "start", g.row.name)
	for _, s := range wrap(g.row.title, titleLength) {
		y += textHeight
		p.text(12, y, "faint", "start", s)
	}
	for i, c := range curves {
		y += textHeight
		class := fmt.Sprintf("p%d", i%peerStyles)
		p.add(`<path class="line %s" d="M12 %.1fh34"/>`, class, y-4)
		p.mark(29, y-4, i)
		first, last := c.points[0], c.points[len(c.points)-1]
		p.text(54, y, "", "start", fmt.Sprintf("%s: %s %s at %d, %s at %d", c.peer, number(first.figure), unit, first.at, number(last.figure), last.at))
	}

	// The axes.
	top, bottom := y+1.5*textHeight, float64(panelHeight-marginBelow)
	left, right := float64(marginLeft), float64(panelWidth-marginRight)
	highest := 1.5
	for _, c := range curves {
		for _, q := range c.points {
			highest = max(highest, q.great)
		}
	}
	step := 0.5
	for highest/step > 6 {
		step *= 2
	}
	highest = step * math.Ceil(highest/step)
	yOf := func(v float64) float64 { return bottom - v/highest*(bottom-top) }
	at := g.row.grows.at
	from, to := math.Log(float64(at[0])), math.Log(float64(at[len(at)-1]))
	xOf := func(n int) float64 {
		if to == from {
			return left
		}
		return left + 12 + (math.Log(float64(n))-from)/(to-from)*(right-left-24)
	}
	for i := 0; float64(i)*step <= highest; i++ {
		v := float64(i) * step
		p.add(`<path class="grid" d="M%.1f %.1fH%.1f"/>`, left, yOf(v), right)
		p.text(left-6, yOf(v)+4, "faint", "end", fmt.Sprintf("%gx", v))
	}
	for _, gate := range g.row.gates {
		if gate.column == "x first" && gate.max != 0 {
			p.add(`<path class="gate" d="M%.1f %.1fH%.1f"/>`, left, yOf(gate.max), right)
			// All lines begin at 1 here, so that nothing lies behind the text.
			p.text(left+4, yOf(gate.max)-5, "gate", "start", fmt.Sprintf("at most %gx", gate.max))
		}
	}
	p.add(`<path class="axis" d="M%.1f %.1fH%.1f"/>`, left, bottom, right)
	labelled := math.Inf(-1)
	for _, n := range at {
		x := xOf(n)
		p.add(`<path class="axis" d="M%.1f %.1fv5"/>`, x, bottom)
		// The last values of a row that grows by addition are close together.
		if x-labelled > 60 || n == at[0] {
			p.text(x, bottom+textHeight+2, "faint", "middle", fmt.Sprint(n))
			labelled = x
		}
	}
	p.text((left+right)/2, bottom+2*textHeight+4, "", "middle", g.row.grows.what)
	p.add(`<text transform="translate(14,%.1f) rotate(-90)" text-anchor="middle">%s, x first</text>`, (top+bottom)/2, escape(plotted[unit]))

	// The later peers first, so that the first one's lines lie on top.
	for i := len(curves) - 1; i >= 0; i-- {
		var d strings.Builder
		for j, q := range curves[i].points {
			fmt.Fprintf(&d, "%c%.1f %.1f", "ML"[min(j, 1)], xOf(q.at), yOf(q.median))
			p.add(`<path class="spread p%d" d="M%.1f %.1fV%.1f"/>`, i%peerStyles, xOf(q.at), yOf(q.least), yOf(q.great))
		}
		p.add(`<path class="line p%d" d="%s"/>`, i%peerStyles, d.String())
		for _, q := range curves[i].points {
			p.mark(xOf(q.at), yOf(q.median), i)
		}
	}
}

// mark draws a peer's mark: they differ in shape and filling too.
func (p *plot) mark(x, y float64, peer int) {
	if peer%2 == 0 {
		p.add(`<circle class="mark p%d" cx="%.1f" cy="%.1f" r="3.5"/>`, peer%peerStyles, x, y)
	} else {
		p.add(`<rect class="mark p%d" x="%.1f" y="%.1f" width="7" height="7"/>`, peer%peerStyles, x-3.5, y-3.5)
	}
}

// wrap breaks a text into lines of up to n bytes, where words allow it.
func wrap(s string, n int) []string {
	var lines []string
	for _, word := range strings.Fields(s) {
		if i := len(lines) - 1; i >= 0 && len(lines[i])+1+len(word) <= n {
			lines[i] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}

// savePlot writes the plot to a file, all of it or nothing.
func savePlot(path string, rows []*group, note string) error {
	var b strings.Builder
	if err := writePlot(&b, rows, note); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}
