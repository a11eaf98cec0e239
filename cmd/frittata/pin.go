package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// pin is the SHA-256 of a certificate's public key (SubjectPublicKeyInfo), as
// HPKP (RFC 7469, Section 2.4) has it. It stays the same when a certificate is
// renewed with the same key.
type pin [sha256.Size]byte

func pinOf(c *x509.Certificate) pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// String returns the pin in base64.
func (p pin) String() string { return base64.StdEncoding.EncodeToString(p[:]) }

var pinLen = base64.StdEncoding.EncodedLen(sha256.Size)

// parsePin reads a pin in base64, with or without the "sha256//" that curl wants. A
// slash may be the first character of the base64, too.
func parsePin(s string) (pin, error) {
	s = strings.TrimPrefix(s, "sha256/")
	if len(s) == pinLen+1 {
		s = strings.TrimPrefix(s, "/")
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != sha256.Size {
		return pin{}, errors.New("a pin is the SHA-256 of a public key in base64, 44 characters; serve prints its own")
	}
	return pin(b), nil
}

// pinError: the server's key is not the pinned one.
type pinError struct{ want, got pin }

func (e *pinError) Error() string {
	return fmt.Sprintf("the server's key has the pin %v, not %v", e.got, e.want)
}

// pinTLS accepts a server by its key alone: names and dates do not matter.
func pinTLS(want pin) *tls.Config {
	return &tls.Config{
		// The chain is not verified, as the pin says more than any authority. The
		// server proves in the handshake that it has the key.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 {
				return errors.New("the server has no certificate")
			}
			got := pinOf(cs.PeerCertificates[0])
			if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
				return &pinError{want: want, got: got}
			}
			return nil
		},
	}
}
