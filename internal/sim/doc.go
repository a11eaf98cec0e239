// Package sim is a network in virtual time: QUIC connections talk to each other
// over links that lose, delay, reorder and mangle what they carry, and not a
// second of the wall clock passes.
//
// A [World] has the clock, the source of all randomness and the events that are
// to come. [Host]s own an endpoint and its connections, and have a processor
// that takes its time. Between a host and the rest of the world lie the
// [Node]s of its access link, one list in each direction:
//
//	w := sim.New(t)
//	server := w.NewHost(sim.HostConfig{Addr: "198.51.100.1:443", Serve: sim.Sink})
//	client := w.NewHost(sim.HostConfig{
//		Addr: "192.0.2.1:1000",
//		Up:   []sim.Node{&sim.Loss{P: 0.05}, &sim.Delay{Base: 10 * time.Millisecond}},
//	})
//	c := client.Dial(server, &sim.Bulk{Size: 10 << 20})
//	w.Until("transfer", time.Minute, c.Done)
//
// With the fake handshake the same seed gives the same world, to the byte. The
// seed is printed, and FRITTATA_SIM_SEED sets it; the value "random" draws one.
package sim
