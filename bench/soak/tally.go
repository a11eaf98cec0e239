package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// tally counts what happens: what is to be expected by kinds, and failures.
type tally struct {
	open, begun, bytes, streams, datagrams atomic.Int64

	mu       sync.Mutex
	kinds    map[string]int64
	failed   int64
	failures map[string]int64 // the first ones
	lost     []string         // of these too
}

// maxFailures is how many different failures are reported.
const maxFailures = 20

func newTally() *tally {
	return &tally{kinds: make(map[string]int64), failures: make(map[string]int64)}
}

// count counts something that is to be expected.
func (t *tally) count(kind string) {
	t.mu.Lock()
	t.kinds[kind]++
	t.mu.Unlock()
}

// fail counts something that must not happen.
func (t *tally) fail(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	t.mu.Lock()
	t.failed++
	if _, known := t.failures[s]; known || len(t.failures) < maxFailures {
		t.failures[s]++
	}
	t.mu.Unlock()
}

// logger makes a failure of whatever is worth a warning.
func (t *tally) logger() *slog.Logger { return slog.New(failHandler{t}) }

type failHandler struct{ t *tally }

func (h failHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (h failHandler) WithAttrs([]slog.Attr) slog.Handler           { return h }
func (h failHandler) WithGroup(string) slog.Handler                { return h }

func (h failHandler) Handle(_ context.Context, r slog.Record) error {
	s := r.Message
	r.Attrs(func(a slog.Attr) bool {
		s += fmt.Sprintf(" %v", a)
		return true
	})
	h.t.fail("logged: %s", s)
	return nil
}

// kindLost: a connection timed out though its peer lives. A machine that has no
// time for it may be the reason, so a few are tolerated: one of lostShare.
const (
	kindLost  = "lost"
	lostShare = 1000
)

// lose counts a lost connection.
func (t *tally) lose(format string, args ...any) {
	t.count(kindLost)
	t.mu.Lock()
	if len(t.lost) < maxFailures {
		t.lost = append(t.lost, fmt.Sprintf(format, args...))
	}
	t.mu.Unlock()
}

func (t *tally) kindsText() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []string
	for k, n := range t.kinds {
		list = append(list, fmt.Sprintf("%s %d", k, n))
	}
	slices.Sort(list)
	s := strings.Join(list, ", ")
	if t.failed > 0 {
		s = fmt.Sprintf("FAILURES %d, %s", t.failed, s)
	}
	return s
}

// report tells how it went. It returns false if something was wrong.
func (t *tally) report(out io.Writer, growth []string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	ok := true
	bad := func(format string, args ...any) {
		ok = false
		fmt.Fprintf(out, format+"\n", args...)
	}
	if t.failed > 0 {
		bad("FAILED: %d failures, of which", t.failed)
		for s, n := range t.failures {
			fmt.Fprintf(out, "  %d times: %s\n", n, s)
		}
	}
	for _, s := range growth {
		bad("FAILED: it grew: %s", s)
	}
	if lost := t.kinds[kindLost]; lost > 1+t.begun.Load()/lostShare {
		bad("FAILED: %d connections of %d were lost", lost, t.begun.Load())
	}
	for _, s := range t.lost {
		fmt.Fprintf(out, "lost: %s\n", s)
	}
	if t.bytes.Load() == 0 {
		bad("FAILED: nothing was transferred")
	}
	if ok {
		fmt.Fprintf(out, "ok: %d connections, %d streams, %.2f GB, all as it was sent; heap, goroutines and files are flat\n",
			t.begun.Load(), t.streams.Load(), float64(t.bytes.Load())/1e9)
	}
	return ok
}
