package h3_test

import (
	"github.com/frittata-go/frittata/h3"
	"github.com/frittata-go/frittata/quic"
)

// What a server does after packets came in.
func ExampleConn_Next() {
	var qc *quic.Conn // connected
	var c *h3.Conn    // of h3.NewConn(qc, nil)

	serve := func() error {
		for {
			ev, ok, err := c.Next()
			if e, is := err.(*h3.Error); is {
				qc.Close(e.CloseError())
			}
			if !ok {
				return err
			}
			if ev.Kind != h3.EventHeaders {
				continue
			}
			if err := c.SendHeaders(ev.Stream, []h3.Field{{Name: ":status", Value: "200"}}, false); err != nil {
				return err
			}
			if _, err := c.WriteBody(ev.Stream, []byte("hello"), true); err != nil {
				return err
			}
			if !ev.End {
				c.StopSending(ev.Stream, h3.CodeNoError) // the body is of no interest
			}
		}
	}
	_ = serve
}
