package h3

import (
	"math"
	"slices"
)

// Setting is one setting of a SETTINGS frame (RFC 9114, Section 7.2.4).
type Setting struct {
	ID, Value uint64
}

// Identifiers of settings.
const (
	SettingQPACKMaxTableCapacity uint64 = 0x1
	SettingMaxFieldSectionSize   uint64 = 0x6
	SettingQPACKBlockedStreams   uint64 = 0x7
	SettingEnableConnectProtocol uint64 = 0x8  // RFC 9220
	SettingH3Datagram            uint64 = 0x33 // RFC 9297
)

// Settings are a peer's settings as far as they are known here. What it did
// not send has its default.
type Settings struct {
	MaxFieldSectionSize   uint64 // bytes; math.MaxUint64: unlimited
	QPACKMaxTableCapacity uint64 // bytes
	QPACKBlockedStreams   uint64
	EnableConnectProtocol bool // RFC 9220
	Datagrams             bool // RFC 9297
	// Other are settings of other identifiers, in order. Those that are
	// reserved to be ignored (RFC 9114, Section 7.2.4.1) are left out.
	Other []Setting
}

// defaultSettings are what holds before SETTINGS came.
var defaultSettings = Settings{MaxFieldSectionSize: math.MaxUint64}

// maxSettingsPayload bounds a SETTINGS frame, in bytes. Those of the field's
// implementations are below 100.
const maxSettingsPayload = 1024

// AppendSettings appends a SETTINGS frame.
func AppendSettings(b []byte, settings []Setting) []byte {
	var payload []byte
	for _, s := range settings {
		payload = AppendVarint(AppendVarint(payload, s.ID), s.Value)
	}
	return append(AppendFrameHeader(b, FrameSettings, uint64(len(payload))), payload...)
}

// parseSettings parses the payload of a SETTINGS frame.
func parseSettings(b []byte) (*Settings, *Error) {
	settings := defaultSettings
	var seen []uint64
	for len(b) > 0 {
		id, n := ConsumeVarint(b)
		b = b[n:]
		value, m := ConsumeVarint(b)
		b = b[m:]
		if n == 0 || m == 0 {
			return nil, &Error{CodeFrameError, "truncated SETTINGS"} // RFC 9114, Section 7.1
		}
		if slices.Contains(seen, id) { // RFC 9114, Section 7.2.4
			return nil, &Error{CodeSettingsError, "setting appears twice"}
		}
		seen = append(seen, id)
		switch id {
		case SettingQPACKMaxTableCapacity:
			settings.QPACKMaxTableCapacity = value
		case SettingMaxFieldSectionSize:
			settings.MaxFieldSectionSize = value
		case SettingQPACKBlockedStreams:
			settings.QPACKBlockedStreams = value
		case SettingEnableConnectProtocol: // RFC 9220, Section 3; RFC 8441, Section 3
			if value > 1 {
				return nil, &Error{CodeSettingsError, "SETTINGS_ENABLE_CONNECT_PROTOCOL is neither 0 nor 1"}
			}
			settings.EnableConnectProtocol = value == 1
		case SettingH3Datagram: // RFC 9297, Section 2.1.1
			if value > 1 {
				return nil, &Error{CodeSettingsError, "SETTINGS_H3_DATAGRAM is neither 0 nor 1"}
			}
			settings.Datagrams = value == 1
		case 0x2, 0x3, 0x4, 0x5: // RFC 9114, Sections 7.2.4.1 and 11.2.2
			return nil, &Error{CodeSettingsError, "setting of HTTP/2"}
		default:
			if !reserved(id) {
				settings.Other = append(settings.Other, Setting{id, value})
			}
		}
	}
	return &settings, nil
}

// reserved tells whether an identifier of a setting, frame or stream type is one
// of those that have no meaning (RFC 9114, Sections 6.2.3, 7.2.4.1, 7.2.8).
func reserved(id uint64) bool { return id >= 0x21 && (id-0x21)%0x1f == 0 }
