package main

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
)

func newFileServer(t *testing.T, dir string) *fileServer {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return &fileServer{root}
}

func TestFileServer(t *testing.T) {
	leak.Check(t)
	dir := t.TempDir()
	data := writeFile(t, filepath.Join(dir, "file"), 1000)
	if err := os.MkdirAll(filepath.Join(dir, "site"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "site", "index.html"), 10)
	secret := filepath.Join(t.TempDir(), "secret")
	writeFile(t, secret, 10)
	s := newFileServer(t, dir)

	get := func(path string, header ...string) *httptest.ResponseRecorder {
		req := httptest.NewRequest("GET", path, nil)
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, req)
		return rec
	}
	r := get("/file")
	tag := r.Header().Get("ETag")
	if r.Code != 200 || r.Body.String() != string(data) || !strings.HasPrefix(tag, `"`) || r.Header().Get("Last-Modified") == "" {
		t.Errorf("a file: %d, %d bytes, %v", r.Code, r.Body.Len(), r.Header())
	}
	if r := get("/file", "Range", "bytes=990-", "If-Range", tag); r.Code != 206 || r.Body.String() != string(data[990:]) {
		t.Errorf("a range: %d, %d bytes", r.Code, r.Body.Len())
	}
	if r := get("/file", "Range", "bytes=990-", "If-Range", `"other"`); r.Code != 200 || r.Body.Len() != 1000 {
		t.Errorf("a range of what has changed: %d, %d bytes", r.Code, r.Body.Len())
	}
	if r := get("/file", "If-None-Match", tag); r.Code != 304 {
		t.Errorf("what the client has: %d", r.Code)
	}
	if r := get("/"); r.Code != 200 || !strings.Contains(r.Body.String(), `<a href="file">`) || r.Header().Get("ETag") != "" {
		t.Errorf("a directory: %d, %q, %v", r.Code, r.Body, r.Header())
	}
	if r := get("/site/"); r.Code != 200 || r.Body.Len() != 10 || r.Header().Get("ETag") == "" {
		t.Errorf("index.html: %d, %q", r.Code, r.Body)
	}
	if r := get("/nothing"); r.Code != 404 || r.Header().Get("ETag") != "" {
		t.Errorf("nothing: %d, %v", r.Code, r.Header())
	}
	for _, path := range []string{"/../secret", "/..%2fsecret", "/site/../../secret", `/..\secret`} {
		req := httptest.NewRequest("GET", "/", nil)
		req.URL.Path, _ = strings.CutPrefix(strings.ReplaceAll(path, "%2f", "/"), "")
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, req)
		if rec.Code < 300 {
			t.Errorf("%s: status %d", path, rec.Code)
		}
	}
	if runtime.GOOS == "windows" {
		return // where not everybody may make links
	}
	if err := os.Symlink("file", filepath.Join(dir, "inside")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "outside")); err != nil {
		t.Fatal(err)
	}
	if r := get("/inside"); r.Code != 200 || r.Body.String() != string(data) {
		t.Errorf("a link within the root: %d", r.Code)
	}
	if r := get("/outside"); r.Code != http.StatusForbidden || r.Header().Get("ETag") != "" {
		t.Errorf("a link out of the root: %d, %v", r.Code, r.Header())
	}
}

type fakeInfo struct {
	fs.FileInfo
	size int64
	mod  time.Time
}

func (i fakeInfo) Size() int64        { return i.size }
func (i fakeInfo) ModTime() time.Time { return i.mod }

func TestETag(t *testing.T) {
	now := time.Now()
	a := etag(fakeInfo{size: 1, mod: now.Add(-time.Hour)}, now)
	for name, b := range map[string]string{
		"another size":       etag(fakeInfo{size: 2, mod: now.Add(-time.Hour)}, now),
		"a nanosecond later": etag(fakeInfo{size: 1, mod: now.Add(-time.Hour + 1)}, now),
	} {
		if a == b || !strings.HasPrefix(b, `"`) {
			t.Errorf("%s: %s and %s", name, a, b)
		}
	}
	if got := etag(fakeInfo{size: 1, mod: now.Add(-time.Second)}, now); !strings.HasPrefix(got, `W/"`) {
		t.Errorf("a file that may change again unseen has the strong ETag %s", got)
	}
}
