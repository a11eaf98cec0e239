package main

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/h3driver"
	"github.com/frittata-go/frittata/http3"
)

// inlineStack is frittata without net/http at the server: a function answers on
// the connection's strand, with no goroutine. The client is that of frittata.
var inlineStack = &stack{
	serveGets: inlineServeGets,
	dialHTTP:  frittataDialHTTP,
}

// inlineServer answers GET /N with N bytes, for N of at most chunk.
type inlineServer struct {
	l *frittata.Listener
	errorLog
	date atomic.Pointer[dateField]
}

// dateField is the Date of the answers of one second.
type dateField struct {
	second int64
	value  string
}

func inlineServeGets(s *spec) (server, error) {
	l, err := frittataListen(s, http3.ALPN)
	if err != nil {
		return nil, err
	}
	srv := &inlineServer{l: l}
	cfg := &h3driver.Config{Serve: srv.serve}
	go frittataAccept(l, &srv.errorLog, func() frittata.Application { return h3driver.NewServer(cfg) })
	return srv, nil
}

func (s *inlineServer) addr() string { return s.l.Addr().String() }
func (s *inlineServer) close() error { return s.l.Close() }

// serve is called on the strand.
func (s *inlineServer) serve(st *h3driver.Stream) {
	defer st.Release()
	n := -1
	for _, f := range st.Head().Fields {
		if f.Name == ":path" {
			if v, err := strconv.Atoi(strings.TrimPrefix(f.Value, "/")); err == nil && v <= chunk {
				n = v
			}
		}
	}
	if n < 0 {
		st.SendHeaders([]h3.Field{{Name: ":status", Value: "400"}}, true)
		st.Finish(nil)
		return
	}
	// What net/http's servers say as well.
	st.SendHeaders([]h3.Field{
		{Name: ":status", Value: "200"},
		{Name: "content-type", Value: "application/octet-stream"},
		{Name: "content-length", Value: strconv.Itoa(n)},
		{Name: "date", Value: s.now()},
	}, false)
	b := h3driver.Buffers().Get(n)
	b.B = append(b.B[:0], payloadChunk[:n]...)
	st.Finish(b)
}

// now returns the value of Date.
func (s *inlineServer) now() string {
	now := time.Now()
	d := s.date.Load()
	if d == nil || d.second != now.Unix() {
		d = &dateField{now.Unix(), now.UTC().Format(http.TimeFormat)}
		s.date.Store(d)
	}
	return d.value
}
