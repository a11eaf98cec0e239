// Package http3 is HTTP/3 (RFC 9114) in net/http's shapes: a [Server] for an
// http.Handler, and a [Transport] that is an http.RoundTripper.
//
//	srv := &http3.Server{Addr: ":443", Handler: http.FileServer(http.Dir("."))}
//	log.Fatal(srv.ListenAndServeTLS("cert.pem", "key.pem"))
//
//	client := &http.Client{Transport: &http3.Transport{}}
//	resp, err := client.Get("https://example.com/")
//
// Handlers, requests and responses behave as net/http documents them, with few
// differences: there is no Hijack and no 101 Switching Protocols, HTTP/3 having
// neither, and full duplex is always on.
//
// Both sides work on top of package h3driver, and with it on the strands of
// package frittata: a connection that is idle holds no goroutine.
package http3
