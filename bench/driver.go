package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// peer is who takes part in a run: mostly one stack on both ends.
type peer struct{ server, client string }

func (p peer) String() string {
	if p.server == p.client {
		return p.server
	}
	return p.server + "+" + p.client
}

// parsePeer parses a name of stacks, or a server and a client joined by a plus.
func parsePeer(name string) (peer, error) {
	server, client, pair := strings.Cut(name, "+")
	if !pair {
		client = server
	}
	for _, n := range []string{server, client} {
		if stacks[n] == nil {
			return peer{}, fmt.Errorf("no peer %q; there are %s", n, strings.Join(stackOrder, ", "))
		}
	}
	return peer{server, client}, nil
}

// driver runs pairs of processes.
type driver struct {
	exe      string
	cert     []byte
	key      []byte
	timeout  time.Duration // of a run
	idleWait time.Duration
	procs    int    // GOMAXPROCS of all rows that do not set it; zero: as it comes
	profiles string // a directory, or empty
	busy     int    // runs that began while the machine was not idle
}

// run does one run of lines that one pair of processes does, and returns what
// was measured of each. An error means that nothing of it counts.
func (d *driver) run(ctx context.Context, lines []*line, round int) (ms []*measured, err error) {
	r, p := lines[0].row, lines[0].peer
	if !waitIdle(ctx, d.idleWait) {
		d.busy++
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d.timeout, fmt.Errorf("no end after %v", d.timeout))
	defer cancel()

	name := fmt.Sprintf("%s-%s-%d", r.name, p, round)
	if r.grows != nil {
		name = fmt.Sprintf("%s-%d-%s-%d", r.name, lines[0].at, p, round)
	}
	label := strings.NewReplacer("/", "-", "%", "", "=", "").Replace(name)
	start := func(role, stack, addr string) (*proc, error) {
		s := lines[0].spec()
		s.Role, s.Peer, s.Addr, s.Seed = role, stack, addr, uint64(round)
		s.CertPEM, s.KeyPEM = d.cert, d.key
		if d.profiles != "" {
			s.Profile = filepath.Join(d.profiles, label+"-"+role+".pprof")
		}
		procs := r.procs
		if procs == 0 {
			procs = d.procs
		}
		exe := d.exe
		if st := stacks[stack]; st != nil && st.native != nil {
			exe = st.native.program
		}
		return startProc(ctx, exe, &s, procs)
	}
	var all []*proc
	defer func() {
		// The client first, so that the server sees it close.
		for i := len(all) - 1; i >= 0; i-- {
			if e := all[i].stop(); e != nil && err == nil {
				err = fmt.Errorf("%s: %w", all[i].role, e)
			}
		}
		if err == nil {
			return
		}
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("%w (%v)", cause, err)
		}
		for _, q := range all {
			if path := q.saveStderr(label); path != "" {
				err = fmt.Errorf("%w; stderr of the %s: %s", err, q.role, path)
			}
		}
	}()

	srv, err := start("server", p.server, "")
	all = append(all, srv)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	addr := srv.addr
	if r.relay {
		relay, err := start("relay", "", addr)
		all = append(all, relay)
		if err != nil {
			return nil, fmt.Errorf("relay: %w", err)
		}
		addr = relay.addr
	}
	cli, err := start("client", p.client, addr)
	all = append(all, cli)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return measure(lines, srv, cli)
}

// measure has a server and a client that are running do the work of lines, one
// after the other.
func measure(lines []*line, srv, cli *proc) ([]*measured, error) {
	r := lines[0].row
	var srvMem, cliMem usage
	var err error
	if r.kind == idleKind {
		if srvMem, cliMem, err = memory(srv, cli); err != nil {
			return nil, err
		}
	}
	if _, err = cli.do("warm"); err != nil {
		return nil, err
	}
	var ms []*measured
	for _, l := range lines {
		m, err := measureOne(l, srv, cli)
		if err != nil {
			return nil, err
		}
		switch r.kind {
		case idleKind:
			time.Sleep(4 * time.Second) // for what handshakes leave behind: a connection rests after three
			a, b, err := memory(srv, cli)
			if err != nil {
				return nil, err
			}
			m.serverMem, m.clientMem = a.since(srvMem), b.since(cliMem)
		case lifeKind:
			if m.serverMem, m.clientMem, err = memory(srv, cli); err != nil {
				return nil, err
			}
		}
		ms = append(ms, m)
	}
	return ms, nil
}

// memory returns what both processes have.
func memory(srv, cli *proc) (s, c usage, err error) {
	if s, err = srv.usage("mem"); err != nil {
		return s, c, err
	}
	c, err = cli.usage("mem")
	return s, c, err
}

// measureOne does so for one line, apart from the memory.
func measureOne(l *line, srv, cli *proc) (*measured, error) {
	kind := l.row.kind
	before, err := srv.usage("snap")
	if err != nil {
		return nil, err
	}
	rep, err := cli.do("run")
	if err != nil {
		return nil, err
	}
	if kind == datagramKind {
		time.Sleep(50 * time.Millisecond) // for what is in the server's buffers
	}
	after, err := srv.usage("snap")
	if err != nil {
		return nil, err
	}
	m := &measured{result: *rep.Result, server: after.since(before)}
	switch want := l.spec(); {
	case m.Errors != 0:
		return nil, fmt.Errorf("client: %d of %d operations failed, first: %s", m.Errors, m.Errors+m.Ops, m.Error)
	case len(m.server.Errors) != 0:
		return nil, fmt.Errorf("server: %s", m.server.Errors[0])
	case m.Ops == 0:
		return nil, errors.New("client: nothing was done")
	case want.Bytes != 0 && m.Bytes != want.Bytes:
		return nil, fmt.Errorf("%d bytes of %d reached the receiver", m.Bytes, want.Bytes)
	case want.Requests != 0 && m.Ops != int64(want.Requests):
		return nil, fmt.Errorf("%d requests of %d were made", m.Ops, want.Requests)
	case kind == datagramKind && m.server.Datagrams == 0:
		return nil, errors.New("no datagram reached the receiver")
	case kind == turnsKind && len(m.server.Batches) < turnsRounds:
		return nil, fmt.Errorf("the server counted %d batches of %d", len(m.server.Batches), turnsRounds)
	}
	return m, nil
}

// proc is a process of a run.
type proc struct {
	role   string
	addr   string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	stderr lockedBuffer
}

// startProc starts a process and waits until it is ready. It returns a proc to
// stop even with an error, unless nothing was started: then stop does nothing.
func startProc(ctx context.Context, exe string, s *spec, procs int) (*proc, error) {
	p := &proc{role: s.Role, cmd: exec.CommandContext(ctx, exe, "-child")}
	// A process that hangs shows where, before it is killed.
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGQUIT) }
	p.cmd.WaitDelay = 3 * time.Second
	p.cmd.Stderr = &p.stderr
	if procs != 0 {
		p.cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", procs))
	}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return p, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return p, err
	}
	if err := p.cmd.Start(); err != nil {
		return p, err
	}
	p.in, p.out = in, bufio.NewScanner(out)
	p.out.Buffer(nil, 1<<20)
	rep, err := p.call(s)
	p.addr = rep.Addr
	return p, err
}

// call sends a line and takes the answer.
func (p *proc) call(v any) (rep reply, err error) {
	if err := json.NewEncoder(p.in).Encode(v); err != nil {
		return rep, err
	}
	if !p.out.Scan() {
		return rep, fmt.Errorf("the process has ended: %s", p.stderr.firstLine())
	}
	if err := json.Unmarshal(p.out.Bytes(), &rep); err != nil {
		return rep, err
	}
	if rep.Error != "" {
		return rep, errors.New(rep.Error)
	}
	return rep, nil
}

func (p *proc) do(what string) (reply, error) {
	rep, err := p.call(command{Do: what})
	if err != nil {
		return rep, fmt.Errorf("%s: %s: %w", p.role, what, err)
	}
	return rep, nil
}

func (p *proc) usage(what string) (usage, error) {
	rep, err := p.do(what)
	if err != nil {
		return usage{}, err
	}
	return *rep.Usage, nil
}

// stopTimeout is how long a process may take to close what it has open.
const stopTimeout = 10 * time.Second

// stop has the process end, and tells whether it did so in good order.
func (p *proc) stop() error {
	if p.in == nil {
		return nil
	}
	p.in.Close()
	timer := time.AfterFunc(stopTimeout, func() { p.cmd.Cancel() })
	err := p.cmd.Wait()
	if !timer.Stop() {
		return fmt.Errorf("did not end within %v", stopTimeout)
	}
	return err
}

// saveStderr writes what the process has printed, if anything, to a file, and
// returns its path.
func (p *proc) saveStderr(label string) string {
	b := p.stderr.bytes()
	if len(b) == 0 {
		return ""
	}
	path := filepath.Join(os.TempDir(), "frittata-bench-"+label+"-"+p.role+".txt")
	if os.WriteFile(path, b, 0o644) != nil {
		return ""
	}
	return path
}

// lockedBuffer is a buffer with a bound for what a process prints.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if room := 1<<20 - l.b.Len(); room > 0 {
		l.b.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

func (l *lockedBuffer) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}

func (l *lockedBuffer) firstLine() string {
	line, _, _ := strings.Cut(string(l.bytes()), "\n")
	if line == "" {
		return "it printed nothing"
	}
	return line
}
