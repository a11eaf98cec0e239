package http3

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/frittata-go/frittata/h3"
)

// canonicalNames has the names that are common, so that they cost no allocation.
var canonicalNames = func() map[string]string {
	m := make(map[string]string)
	for _, name := range strings.Fields(`
		Accept Accept-Charset Accept-Encoding Accept-Language Accept-Ranges Access-Control-Allow-Credentials
		Access-Control-Allow-Headers Access-Control-Allow-Methods Access-Control-Allow-Origin
		Access-Control-Expose-Headers Access-Control-Max-Age Access-Control-Request-Headers
		Access-Control-Request-Method Age Allow Alt-Svc Authorization Cache-Control Cdn-Cache-Control
		Content-Disposition Content-Encoding Content-Language Content-Length Content-Location
		Content-Range Content-Security-Policy Content-Type Cookie Cross-Origin-Resource-Policy Date Dnt Early-Data
		Etag Expect Expires Forwarded From Grpc-Message Grpc-Status Grpc-Timeout Host If-Match If-Modified-Since If-None-Match If-Range
		If-Unmodified-Since Keep-Alive Last-Modified Link Location Max-Forwards Origin Pragma Priority
		Proxy-Authenticate Proxy-Authorization Purpose Range Referer Referrer-Policy Refresh Retry-After Sec-Ch-Ua
		Sec-Ch-Ua-Mobile Sec-Ch-Ua-Platform Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Sec-Fetch-User Sec-Gpc
		Server Server-Timing Set-Cookie Strict-Transport-Security Te Timing-Allow-Origin Trailer
		Traceparent Tracestate Upgrade-Insecure-Requests User-Agent Vary Via Www-Authenticate X-Content-Type-Options
		X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Frame-Options X-Powered-By X-Real-Ip X-Request-Id
		X-Requested-With X-Xss-Protection`) {
		m[strings.ToLower(name)] = name
	}
	return m
}()

// canonicalName is http.CanonicalHeaderKey for the names of HTTP/3, which have
// no capital letters.
func canonicalName(name string) string {
	if c, ok := canonicalNames[name]; ok {
		return c
	}
	return http.CanonicalHeaderKey(name)
}

// makeHeader makes a Header of fields that are no pseudo-header fields. All of
// the values are in one piece of memory.
func makeHeader(fields []h3.Field) http.Header {
	h := make(http.Header, len(fields))
	values := make([]string, len(fields))
	for i := range fields {
		name := canonicalName(fields[i].Name)
		if vv, ok := h[name]; ok {
			if name == "Cookie" {
				continue // it is with the first one
			}
			h[name] = append(vv, fields[i].Value)
			continue
		}
		values[i] = fields[i].Value
		if name == "Cookie" {
			values[i] = joinCookies(fields[i:])
		}
		h[name] = values[i : i+1 : i+1]
	}
	return h
}

// joinCookies joins the cookie fields, of which the first is fields[0], for those
// who know nothing of HTTP/3 (RFC 9114, Section 4.2.1). There may be a thousand of
// them, so they are not joined one by one.
func joinCookies(fields []h3.Field) string {
	n, last := 0, 0
	for i := range fields {
		if fields[i].Name == fields[0].Name {
			n += len("; ") + len(fields[i].Value)
			last = i
		}
	}
	if last == 0 {
		return fields[0].Value
	}
	var b strings.Builder
	b.Grow(n)
	for i := range fields {
		if fields[i].Name != fields[0].Name {
			continue
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(fields[i].Value)
	}
	return b.String()
}

// pseudoFields returns how many of the fields are pseudo-header fields.
func pseudoFields(fields []h3.Field) int {
	n := 0
	for n < len(fields) && fields[n].Name != "" && fields[n].Name[0] == ':' {
		n++
	}
	return n
}

// keyName returns the key of a Header in its canonical form. There are keys in small letters, which somebody
// has put there without Set, and they mean the same when they are sent.
func keyName(key string) string {
	if key == "" || key[0] < 'a' || key[0] > 'z' {
		return key
	}
	return canonicalName(key)
}

// connectionSpecific tells whether a field, by its canonical name, is one that
// HTTP/3 does not have (RFC 9114, Section 4.2), but for "TE: trailers" in a request.
func connectionSpecific(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// appendFields appends the values of a header field. What may not be sent is
// left out, as net/http's HTTP/2 has it.
func appendFields(fields []h3.Field, name string, values []string) []h3.Field {
	if !httpguts.ValidHeaderFieldName(name) {
		return fields
	}
	for _, v := range values {
		if httpguts.ValidHeaderFieldValue(v) {
			fields = append(fields, h3.Field{Name: name, Value: v})
		}
	}
	return fields
}

// trailersOf returns the values of the trailers, nil if there are none.
func trailersOf(fields []h3.Field, h http.Header) []h3.Field {
	for name, values := range h {
		if httpguts.ValidTrailerHeader(name) {
			fields = appendFields(fields, name, values)
		}
	}
	return fields
}

// mergeTrailers adds the trailers that came to those that were announced. The map may be nil.
func mergeTrailers(to http.Header, fields []h3.Field) http.Header {
	if len(fields) == 0 {
		return to
	}
	if to == nil {
		to = make(http.Header, len(fields))
	}
	for name, values := range makeHeader(fields) {
		to[name] = values
	}
	return to
}

// announcedTrailers takes the Trailer field out of h, and returns its names with no values.
func announcedTrailers(h http.Header) http.Header {
	values, ok := h["Trailer"]
	if !ok {
		return nil
	}
	delete(h, "Trailer")
	var trailer http.Header
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if name == "" || !httpguts.ValidTrailerHeader(name) {
				continue
			}
			if trailer == nil {
				trailer = make(http.Header)
			}
			trailer[name] = nil
		}
	}
	return trailer
}
