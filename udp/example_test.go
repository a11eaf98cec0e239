package udp_test

import (
	"bytes"
	"fmt"
	"log"

	"github.com/frittata-go/frittata/udp"
)

// A train of datagrams goes out with one call, and comes in as few messages of
// several datagrams each.
func Example() {
	server, err := udp.Listen("udp", "127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	client, err := udp.Listen("udp", "127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	sent, err := client.WriteTrain(&udp.Train{
		Data:    bytes.Repeat([]byte("frittata"), 500),
		Segment: 1200,
		Remote:  server.LocalAddr(),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("sent", sent, "datagrams")

	messages := make([]udp.Message, 8)
	for i := range messages {
		messages[i].Buf = make([]byte, udp.BufferSize)
	}
	for received := 0; received < sent; {
		n, err := server.ReadBatch(messages)
		if err != nil {
			log.Fatal(err)
		}
		for _, m := range messages[:n] {
			for data := m.Buf[:m.N]; len(data) > 0; received++ {
				datagram := data[:min(m.Segment, len(data))]
				data = data[len(datagram):]
				fmt.Println("received", len(datagram), "bytes")
			}
		}
	}
	// Output:
	// sent 4 datagrams
	// received 1200 bytes
	// received 1200 bytes
	// received 1200 bytes
	// received 400 bytes
}
