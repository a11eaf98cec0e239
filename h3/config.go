package h3

// Config is how a Conn behaves. The zero value, and a nil *Config, work.
type Config struct {
	// MaxFieldSectionSize limits what the peer may send as headers or
	// trailers, in bytes as RFC 9114, Section 4.2.2 counts them: names and
	// values uncompressed, and 32 for each field. It is advertised, and counted
	// while decoding. Default 64 KiB, at most 1 GiB. A request with more is answered with
	// status 431, anything else fails with H3_EXCESSIVE_LOAD.
	MaxFieldSectionSize uint64

	// EnableConnectProtocol makes a server accept extended CONNECT (RFC 9220).
	EnableConnectProtocol bool

	// EnableDatagrams advertises HTTP Datagrams (RFC 9297). The quic.Conn must
	// have been configured with EnableDatagrams too.
	EnableDatagrams bool

	// AdditionalSettings are sent as they are after our own.
	AdditionalSettings []Setting

	// RawUniTypes are the types of unidirectional streams that are handed over
	// raw (EventRawStream). Streams of other unknown types are stopped with
	// H3_STREAM_CREATION_ERROR (RFC 9114, Section 6.2).
	RawUniTypes []uint64

	// RawBidiTypes are the types (in the place of a first frame's type) of the
	// peer's bidirectional streams that are handed over raw, as WebTransport has it.
	RawBidiTypes []uint64

	// IgnorePriority makes a server take no notice of priority fields and
	// PRIORITY_UPDATE frames (RFC 9218).
	IgnorePriority bool
}

const (
	// maxMaxFieldSectionSize keeps lengths of field sections within an int.
	maxMaxFieldSectionSize = 1 << 30

	// defaultMaxFieldSectionSize is below net/http's 1 MiB, for a peer may have
	// a hundred of them under way, and twice what is known to break real traffic.
	defaultMaxFieldSectionSize = 64 << 10
)

func (cfg *Config) withDefaults() Config {
	var d Config
	if cfg != nil {
		d = *cfg
	}
	if d.MaxFieldSectionSize == 0 {
		d.MaxFieldSectionSize = defaultMaxFieldSectionSize
	}
	d.MaxFieldSectionSize = min(d.MaxFieldSectionSize, maxMaxFieldSectionSize)
	return d
}
