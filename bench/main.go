package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// gatePairs and otherPairs are the rounds of a row, with a gate and without. A
// row of growth, where a round is long, has the latter.
const (
	gatePairs  = 10
	otherPairs = 5
)

type options struct {
	only     string
	pairs    int
	size     string
	quick    bool
	peers    string
	json     bool
	gate     bool
	list     bool
	procs    int
	timeout  time.Duration
	idleWait time.Duration
	profiles string
	plot     string
}

func main() {
	var o options
	asChild := flag.Bool("child", false, "be a process of a run: for the command itself")
	flag.StringVar(&o.only, "only", "", "rows to run, comma separated: W3, W1/default (-list shows them all)")
	flag.IntVar(&o.pairs, "pairs", 0, fmt.Sprintf("rounds of each row (default %d where there is a gate, else %d)", gatePairs, otherPairs))
	flag.StringVar(&o.size, "size", "", "bytes of a bulk transfer, with K, M or G for KiB, MiB or GiB (default 512M)")
	flag.BoolVar(&o.quick, "quick", false, "little of everything, twice: shows that it works, not how fast")
	flag.StringVar(&o.peers, "peers", "frittata,quic-go,tls", "who takes part; tls stands for h2 and h1 too, frittata for frittata-inline; server+client mixes two")
	flag.IntVar(&o.procs, "gomaxprocs", 0, "GOMAXPROCS of both processes, in rows that do not set it (default: as it comes)")
	flag.BoolVar(&o.json, "json", false, "print a JSON object for each peer of each row")
	flag.BoolVar(&o.gate, "gate", false, "exit with status 1 if a gate is missed")
	flag.BoolVar(&o.list, "list", false, "list the rows")
	flag.DurationVar(&o.timeout, "timeout", 2*time.Minute, "longest time of a run")
	flag.DurationVar(&o.idleWait, "idle-wait", 10*time.Second, "longest wait for the machine to be idle before a run")
	flag.StringVar(&o.profiles, "profiles", "", "directory for profiles of all processes: CPU, allocations, and the heap in W5")
	flag.StringVar(&o.plot, "plot", "", "file for a plot of the rows of growth, in SVG")
	flag.Parse()

	if *asChild {
		if err := child(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ok, err := bench(ctx, &o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// bench runs the rows and prints them. It returns false if a run failed, or a
// gate was missed and that counts.
func bench(ctx context.Context, o *options) (bool, error) {
	z := fullSizes
	if o.quick {
		z = quickSizes
		if o.pairs == 0 {
			o.pairs = 2
		}
	}
	if o.size != "" {
		n, err := parseSize(o.size)
		if err != nil {
			return false, err
		}
		z.bulk = n
	}
	rows, err := selectRows(allRows(z), o.only)
	if err != nil {
		return false, err
	}
	if o.list {
		for _, r := range rows {
			fmt.Printf("%-18s %s", r.name, r.title)
			for _, g := range r.gates {
				fmt.Printf("; gate: %s", g)
			}
			fmt.Println()
		}
		return true, nil
	}
	peers, err := parsePeers(o.peers)
	if err != nil {
		return false, err
	}
	if o.plot != "" && !slices.ContainsFunc(rows, func(r *row) bool { return r.grows != nil }) {
		return false, errors.New("no row of growth to plot: -only growth")
	}
	peers = buildNatives(ctx, peers, os.Stderr)
	if o.profiles != "" {
		if err := os.MkdirAll(o.profiles, 0o755); err != nil {
			return false, err
		}
	}
	d := &driver{timeout: o.timeout, idleWait: o.idleWait, procs: o.procs, profiles: o.profiles}
	if d.exe, err = os.Executable(); err != nil {
		return false, err
	}
	if d.cert, d.key, err = makeCert(); err != nil {
		return false, err
	}
	if !o.json {
		printHeader()
	}
	var missed []string
	var done []*group
	failed := false
	for i, r := range rows {
		g := &group{row: r}
		for _, p := range peers {
			if r.can(p) {
				g.lines = append(g.lines, r.lines(p)...)
			}
		}
		if len(g.lines) == 0 {
			continue
		}
		if err := runGroup(ctx, d, g, o.pairs, fmt.Sprintf("row %d of %d", i+1, len(rows))); err != nil {
			return false, err
		}
		for _, l := range g.lines {
			failed = failed || len(l.failures) != 0
		}
		if done = append(done, g); o.plot != "" && r.grows != nil {
			// After each row, so that what comes later cannot spoil it.
			if err := savePlot(o.plot, done, measuredOn()); err != nil {
				return false, err
			}
		}
		if slices.Contains(peers, peer{"frittata", "frittata"}) {
			missed = append(missed, g.check()...)
		}
		if o.json {
			if err := g.json(os.Stdout); err != nil {
				return false, err
			}
		} else {
			g.print(os.Stdout)
		}
	}
	if d.busy != 0 {
		fmt.Fprintf(os.Stderr, "%d runs began while the machine was busy with something else: their figures are worth less\n", d.busy)
	}
	for _, m := range missed {
		fmt.Fprintln(os.Stderr, "gate missed:", m)
	}
	return !failed && !(o.gate && len(missed) != 0), nil
}

// runGroup runs a row, each peer once a round.
func runGroup(ctx context.Context, d *driver, g *group, pairs int, where string) error {
	if pairs == 0 {
		pairs = otherPairs
		if len(g.row.gates) != 0 && g.row.grows == nil {
			pairs = gatePairs
		}
	}
	for round := range pairs {
		for _, lines := range g.together() {
			begin := time.Now()
			runs, err := d.run(ctx, lines, round)
			if ctx.Err() != nil {
				return errors.New("interrupted")
			}
			figure := "FAILED"
			for i, l := range lines {
				if err != nil {
					l.runs = append(l.runs, nil)
					l.failures = append(l.failures, err.Error())
				} else {
					l.runs = append(l.runs, runs[i])
					c := g.row.kind.columns[0]
					figure = number(c.of(runs[i])) + " " + c.title
				}
			}
			fmt.Fprintf(os.Stderr, "%s, %s, round %d of %d, %s: %s (%.1f s)\n",
				where, g.row.name, round+1, pairs, lines[len(lines)-1].name(), figure, time.Since(begin).Seconds())
			if err != nil {
				fmt.Fprintf(os.Stderr, "  %v\n", err)
			}
		}
	}
	return nil
}

// selectRows returns the rows that a list names, by name or by what is before
// the slash.
func selectRows(rows []*row, only string) ([]*row, error) {
	if only == "" {
		return rows, nil
	}
	var out []*row
	for _, name := range strings.Split(only, ",") {
		found := false
		for _, r := range rows {
			if base, _, _ := strings.Cut(r.name, "/"); r.name == name || base == name {
				found = true
				if !slices.Contains(out, r) {
					out = append(out, r)
				}
			}
		}
		if !found {
			return nil, fmt.Errorf("no row %q: -list shows them", name)
		}
	}
	return out, nil
}

func parsePeers(list string) ([]peer, error) {
	var out []peer
	for _, name := range strings.Split(list, ",") {
		p, err := parsePeer(name)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
		switch name {
		case "tls":
			out = append(out, peer{"h2", "h2"}, peer{"h1", "h1"})
		case "frittata":
			out = append(out, peer{"frittata-inline", "frittata-inline"})
		}
	}
	return out, nil
}

func parseSize(s string) (int64, error) {
	if s == "" {
		return 0, errors.New("no size")
	}
	digits, shift := s, 0
	switch s[len(s)-1] {
	case 'K':
		shift = 10
	case 'M':
		shift = 20
	case 'G':
		shift = 30
	}
	if shift != 0 {
		digits = s[:len(s)-1]
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 || n > 1<<40>>shift {
		return 0, fmt.Errorf("bad size %q", s)
	}
	return n << shift, nil
}

// printHeader tells what the figures were taken on.
func printHeader() {
	fmt.Println(measuredOn())
	fmt.Printf("median [min max]; x %s: median of the ratios within rounds\n\n", reference)
}

// measuredOn names versions, machine and date.
func measuredOn() string {
	quicgo := "?"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/quic-go/quic-go" {
				quicgo = m.Version
			}
		}
	}
	return fmt.Sprintf("%s %s/%s, %d processors, quic-go %s, %s", runtime.Version(), runtime.GOOS, runtime.GOARCH,
		runtime.NumCPU(), quicgo, time.Now().Format("2006-01-02 15:04"))
}
