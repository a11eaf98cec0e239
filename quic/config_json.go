package quic

import (
	"fmt"

	"github.com/frittata-go/frittata/internal/settings"
)

// MarshalJSON returns an object with the settings that are not zero, under the
// names of their fields, with durations as strings such as "30s". It has
// numbers, durations and switches: TLS, keys, memory, functions and
// InsecureFakeHandshake are no part of it.
func (c Config) MarshalJSON() ([]byte, error) { return settings.Marshal(c) }

// UnmarshalJSON sets what an object as of MarshalJSON has, and leaves the other
// fields as they are. A name that is not one of a setting is an error. Whether the values make sense Validate tells.
func (c *Config) UnmarshalJSON(b []byte) error {
	if err := settings.Unmarshal(b, c); err != nil {
		return fmt.Errorf("quic: settings: %w", err)
	}
	return nil
}
