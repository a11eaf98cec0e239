package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// serveHTTPBytes serves what the HTTP workloads ask for: GET /N answers N
// bytes, and POST answers how many bytes the body had.
func serveHTTPBytes(s *spec) (server, error) {
	return stacks[s.Peer].serveHTTP(s, http.HandlerFunc(handleBytes))
}

// serveGets serves GETs alone.
func serveGets(s *spec) (server, error) {
	if serve := stacks[s.Peer].serveGets; serve != nil {
		return serve(s)
	}
	return serveHTTPBytes(s)
}

func handleBytes(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		n, err := count(r.Body, make([]byte, chunk))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		io.WriteString(w, strconv.FormatInt(n, 10))
		return
	}
	n, err := strconv.ParseInt(strings.TrimPrefix(r.URL.Path, "/"), 10, 64)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	writeN(w, n)
}

// httpGet gets n bytes by way of buf.
func httpGet(ctx context.Context, c http.RoundTripper, addr string, n int64, buf []byte) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+addr+"/"+strconv.FormatInt(n, 10), nil)
	if err != nil {
		return 0, err
	}
	resp, err := c.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %s", resp.Status)
	}
	got, err := count(resp.Body, buf)
	if err == nil && got != n {
		err = fmt.Errorf("%d bytes came of %d", got, n)
	}
	return got, err
}

// zeros is a body of n bytes.
type zeros struct{ n int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := copy(p, payloadChunk[:min(z.n, chunk)])
	z.n -= int64(n)
	return n, nil
}

// httpPost posts n bytes and returns how many the server counted.
func httpPost(ctx context.Context, c http.RoundTripper, addr string, n int64) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+addr+"/sink", io.NopCloser(&zeros{n}))
	if err != nil {
		return 0, err
	}
	req.ContentLength = n
	resp, err := c.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %s: %s", resp.Status, answer)
	}
	return strconv.ParseInt(string(answer), 10, 64)
}

// httpBulkTask moves a number of bytes in one request: W2, GET or POST.
type httpBulkTask struct {
	s *spec
	c httpClient
}

func dialHTTPBulk(s *spec) (task, error) {
	c, err := stacks[s.Peer].dialHTTP(s)
	return &httpBulkTask{s, c}, err
}

func (t *httpBulkTask) warm(ctx context.Context) error {
	_, err := httpGet(ctx, t.c, t.s.Addr, 1, make([]byte, 1))
	return err
}

func (t *httpBulkTask) run(ctx context.Context) (r result, err error) {
	begin := time.Now()
	if t.s.Upload {
		r.Bytes, err = httpPost(ctx, t.c, t.s.Addr, t.s.Bytes)
	} else {
		r.Bytes, err = httpGet(ctx, t.c, t.s.Addr, t.s.Bytes, make([]byte, chunk))
	}
	r.Seconds, r.Ops = time.Since(begin).Seconds(), 1
	return r, err
}

func (t *httpBulkTask) close() error { return t.c.Close() }
