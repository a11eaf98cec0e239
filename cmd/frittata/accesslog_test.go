package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// readerFromRecorder notes how it was written to.
type readerFromRecorder struct {
	*httptest.ResponseRecorder
	readFrom bool
}

func (r *readerFromRecorder) ReadFrom(src io.Reader) (int64, error) {
	r.readFrom = true
	return io.Copy(r.ResponseRecorder, src)
}

func logged(t *testing.T, ctx context.Context, h http.HandlerFunc) (line string, w *readerFromRecorder, recovered any) {
	t.Helper()
	var b bytes.Buffer
	a := &accessLog{handler: h, logger: slog.New(slog.NewTextHandler(&b, nil))}
	req := httptest.NewRequest("GET", "/a%0Ab?q=1", nil).WithContext(ctx)
	req.RemoteAddr = "192.0.2.1:1234"
	w = &readerFromRecorder{ResponseRecorder: httptest.NewRecorder()}
	func() {
		defer func() { recovered = recover() }()
		a.ServeHTTP(w, req)
	}()
	if n := a.active.Load(); n != 0 {
		t.Errorf("%d requests under way after the last", n)
	}
	if n := strings.Count(b.String(), "\n"); n != 1 {
		t.Errorf("%d lines: %q", n, b.String())
	}
	return b.String(), w, recovered
}

func TestAccessLog(t *testing.T) {
	ctx := t.Context()
	for _, tt := range []struct {
		name  string
		h     http.HandlerFunc
		texts []string
	}{
		{"nothing", func(http.ResponseWriter, *http.Request) {}, []string{"status=200", "bytes=0"}},
		{"writes", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "abc")
			_, _ = w.Write([]byte("de"))
		}, []string{"remote=192.0.2.1:1234", "method=GET", `path="/a%0Ab?q=1"`, "status=200", "bytes=5", "duration="}},
		{"status", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(418)
			w.WriteHeader(500)
		}, []string{"status=418"}},
		{"flush", func(w http.ResponseWriter, _ *http.Request) {
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
		}, []string{"status=200"}},
	} {
		line, _, _ := logged(t, ctx, tt.h)
		for _, text := range tt.texts {
			if !strings.Contains(line, text) {
				t.Errorf("%s: no %s in %s", tt.name, text, line)
			}
		}
		if strings.Contains(line, "aborted") {
			t.Errorf("%s: aborted: %s", tt.name, line)
		}
	}
	line, w, _ := logged(t, ctx, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, io.LimitReader(&synthetic{size: 100}, 100))
	})
	if !w.readFrom || w.Body.Len() != 100 || !strings.Contains(line, "bytes=100") {
		t.Errorf("ReadFrom: %v, %s", w.readFrom, line)
	}
	line, _, v := logged(t, ctx, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if v != http.ErrAbortHandler || !strings.Contains(line, "aborted=true") || strings.Contains(line, "status=") {
		t.Errorf("a panic: %v, %s", v, line)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if line, _, _ := logged(t, gone, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) }); !strings.Contains(line, "aborted=true") {
		t.Errorf("the client has gone: %s", line)
	}
}
