package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
)

// get gets one URL, to standard output or to a file.
func (c *client) get(ctx context.Context, u *url.URL) (*result, error) {
	r := newResult(c.o, u)
	var err error
	if c.o.out == "" || c.o.out == "-" {
		err = c.toStdout(ctx, u, r)
	} else {
		err = c.toFile(ctx, u, r)
	}
	r.done()
	return r, err
}

func (c *client) toStdout(ctx context.Context, u *url.URL, r *result) error {
	ctx, dog, cancel := watch(ctx, c.o.timeout)
	defer cancel(nil)
	defer dog.stop()
	req, err := c.newRequest(ctx, u, dog, nil)
	if err != nil {
		return err
	}
	resp, err := c.send(ctx, cancel, req, dog, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if c.o.include {
		c.printHead(resp)
	}
	out := c.e.stdout
	if c.o.json {
		out = io.Discard
	} else if c.o.out == "" && isTerminal(out) {
		out = &textOnly{w: out}
	}
	bar := c.progress(resp.ContentLength, 0, u.Path)
	err = c.copyBody(ctx, out, resp, dog, r, bar)
	bar.finish()
	if err != nil {
		return err
	}
	if resp.StatusCode >= 400 {
		return statusError(resp, "")
	}
	if l := resp.Header.Get("Location"); resp.StatusCode >= 300 && l != "" && !c.o.json {
		fmt.Fprintf(c.e.stderr, "frittata get: %s\n", redirection(resp))
	}
	return nil
}

// printHead writes the head of a response to standard output, for -i.
func (c *client) printHead(resp *http.Response) {
	for _, line := range responseHead(resp) {
		fmt.Fprintln(c.e.stdout, line)
	}
	fmt.Fprintln(c.e.stdout)
}

// incompleteError: the body broke off.
type incompleteError struct {
	have, want int64 // want is -1 if it is not known
	cause      error
}

func (e *incompleteError) Error() string {
	if e.want < 0 {
		return fmt.Sprintf("the transfer broke off after %s", size(e.have))
	}
	return fmt.Sprintf("the transfer broke off after %s of %s", size(e.have), size(e.want))
}

func (e *incompleteError) Unwrap() error { return e.cause }

func (e *incompleteError) explain() *failure {
	if errors.Is(e.cause, errInterrupted) {
		what := strings.Replace(e.Error(), "the transfer broke off", "interrupted", 1)
		return &failure{code: exitInterrupted, what: what, err: e}
	}
	return &failure{code: exitIncomplete, what: e.Error() + ": " + classify("the server", e.cause).what, err: e}
}

// copyBufferSize is enough for a read to take all that has come between two turns.
const copyBufferSize = 256 << 10

// copyBody copies the body to w. A read that fails is an *incompleteError, a
// write that fails a *failure.
func (c *client) copyBody(ctx context.Context, w io.Writer, resp *http.Response, dog *watchdog, r *result, bar *progress) error {
	buf := make([]byte, copyBufferSize)
	have := r.Offset
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			dog.feed()
			written, werr := w.Write(buf[:n])
			r.Bytes += int64(written)
			have += int64(written)
			bar.add(int64(written))
			if werr != nil {
				var f *failure
				if errors.As(werr, &f) {
					return f
				}
				return fileError(werr, "")
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			want := resp.ContentLength
			if want >= 0 {
				want += r.Offset
			}
			return &incompleteError{have: have, want: want, cause: err}
		}
	}
}

// textOnly keeps binary data from a terminal.
type textOnly struct {
	w    io.Writer
	some bool
}

func (t *textOnly) Write(p []byte) (int, error) {
	if !t.some && bytes.IndexByte(p, 0) >= 0 {
		return 0, &failure{code: exitFile, what: "this is binary, which might confuse the terminal", try: "-o FILE saves it; -o - writes it all the same."}
	}
	t.some = true
	return t.w.Write(p)
}

// statusError tells about a response that is not what was asked for. body is the
// beginning of its body, if nobody has seen that yet.
func statusError(resp *http.Response, body string) *failure {
	f := &failure{code: exitStatus, what: strings.TrimSpace(fmt.Sprintf("the server answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)))}
	if line, _, _ := strings.Cut(strings.TrimSpace(body), "\n"); line != "" {
		f.what += ": " + printable(line)
	}
	return f
}

func redirection(resp *http.Response) string {
	to := resp.Header.Get("Location")
	if u, err := resp.Request.URL.Parse(to); err == nil {
		to = u.String()
	}
	return fmt.Sprintf("status %d leads to %s", resp.StatusCode, printable(to))
}

// statusBodySize is how much of an error's body is looked at.
const statusBodySize = 512

// refused tells why a response is not put into the file.
func refused(resp *http.Response) error {
	if resp.StatusCode >= 300 && resp.StatusCode < 400 && resp.Header.Get("Location") != "" {
		return &failure{code: exitStatus, what: redirection(resp), try: "Redirects are not followed: get that URL."}
	}
	beginning := ""
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, statusBodySize)) // as much as there is
		beginning = string(b)
	}
	return statusError(resp, beginning)
}

// toFile downloads to the file of -o.
func (c *client) toFile(ctx context.Context, u *url.URL, r *result) error {
	path := c.o.out
	r.File = path
	resumable := c.o.method == http.MethodGet && c.o.body.open == nil && c.o.header.Get("Range") == ""
	d, err := openDownload(path, r.URL, resumable)
	if err != nil {
		return err
	}
	defer d.close()
	c.passOn(d)
	for {
		err := c.download(ctx, u, r, d)
		var again *startOverError
		if errors.As(err, &again) && d.offset > 0 {
			c.note("frittata get: %s: starting over", again.why)
			if err := d.startOver(); err != nil {
				return err
			}
			r.Bytes, r.Offset = 0, 0
			continue
		}
		return c.leftBehind(err, d)
	}
}

// download sends one request for what is missing and writes what comes to the
// file. A *startOverError means that what is there is of no use.
func (c *client) download(ctx context.Context, u *url.URL, r *result, d *download) error {
	ctx, dog, cancel := watch(ctx, c.o.timeout)
	defer cancel(nil)
	defer dog.stop()
	req, err := c.newRequest(ctx, u, dog, d.rangeHeader())
	if err != nil {
		return err
	}
	resp, err := c.send(ctx, cancel, req, dog, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if c.o.include {
		c.printHead(resp)
	}
	w, err := d.begin(resp)
	if err != nil {
		return err
	}
	c.passOn(d)
	r.Offset = d.offset
	if d.offset > 0 && !c.o.json {
		c.note("frittata get: resuming at %s", size(d.offset))
	}
	bar := c.progress(resp.ContentLength, d.offset, u.Path)
	err = c.copyBody(ctx, w, resp, dog, r, bar)
	bar.finish()
	if err != nil {
		return err
	}
	return d.finish()
}

// passOn tells the user what there is to tell about a download.
func (c *client) passOn(d *download) {
	if d.note != "" {
		c.note("frittata get: %s", d.note)
		d.note = ""
	}
}

// leftBehind adds to an error what there is of the file, and how to go on.
func (c *client) leftBehind(err error, d *download) error {
	var broken *incompleteError
	var over *startOverError
	if errors.As(err, &over) {
		return &failure{code: exitIncomplete, what: over.why, err: err}
	}
	if errors.Is(err, syscall.ENOSPC) && d.canResume() {
		return fileError(err, "What has come is in "+d.part+": once there is room, the same command goes on from there.")
	}
	if !errors.As(err, &broken) {
		return err
	}
	f := broken.explain()
	switch {
	case d.direct():
	case !d.resumable:
		f.try = "It is in " + d.part + ". A request like this cannot be resumed."
	case d.canResume():
		f.try = "It is in " + d.part + ": the same command goes on from there."
	default:
		f.try = "It is in " + d.part + ", but the server gives no way to go on from there (no ETag,\nno Last-Modified that is old enough): the same command starts over."
	}
	return f
}

// isTerminal is true if w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&(os.ModeDevice|os.ModeCharDevice) == os.ModeDevice|os.ModeCharDevice && !isNull(info)
}

// isNull: /dev/null is a character device, too, and no terminal.
func isNull(info os.FileInfo) bool {
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(info, null)
}
