// Package recovery is loss detection and the recovery from it (RFC 9002), the
// keeping of acknowledgments (RFC 9000, Section 13.2), and what belongs to one
// network path: its round-trip time, its congestion controller, its pacer, the
// validation of ECN (RFC 9000, Section 13.4.2) and delivery rate samples.
//
// A [Recovery] is told of every packet that is sent and of every ACK frame that
// comes in, and tells a [Handler] what became of the frames. An [AckTracker] is
// the other direction: what was received and has to be acknowledged. All times
// are durations since the connection began. Nothing here knows a clock, and time
// that runs backwards is taken as standing still.
//
// Sent packets are in a ring and their frames in another one, so that sending
// and acknowledging allocate nothing once the rings have grown to the size of the
// window. Some time after the last packet was acknowledged the rings are let go.
package recovery
