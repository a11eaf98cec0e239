package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// batchSize is how many handlers finish together.
	batchSize = 100
	// turnsRounds is how often they do.
	turnsRounds = 20
	// settle is how long the server counts turns after that, and half of how
	// long the client waits before the next batch. Delayed ACKs are within it.
	settle = 60 * time.Millisecond
)

// turnsServer has handlers that wait for each other, and counts the turns that
// the stack runs from the moment at which all may go on: those that write and
// send the answers, and those for the ACKs.
type turnsServer struct {
	server
	mu      sync.Mutex
	waiting int
	open    chan struct{}
	counts  []float64
}

func serveTurns(s *spec) (server, error) {
	t := &turnsServer{open: make(chan struct{})}
	srv, err := stacks[s.Peer].serveHTTP(s, t)
	if err != nil {
		return nil, err
	}
	if _, ok := srv.(turnCounter); !ok {
		return nil, fmt.Errorf("%s does not count turns", s.Peer)
	}
	t.server = srv
	return t, nil
}

func (t *turnsServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	open := t.open
	if t.waiting++; t.waiting == batchSize {
		t.waiting, t.open = 0, make(chan struct{})
		before := t.server.(turnCounter).turns()
		close(open)
		time.AfterFunc(settle, func() {
			n := t.server.(turnCounter).turns() - before
			t.mu.Lock()
			t.counts = append(t.counts, float64(n))
			t.mu.Unlock()
		})
	}
	t.mu.Unlock()
	<-open
	w.Write(payloadChunk[:requestSize])
}

// batches returns the turns of each batch so far.
func (t *turnsServer) batches() []float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]float64(nil), t.counts...)
}

type turnsTask struct {
	s *spec
	c httpClient
}

func dialTurns(s *spec) (task, error) {
	c, err := stacks[s.Peer].dialHTTP(s)
	return &turnsTask{s, c}, err
}

func (t *turnsTask) warm(context.Context) error { return nil }

func (t *turnsTask) run(ctx context.Context) (result, error) {
	begin := time.Now()
	for range turnsRounds {
		err := each(ctx, batchSize, batchSize, func(ctx context.Context, _ int) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+t.s.Addr+"/", nil)
			if err != nil {
				return err
			}
			resp, err := t.c.RoundTrip(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			n, err := io.Copy(io.Discard, resp.Body)
			if err == nil && n != requestSize {
				err = fmt.Errorf("%d bytes came of %d", n, requestSize)
			}
			return err
		})
		if err != nil {
			return result{}, err
		}
		time.Sleep(2 * settle)
	}
	return result{Ops: turnsRounds * batchSize, Seconds: time.Since(begin).Seconds()}, nil
}

func (t *turnsTask) close() error { return t.c.Close() }
