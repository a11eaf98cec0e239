package frittata

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
)

// panicked counts and logs a panic of code that is the user's, and makes an error of it.
// args say more, as those of slog do.
func (t *Transport) panicked(v any, args ...any) error {
	t.stats.panics.Add(1)
	t.logger().Error("panic in a callback", append(args, "panic", v, "stack", string(debug.Stack()))...)
	if err, ok := v.(error); ok {
		return fmt.Errorf("%w: %w", ErrPanic, err)
	}
	return fmt.Errorf("%w: %v", ErrPanic, v)
}

// exited counts and logs that code of the user's has ended its goroutine, and makes an error of it. args are
// those of panicked.
func (t *Transport) exited(args ...any) error {
	t.stats.panics.Add(1)
	t.logger().Error("runtime.Goexit in a callback", append(args, "stack", string(debug.Stack()))...)
	return ErrGoexit
}

// guardUsers wraps what else is the user's in the configuration: a panic is counted, and that is all.
func (t *Transport) guardUsers() {
	if m := t.cfg.Metrics; m != nil {
		t.cfg.Metrics = &guardedMetrics{t, m}
	}
	if l := t.cfg.Logger; l != nil {
		t.cfg.Logger = slog.New(&guardedHandler{t, l.Handler()})
	}
}

// guardedMetrics is a Metrics that does not panic.
type guardedMetrics struct {
	t *Transport
	m Metrics
}

// recovered is deferred.
func (g *guardedMetrics) recovered() {
	if v := recover(); v != nil {
		_ = g.t.panicked(v, "callback", "Metrics") // which logs it
	}
}

func (g *guardedMetrics) TransportOpened(t *Transport) {
	defer g.recovered()
	g.m.TransportOpened(t)
}

func (g *guardedMetrics) TransportClosed(t *Transport) {
	defer g.recovered()
	g.m.TransportClosed(t)
}

func (g *guardedMetrics) ConnEstablished(info *HandshakeInfo) {
	defer g.recovered()
	g.m.ConnEstablished(info)
}

func (g *guardedMetrics) ConnClosed(r *ConnRecord) {
	defer g.recovered()
	g.m.ConnClosed(r)
}

func (g *guardedMetrics) FirstFlight(remote netip.AddrPort, o FlightOutcome) {
	defer g.recovered()
	g.m.FirstFlight(remote, o)
}

// guardedHandler is a slog.Handler that does not panic.
type guardedHandler struct {
	t *Transport
	h slog.Handler
}

// recovered is deferred. There is nobody to tell.
func (g *guardedHandler) recovered() {
	if recover() != nil {
		g.t.stats.panics.Add(1)
	}
}

func (g *guardedHandler) Enabled(ctx context.Context, l slog.Level) (enabled bool) {
	defer g.recovered()
	return g.h.Enabled(ctx, l)
}

func (g *guardedHandler) Handle(ctx context.Context, r slog.Record) error {
	defer g.recovered()
	return g.h.Handle(ctx, r)
}

func (g *guardedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &guardedHandler{g.t, g.h.WithAttrs(attrs)}
}

func (g *guardedHandler) WithGroup(name string) slog.Handler {
	return &guardedHandler{g.t, g.h.WithGroup(name)}
}
