//go:build !race

package sim

const (
	raceEnabled = false
	checkEvery  = 1
)
