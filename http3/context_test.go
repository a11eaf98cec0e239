package http3

import (
	"context"
	"errors"
	"testing"
)

func TestRequestContext(t *testing.T) {
	type key struct{}
	parent, cancelParent := context.WithCancel(context.WithValue(context.Background(), key{}, "value"))
	defer cancelParent()
	newContext := func() *requestContext { return &requestContext{parent: parent} }

	c := newContext()
	if c.Err() != nil || c.Value(key{}) != "value" {
		t.Error("a new context")
	}
	select {
	case <-c.Done():
		t.Error("done too early")
	default:
	}
	child, cancel := context.WithCancelCause(c)
	defer cancel(nil)
	called := make(chan struct{})
	context.AfterFunc(c, func() { close(called) })
	stop := context.AfterFunc(c, func() { t.Error("called after stop") })
	if !stop() || stop() {
		t.Error("stop")
	}
	c.cancel(context.Canceled)
	c.cancel(errors.New("another")) // the first one counts
	<-c.Done()
	<-child.Done()
	await(t, called)
	if c.Err() != context.Canceled || child.Err() != context.Canceled {
		t.Error(c.Err(), child.Err())
	}

	// What is asked for afterwards.
	c = newContext()
	c.cancel(context.Canceled)
	<-c.Done()
	called = make(chan struct{})
	if stop := c.AfterFunc(func() { close(called) }); stop() {
		t.Error("stop after the end")
	}
	await(t, called)

	// The parent's end is the context's.
	c, d := newContext(), newContext()
	called = make(chan struct{})
	c.AfterFunc(func() { close(called) })
	cancelParent()
	<-d.Done()
	await(t, called)
	if c.Err() != context.Canceled || d.Err() != context.Canceled {
		t.Error(c.Err(), d.Err())
	}
}

func TestRequestContextCostsNothing(t *testing.T) {
	var c requestContext
	if n := testing.AllocsPerRun(100, func() {
		c = requestContext{parent: context.Background()}
		if c.Err() != nil {
			t.Error(c.Err())
		}
		c.cancel(context.Canceled)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
