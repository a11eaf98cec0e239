// Command soak keeps many connections busy for a long time and looks for what
// only that shows: a byte out of place, a connection that hangs, memory,
// goroutines or sockets that are not given back.
//
//	go run ./soak -duration 1h
//	go run ./soak -duration 1h -http
//
// Server and client are in one process: whatever either of them leaks is seen
// by the same count, and no two clocks have to agree on when to count. They
// talk by real UDP sockets over the loopback interface.
//
// A number of clients live one life after the other. In a life a client dials,
// exchanges some rounds of streams and datagrams with the server, and ends: it
// closes, has the server close, closes its socket, or dies without a goodbye,
// so that the server has to find out by the idle timeout. Streams are also reset and
// stopped midway by either side; connections are refused, sent through a Retry,
// ignored at first, or given up by the client within the handshake. What is
// sent is a function of connection, stream and offset, and each byte is checked.
//
// At the end the late samples of heap, goroutines and files are compared
// with the early ones, then all clients leave and what is left is
// compared with what was there before they came. The exit status is 1 if
// anything was wrong.
package main
