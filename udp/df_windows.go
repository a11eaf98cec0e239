package udp

import "golang.org/x/sys/windows"

// Of ws2ipdef.h. The number is the same for both versions.
const (
	ipDontFragment   = 14
	ipv6DontFragment = 14
)

func dontFragment4(fd uintptr) error {
	return windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IP, ipDontFragment, 1)
}

func dontFragment6(fd uintptr) error {
	return windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IPV6, ipv6DontFragment, 1)
}
