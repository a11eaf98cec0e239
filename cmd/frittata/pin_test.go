package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"testing"
	"time"
)

func TestPinIsOfTheKey(t *testing.T) {
	cert, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(cert.Leaf.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(spki)
	if got, want := pinOf(cert.Leaf).String(), base64.StdEncoding.EncodeToString(sum[:]); got != want {
		t.Errorf("pin %s, want %s", got, want)
	}
	// Another certificate with the same key has the same pin.
	der, err := x509.CreateCertificate(rand.Reader, cert.Leaf, cert.Leaf, cert.Leaf.PublicKey.(*ecdsa.PublicKey), cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	again, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(again.Raw, cert.Leaf.Raw) || pinOf(again) != pinOf(cert.Leaf) {
		t.Error("a renewed certificate has another pin, or is none")
	}
}

func TestParsePin(t *testing.T) {
	var p pin
	for i := range p {
		p[i] = byte(i * 37)
	}
	for first := range 256 { // those with a slash at the beginning among them
		p[0] = byte(first)
		for _, s := range []string{p.String(), "sha256//" + p.String(), "sha256/" + p.String()} {
			if got, err := parsePin(s); err != nil || got != p {
				t.Errorf("%s: %v, %v", s, got, err)
			}
		}
	}
	for _, s := range []string{"", "abc", p.String()[1:], p.String() + "A", "sha256:" + p.String(), "/" + p.String()[1:] + "//", base64.StdEncoding.EncodeToString(p[:31])} {
		if _, err := parsePin(s); err == nil {
			t.Errorf("%q was taken for a pin", s)
		}
	}
}

func TestPinTLS(t *testing.T) {
	cert, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	right := pinOf(cert.Leaf)
	wrong := right
	wrong[31] ^= 1
	state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert.Leaf}}
	if err := pinTLS(right).VerifyConnection(state); err != nil {
		t.Errorf("the right pin: %v", err)
	}
	var pe *pinError
	if err := pinTLS(wrong).VerifyConnection(state); !errors.As(err, &pe) || pe.got != right || pe.want != wrong {
		t.Errorf("a wrong pin: %v", err)
	}
	if err := pinTLS(right).VerifyConnection(tls.ConnectionState{}); err == nil {
		t.Error("no certificate at all was accepted")
	}
}
