package http3_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/frittata-go/frittata/http3"
)

// A file server that completes the transfers under way when it is interrupted.
func ExampleServer() {
	srv := &http3.Server{
		Addr:    ":4433",
		Handler: http.FileServer(http.Dir(".")),
	}
	ended := make(chan struct{})
	go func() {
		interrupt := make(chan os.Signal, 1)
		signal.Notify(interrupt, os.Interrupt)
		<-interrupt
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			log.Print(err)
		}
		close(ended)
	}()
	if err := srv.ListenAndServeTLS("cert.pem", "key.pem"); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	<-ended // Shutdown goes on, and the end of the program would cut it off
}

// HTTP/1.1, HTTP/2 and HTTP/3 for the same handler: the former tell of the latter.
func ExampleAltSvc() {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.Proto) })
	go func() {
		log.Fatal(http3.ListenAndServe(":443", "cert.pem", "key.pem", mux))
	}()
	log.Fatal(http.ListenAndServeTLS(":443", "cert.pem", "key.pem", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Alt-Svc", http3.AltSvc(443))
		mux.ServeHTTP(w, r)
	})))
}

func ExampleTransport() {
	transport := &http3.Transport{}
	defer transport.Close()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	resp, err := client.Get("https://example.com/")
	if err != nil {
		log.Print(err)
		return
	}
	defer resp.Body.Close()
	if _, err := io.Copy(os.Stdout, resp.Body); err != nil {
		log.Print(err)
	}
}

// What became of a request's connection.
func ExampleWithTrace() {
	transport := &http3.Transport{}
	defer transport.Close()
	var conn http3.ConnInfo
	ctx := http3.WithTrace(context.Background(), &http3.Trace{
		GotConn: func(info http3.ConnInfo) { conn = info },
	})
	req, err := http.NewRequestWithContext(ctx, "GET", "https://example.com/", nil)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		log.Print(err)
		return
	}
	resp.Body.Close()
	stats, err := conn.Conn.Stats(ctx)
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println(conn.Conn.RemoteAddr(), conn.Reused, stats.SmoothedRTT)
}
