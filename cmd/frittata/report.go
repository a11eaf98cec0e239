package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/http3"
)

// result is what is known of a request: --json prints it.
type result struct {
	URL    string `json:"url"`
	Method string `json:"method"`
	Status int    `json:"status,omitempty"`
	Remote string `json:"remote,omitempty"`
	File   string `json:"file,omitempty"`

	// Bytes of the body that came. Offset of them in the whole, when a download was resumed.
	Bytes  int64 `json:"bytes"`
	Offset int64 `json:"resumed_at,omitempty"`

	// In seconds. Handshake is absent if the connection was there.
	Lookup    float64 `json:"lookup,omitempty"`
	Handshake float64 `json:"handshake,omitempty"`
	TTFB      float64 `json:"ttfb,omitempty"`
	Total     float64 `json:"total"`
	Rate      float64 `json:"rate"` // bytes a second, from the first byte to the last

	Header http.Header `json:"header,omitempty"` // under -v

	Error string   `json:"error,omitempty"`
	Code  exitCode `json:"exit_code"`

	begin, head time.Time
	keepHeader  bool
}

func newResult(o *getOptions, u *url.URL) *result {
	shown := *u
	shown.User = nil // there may be a password in it
	return &result{URL: shown.String(), Method: o.method, begin: time.Now(), keepHeader: o.verbose}
}

func (r *result) gotConn(info http3.ConnInfo) {
	if info.Conn == nil {
		return
	}
	r.Remote = info.Conn.RemoteAddr().String()
	if info.Reused {
		return
	}
	r.Lookup = info.ResolveDone.Sub(info.ResolveStart).Seconds()
	if h, ok := info.Conn.HandshakeInfo(); ok {
		r.Handshake = handshakeTime(info, h).Seconds()
	}
}

// handshakeTime counts from the first packet sent.
func handshakeTime(info http3.ConnInfo, h frittata.HandshakeInfo) time.Duration {
	start := h.Times.Started
	if start.IsZero() {
		start = info.DialStart
	}
	return h.Times.Established.Sub(start)
}

func (r *result) gotHead(resp *http.Response) {
	r.head = time.Now()
	r.Status = resp.StatusCode
	r.TTFB = r.head.Sub(r.begin).Seconds()
	if r.keepHeader {
		r.Header = resp.Header
	}
}

func (r *result) done() {
	now := time.Now()
	r.Total = now.Sub(r.begin).Seconds()
	if d := now.Sub(r.head).Seconds(); !r.head.IsZero() && d > 0 {
		r.Rate = float64(r.Bytes) / d
	}
}

// print writes the result as a line of JSON.
func (r *result) print(w io.Writer, f *failure) {
	if f != nil {
		r.Error, r.Code = f.what, f.code
	}
	printJSON(w, r)
}

func printJSON(w io.Writer, v any) {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // nobody is left to tell
}
