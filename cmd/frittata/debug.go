package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// debugPrefix is where the debug endpoints are.
const debugPrefix = "/.frittata/"

// debugEndpoints are for tests and measurements:
//
//	/.frittata/bytes/N   N bytes, the same ones each time, with ranges
//	/.frittata/echo      sends the body back while it comes
//	/.frittata/sink      reads the body and answers its length in decimal
func debugEndpoints() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+debugPrefix+"bytes/{n}", serveBytes)
	mux.HandleFunc(debugPrefix+"echo", serveEcho)
	mux.HandleFunc(debugPrefix+"sink", serveSink)
	mux.HandleFunc(debugPrefix, func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "There are "+debugPrefix+"bytes/N, "+debugPrefix+"echo and "+debugPrefix+"sink.", http.StatusNotFound)
	})
	return mux
}

func serveBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	if err != nil || n < 0 {
		http.Error(w, debugPrefix+"bytes/N wants a number of bytes in decimal.", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", fmt.Sprintf(`"bytes-%d"`, n))
	http.ServeContent(w, r, "", time.Time{}, &synthetic{size: n})
}

// synthetic is size bytes that look random but depend on their position alone.
type synthetic struct{ size, at int64 }

func (s *synthetic) Read(p []byte) (int, error) {
	if s.at >= s.size {
		return 0, io.EOF
	}
	if left := s.size - s.at; int64(len(p)) > left {
		p = p[:left]
	}
	n := 0
	var b [8]byte
	if skip := int(s.at % 8); skip != 0 {
		binary.LittleEndian.PutUint64(b[:], word(uint64(s.at/8)))
		n = copy(p, b[skip:])
	}
	w := uint64(s.at+int64(n)) / 8
	for ; len(p)-n >= 8; n += 8 {
		binary.LittleEndian.PutUint64(p[n:], word(w))
		w++
	}
	if n < len(p) {
		binary.LittleEndian.PutUint64(b[:], word(w))
		n += copy(p[n:], b[:])
	}
	s.at += int64(n)
	return n, nil
}

// word is the i-th number of the generator SplitMix64, which needs none of those before.
func word(i uint64) uint64 {
	x := (i + 1) * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (s *synthetic) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	s.at = offset
	return offset, nil
}

func serveEcho(w http.ResponseWriter, r *http.Request) {
	if t := r.Header.Get("Content-Type"); t != "" {
		w.Header().Set("Content-Type", t)
	} else {
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	if r.ContentLength >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	control := http.NewResponseController(w)
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return // the client has gone
			}
			if err := control.Flush(); err != nil {
				return
			}
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler) // what was echoed is not all
		}
	}
}

func serveSink(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "%d\n", n)
}
