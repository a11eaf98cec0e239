package udp

import (
	"fmt"
	"runtime"
)

// Warning says what an operator should know about the socket, and what to do about it, in one
// line: that the kernel gave smaller buffers than it was asked for, so that
// bursts get lost. It is empty if there is nothing to say. This package does not log.
func (k Caps) Warning() string {
	receive := bufferWarning("receive", k.ReceiveBuffer, k.ReceiveBufferWanted, receiveLimit)
	send := bufferWarning("send", k.SendBuffer, k.SendBufferWanted, sendLimit)
	switch {
	case receive == "":
		return send
	case send == "":
		return receive
	}
	return receive + "; " + send
}

// bufferWarning is about one of the two buffers.
func bufferWarning(name string, got, wanted int, limit string) string {
	if got <= 0 || got >= wanted {
		return ""
	}
	s := fmt.Sprintf("the UDP %s buffer is %d KiB instead of %d KiB", name, got>>10, wanted>>10)
	if limit != "" {
		s += fmt.Sprintf(": raise the system's limit with sysctl -w %s=%d", limit, wanted)
	}
	return s
}

// What an administrator sets to allow larger buffers.
var receiveLimit, sendLimit = bufferLimits(runtime.GOOS)

func bufferLimits(goos string) (receive, send string) {
	switch goos {
	case "linux", "android":
		return "net.core.rmem_max", "net.core.wmem_max"
	case "darwin", "ios", "freebsd", "dragonfly":
		return "kern.ipc.maxsockbuf", "kern.ipc.maxsockbuf"
	case "netbsd":
		return "kern.sbmax", "kern.sbmax"
	}
	return "", ""
}
