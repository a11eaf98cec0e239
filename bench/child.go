package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"strings"
)

// child is the main function of the processes of a run. It takes a spec and
// then commands from in, and answers each on out, until in ends.
func child(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	enc := json.NewEncoder(out)
	if !lines.Scan() {
		return lines.Err()
	}
	var s spec
	if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
		return err
	}
	if s.Profile != "" {
		defer writeProfile("allocs", s.Profile)
	}
	p, first, err := startProcess(&s)
	if err != nil {
		return enc.Encode(reply{Error: err.Error()})
	}
	if err := enc.Encode(first); err != nil {
		return err
	}
	profiling := false
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return err
		}
		if c.Do != "warm" && s.Profile != "" && !profiling {
			// What went before is not measured either.
			stop, err := profileCPU(s.Profile)
			if err != nil {
				return err
			}
			defer stop()
			profiling = true
		}
		r, err := p.do(c)
		if c.Do == "mem" && s.Profile != "" {
			writeProfile("heap", s.Profile)
		}
		if err != nil {
			r.Error = err.Error()
		}
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return p.close()
}

func profileCPU(path string) (stop func(), err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		f.Close()
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}

// writeProfile writes a profile of that name beside the CPU profile at path.
// It replaces what an earlier call has written.
func writeProfile(name, path string) {
	f, err := os.Create(strings.TrimSuffix(path, ".pprof") + "." + name + ".pprof")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer f.Close()
	if err := pprof.Lookup(name).WriteTo(f, 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// process is one side of a run.
type process struct {
	server server
	task   task
}

func startProcess(s *spec) (*process, reply, error) {
	if s.Role == "relay" {
		r, err := serveRelay(s)
		if err != nil {
			return nil, reply{}, err
		}
		return &process{server: r}, reply{Addr: r.addr()}, nil
	}
	w, ok := workloads[s.Workload]
	if !ok {
		return nil, reply{}, fmt.Errorf("no workload %q", s.Workload)
	}
	if _, ok := stacks[s.Peer]; !ok {
		return nil, reply{}, fmt.Errorf("no peer %q", s.Peer)
	}
	if s.Role == "server" {
		srv, err := w.serve(s)
		if err != nil {
			return nil, reply{}, err
		}
		return &process{server: srv}, reply{Addr: srv.addr()}, nil
	}
	t, err := w.dial(s)
	if err != nil {
		return nil, reply{}, err
	}
	return &process{task: t}, reply{}, nil
}

func (p *process) do(c command) (reply, error) {
	switch c.Do {
	case "snap":
		u := p.count(takeUsage())
		return reply{Usage: &u}, nil
	case "mem":
		u := p.count(takeMemory())
		return reply{Usage: &u}, nil
	case "warm":
		return reply{}, p.task.warm(context.Background())
	case "run":
		before := takeUsage()
		r, err := p.task.run(context.Background())
		r.Used = takeUsage().since(before)
		return reply{Result: &r}, err
	}
	return reply{}, fmt.Errorf("no command %q", c.Do)
}

// count adds what a server has counted.
func (p *process) count(u usage) usage {
	if s, ok := p.server.(datagramCounter); ok {
		u.Datagrams = s.datagrams()
	}
	if s, ok := p.server.(errorReporter); ok {
		u.Errors = s.errors()
	}
	if s, ok := p.server.(*turnsServer); ok {
		u.Batches = s.batches()
	}
	return u
}

func (p *process) close() error {
	if p.server != nil {
		return p.server.close()
	}
	return p.task.close()
}
