//go:build race

package stream

// raceEnabled tells that sync.Pool drops what it is given at random, so that
// allocations cannot be counted.
const raceEnabled = true
