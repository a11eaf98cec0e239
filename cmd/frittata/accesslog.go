package main

import (
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

// accessLog logs a line for each request when it has been answered.
type accessLog struct {
	handler http.Handler
	logger  *slog.Logger
	active  atomic.Int64 // requests under way
}

func (a *accessLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.active.Add(1)
	begin := time.Now()
	rec := &recorder{ResponseWriter: w}
	done := false
	defer func() {
		attrs := []slog.Attr{
			slog.String("remote", r.RemoteAddr),
			slog.String("method", r.Method),
			slog.String("path", r.URL.RequestURI()),
		}
		aborted := !done || rec.failed || r.Context().Err() != nil
		if rec.status == 0 && !aborted {
			rec.status = http.StatusOK
		}
		if rec.status != 0 {
			attrs = append(attrs, slog.Int("status", rec.status))
		}
		attrs = append(attrs, slog.Int64("bytes", rec.bytes),
			slog.Duration("duration", time.Since(begin).Round(time.Microsecond)))
		if aborted {
			attrs = append(attrs, slog.Bool("aborted", true))
		}
		a.logger.LogAttrs(r.Context(), slog.LevelInfo, "request", attrs...)
		a.active.Add(-1)
	}()
	a.handler.ServeHTTP(rec, r)
	done = true
}

// recorder notes what a handler answers.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
	failed bool // a write did
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && (status < 100 || status >= 200) {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	n, err := r.ResponseWriter.Write(p)
	r.wrote(int64(n), err)
	return n, err
}

// ReadFrom leaves the copying to the ResponseWriter, if it knows how.
func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(r.ResponseWriter, src)
	r.wrote(n, err)
	return n, err
}

func (r *recorder) wrote(n int64, err error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	r.bytes += n
	r.failed = r.failed || err != nil
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
