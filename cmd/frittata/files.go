package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"syscall"
	"time"
)

// fileServer is http.FileServer for what is below root, with two differences:
// symbolic links do not lead out of root, and files have an ETag, which tells
// apart what changed within the second that Last-Modified resolves.
type fileServer struct{ root *os.Root }

func (s *fileServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	http.FileServer(&taggedFiles{files: http.FS(s.root.FS()), header: w.Header()}).ServeHTTP(w, r)
}

// taggedFiles is the file system for one request: the ETag of the file that
// was opened last goes to the response.
type taggedFiles struct {
	files  http.FileSystem
	header http.Header
}

func (t *taggedFiles) Open(name string) (http.File, error) {
	f, err := t.files.Open(name)
	if err != nil {
		var errno syscall.Errno
		if !errors.As(err, &errno) && !errors.Is(err, fs.ErrNotExist) {
			// The system did not say no, os.Root did: the path leads out of it.
			return nil, fs.ErrPermission
		}
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		t.header.Set("ETag", etag(info, time.Now()))
	}
	return f, nil
}

// modTick is more than a file system's clock takes for a step. What was written
// so recently may be written again without a change of the time.
const modTick = 2 * time.Second

// etag is strong (RFC 9110, Section 8.8.1) if the file is sure to get another
// one when it changes.
func etag(info fs.FileInfo, now time.Time) string {
	weak := ""
	if now.Sub(info.ModTime()) < modTick {
		weak = "W/"
	}
	return fmt.Sprintf(`%s"%x-%x"`, weak, info.ModTime().UnixNano(), info.Size())
}
