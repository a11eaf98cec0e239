package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"slices"
	"time"
)

// selfSignedLifetime is short enough for whoever copies this certificate
// somewhere to notice that it was not meant to be kept.
const selfSignedLifetime = 14 * 24 * time.Hour

// selfSigned makes a certificate with a key of its own for localhost, this
// host's name and hosts.
func selfSigned(now time.Time, hosts ...string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "frittata self-signed"},
		NotBefore:             now.Add(-time.Hour), // clocks differ
		NotAfter:              now.Add(selfSignedLifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	names := []string{"localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil {
		names = append(names, name)
	}
	for _, h := range append(names, hosts...) {
		if ip := net.ParseIP(h); ip != nil {
			if !slices.ContainsFunc(template.IPAddresses, ip.Equal) {
				template.IPAddresses = append(template.IPAddresses, ip)
			}
		} else if h != "" && !slices.Contains(template.DNSNames, h) {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

// loadPair reads a certificate and its key in PEM.
func loadPair(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err == nil {
		return cert, nil
	}
	f := &failure{code: exitFile, what: "certificate " + certFile + " with key " + keyFile + ": " + err.Error(), err: err}
	if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
		f.try = "Both files have to be PEM: --cert the certificate and its chain, --key the private key that belongs to it.\n" +
			"Without --cert and --key a certificate is made on the spot."
	}
	return tls.Certificate{}, f
}

// loadAuthorities reads the certificates that --ca trusts.
func loadAuthorities(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fileError(err, "")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, &failure{code: exitFile, what: file + ": there is no certificate in it", try: "--ca wants certificates in PEM (-----BEGIN CERTIFICATE-----)."}
	}
	return pool, nil
}

// keyLog opens the file that SSLKEYLOGFILE names, for Wireshark; nil if it names none.
func keyLog(e *env) (io.WriteCloser, error) {
	name := e.getenv("SSLKEYLOGFILE")
	if name == "" {
		return nil, nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fileError(err, "SSLKEYLOGFILE names the file that TLS keys are written to. Unset it, or name another.")
	}
	return f, nil
}
