//go:build race

package sim

const (
	raceEnabled = true
	checkEvery  = 16 // of HostConfig.CheckEvery: all is ten times as slow
)
