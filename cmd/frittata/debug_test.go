package main

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/frittata-go/frittata/internal/leak"
)

func TestSynthetic(t *testing.T) {
	const n = 10_000
	want, err := io.ReadAll(&synthetic{size: n})
	if err != nil || len(want) != n {
		t.Fatalf("%d bytes, %v", len(want), err)
	}
	if err := iotest.TestReader(&synthetic{size: n}, want); err != nil {
		t.Error(err)
	}
	// Wherever one begins, the bytes are the same.
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		at, size := rng.Int64N(n), rng.IntN(100)
		s := &synthetic{size: n, at: at}
		got := make([]byte, size)
		k, err := io.ReadFull(s, got)
		if !bytes.Equal(got[:k], want[at:at+int64(k)]) || k < size && at+int64(k) != n {
			t.Fatalf("%d bytes at %d: others than from the beginning (%v)", size, at, err)
		}
	}
	s := &synthetic{size: n}
	if _, err := s.Seek(-1, io.SeekStart); err == nil {
		t.Error("seek before the beginning")
	}
	if at, err := s.Seek(5, io.SeekEnd); at != n+5 || err != nil {
		t.Errorf("seek beyond the end: %d, %v", at, err)
	}
	if k, err := s.Read(make([]byte, 1)); k != 0 || err != io.EOF {
		t.Errorf("read beyond the end: %d, %v", k, err)
	}
	// Bytes of different places differ.
	if bytes.Equal(want[:4096], want[4096:8192]) {
		t.Error("the bytes repeat")
	}
}

func debugRequest(t *testing.T, method, path, body string, header ...string) *http.Response {
	t.Helper()
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	debugEndpoints().ServeHTTP(rec, req)
	return rec.Result()
}

func TestDebugBytes(t *testing.T) {
	resp := debugRequest(t, "GET", "/.frittata/bytes/1000000", "")
	got, _ := io.ReadAll(resp.Body)
	want, _ := io.ReadAll(&synthetic{size: 1_000_000})
	if !bytes.Equal(got, want) || resp.Header.Get("Content-Length") != "1000000" || resp.Header.Get("ETag") != `"bytes-1000000"` {
		t.Errorf("%d bytes, %v", len(got), resp.Header)
	}
	// The end of a TiB costs no more than the beginning.
	resp = debugRequest(t, "GET", "/.frittata/bytes/1099511627776", "", "Range", "bytes=1099511627770-")
	got, _ = io.ReadAll(resp.Body)
	tail := &synthetic{size: 1 << 40, at: 1<<40 - 6}
	want, _ = io.ReadAll(tail)
	if resp.StatusCode != 206 || !bytes.Equal(got, want) || resp.Header.Get("Content-Range") != "bytes 1099511627770-1099511627775/1099511627776" {
		t.Errorf("the end of a TiB: %d, %x, %v", resp.StatusCode, got, resp.Header)
	}
	for path, status := range map[string]int{
		"bytes/0": 200, "bytes/-1": 400, "bytes/x": 400, "bytes/9223372036854775808": 400, "bytes/": 404, "bytes": 404, "nothing": 404, "": 404,
	} {
		if resp := debugRequest(t, "GET", debugPrefix+path, ""); resp.StatusCode != status {
			t.Errorf("%q: status %d, want %d", path, resp.StatusCode, status)
		}
	}
	if resp := debugRequest(t, "HEAD", "/.frittata/bytes/1099511627776", ""); resp.Header.Get("Content-Length") != "1099511627776" {
		t.Errorf("HEAD: %v", resp.Header)
	}
}

func TestDebugEchoAndSink(t *testing.T) {
	resp := debugRequest(t, "POST", "/.frittata/echo", "hello", "Content-Type", "text/x-test")
	if got, _ := io.ReadAll(resp.Body); string(got) != "hello" || resp.Header.Get("Content-Type") != "text/x-test" || resp.Header.Get("Content-Length") != "5" {
		t.Errorf("echo: %q, %v", got, resp.Header)
	}
	resp = debugRequest(t, "PUT", "/.frittata/sink", strings.Repeat("x", 123_456))
	if got, _ := io.ReadAll(resp.Body); string(got) != "123456\n" {
		t.Errorf("sink: %q", got)
	}
}

// What breaks off must not look complete.
func TestDebugBodyBreaksOff(t *testing.T) {
	leak.Check(t)
	for _, path := range []string{"echo", "sink"} {
		req := httptest.NewRequest("POST", debugPrefix+path, io.MultiReader(strings.NewReader("hel"), iotest.ErrReader(errBroken)))
		func() {
			defer func() {
				if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
					t.Errorf("%s goes on after its body has broken off", path)
				}
			}()
			debugEndpoints().ServeHTTP(httptest.NewRecorder(), req)
		}()
	}
}

func BenchmarkSynthetic(b *testing.B) {
	s := &synthetic{size: 1 << 62}
	buf := make([]byte, 32<<10)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		if _, err := s.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}
