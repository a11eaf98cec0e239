//go:build !unix

package main

import "io"

// terminalWidth returns what a terminal has at least.
func terminalWidth(io.Writer) int { return defaultWidth }
