package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/frittata-go/frittata/quic"
)

// A datagram is a key, a number, and bytes that are a function of them.
const (
	datagramHead = 16
	maxDatagram  = 1000
)

func makeDatagram(b []byte, key, number uint64, size int, client bool) []byte {
	b = binary.BigEndian.AppendUint64(b[:0], key)
	b = binary.BigEndian.AppendUint64(b, number)
	return append(b, originOf(key, number, client).at(0, int64(size))...)
}

// checkDatagram returns key and number of a datagram.
func checkDatagram(p []byte, client bool) (key, number uint64, err error) {
	if len(p) < datagramHead {
		return 0, 0, fmt.Errorf("a datagram of %d bytes", len(p))
	}
	key, number = binary.BigEndian.Uint64(p), binary.BigEndian.Uint64(p[8:])
	if err := originOf(key, number, client).check(0, p[datagramHead:]); err != nil {
		return 0, 0, fmt.Errorf("datagram: %w", err)
	}
	return key, number, nil
}

// sendDatagrams sends n datagrams of any size, as far as the queue takes them.
func sendDatagrams(c *quic.Conn, r *rand.Rand, key uint64, n int) error {
	var buf [maxDatagram + datagramHead]byte
	for range n {
		if err := sendDatagram(c, makeDatagram(buf[:], key, r.Uint64(), r.IntN(maxDatagram), true)); err != nil {
			return err
		}
	}
	return nil
}

func sendDatagram(c *quic.Conn, p []byte) error {
	err := c.SendDatagram(p)
	if errors.Is(err, quic.ErrDatagramQueueFull) {
		return nil // it is lost, as it may be anywhere
	}
	return err
}
