//go:build linux && race

package udp

// raceEnabled tells whether the race detector is on, which allocates.
const raceEnabled = true
