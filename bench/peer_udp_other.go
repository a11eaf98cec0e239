//go:build !linux

package main

// udpStack is for Linux alone.
var udpStack = &stack{oneAtATime: true}
