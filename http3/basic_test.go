package http3

import (
	"fmt"
	"net/http"
	"testing"
)

func TestGet(t *testing.T) {
	ts := newTestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", r.Method, r.Proto, r.URL)
	}))
	resp, body := ts.get("/hello?x=1")
	if resp.StatusCode != 200 || body != "GET HTTP/3.0 /hello?x=1" {
		t.Fatalf("got %v %q", resp, body)
	}
	t.Log(resp.Header)
}
