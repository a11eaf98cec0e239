package h3driver_test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"os"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/h3driver"
	"github.com/frittata-go/frittata/quic"
)

// A server without net/http: it answers each request with its body.
func Example_server() {
	cert, err := tls.LoadX509KeyPair("cert.pem", "key.pem")
	if err != nil {
		log.Fatal(err)
	}
	l, err := frittata.Listen("udp", ":4433", &frittata.Config{QUIC: quic.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h3"}},
	}})
	if err != nil {
		log.Fatal(err)
	}
	cfg := &h3driver.Config{Serve: func(s *h3driver.Stream) { go echo(s) }}
	for {
		in, err := l.Accept(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		if _, err := in.Start(h3driver.NewServer(cfg)); err != nil {
			log.Print(err)
		}
	}
}

func echo(s *h3driver.Stream) {
	defer s.Release()
	s.SendHeaders([]h3.Field{{Name: ":status", Value: "200"}}, false)
	if _, err := io.Copy(s, s); err != nil {
		s.Reset(h3.CodeInternalError)
	}
	s.Finish(nil)
}

// A client that knows whom it talks to and what it says.
func Example_client() {
	d := h3driver.NewClient(nil)
	ctx := context.Background()
	c, err := frittata.Dial(ctx, "example.com:443", &frittata.Config{QUIC: quic.Config{
		TLS: &tls.Config{NextProtos: []string{"h3"}},
	}}, d)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	s, err := d.Open([]h3.Field{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "example.com"}, {Name: ":path", Value: "/"},
	}, h3driver.OpenOptions{End: true})
	if err != nil {
		log.Print(err)
		return
	}
	defer s.Release()
	head, err := s.Response(ctx)
	if err != nil {
		log.Print(err)
		return
	}
	log.Print(head.Status)
	if _, err := io.Copy(os.Stdout, s); err != nil {
		log.Print(err)
	}
}
