//go:build race

package frittata

const raceEnabled = true
