package wire

// maxFrameData is the most data of a frame whose length field has 2 bytes.
const maxFrameData = 1<<14 - 1

// AppendResetStream appends a RESET_STREAM frame (RFC 9000, Section 19.4).
func AppendResetStream(b []byte, id, code, finalSize uint64) []byte {
	b = append(b, FrameResetStream)
	b = AppendVarint(b, id)
	b = AppendVarint(b, code)
	return AppendVarint(b, finalSize)
}

// AppendStopSending appends a STOP_SENDING frame (RFC 9000, Section 19.5).
func AppendStopSending(b []byte, id, code uint64) []byte {
	b = append(b, FrameStopSending)
	b = AppendVarint(b, id)
	return AppendVarint(b, code)
}

// StreamHeaderLen returns the size of a STREAM frame's header with an explicit
// Length for n bytes of data. n is at most 16383: the Length takes up to 2 bytes,
// and no more for less data.
func StreamHeaderLen(id, offset uint64, n int) int {
	size := 1 + VarintLen(id) + VarintLen(uint64(n))
	if offset > 0 {
		size += VarintLen(offset)
	}
	return size
}

// AppendStreamHeader appends a STREAM frame up to its n bytes of data (RFC 9000,
// Section 19.8). Without hasLength the frame extends to the packet's end.
func AppendStreamHeader(b []byte, id, offset uint64, n int, fin, hasLength bool) []byte {
	typ := byte(FrameStream)
	if fin {
		typ |= streamFin
	}
	if hasLength {
		typ |= streamLen
	}
	if offset > 0 {
		typ |= streamOff
	}
	b = append(b, typ)
	b = AppendVarint(b, id)
	if offset > 0 {
		b = AppendVarint(b, offset)
	}
	if hasLength {
		b = appendDataLen(b, n)
	}
	return b
}

// appendDataLen appends the length of a frame's data.
func appendDataLen(b []byte, n int) []byte {
	if n < 0 || n > maxFrameData {
		panic("BUG: a frame of more than 16383 bytes")
	}
	return AppendVarint(b, uint64(n))
}

// CryptoHeaderLen returns the size of a CRYPTO frame's header for n bytes of data, at most 16383.
func CryptoHeaderLen(offset uint64, n int) int {
	return 1 + VarintLen(offset) + VarintLen(uint64(n))
}

// AppendCryptoHeader appends a CRYPTO frame up to its n bytes of data (RFC 9000, Section 19.6).
func AppendCryptoHeader(b []byte, offset uint64, n int) []byte {
	b = append(b, FrameCrypto)
	b = AppendVarint(b, offset)
	return appendDataLen(b, n)
}

// AppendMaxData appends a MAX_DATA frame (RFC 9000, Section 19.9).
func AppendMaxData(b []byte, limit uint64) []byte {
	return AppendVarint(append(b, FrameMaxData), limit)
}

// AppendMaxStreamData appends a MAX_STREAM_DATA frame (RFC 9000, Section 19.10).
func AppendMaxStreamData(b []byte, id, limit uint64) []byte {
	b = append(b, FrameMaxStreamData)
	b = AppendVarint(b, id)
	return AppendVarint(b, limit)
}

// AppendMaxStreams appends a MAX_STREAMS frame (RFC 9000, Section 19.11). limit is at most 2^60.
func AppendMaxStreams(b []byte, uni bool, limit uint64) []byte {
	return appendStreamCount(b, FrameMaxStreamsBidi, uni, limit)
}

// AppendStreamsBlocked appends a STREAMS_BLOCKED frame (RFC 9000, Section 19.14). limit is at most 2^60.
func AppendStreamsBlocked(b []byte, uni bool, limit uint64) []byte {
	return appendStreamCount(b, FrameStreamsBlockedBidi, uni, limit)
}

// appendStreamCount appends a frame of a type that is one greater for unidirectional streams.
func appendStreamCount(b []byte, typ byte, uni bool, limit uint64) []byte {
	if limit > maxStreams {
		panic("BUG: more streams than there are IDs")
	}
	if uni {
		typ++
	}
	return AppendVarint(append(b, typ), limit)
}

// AppendDataBlocked appends a DATA_BLOCKED frame (RFC 9000, Section 19.12).
func AppendDataBlocked(b []byte, limit uint64) []byte {
	return AppendVarint(append(b, FrameDataBlocked), limit)
}

// AppendStreamDataBlocked appends a STREAM_DATA_BLOCKED frame (RFC 9000, Section 19.13).
func AppendStreamDataBlocked(b []byte, id, limit uint64) []byte {
	b = append(b, FrameStreamDataBlocked)
	b = AppendVarint(b, id)
	return AppendVarint(b, limit)
}

// AppendNewConnectionID appends a NEW_CONNECTION_ID frame (RFC 9000, Section
// 19.15). id has 1 to 20 bytes, and retirePriorTo is at most seq.
func AppendNewConnectionID(b []byte, seq, retirePriorTo uint64, id []byte, token *[16]byte) []byte {
	if len(id) == 0 || len(id) > MaxConnIDLen || retirePriorTo > seq {
		panic("BUG: NEW_CONNECTION_ID that no peer takes")
	}
	b = append(b, FrameNewConnectionID)
	b = AppendVarint(b, seq)
	b = AppendVarint(b, retirePriorTo)
	b = append(b, byte(len(id)))
	b = append(b, id...)
	return append(b, token[:]...)
}

// AppendRetireConnectionID appends a RETIRE_CONNECTION_ID frame (RFC 9000, Section 19.16).
func AppendRetireConnectionID(b []byte, seq uint64) []byte {
	return AppendVarint(append(b, FrameRetireConnectionID), seq)
}

// AppendPathChallenge appends a PATH_CHALLENGE frame (RFC 9000, Section 19.17).
func AppendPathChallenge(b []byte, data *[8]byte) []byte {
	return append(append(b, FramePathChallenge), data[:]...)
}

// AppendPathResponse appends a PATH_RESPONSE frame (RFC 9000, Section 19.18).
func AppendPathResponse(b []byte, data *[8]byte) []byte {
	return append(append(b, FramePathResponse), data[:]...)
}

// AppendConnectionClose appends the transport's (app false) or the application's
// CONNECTION_CLOSE frame (RFC 9000, Section 19.19), which has no frameType.
func AppendConnectionClose(b []byte, app bool, code, frameType uint64, reason string) []byte {
	if app {
		b = AppendVarint(append(b, FrameConnectionCloseApp), code)
	} else {
		b = AppendVarint(append(b, FrameConnectionClose), code)
		b = AppendVarint(b, frameType)
	}
	b = AppendVarint(b, uint64(len(reason)))
	return append(b, reason...)
}

// AppendHandshakeDone appends a HANDSHAKE_DONE frame (RFC 9000, Section 19.20).
func AppendHandshakeDone(b []byte) []byte { return append(b, FrameHandshakeDone) }

// AppendNewToken appends a NEW_TOKEN frame (RFC 9000, Section 19.7). token is not empty.
func AppendNewToken(b, token []byte) []byte {
	if len(token) == 0 {
		panic("BUG: NEW_TOKEN without a token")
	}
	b = append(b, FrameNewToken)
	b = AppendVarint(b, uint64(len(token)))
	return append(b, token...)
}

// DatagramHeaderLen returns the size of a DATAGRAM frame's header for n bytes of data, at most 16383.
func DatagramHeaderLen(n int) int { return 1 + VarintLen(uint64(n)) }

// AppendDatagramHeader appends a DATAGRAM frame with an explicit Length up to its
// n bytes of data (RFC 9221, Section 4).
func AppendDatagramHeader(b []byte, n int) []byte {
	return appendDataLen(append(b, FrameDatagram|datagramLen), n)
}
