package http3

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
)

// hogVariable in the environment makes a process of tests the server of TestHog.
const hogVariable = "FRITTATA_TEST_HOG"

// TestHog has a handler keep the only processor of a process that was idle: others must get it in time, though
// the router has not told Go's scheduler of the system calls by which it got the request.
func TestHog(t *testing.T) {
	if os.Getenv(hogVariable) != "" {
		serveHog(t)
		return
	}
	leak.Check(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestHog$")
	cmd.Env = append(os.Environ(), hogVariable+"=1", "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}()
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	get := func(tr *Transport, path string) string {
		resp, err := (&http.Client{Transport: tr}).Get("https://" + strings.TrimSpace(addr) + path)
		if err != nil {
			t.Error(err)
			return ""
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	var trs [2]*Transport
	for i := range trs {
		trs[i] = &Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		defer trs[i].Close()
		get(trs[i], "/other")
	}
	// A process that is idle for long, and one that was not so just before.
	for _, idle := range []time.Duration{3 * time.Millisecond, 100 * time.Millisecond} {
		taken := 0
		const rounds = 5
		for range rounds {
			get(trs[0], "/other")
			time.Sleep(idle)
			result := make(chan string)
			go func() { result <- get(trs[0], "/hog") }()
			time.Sleep(5 * time.Millisecond)
			get(trs[1], "/other")
			if <-result == "taken" {
				taken++
			}
		}
		// On a machine that starves the process a round may tell nothing.
		if taken == 0 {
			t.Errorf("idle for %v: in %d rounds the handler has kept the processor", idle, rounds)
		}
	}
}

// serveHog serves until its standard input ends.
func serveHog(t *testing.T) {
	debug.SetGCPercent(-1) // a collection would take the processor away
	var others atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/other", func(http.ResponseWriter, *http.Request) { others.Add(1) })
	mux.HandleFunc("/hog", func(w http.ResponseWriter, _ *http.Request) {
		before := others.Load()
		for began := time.Now(); time.Since(began) < 2*time.Second; {
			if others.Load() > before {
				fmt.Fprint(w, "taken")
				return
			}
		}
		fmt.Fprint(w, "kept")
	})
	srv := &Server{Addr: "127.0.0.1:0", Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{testCert}}}
	l, err := srv.Listen()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if err := srv.Serve(l); err != http.ErrServerClosed {
			t.Error(err)
		}
	}()
	fmt.Println(l.Addr())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		t.Error(err)
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
}
