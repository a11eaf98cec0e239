// Package leak has tests fail that leave goroutines or sockets behind, and tells them how much of the heap is in use. It is for tests alone.
package leak
