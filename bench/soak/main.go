package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime/pprof"
	"time"
)

type options struct {
	duration time.Duration
	conns    int
	seed     uint64
	every    time.Duration
	http     bool
	profile  string
}

const usage = `Usage: go run ./soak [flags]

Keeps connections between a server and clients in this process busy, with every
byte checked, and exits with status 1 if bytes were wrong, connections hung or
were lost, or heap, goroutines or open files grew. An interrupt ends it early,
with the report.

`

func main() {
	var o options
	flag.DurationVar(&o.duration, "duration", time.Hour, "how long the clients work; leaving takes up to a minute more")
	flag.IntVar(&o.conns, "conns", 2000, "connections at a time")
	flag.Uint64Var(&o.seed, "seed", 0, "seed of what the clients choose to do (default: a random one, which is printed)")
	flag.DurationVar(&o.every, "every", 0, "time between two samples, each with a line (default: a 30th of the duration, 2 to 10 s)")
	flag.BoolVar(&o.http, "http", false, "HTTP/3 by http3.Server and http3.Transport, instead of an Application of its own")
	flag.StringVar(&o.profile, "heapprofile", "", "file for a profile of the heap that is left when all clients have left")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 || o.duration <= 0 || o.conns <= 0 || o.every < 0 {
		flag.Usage()
		os.Exit(2)
	}
	if o.seed == 0 {
		o.seed = rand.Uint64()
	}
	if o.every == 0 {
		o.every = min(max(o.duration/30, 2*time.Second), 10*time.Second)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // another interrupt ends it at once
	ok, err := run(ctx, os.Stdout, &o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
	if !ok {
		os.Exit(1)
	}
}

// rampShare is the part of the duration, and rampMost the time at most, in which
// the clients begin one by one.
const (
	rampShare = 6
	rampMost  = 20 * time.Second
)

// run runs all of it and reports to out. It returns false if something was wrong.
func run(ctx context.Context, out io.Writer, o *options) (ok bool, err error) {
	t := newTally()
	begin := time.Now()
	fmt.Fprintf(out, "seed %d, %d connections for %v, then they leave\n", o.seed, o.conns, o.duration)
	w, err := newWorld(o, t)
	if err != nil {
		return false, err
	}
	w.warm(ctx)
	c := &census{tally: t, begin: begin, server: w.stack.conns, conns: o.conns}
	before := c.sample()
	fmt.Fprintln(out, before)

	working, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	ramp := min(o.duration/rampShare, rampMost)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.work(working, ramp)
	}()
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	for working.Err() == nil {
		select {
		case <-tick.C:
			s := c.sample()
			fmt.Fprintln(out, s)
			// What is taken while they leave is neither the steady state nor the end.
			if s.at >= 2*ramp && working.Err() == nil {
				c.steady = append(c.steady, s)
			}
		case <-working.Done():
		}
	}
	if ctx.Err() != nil {
		fmt.Fprintln(out, "interrupted: the clients leave")
	}

	leaving, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	select {
	case <-done:
	case <-leaving.Done():
		t.fail("clients did not leave within %v", leaveTime)
	}
	w.settle(leaving)
	after := c.sample()
	fmt.Fprintln(out, after)
	growth := c.growth(before, after)
	if err := writeProfile(o.profile); err != nil {
		return false, err
	}
	if err := w.close(); err != nil {
		t.fail("closing: %v", err)
	}
	return t.report(out, growth), nil
}

// leaveTime is how long it may take until nothing is left of any connection.
const leaveTime = time.Minute

// writeProfile writes what is on the heap, unless name is empty.
func writeProfile(name string) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close())
}
