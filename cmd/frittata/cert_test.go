package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
)

func TestSelfSigned(t *testing.T) {
	now := time.Now()
	cert, err := selfSigned(now, "192.0.2.7", "files.example", "", "localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := cert.PrivateKey.(*ecdsa.PrivateKey); !ok || k.Curve != elliptic.P256() {
		t.Errorf("the key is %T", cert.PrivateKey)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	hosts := []string{"localhost", "127.0.0.1", "::1", "192.0.2.7", "files.example"}
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name)
	}
	for _, h := range hosts {
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: h, Roots: pool, CurrentTime: now}); err != nil {
			t.Errorf("%s: %v", h, err)
		}
	}
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: "other.example", Roots: pool, CurrentTime: now}); err == nil {
		t.Error("it is valid for any name")
	}
	if n := len(cert.Leaf.IPAddresses); n != 3 {
		t.Errorf("%d addresses, some of them twice: %v", n, cert.Leaf.IPAddresses)
	}
}

// writePair makes files of a certificate.
func writePair(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	cert, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestLoadPair(t *testing.T) {
	certFile, keyFile := writePair(t, t.TempDir())
	if _, err := loadPair(certFile, keyFile); err != nil {
		t.Error(err)
	}
	_, otherKey := writePair(t, t.TempDir())
	for _, names := range [][2]string{{certFile, otherKey}, {keyFile, certFile}, {certFile, certFile}, {"nothing", keyFile}} {
		_, err := loadPair(names[0], names[1])
		var f *failure
		if !errors.As(err, &f) || f.code != exitFile {
			t.Errorf("%q: %v", names, err)
		}
	}
}

func TestLoadAuthorities(t *testing.T) {
	certFile, keyFile := writePair(t, t.TempDir())
	if _, err := loadAuthorities(certFile); err != nil {
		t.Error(err)
	}
	for _, name := range []string{keyFile, "nothing"} {
		_, err := loadAuthorities(name)
		var f *failure
		if !errors.As(err, &f) || f.code != exitFile {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyLog(t *testing.T) {
	leak.Check(t)
	w := newWorld()
	if k, err := keyLog(&w.env); k != nil || err != nil {
		t.Errorf("without SSLKEYLOGFILE: %v, %v", k, err)
	}
	name := filepath.Join(t.TempDir(), "keys")
	w.getenv = func(string) string { return name }
	for range 2 {
		k, err := keyLog(&w.env)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = k.Write([]byte("x"))
		k.Close()
	}
	if b, err := os.ReadFile(name); string(b) != "xx" {
		t.Errorf("the file is not appended to: %q, %v", b, err)
	}
	w.getenv = func(string) string { return filepath.Join(name, "no directory") }
	if _, err := keyLog(&w.env); err == nil {
		t.Error("no error for a file that cannot be opened")
	}
}
