package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// The raw protocol: a client opens a stream and sends a request of nine bytes,
// an operation and a number n, big endian. For a download the server answers n
// bytes. For an upload the client goes on with n bytes and ends its half; the
// server counts to the end, and answers how many came, in eight bytes.
const (
	opDownload = 'D'
	opUpload   = 'U'

	requestLen = 9
	answerLen  = 8

	rawALPN = "frittata-bench"
)

// payloadChunk is what all servers send.
var payloadChunk = make([]byte, chunk)

func appendRequest(b []byte, op byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(append(b, op), uint64(n))
}

func parseRequest(b []byte) (op byte, n int64, err error) {
	op, n = b[0], int64(binary.BigEndian.Uint64(b[1:]))
	if op != opDownload && op != opUpload || n < 0 {
		return 0, 0, fmt.Errorf("bad request %q", b)
	}
	return op, n, nil
}

// halfCloser is a stream whose halves end one by one: of quic-go, or of TLS.
type halfCloser interface {
	io.ReadWriter
	CloseWrite() error
}

// serveStream serves one request on a blocking stream.
func serveStream(st halfCloser) error {
	buf := make([]byte, chunk)
	if _, err := io.ReadFull(st, buf[:requestLen]); err != nil {
		return err
	}
	op, n, err := parseRequest(buf[:requestLen])
	if err != nil {
		return err
	}
	if op == opDownload {
		if err := writeN(st, n); err != nil {
			return err
		}
		return st.CloseWrite()
	}
	got, err := count(st, buf)
	if err != nil {
		return err
	}
	if _, err := st.Write(binary.BigEndian.AppendUint64(nil, uint64(got))); err != nil {
		return err
	}
	return st.CloseWrite()
}

// downloadStream is a client's side of a download on a blocking stream.
func downloadStream(st halfCloser, n int64) (int64, error) {
	if _, err := st.Write(appendRequest(nil, opDownload, n)); err != nil {
		return 0, err
	}
	if err := st.CloseWrite(); err != nil {
		return 0, err
	}
	return count(st, make([]byte, chunk))
}

// uploadStream is a client's side of an upload on a blocking stream.
func uploadStream(st halfCloser, n int64) (int64, error) {
	if _, err := st.Write(appendRequest(nil, opUpload, n)); err != nil {
		return 0, err
	}
	if err := writeN(st, n); err != nil {
		return 0, err
	}
	if err := st.CloseWrite(); err != nil {
		return 0, err
	}
	var answer [answerLen]byte
	if _, err := io.ReadFull(st, answer[:]); err != nil {
		return 0, fmt.Errorf("reading the server's count: %w", err)
	}
	return int64(binary.BigEndian.Uint64(answer[:])), nil
}

func writeN(w io.Writer, n int64) error {
	for n > 0 {
		m, err := w.Write(payloadChunk[:min(n, chunk)])
		if err != nil {
			return err
		}
		n -= int64(m)
	}
	return nil
}

// count reads to the end.
func count(r io.Reader, buf []byte) (int64, error) {
	var total int64
	for {
		n, err := r.Read(buf)
		total += int64(n)
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// errorLog keeps the first errors of a server, for the driver to report.
type errorLog struct {
	mu   sync.Mutex
	errs []string
}

func (l *errorLog) add(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errs) < 10 {
		l.errs = append(l.errs, err.Error())
	}
}

func (l *errorLog) errors() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.errs...)
}
