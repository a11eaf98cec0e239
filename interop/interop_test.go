package interop

import (
	"encoding/hex"
	"fmt"
	"testing"
)

// pairs runs a test with frittata and each peer, in both roles. Peers with each
// other, where both are there, show that a failure is not theirs.
func pairs(t *testing.T, test func(t *testing.T, server, client stack)) {
	for _, p := range [][2]stack{
		{frittataStack, frittataStack},
		{frittataStack, quicgoStack},
		{frittataStack, ngtcp2Stack},
		{quicgoStack, frittataStack},
		{ngtcp2Stack, frittataStack},
		{quicgoStack, ngtcp2Stack},
		{ngtcp2Stack, quicgoStack},
	} {
		t.Run(fmt.Sprintf("server=%s/client=%s", p[0].name, p[1].name), func(t *testing.T) {
			p[0].need(t)
			p[1].need(t)
			test(t, p[0], p[1])
		})
	}
}

func TestSmall(t *testing.T) {
	pairs(t, func(t *testing.T, server, client stack) {
		c := client.client(t, server.serve(t, serverOptions{}))
		if got, want := c.get(t, smallPath), smallBody(); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestDownload(t *testing.T) {
	pairs(t, func(t *testing.T, server, client stack) {
		c := client.client(t, server.serve(t, serverOptions{}))
		if got, want := c.get(t, largePath), largeBody(); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestUpload(t *testing.T) {
	pairs(t, func(t *testing.T, server, client stack) {
		c := client.client(t, server.serve(t, serverOptions{}))
		if server.name == ngtcp2Stack.name {
			// gtlsserver reads the body to its end, before it answers what a
			// GET would get, and does not tell what came.
			if got, want := bodyOf(c.post(t, smallPath, large())), smallBody(); got != want {
				t.Errorf("the answer has %v, want %v", got, want)
			}
			return
		}
		sum := largeBody().sum
		if got, want := string(c.post(t, sumPath, large())), hex.EncodeToString(sum[:]); got != want {
			t.Errorf("the server got %s, want %s", got, want)
		}
	})
}

func TestManyRequests(t *testing.T) {
	pairs(t, func(t *testing.T, server, client stack) {
		c := client.client(t, server.serve(t, serverOptions{}))
		if got := c.many(t, smallPath, 1000, 100, smallBody()); got != 1000 {
			t.Errorf("%d requests of 1000 went well", got)
		}
	})
}

func TestRetry(t *testing.T) {
	pairs(t, func(t *testing.T, server, client stack) {
		between := countRetries(t, server.serve(t, serverOptions{retry: true}))
		c := client.client(t, between.addr())
		if got, want := c.get(t, smallPath), smallBody(); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
		if between.retries.Load() == 0 {
			t.Error("the server sent no Retry")
		}
	})
}

// TestNgtcp2Client has ngtcp2's client do what the others cannot be made to do.
func TestNgtcp2Client(t *testing.T) {
	needNgtcp2(t)
	const (
		small = iota
		download
		upload
	)
	for _, test := range []struct {
		name string
		what int
		args []string
	}{
		{"version negotiation", small, []string{"-v", "0x1a2a3a4a", "--preferred-versions=v1", "--other-versions=v1"}},
		{"loss", small, []string{"-t", "0.1", "-r", "0.1"}},
		{"ChaCha20", download, []string{"--ciphers=NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+CHACHA20-POLY1305"}},
		{"AES-256", download, []string{"--ciphers=NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-256-GCM"}},
		{"key update", download, []string{"--key-update=100ms"}},
		{"migration", download, []string{"--change-local-addr=100ms"}},
		{"early migration", download, []string{"--change-local-addr=1ms"}},
		// The client ignores what comes to its old address, so it has to have
		// something to say from its new one.
		{"NAT rebinding", upload, []string{"--change-local-addr=100ms", "--nat-rebinding"}},
		{"empty connection ID", download, []string{"--scid="}},
		{"Reno", upload, []string{"--cc=reno"}},
		{"small windows", download, []string{"--max-data=64K", "--max-stream-data-bidi-local=64K"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &ngtcp2Client{addr: mustAddrPort(t, frittataStack.serve(t, serverOptions{})), extra: test.args}
			sum := largeBody().sum
			switch test.what {
			case small:
				if got, want := c.get(t, smallPath), smallBody(); got != want {
					t.Errorf("got %v, want %v", got, want)
				}
			case download:
				if got, want := c.get(t, largePath), largeBody(); got != want {
					t.Errorf("got %v, want %v", got, want)
				}
			case upload:
				if got, want := string(c.post(t, sumPath, large())), hex.EncodeToString(sum[:]); got != want {
					t.Errorf("the server got %s, want %s", got, want)
				}
			}
		})
	}
}
