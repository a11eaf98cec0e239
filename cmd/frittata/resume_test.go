package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
)

// content serves data, which a test may change.
type content struct {
	data     []byte
	etag     string
	modified time.Time
	noRanges bool
}

func (c *content) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.etag != "" {
		w.Header().Set("ETag", c.etag)
	}
	if c.noRanges {
		r.Header.Del("Range")
	}
	http.ServeContent(w, r, "x.bin", c.modified, bytes.NewReader(c.data))
}

func bytesOf(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = (&synthetic{size: 1 << 62, at: int64(seed) << 40}).Read(b)
	return b
}

const fileURL = "https://server.example/x.bin"

// getTo runs one get to a file.
func getTo(t *testing.T, rt http.RoundTripper, path string, more ...string) (*client, *result, string, error) {
	t.Helper()
	c, w := fakeClient(t, rt, append([]string{"-o", path, fileURL}, more...)...)
	r, err := c.get(t.Context(), c.o.urls[0])
	return c, r, w.err.String(), err
}

func partSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path + ".part")
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestDownloadAndResume(t *testing.T) {
	leak.Check(t)
	for _, etag := range []string{`"one"`, ""} {
		path := filepath.Join(t.TempDir(), "x")
		data := bytesOf(1, 1<<20)
		src := &content{data: data, etag: etag, modified: time.Now().Add(-time.Hour)}
		rt := &handlerRT{h: src, cut: 300_000}
		// Each run gets some more, and asks for no more than is missing.
		var had int64
		for run := 0; ; run++ {
			c, r, _, err := getTo(t, rt, path)
			if run > 0 {
				req := rt.seen[len(rt.seen)-1]
				if want := fmt.Sprintf("bytes=%d-", had-overlap); req.Header.Get("Range") != want || req.Header.Get("If-Range") == "" {
					t.Fatalf("run %d: %v, want %s", run, req.Header, want)
				}
				if r.Offset != had {
					t.Errorf("run %d: resumed at %d, want %d", run, r.Offset, had)
				}
			}
			if err == nil {
				break
			}
			if code := codeOf(c, err); code != exitIncomplete || run > 10 {
				t.Fatalf("run %d: %d, %v", run, code, err)
			}
			var f *failure
			if !errors.As(err, &f) || !strings.Contains(f.try, "goes on") {
				t.Errorf("run %d does not say how to go on: %v", run, err)
			}
			had = partSize(t, path)
			if part, _ := os.ReadFile(path + ".part"); !bytes.Equal(part, data[:had]) {
				t.Fatalf("run %d: what is there is not a beginning of the file", run)
			}
		}
		sameFile(t, path, data)
	}
}

// broken leaves a download that broke off after some 300 kB.
func broken(t *testing.T, src *content, path string) {
	t.Helper()
	if _, _, _, err := getTo(t, &handlerRT{h: src, cut: 300_000, err: errBroken}, path); !errors.Is(err, errBroken) {
		t.Fatalf("the download does not break off: %v", err)
	}
}

func TestResumeStartsOver(t *testing.T) {
	old := time.Now().Add(-time.Hour)
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, src *content, path string)
		says   string
	}{
		{"changed", func(_ *testing.T, src *content, _ string) { src.data, src.etag = bytesOf(2, 1<<20), `"two"` }, "changed"},
		{"shorter than what is there", func(_ *testing.T, src *content, _ string) { src.data, src.etag = bytesOf(2, 1000), `"two"` }, "changed"},
		{"no ranges", func(_ *testing.T, src *content, _ string) { src.noRanges = true }, "ignores ranges"},
		{"changed, with the same ETag", func(_ *testing.T, src *content, _ string) { src.data = bytesOf(2, 1<<20) }, "is not what the server has"},
		{"shorter, with the same ETag", func(_ *testing.T, src *content, _ string) { src.data = bytesOf(2, 1000) }, "another length"},
		{"longer, with the same ETag", func(_ *testing.T, src *content, _ string) { src.data = bytesOf(1, 2<<20) }, "changed"},
		{"no description", func(_ *testing.T, _ *content, path string) { _ = os.Remove(path + ".part.json") }, "not what it is of"},
		{"half a description", func(t *testing.T, _ *content, path string) {
			_ = os.WriteFile(path+".part.json", []byte(`{"url":"h`), 0o600)
		}, "not what it is of"},
		{"another URL", func(t *testing.T, _ *content, path string) {
			rewrite(t, path, func(d *description) { d.URL = "https://other.example/" })
		}, "another URL"},
		{"no validator", func(t *testing.T, _ *content, path string) {
			rewrite(t, path, func(d *description) { d.ETag, d.LastModified = "", "" })
		}, "no ETag"},
		{"too long", func(t *testing.T, _ *content, path string) {
			rewrite(t, path, func(d *description) { d.Size = 1000 })
		}, "longer than the file"},
		{"spoiled at its end", func(t *testing.T, _ *content, path string) {
			f, err := os.OpenFile(path+".part", os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt(make([]byte, 100), partSize(t, path)-100); err != nil {
				t.Fatal(err)
			}
		}, "is not what the server has"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x")
			src := &content{data: bytesOf(1, 1<<20), etag: `"one"`, modified: old}
			broken(t, src, path)
			tt.change(t, src, path)
			_, r, stderr, err := getTo(t, &handlerRT{h: src}, path)
			if err != nil {
				t.Fatal(err)
			}
			sameFile(t, path, src.data)
			if !strings.Contains(stderr, tt.says) || !strings.Contains(stderr, "starting over") {
				t.Errorf("it says %q, not %q", stderr, tt.says)
			}
			if r.Offset != 0 || r.Bytes != int64(len(src.data)) {
				t.Errorf("offset %d, %d bytes", r.Offset, r.Bytes)
			}
		})
	}
}

func rewrite(t *testing.T, path string, change func(*description)) {
	t.Helper()
	var d description
	b, err := os.ReadFile(path + ".part.json")
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	change(&d)
	b, _ = json.Marshal(&d)
	if err := os.WriteFile(path+".part.json", b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A process that was killed may leave a complete FILE.part, or an empty one, or a
// description without a part.
func TestResumeWhatAKillLeaves(t *testing.T) {
	data := bytesOf(1, 200_000)
	src := &content{data: data, etag: `"one"`, modified: time.Now().Add(-time.Hour)}
	is, _ := json.Marshal(description{URL: fileURL, ETag: `"one"`, Size: int64(len(data))})
	other, _ := json.Marshal(description{URL: fileURL, ETag: `"zero"`, Size: 5})
	for name, left := range map[string]map[string][]byte{
		"complete":                       {".part": data, ".part.json": is},
		"one byte":                       {".part": data[:1], ".part.json": is},
		"all but one byte":               {".part": data[:len(data)-1], ".part.json": is},
		"empty, with an old description": {".part": {}, ".part.json": other},
		"a description alone":            {".part.json": is},
		"a new description, not in use":  {".part": data[:9], ".part.json": is, ".part.json.new": other[:7]},
		"the file, and a description":    {"": data, ".part.json": is},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x")
			for ext, b := range left {
				if err := os.WriteFile(path+ext, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, r, _, err := getTo(t, &handlerRT{h: src}, path)
			if err != nil {
				t.Fatal(err)
			}
			_ = os.Remove(path + ".part.json.new") // the next description would have taken its place
			sameFile(t, path, data)
			if want := int64(len(left[".part"])); r.Offset != want {
				t.Errorf("resumed at %d, want %d", r.Offset, want)
			}
		})
	}
}

// Whatever breaks off, and however the file changes in between: what is there in
// the end is what the server has.
func TestResumeAtRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 50 {
		path := filepath.Join(t.TempDir(), "x")
		version := 0
		src := &content{data: bytesOf(0, rng.IntN(200_000)), etag: `"0"`, modified: time.Now().Add(-time.Hour)}
		for run := 0; ; run++ {
			if rng.IntN(4) == 0 {
				version++
				src.data, src.etag = bytesOf(uint64(version), rng.IntN(200_000)), fmt.Sprintf(`"%d"`, version)
			}
			src.noRanges = rng.IntN(4) == 0
			_, _, _, err := getTo(t, &handlerRT{h: src, cut: int64(rng.IntN(100_000 * (run + 1)))}, path)
			if err == nil {
				break
			}
			if run > 100 {
				t.Fatalf("round %d does not come to an end: %v", round, err)
			}
		}
		sameFile(t, path, src.data)
	}
}

func TestDownloadIsNotTheFile(t *testing.T) {
	for _, tt := range []struct {
		name string
		h    http.HandlerFunc
		code exitCode
		says string
	}{
		{"not found", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "gone fishing\nreally", 404) }, exitStatus, "404 Not Found: gone fishing"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/y", http.StatusFound) }, exitStatus, "https://server.example/y"},
		{"not modified", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(304) }, exitStatus, "304"},
		{"a part that nobody asked for", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 5-6/10")
			w.WriteHeader(206)
		}, exitStatus, "206"},
	} {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
			t.Fatal(err)
		}
		c, _, _, err := getTo(t, &handlerRT{h: tt.h}, path)
		if codeOf(c, err) != tt.code || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.name, err)
		}
		sameFile(t, path, []byte("before"))
	}
	// An error in between keeps what is there.
	path := filepath.Join(t.TempDir(), "x")
	src := &content{data: bytesOf(1, 1<<20), etag: `"one"`}
	broken(t, src, path)
	c, _, _, err := getTo(t, &handlerRT{h: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) })}, path)
	if codeOf(c, err) != exitStatus {
		t.Errorf("503: %v", err)
	}
	if _, r, _, err := getTo(t, &handlerRT{h: src}, path); err != nil || r.Offset != 300_000 {
		t.Errorf("after a 503: resumed at %d, %v", r.Offset, err)
	}
	sameFile(t, path, src.data)
}

// A server that sends what was not asked for does not spoil the file.
// TestDiskFull checks that a download for which there is no room tells that it can go on.
func TestDiskFull(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "x")
	c, _ := fakeClient(t, nil, "-o", path, fileURL)
	d, err := openDownload(path, fileURL, true)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	full := fileError(&os.PathError{Op: "write", Path: d.part, Err: syscall.ENOSPC}, "")
	if f := c.explain(t.Context(), c.o.urls[0], c.leftBehind(full, d)); f.code != exitFile || f.try != "" {
		t.Errorf("nothing has come: %+v", f)
	}
	d.is.ETag = `"one"`
	if f := c.explain(t.Context(), c.o.urls[0], c.leftBehind(full, d)); f.code != exitFile || !strings.Contains(f.try, d.part) || !strings.Contains(f.try, "goes on") {
		t.Errorf("%+v", f)
	}
}

func TestWrongPart(t *testing.T) {
	data := bytesOf(1, 1<<20)
	for name, contentRange := range map[string]string{
		"later":    "bytes 300000-1048575/1048576",
		"no range": "", "another unit": "pages 1-2/3", "beyond the end": "bytes 234464-1048576/1048576",
	} {
		path := filepath.Join(t.TempDir(), "x")
		src := &content{data: data, etag: `"one"`}
		broken(t, src, path)
		_, r, stderr, err := getTo(t, &handlerRT{h: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.Header.Get("Range") == "" {
				src.ServeHTTP(w, req)
				return
			}
			w.Header().Set("Content-Range", contentRange)
			w.WriteHeader(206)
			_, _ = w.Write(data[300_000:])
		})}, path)
		if err != nil || r.Offset != 0 || !strings.Contains(stderr, "another part") {
			t.Errorf("%s: %d, %v, %q", name, r.Offset, err, stderr)
		}
		sameFile(t, path, data)
	}
}

func TestNotResumable(t *testing.T) {
	// A date that may be that of several versions is not strong.
	path := filepath.Join(t.TempDir(), "x")
	src := &content{data: bytesOf(1, 1<<20), modified: time.Now().Add(time.Minute)}
	_, _, _, err := getTo(t, &handlerRT{h: src, cut: 300_000}, path)
	var f *failure
	if !errors.As(err, &f) || !strings.Contains(f.try, "starts over") {
		t.Errorf("no validator: %v", err)
	}
	rt := &handlerRT{h: src}
	if _, _, _, err := getTo(t, rt, path); err != nil || rt.seen[0].Header.Get("Range") != "" {
		t.Errorf("no validator: %v, %v", rt.seen[0].Header, err)
	}
	sameFile(t, path, src.data)

	// Nor are requests with a body, or with a range of the user's own.
	for _, more := range [][]string{{"-d", "x"}, {"-X", "QUERY"}, {"-H", "Range: bytes=500000-"}} {
		path := filepath.Join(t.TempDir(), "x")
		src := &content{data: bytesOf(1, 1<<20), etag: `"one"`}
		_, _, _, err := getTo(t, &handlerRT{h: src, cut: 300_000}, path, more...)
		if !errors.As(err, &f) || !strings.Contains(f.try, "cannot be resumed") {
			t.Errorf("%q: %v", more, err)
		}
		rt := &handlerRT{h: src}
		if _, _, _, err := getTo(t, rt, path, more...); err != nil || rt.seen[0].Header.Get("If-Range") != "" {
			t.Errorf("%q: %v, %v", more, rt.seen[0].Header, err)
		}
		want := src.data
		if more[0] == "-H" {
			want = want[500_000:]
		}
		sameFile(t, path, want)
	}
}

func TestDownloadTargets(t *testing.T) {
	dir := t.TempDir()
	src := &content{data: bytesOf(1, 1000), etag: `"one"`}
	rt := &handlerRT{h: src}
	c, _, _, err := getTo(t, rt, dir)
	if codeOf(c, err) != exitFile || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a directory: %v", err)
	}
	c, _, _, err = getTo(t, rt, filepath.Join(dir, "no", "x"))
	if codeOf(c, err) != exitFile {
		t.Errorf("no directory: %v", err)
	}
	if len(rt.seen) != 0 {
		t.Error("the server was asked before the file was tried")
	}
	if _, _, _, err := getTo(t, rt, os.DevNull); err != nil {
		t.Errorf("the null device: %v", err)
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Fatalf("the null device is a file now: %v, %v", info.Mode(), err)
	}
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Skip("no links here")
	}
	if _, _, _, err := getTo(t, rt, link); err != nil {
		t.Error(err)
	}
	sameFile(t, target, src.data)
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v", err)
	}
}

func TestTwoDownloadsOfOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	first, err := openDownload(path, fileURL, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openDownload(path, fileURL, true); err == nil {
		t.Skip("no locks here")
	} else if !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second one: %v", err)
	}
	first.close()
	second, err := openDownload(path, fileURL, true)
	if err != nil {
		t.Fatal(err)
	}
	second.close()
	if left, _ := filepath.Glob(path + "*"); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestDescribe(t *testing.T) {
	date := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := func(kv ...string) http.Header {
		h := http.Header{"Date": {date.Format(http.TimeFormat)}}
		for i := 0; i < len(kv); i += 2 {
			h.Set(kv[i], kv[i+1])
		}
		return h
	}
	before := date.Add(-time.Second).Format(http.TimeFormat)
	for _, tt := range []struct {
		h    http.Header
		want string
	}{
		{h("ETag", `"a"`), `"a"`},
		{h("ETag", `W/"a"`), ""},
		{h("ETag", `W/"a"`, "Last-Modified", before), before},
		{h("ETag", `"a"`, "Last-Modified", before), `"a"`},
		{h("Last-Modified", date.Format(http.TimeFormat)), ""},
		{h("Last-Modified", "yesterday"), ""},
		{http.Header{"Last-Modified": {before}}, ""},
		{h(), ""},
	} {
		d := describe("u", tt.h, 5)
		if got := d.validator(); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.h, got, tt.want)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 5-9/10", "bytes 0-0/*", "bytes */10", "bytes 9-5/10", "bytes 5-10/10", "bytes -1-5/10", "pages 1-2/3", "bytes 1-2", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, size, ok := parseContentRange(s)
		if ok && (first < 0 || size < -1 || size >= 0 && first >= size) {
			t.Errorf("%q: %d of %d", s, first, size)
		}
	})
}

func TestContentRange(t *testing.T) {
	for s, want := range map[string][2]int64{"bytes 5-9/10": {5, 10}, "bytes 0-0/*": {0, -1}, "bytes 0-0/1": {0, 1}} {
		if first, size, ok := parseContentRange(s); !ok || first != want[0] || size != want[1] {
			t.Errorf("%q: %d of %d, %v", s, first, size, ok)
		}
	}
	for _, s := range []string{"", "bytes */10", "bytes 9-5/10", "bytes 5-10/10", "bytes 5-9/x", "bytes 5/10", "bytes 99999999999999999999-5/10"} {
		if first, size, ok := parseContentRange(s); ok {
			t.Errorf("%q: %d of %d", s, first, size)
		}
	}
}
