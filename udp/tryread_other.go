//go:build !unix || aix

package udp

// tryReadBatch finds nothing: package net has no way to read without waiting here.
func (c *Conn) tryReadBatch([]Message) (int, error) { return 0, nil }
