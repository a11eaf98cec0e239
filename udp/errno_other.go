//go:build !unix && !windows

package udp

// What errors mean is not known here: all are the caller's.

func softErrno(error) bool { return false }

func noRouteErrno(error) bool { return false }

func tooLargeErrno(error) bool { return false }

func noMemoryErrno(error) bool { return false }

func truncated(int, error) bool { return false }
