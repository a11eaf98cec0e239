package http3

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// serverContextKey is for finding a connection's Server in its context.
type serverContextKey struct{}

// connContext is the context of a connection's requests, until ConnContext changes it.
type connContext struct {
	context.Context
	srv   *Server
	local net.Addr
}

// Value knows the keys of net/http. The value of http.ServerContextKey has to be
// a *http.Server: there are handlers that look for one to find out whether somebody
// recovers their panics.
func (c *connContext) Value(key any) any {
	switch key {
	case http.ServerContextKey:
		return c.srv.standIn()
	case http.LocalAddrContextKey:
		return c.local
	case serverContextKey{}:
		return c.srv
	}
	return c.Context.Value(key)
}

// ServerFromContext returns the Server of a request's context, nil if there is none.
func ServerFromContext(ctx context.Context) *Server {
	s, _ := ctx.Value(serverContextKey{}).(*Server)
	return s
}

// requestContext is the context of a request. It is cancelled when the client has
// gone or wants no answer any more, and when the handler has returned. Most handlers never
// ask, so it has no channel before somebody asks for it, and costs nothing but its
// memory. Contexts made of it attach by AfterFunc and need no goroutine.
type requestContext struct {
	parent context.Context

	mu       sync.Mutex
	err      error
	done     chan struct{}
	funcs    map[*func()]struct{}
	attached bool        // to parent
	detach   func() bool // from parent
}

var _ context.Context = (*requestContext)(nil)

func (c *requestContext) Deadline() (time.Time, bool) { return c.parent.Deadline() }

func (c *requestContext) Value(key any) any { return c.parent.Value(key) }

func (c *requestContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	return c.parent.Err()
}

// closedChan is the Done of contexts that were cancelled before anybody asked.
var closedChan = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		if c.err != nil {
			c.done = closedChan
		} else {
			c.done = make(chan struct{})
			c.attach()
		}
	}
	return c.done
}

// AfterFunc is what package context looks for: f runs on a goroutine of its own when c is cancelled.
func (c *requestContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	c.attach()
	if c.funcs == nil {
		c.funcs = make(map[*func()]struct{})
	}
	key := &f
	c.funcs[key] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, there := c.funcs[key]
		delete(c.funcs, key)
		return there
	}
}

// attach has c cancelled with its parent, if that can be. It is called with mu held.
func (c *requestContext) attach() {
	if c.attached || c.parent.Done() == nil {
		return
	}
	c.attached = true
	c.detach = context.AfterFunc(c.parent, func() { c.cancel(c.parent.Err()) })
}

// cancel cancels c, unless it is cancelled. It does not block.
func (c *requestContext) cancel(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	for f := range c.funcs {
		go (*f)()
	}
	c.funcs = nil
	if c.detach != nil {
		c.detach()
		c.detach = nil
	}
}
