package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A download of FILE lives in FILE.part, and what it is of in FILE.part.json. The
// process may be killed at any time: at each moment what is in the one is a
// beginning of what the other describes. So the description is written anew only while
// FILE.part is empty, and FILE.part grows only at its end.
//
// To resume is to ask for the rest under the condition that it is still the
// same thing (If-Range, RFC 9110, Section 13.1.5). The request overlaps what is there, and what
// comes is compared with that, so that a file that a crash of the system has
// spoiled at its end is found out.

// overlap is how many bytes are asked for once more.
const overlap = 64 << 10

// description is what FILE.part.json holds.
type description struct {
	URL          string `json:"url"`
	ETag         string `json:"etag,omitempty"`          // strong
	LastModified string `json:"last_modified,omitempty"` // strong
	Size         int64  `json:"size"`                    // of the whole; -1: not known
}

// validator returns what If-Range is told, empty if a download cannot be resumed.
func (s *description) validator() string {
	if s.ETag != "" {
		return s.ETag
	}
	return s.LastModified
}

// describe returns what a response is of.
func describe(url string, h http.Header, size int64) description {
	s := description{URL: url, Size: size}
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		s.ETag = tag
	}
	// A date is strong if the file cannot have changed again within the same second
	// (RFC 9110, Section 8.8.2.2).
	modified, err1 := http.ParseTime(h.Get("Last-Modified"))
	date, err2 := http.ParseTime(h.Get("Date"))
	if err1 == nil && err2 == nil && date.Sub(modified) >= time.Second {
		s.LastModified = h.Get("Last-Modified")
	}
	return s
}

// download is a file that is being downloaded.
type download struct {
	path, part, sidecar string
	url                 string
	resumable           bool // the request is one that can be resumed
	file                *os.File
	is                  description // of what is in file
	offset              int64       // where the first byte that is new goes; 0: everything is
	check               int64       // bytes before offset that are asked for once more
	note                string      // for the user
}

// startOverError: what is there of a file is of no use.
type startOverError struct{ why string }

func (e *startOverError) Error() string { return e.why }

// openDownload finds out what there is of path already.
func openDownload(path, url string, resumable bool) (*download, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // the link stays, what it leads to is replaced
	}
	d := &download{path: path, part: path + ".part", sidecar: path + ".part.json", url: url, resumable: resumable}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return nil, &failure{code: exitFile, what: path + " is a directory", try: "-o names a file: -o " + shellQuote(filepath.Join(path, "NAME"))}
	case err == nil && !info.Mode().IsRegular():
		// A device or a pipe: there is no other name to collect it under.
		d.part, d.sidecar, d.resumable = path, "", false
		d.file, err = os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return nil, fileError(err, "")
		}
		return d, nil
	}
	d.file, err = os.OpenFile(d.part, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		try := ""
		if errors.Is(err, os.ErrNotExist) {
			try = "Does the directory exist?"
		}
		return nil, fileError(err, try)
	}
	if err := d.look(); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// direct tells that what comes is written to a device, without FILE.part.
func (d *download) direct() bool { return d.sidecar == "" }

// canResume tells whether another run could go on.
func (d *download) canResume() bool { return d.resumable && d.is.validator() != "" }

// look decides where to go on.
func (d *download) look() error {
	if err := lockFile(d.file); err != nil {
		return &failure{code: exitFile, what: d.part + " is in use: another download of this file is under way", err: err,
			try: "Wait for it, or name another file by -o."}
	}
	info, err := d.file.Stat()
	if err != nil {
		return fileError(err, "")
	}
	if !info.Mode().IsRegular() {
		return &failure{code: exitFile, what: d.part + " is no regular file", try: "Remove it, or name another file by -o."}
	}
	have := info.Size()
	if have == 0 {
		return nil
	}
	b, err := os.ReadFile(d.sidecar)
	if err == nil {
		err = json.Unmarshal(b, &d.is)
	}
	switch {
	case !d.resumable:
		d.note = "a request like this cannot be resumed: starting over"
	case err != nil:
		d.note = d.part + " is there, but not what it is of: starting over"
	case d.is.URL != d.url:
		d.note = d.part + " is of another URL: starting over"
	case d.is.validator() == "":
		d.note = d.part + " cannot be resumed, as the server gave no ETag and no Last-Modified that is old enough: starting over"
	case d.is.Size >= 0 && have > d.is.Size:
		d.note = d.part + " is longer than the file can be: starting over"
	default:
		d.offset = have
		d.check = min(have, overlap)
		return nil
	}
	return d.startOver()
}

// startOver forgets what is there.
func (d *download) startOver() error {
	d.offset, d.check = 0, 0
	if err := d.file.Truncate(0); err != nil {
		return fileError(err, "")
	}
	_, err := d.file.Seek(0, io.SeekStart)
	if err != nil {
		return fileError(err, "")
	}
	return nil
}

// rangeHeader asks for the rest.
func (d *download) rangeHeader() http.Header {
	if d.offset == 0 {
		return nil
	}
	return http.Header{
		"Range":    {fmt.Sprintf("bytes=%d-", d.offset-d.check)},
		"If-Range": {d.is.validator()},
	}
}

// begin looks at the head of the response and returns where its body goes.
func (d *download) begin(resp *http.Response) (io.Writer, error) {
	if d.offset > 0 {
		switch resp.StatusCode {
		case http.StatusPartialContent:
			return d.resume(resp)
		case http.StatusRequestedRangeNotSatisfiable:
			return nil, &startOverError{"the file at the server has another length now"}
		}
	}
	if resp.StatusCode < 200 || resp.StatusCode >= 300 ||
		resp.StatusCode == http.StatusPartialContent && d.resumable {
		return nil, refused(resp)
	}
	if d.direct() {
		return d.file, nil
	}
	if d.offset > 0 {
		// The whole is on its way, be it that it has changed or that there are no ranges.
		d.note = "the file at the server has changed, or it ignores ranges: starting over"
	}
	if err := d.startOver(); err != nil {
		return nil, err
	}
	d.is = describe(d.url, resp.Header, resp.ContentLength)
	if err := d.writeDescription(); err != nil {
		return nil, err
	}
	return d.file, nil
}

// resume checks that a part is the part that is missing.
func (d *download) resume(resp *http.Response) (io.Writer, error) {
	first, size, ok := parseContentRange(resp.Header.Get("Content-Range"))
	now := describe(d.url, resp.Header, size)
	switch {
	case !ok || first != d.offset-d.check:
		return nil, &startOverError{"the server sends another part than what was asked for"}
	case d.is.Size >= 0 && size >= 0 && size != d.is.Size,
		d.is.ETag != "" && now.ETag != "" && now.ETag != d.is.ETag:
		return nil, &startOverError{"the file at the server has changed"}
	}
	if _, err := d.file.Seek(d.offset-d.check, io.SeekStart); err != nil {
		return nil, fileError(err, "")
	}
	return &checkedWriter{d: d, left: d.check}, nil
}

// parseContentRange reads "bytes 5-9/10" (RFC 9110, Section 14.4). size is -1 for "*".
func parseContentRange(s string) (first, size int64, ok bool) {
	s, ok = strings.CutPrefix(s, "bytes ")
	span, total, ok2 := strings.Cut(s, "/")
	from, to, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, false
	}
	a, err1 := strconv.ParseUint(from, 10, 63)
	b, err2 := strconv.ParseUint(to, 10, 63)
	size = -1
	if total != "*" {
		n, err := strconv.ParseUint(total, 10, 63)
		if err != nil || b >= n {
			return 0, 0, false
		}
		size = int64(n)
	}
	return int64(a), size, err1 == nil && err2 == nil && a <= b
}

// checkedWriter compares the first bytes with those that are there, and appends the others.
type checkedWriter struct {
	d    *download
	left int64 // to compare
}

func (w *checkedWriter) Write(p []byte) (int, error) {
	n := int(min(w.left, int64(len(p))))
	if n > 0 {
		there := make([]byte, n)
		if _, err := io.ReadFull(w.d.file, there); err != nil {
			return 0, fileError(err, "")
		}
		if !bytes.Equal(there, p[:n]) {
			return 0, &startOverError{w.d.part + " is not what the server has"}
		}
		w.left -= int64(n)
	}
	m, err := w.d.file.Write(p[n:])
	return n + m, err
}

// writeDescription replaces FILE.part.json at once, so that it is never half written.
func (d *download) writeDescription() error {
	b, err := json.Marshal(&d.is)
	if err != nil {
		panic("BUG: " + err.Error()) // strings and a number
	}
	tmp := d.sidecar + ".new"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil { // a URL may have a secret in it
		return fileError(err, "")
	}
	if err := os.Rename(tmp, d.sidecar); err != nil {
		return fileError(err, "")
	}
	return nil
}

// finish gives the complete file its name.
func (d *download) finish() error {
	if d.direct() {
		err := d.file.Close()
		d.file = nil
		if err != nil {
			return fileError(err, "")
		}
		return nil
	}
	if info, err := d.file.Stat(); err != nil {
		return fileError(err, "")
	} else if d.is.Size >= 0 && info.Size() != d.is.Size {
		return &incompleteError{have: info.Size(), want: d.is.Size, cause: io.ErrUnexpectedEOF}
	}
	err := d.file.Sync()
	if cerr := d.file.Close(); err == nil {
		err = cerr
	}
	d.file = nil
	if err == nil {
		err = os.Rename(d.part, d.path)
	}
	if err == nil {
		err = os.Remove(d.sidecar)
	}
	if err != nil {
		return fileError(err, "")
	}
	return nil
}

// close leaves what there is for another run, if it is of use.
func (d *download) close() {
	if d.file == nil {
		return
	}
	info, err := d.file.Stat()
	_ = d.file.Close() // what is missing is seen by its size
	if err == nil && info.Size() == 0 && !d.direct() {
		_ = os.Remove(d.part)
		_ = os.Remove(d.sidecar)
	}
}
