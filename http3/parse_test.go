package http3

import (
	"net/http"
	"net/url"
	"reflect"
	"testing"

	"github.com/frittata-go/frittata/h3"
)

// FuzzPath holds parsePath against net/url.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"/", "/a/b?c=d&e", "/a%2fb", "//host/path", "/?", "*", "", "/a b", "/a?b c", "/ä", "/a;b", "/a?b?c", "/a?%zz", "/%zz", "a", "/a:b", "/..//.", "?x", "/a\x00", "/[", "http://x/y", "/a?b#c", "/a#b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got url.URL
		ok := parsePath(&got, s)
		want, err := url.ParseRequestURI(s)
		if ok != (err == nil) {
			t.Fatalf("%q: %v, net/url says %v", s, ok, err)
		}
		if ok && !reflect.DeepEqual(&got, want) {
			t.Fatalf("%q: %#v, want %#v", s, &got, want)
		}
	})
}

func TestMakeHeader(t *testing.T) {
	h := makeHeader([]h3.Field{
		{Name: "accept", Value: "a"}, {Name: "cookie", Value: "x=1"}, {Name: "accept", Value: "b"},
		{Name: "x-unknown-name", Value: "c"}, {Name: "cookie", Value: "y=2"}, {Name: "accept", Value: "d"}, {Name: "empty", Value: ""},
	})
	want := http.Header{"Accept": {"a", "b", "d"}, "Cookie": {"x=1; y=2"}, "X-Unknown-Name": {"c"}, "Empty": {""}}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("got %v", h)
	}
	h.Add("X-Unknown-Name", "appended") // does not reach the value of another field
	if h.Get("Empty") != "" {
		t.Error("values overlap")
	}
}

func TestCanonicalNames(t *testing.T) {
	for lower, name := range canonicalNames {
		if http.CanonicalHeaderKey(lower) != name {
			t.Errorf("%s is not canonical", name)
		}
	}
}

func TestAnnouncedTrailers(t *testing.T) {
	h := http.Header{"Trailer": {"a, Content-Length", "b,, transfer-encoding"}}
	if got := announcedTrailers(h); !reflect.DeepEqual(got, http.Header{"A": nil, "B": nil}) || len(h) > 0 {
		t.Errorf("got %v, %v left", got, h)
	}
}

func TestAltSvc(t *testing.T) {
	if got := AltSvc(443); got != `h3=":443"; ma=86400` {
		t.Error(got)
	}
	if got := (&Server{}).AltSvc(); got != "" {
		t.Error(got)
	}
	ts := newTestServer(t, http.NotFoundHandler())
	ts.get("/")
	if got := ts.srv.AltSvc(); got != AltSvc(ts.addr.Port()) {
		t.Error(got)
	}
}

func TestServerTLS(t *testing.T) {
	if _, err := (&Server{}).Listen(); err != errNoCertificate {
		t.Errorf("without a certificate: %v", err)
	}
	c := ServerTLS(nil)
	if len(c.NextProtos) != 1 || c.NextProtos[0] != "h3" {
		t.Error(c.NextProtos)
	}
}

func TestDate(t *testing.T) {
	if _, err := http.ParseTime(date()); err != nil {
		t.Error(err)
	}
	if n := testing.AllocsPerRun(100, func() { date() }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
