package udp_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"runtime"

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

// Workers that share a port put their number into the connection IDs that they choose, so
// that all packets of a connection come to them, from wherever the peer sends.
func ExampleListenGroup() {
	workers := min(runtime.GOMAXPROCS(0), 256)
	if runtime.GOOS != "linux" {
		workers = 1
	}
	group, err := udp.ListenGroup("udp", "127.0.0.1:0", workers, &udp.Options{
		Steer: &udp.Steer{Offset: 0},
	})
	if err != nil {
		log.Fatal(err)
	}
	for number, c := range group {
		defer c.Close()
		if warning := c.Caps().Warning(); warning != "" && number == 0 {
			log.Print(warning)
		}
	}

	last := len(group) - 1
	client, err := udp.Dial(context.Background(), "udp", group[0].LocalAddr().String(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	shortHeader, connectionID := byte(0x40), []byte{byte(last), 1, 2, 3, 4, 5, 6, 7}
	packet := append([]byte{shortHeader}, connectionID...)
	if _, err := client.WriteTrain(&udp.Train{Data: packet}); err != nil {
		log.Fatal(err)
	}
	m := []udp.Message{{Buf: make([]byte, udp.BufferSize)}}
	if _, err := group[last].ReadBatch(m); err != nil {
		log.Fatal(err)
	}
	fmt.Println("the worker got", m[0].N, "bytes")
	// Output: the worker got 9 bytes
}

// What a transport knows about loss, and this package does not, may speak against trains.
func ExampleConn_DisableGSO() {
	c, err := udp.Listen("udp", "127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	c.DisableGSO("no train of the last 10 arrived, and all probes did")
	fmt.Println(c.Caps().GSO)
	// Output: false
}
