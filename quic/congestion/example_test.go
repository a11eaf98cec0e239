package congestion_test

import (
	"fmt"
	"time"

	"github.com/frittata-go/frittata/quic/congestion"
)

// capped is a controller of one's own: CUBIC that never has more than some
// bytes in flight.
type capped struct {
	congestion.Controller
	limit int
}

func (c *capped) Name() string { return "capped cubic" }
func (c *capped) Window() int  { return min(c.Controller.Window(), c.limit) }

func Example() {
	c := &capped{congestion.NewCUBIC(congestion.Config{InitialWindow: 10}), 20000}
	fmt.Println(c.Name(), c.Window(), c.State().Phase)

	// A round trip later all of the window is acknowledged: slow start doubles it.
	c.OnAck(&congestion.Ack{Now: 50 * time.Millisecond, Bytes: 12000, Packets: 10})
	fmt.Println(c.Controller.Window(), c.Window())

	c.OnLoss(&congestion.Loss{Now: 100 * time.Millisecond, Bytes: 1200, Packets: 1, LargestSent: 60 * time.Millisecond})
	fmt.Println(c.Window(), c.State().Phase)
	// Output:
	// capped cubic 12000 slow_start
	// 24000 20000
	// 16800 recovery
}
