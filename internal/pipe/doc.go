// Package pipe carries bytes between a connection's strand and a goroutine.
//
// A [Reader] goes from the strand to the goroutine, a [Writer] from the
// goroutine to the strand. The strand's methods never block; the goroutine's do,
// with deadlines. Each pipe is a bounded list of pooled chunks under a mutex that
// is never held across a call to anything else.
//
// Wake-ups are what costs in such a thing, so there are few: the strand is woken
// when a Writer stops being empty, and when a Reader that was full has been
// drained to half; a goroutine that met a full Writer goes on when it is half empty.
//
// A pipe that was never used has allocated nothing.
package pipe
