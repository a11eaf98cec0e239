//go:build unix

package http3

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// benchServer is a server and a client in one process.
func benchServer(b *testing.B, h http.HandlerFunc) (*Transport, string) {
	srv := &Server{Addr: "127.0.0.1:0", Handler: h, TLSConfig: &tls.Config{Certificates: []tls.Certificate{testCert}}}
	l, err := srv.Listen()
	if err != nil {
		b.Fatal(err)
	}
	go srv.Serve(l)
	tr := &Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}, DisableCompression: true}
	b.Cleanup(func() {
		tr.Close()
		srv.Close()
	})
	return tr, "https://" + l.Addr().String()
}

// BenchmarkRequests has a KiB fetched, by several clients at once on one
// connection. Time, CPU and allocations are of client and server together.
func BenchmarkRequests(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 1024)
	for _, at := range []int{1, 10, 100} {
		b.Run(strconv.Itoa(at), func(b *testing.B) {
			tr, url := benchServer(b, func(w http.ResponseWriter, r *http.Request) { w.Write(body) })
			fetch := func() {
				req, err := http.NewRequest("GET", url+"/", nil)
				if err != nil {
					b.Error(err)
					return
				}
				resp, err := tr.RoundTrip(req)
				if err != nil {
					b.Error(err)
					return
				}
				if n, err := io.Copy(io.Discard, resp.Body); n != 1024 || err != nil {
					b.Error(n, err)
				}
				resp.Body.Close()
			}
			fetch()
			todo := make(chan struct{}, at)
			var wg sync.WaitGroup
			for range at {
				wg.Go(func() {
					for range todo {
						fetch()
					}
				})
			}
			b.ReportAllocs()
			runtime.GC()
			cpu := cpuTime()
			b.ResetTimer()
			for b.Loop() {
				todo <- struct{}{}
			}
			close(todo)
			wg.Wait()
			b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "cpu-ns/op")
		})
	}
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkBulk moves a body of 64 MiB.
func BenchmarkBulk(b *testing.B) {
	const n = 64 << 20
	chunk := make([]byte, 64<<10)
	tr, url := benchServer(b, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			io.Copy(io.Discard, r.Body)
			return
		}
		for range n / len(chunk) {
			w.Write(chunk)
		}
	})
	for _, method := range []string{"GET", "POST"} {
		b.Run(method, func(b *testing.B) {
			b.SetBytes(n)
			b.ReportAllocs()
			for b.Loop() {
				var body io.Reader
				if method == "POST" {
					body = io.LimitReader(zeros{}, n)
				}
				req, err := http.NewRequest(method, url+"/", body)
				if err != nil {
					b.Fatal(err)
				}
				resp, err := tr.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				m, err := io.Copy(io.Discard, resp.Body)
				if err != nil || method == "GET" && m != n {
					b.Fatal(m, err)
				}
				resp.Body.Close()
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
