package quic

import (
	"fmt"
	"strings"

	"github.com/frittata-go/frittata/quic/internal/wire"
)

// describe makes text of a frame.
func describe(f *wire.Frame) string {
	switch {
	case f.Type&^7 == wire.FrameStream:
		s := fmt.Sprintf("STREAM id=%d off=%d len=%d", f.StreamID, f.Offset, len(f.Data))
		if f.Fin {
			s += " fin"
		}
		return s
	case f.Type&^1 == wire.FrameDatagram:
		return fmt.Sprintf("DATAGRAM len=%d", len(f.Data))
	}
	switch f.Type {
	case wire.FramePadding:
		return "PADDING"
	case wire.FramePing:
		return "PING"
	case wire.FrameAck, wire.FrameAckECN:
		var b strings.Builder
		b.WriteString("ACK")
		for it := f.Ack.Ranges(); it.Next(); {
			fmt.Fprintf(&b, " %d-%d", it.Smallest, it.Largest)
		}
		return b.String()
	case wire.FrameResetStream:
		return fmt.Sprintf("RESET_STREAM id=%d code=%#x size=%d", f.StreamID, f.ErrorCode, f.FinalSize)
	case wire.FrameStopSending:
		return fmt.Sprintf("STOP_SENDING id=%d code=%#x", f.StreamID, f.ErrorCode)
	case wire.FrameMaxData:
		return fmt.Sprintf("MAX_DATA %d", f.Limit)
	case wire.FrameMaxStreamData:
		return fmt.Sprintf("MAX_STREAM_DATA id=%d %d", f.StreamID, f.Limit)
	case wire.FrameMaxStreamsBidi:
		return fmt.Sprintf("MAX_STREAMS bidi %d", f.Limit)
	case wire.FrameMaxStreamsUni:
		return fmt.Sprintf("MAX_STREAMS uni %d", f.Limit)
	case wire.FrameDataBlocked:
		return fmt.Sprintf("DATA_BLOCKED %d", f.Limit)
	case wire.FrameStreamDataBlocked:
		return fmt.Sprintf("STREAM_DATA_BLOCKED id=%d %d", f.StreamID, f.Limit)
	case wire.FrameStreamsBlockedBidi, wire.FrameStreamsBlockedUni:
		return fmt.Sprintf("STREAMS_BLOCKED %d", f.Limit)
	case wire.FrameNewConnectionID:
		return fmt.Sprintf("NEW_CONNECTION_ID seq=%d prior=%d", f.Seq, f.RetirePriorTo)
	case wire.FrameRetireConnectionID:
		return fmt.Sprintf("RETIRE_CONNECTION_ID seq=%d", f.Seq)
	case wire.FramePathChallenge:
		return fmt.Sprintf("PATH_CHALLENGE %x", f.PathData)
	case wire.FramePathResponse:
		return fmt.Sprintf("PATH_RESPONSE %x", f.PathData)
	case wire.FrameConnectionClose:
		return fmt.Sprintf("CONNECTION_CLOSE code=%#x type=%#x %s", f.ErrorCode, f.FrameType, f.Data)
	case wire.FrameConnectionCloseApp:
		return fmt.Sprintf("CONNECTION_CLOSE app code=%#x %s", f.ErrorCode, f.Data)
	case wire.FrameHandshakeDone:
		return "HANDSHAKE_DONE"
	}
	return fmt.Sprintf("frame %#x", f.Type)
}
