package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

const getHelp = `Usage: frittata get [options] URL...

Gets what is at a URL over HTTP/3 and writes it to standard output, or to a file.
A URL without a scheme is an https one. Redirects are not followed.

Output:
  -o FILE             write to FILE. What has come is in FILE.part until all of it
                      is there; the same command resumes a download that broke off
  -i                  print the head of the response too (to standard output)
  -v                  tell about the handshake, the heads and the transport (to
                      standard error)
  --json              print one JSON object for each URL in place of the body:
                      status, bytes, and in seconds handshake, ttfb, total; rate in
                      bytes per second

Request:
  -X METHOD           the method (default GET, with -d POST)
  -d DATA | -d @FILE  the body; @- is standard input
  -H 'NAME: VALUE'    a header field, in place of that which would be sent; may be
                      given several times
  --timeout DURATION  give up when nothing has come for so long (default 30s)

Whom to trust (one of these; default: the system's authorities):
  --pin SPKI          the server whose public key has this SHA-256 in base64, as
                      serve prints it
  --ca FILE           the authorities in this file (PEM)
  --insecure          anybody

Load:
  -n REQUESTS         send so many requests, by turns to the URLs, and print rates
                      and times instead of what comes
  -c CONCURRENT       so many at a time (default 1)

The keys of TLS are written to the file that the environment's SSLKEYLOGFILE names.

Examples:
  frittata get https://example.com/
  frittata get -o big.iso https://example.com/big.iso
  frittata get -v --pin ag0Or3...= https://localhost:4433/
  frittata get -d @photo.jpg -H 'Content-Type: image/jpeg' https://example.com/up
  frittata get -n 1000 -c 100 https://example.com/

` + exitCodesOfGet

// defaultTimeout is longer than a path that still works is silent, and as
// long as QUIC's idle timeout here.
const defaultTimeout = 30 * time.Second

type getOptions struct {
	out              string
	include, verbose bool
	json             bool
	method           string
	header           http.Header
	host             string // of -H 'Host: ...'
	body             body
	insecure         bool
	ca               string
	pin              *pin
	requests         int
	concurrent       int
	timeout          time.Duration
	urls             []*url.URL
}

// body is what a request has for a body; the zero value is none.
type body struct {
	open        func() (io.ReadCloser, int64, error) // its length is -1 if it is not known
	contentType string
	once        bool // it cannot be opened again
}

func parseGet(e *env, args []string) (*getOptions, error) {
	o := &getOptions{header: make(http.Header)}
	var insecure bool
	var pinText, data string
	fs := newFlags("get")
	fs.StringVar(&o.out, "o", "", "")
	fs.BoolVar(&o.include, "i", false, "")
	fs.BoolVar(&o.verbose, "v", false, "")
	fs.BoolVar(&o.json, "json", false, "")
	fs.StringVar(&o.method, "X", "", "")
	fs.StringVar(&data, "d", "", "")
	fs.Func("H", "", o.addHeader)
	fs.BoolVar(&insecure, "insecure", false, "")
	fs.StringVar(&o.ca, "ca", "", "")
	fs.StringVar(&pinText, "pin", "", "")
	fs.IntVar(&o.requests, "n", 0, "")
	fs.IntVar(&o.concurrent, "c", 1, "")
	o.timeout = defaultTimeout
	fs.Func("timeout", "", func(s string) (err error) {
		if o.timeout, err = time.ParseDuration(s); err != nil {
			err = errors.New("want a duration with its unit, like 5s or 2m")
		}
		return err
	})
	rest, err := parseFlags(fs, args, e.stdout, getHelp)
	if err != nil {
		return nil, err
	}
	given := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })

	o.insecure = insecure
	trust := 0
	for _, b := range []bool{insecure, given["ca"], given["pin"]} {
		if b {
			trust++
		}
	}
	if trust > 1 {
		return nil, usageError("--insecure, --ca and --pin exclude each other")
	}
	if given["pin"] {
		p, err := parsePin(pinText)
		if err != nil {
			return nil, usageError("--pin %s: %v", pinText, err)
		}
		o.pin = &p
	}
	if given["d"] {
		o.body = bodyOf(e, data)
	}
	if o.method == "" {
		o.method = http.MethodGet
		if given["d"] {
			o.method = http.MethodPost
		}
	}
	if err := o.check(given); err != nil {
		return nil, err
	}
	if len(rest) == 0 {
		return nil, usageError("a URL is missing")
	}
	for _, s := range rest {
		u, err := parseURL(s)
		if err != nil {
			return nil, err
		}
		o.urls = append(o.urls, u)
	}
	if o.out != "" && len(o.urls) > 1 {
		return nil, usageError("-o names one file, but there are %d URLs", len(o.urls))
	}
	return o, nil
}

func (o *getOptions) check(given map[string]bool) error {
	switch {
	case !httpguts.ValidHeaderFieldName(o.method): // a method is a token, too
		return usageError("-X %q is no method", o.method)
	case given["o"] && o.out == "":
		return usageError("-o wants the name of a file; - is standard output")
	case given["n"] && o.requests < 1:
		return usageError("-n wants a number of requests, at least 1")
	case given["c"] && !given["n"]:
		return usageError("-c needs -n, the number of requests")
	case o.concurrent < 1:
		return usageError("-c wants a number of requests at a time, at least 1")
	case o.requests > 0 && (o.out != "" || o.include):
		return usageError("-n does not keep what comes: it excludes -o and -i")
	case o.requests > 0 && o.body.once:
		return usageError("-d @- can be read once; with -n give -d a file")
	case o.out != "" && o.method == http.MethodHead:
		return usageError("a response to HEAD has no body for -o; -i prints its head")
	case o.json && o.out == "-":
		return usageError("--json prints to standard output, and so does -o -")
	case o.json && o.include:
		return usageError("--json excludes -i; the header fields are in its object with -v")
	case o.timeout <= 0:
		return usageError("--timeout wants a duration above 0, like 10s")
	}
	return nil
}

// addHeader takes a header field of the command line.
func (o *getOptions) addHeader(s string) error {
	name, value, ok := strings.Cut(s, ":")
	value = textproto.TrimString(value)
	switch {
	case !ok:
		return errors.New("want 'NAME: VALUE'")
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("%q is no name of a header field", name)
	case !httpguts.ValidHeaderFieldValue(value):
		return fmt.Errorf("the value of %s has characters that are not allowed", name)
	case strings.EqualFold(name, "Host"):
		o.host = value
	default:
		o.header.Add(name, value)
	}
	return nil
}

// bodyOf reads -d.
func bodyOf(e *env, data string) body {
	name, isFile := strings.CutPrefix(data, "@")
	switch {
	case !isFile:
		return body{contentType: "application/x-www-form-urlencoded", open: func() (io.ReadCloser, int64, error) {
			return io.NopCloser(strings.NewReader(data)), int64(len(data)), nil
		}}
	case name == "-":
		return body{contentType: "application/octet-stream", once: true, open: func() (io.ReadCloser, int64, error) {
			return io.NopCloser(e.stdin), -1, nil
		}}
	}
	return body{contentType: "application/octet-stream", open: func() (io.ReadCloser, int64, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, 0, fileError(err, "")
		}
		info, err := f.Stat()
		if err != nil {
			_ = f.Close() // it was not written to
			return nil, 0, fileError(err, "")
		}
		if !info.Mode().IsRegular() {
			return f, -1, nil
		}
		return f, info.Size(), nil
	}}
}

func parseURL(s string) (*url.URL, error) {
	full := s
	if !strings.Contains(s, "://") {
		full = "https://" + s
	}
	u, err := url.Parse(full)
	if err != nil {
		return nil, usageError("%v", err)
	}
	if u.Scheme != "https" {
		return nil, usageError("%s: HTTP/3 is always encrypted, the scheme has to be https", s)
	}
	if u.Hostname() == "" {
		return nil, usageError("%s: the host is missing", s)
	}
	if p := u.Port(); p != "" && !validPort(p, 1) {
		return nil, usageError("%s: the port has to be from 1 to 65535", s)
	}
	u.Fragment, u.RawFragment = "", "" // it is not for the server
	return u, nil
}

// validPort tells whether s is a number from least to 65535.
func validPort(s string, least uint64) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n >= least
}

// errInterrupted is why everything ends after SIGINT or SIGTERM.
var errInterrupted = errors.New("interrupted")

func runGet(ctx context.Context, e *env, args []string) error {
	o, err := parseGet(e, args)
	if err != nil {
		return err
	}
	c, err := newClient(e, o)
	if err != nil {
		return err
	}
	defer c.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-e.signals:
			cancel(errInterrupted)
			e.forget() // a second one ends the process
		case <-ctx.Done():
		}
	}()
	if o.requests > 0 {
		err = c.load(ctx)
	} else {
		err = c.all(ctx)
	}
	c.transportStats(ctx)
	return err
}

// all gets one URL after the other. One that fails does not keep it from the
// others; the error is the first.
func (c *client) all(ctx context.Context) error {
	var first error
	for _, u := range c.o.urls {
		r, err := c.get(ctx, u)
		var f *failure
		if err != nil {
			f = c.explain(ctx, u, err)
		}
		if c.o.json {
			r.print(c.e.stdout, f)
		}
		if f == nil {
			continue
		}
		report(c.e.stderr, "get", f)
		if first == nil {
			first = &failure{code: f.code, what: f.what, err: f, told: true}
		}
		if f.code == exitInterrupted {
			break
		}
	}
	return first
}
