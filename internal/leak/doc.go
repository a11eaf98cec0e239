// Package leak has tests fail that leave goroutines or sockets behind. It is for tests alone.
package leak
