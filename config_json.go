package frittata

import (
	"fmt"

	"github.com/frittata-go/frittata/internal/settings"
)

// MarshalJSON returns an object with the settings that are not zero, under the
// names of their fields, with durations as strings such as "30s". It has
// numbers, durations and switches: TLS, keys, the Logger and other pointers, functions
// and interfaces are no part of it, here or in QUIC and UDP.
func (c Config) MarshalJSON() ([]byte, error) { return settings.Marshal(c) }

// UnmarshalJSON sets what an object as of MarshalJSON has, and leaves the other
// fields as they are, so that defaults can be set before and TLS at any time. A
// name that is not one of a setting is an error.
func (c *Config) UnmarshalJSON(b []byte) error {
	if err := settings.Unmarshal(b, c); err != nil {
		return fmt.Errorf("frittata: settings: %w", err)
	}
	return nil
}

var retryPolicies = [...]string{RetryAuto: "auto", RetryAlways: "always", RetryNever: "never"}

// String names the policy in a word.
func (p RetryPolicy) String() string {
	if int(p) < len(retryPolicies) {
		return retryPolicies[p]
	}
	return "unknown"
}

// MarshalText returns the policy's name. It fails if there is no such policy.
func (p RetryPolicy) MarshalText() ([]byte, error) {
	if int(p) >= len(retryPolicies) {
		return nil, fmt.Errorf("frittata: no such RetryPolicy: %d", uint8(p))
	}
	return []byte(retryPolicies[p]), nil
}

// UnmarshalText sets the policy by its name: auto, always or never.
func (p *RetryPolicy) UnmarshalText(b []byte) error {
	for i, name := range retryPolicies {
		if name == string(b) {
			*p = RetryPolicy(i)
			return nil
		}
	}
	return fmt.Errorf("frittata: no such RetryPolicy: %q", b)
}
