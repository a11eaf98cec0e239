package protect

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// The connection ID that all samples of RFC 9001 and RFC 9369 begin with.
var sampleID = unhex("8394c8f03e515708")

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

func readHex(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return unhex(string(b))
}

// grown returns a packet of header and payload with room for the tag.
func grown(header, payload []byte) []byte {
	b := make([]byte, 0, len(header)+len(payload)+Overhead)
	return append(append(b, header...), payload...)
}

func TestInitialVectors(t *testing.T) {
	clientPayload := make([]byte, 1162)
	copy(clientPayload, readHex(t, "rfc9001-a2-payload.hex"))
	for _, test := range []struct {
		name    string
		client  bool
		header  string
		payload []byte
		packet  string
		pnLen   int
		pn      uint64
	}{
		{"client, RFC 9001 A.2", true, "c300000001088394c8f03e5157080000449e00000002", clientPayload, "rfc9001-a2-packet.hex", 4, 2},
		{"server, RFC 9001 A.3", false, "c1000000010008f067a5502a4262b50040750001", readHex(t, "rfc9001-a3-payload.hex"), "rfc9001-a3-packet.hex", 2, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			header, want := unhex(test.header), readHex(t, test.packet)
			pnOff := len(header) - test.pnLen
			seal, _ := InitialKeys(1, sampleID, test.client)
			_, open := InitialKeys(1, sampleID, !test.client)

			got := seal.Seal(grown(header, test.payload), pnOff, test.pnLen, test.pn)
			if !bytes.Equal(got, want) {
				t.Fatalf("sealed\n%x\nwant\n%x", got, want)
			}
			pn, payload, err := open.Open(got, pnOff, 0)
			if err != nil || pn != test.pn || !bytes.Equal(payload, test.payload) {
				t.Fatalf("opened packet %d, %x, %v", pn, payload, err)
			}
			if got[0] != header[0] {
				t.Errorf("first byte is %#x after opening, want %#x", got[0], header[0])
			}
		})
	}
}

func TestRetryVectors(t *testing.T) {
	for _, test := range []struct {
		name    string
		version uint32
		packet  []byte
	}{
		{"RFC 9001 A.4", version1, readHex(t, "rfc9001-a4-retry.hex")},
		{"RFC 9369 A.4", version2, unhex("cf6b3343cf0008f067a5502a4262b574 6f6b656ec8646ce8bfe33952d9555436 65dcc7b6")},
	} {
		n := len(test.packet) - Overhead
		if got := RetryIntegrityTag(test.version, sampleID, test.packet[:n]); !bytes.Equal(got[:], test.packet[n:]) {
			t.Errorf("%s: tag %x, want %x", test.name, got, test.packet[n:])
		}
	}
}

func TestChaChaVectors(t *testing.T) {
	secret := unhex("9ac312a7f877468ebe69422748ad00a1 5443f18203a07d6060f688f30f21632b")
	for _, test := range []struct {
		name            string
		version         uint32
		packet, nextKey string
	}{
		{"RFC 9001 A.5", version1, "4cfe4189655e5cd55c41f69080575d7999c25a5bfb", "1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9"},
		{"RFC 9369 A.5", version2, "5558b1c60ae7b6b932bc27d786f4bc2bb20f2162ba", "c69374c49e3d2a9466fa689e49d476db5d0dfbc87d32ceeaa6343fd0ae4c7d88"},
	} {
		t.Run(test.name, func(t *testing.T) {
			seal, err := NewSealer(test.version, tls.TLS_CHACHA20_POLY1305_SHA256, secret)
			if err != nil {
				t.Fatal(err)
			}
			got := seal.Seal(grown(unhex("4200bff4"), []byte{1}), 1, 3, 654360564)
			if want := unhex(test.packet); !bytes.Equal(got, want) {
				t.Fatalf("sealed %x, want %x", got, want)
			}
			open, err := NewOpener(test.version, tls.TLS_CHACHA20_POLY1305_SHA256, secret)
			if err != nil {
				t.Fatal(err)
			}
			pn, payload, err := open.Open(got, 1, 654360000)
			if err != nil || pn != 654360564 || !bytes.Equal(payload, []byte{1}) {
				t.Fatalf("opened packet %d, %x, %v", pn, payload, err)
			}
			var k AppKeys
			if err := k.SetReadSecret(test.version, tls.TLS_CHACHA20_POLY1305_SHA256, secret); err != nil {
				t.Fatal(err)
			}
			if want := unhex(test.nextKey); !bytes.Equal(k.read.nextSecret, want) {
				t.Errorf("next secret %x, want %x", k.read.nextSecret, want)
			}
		})
	}
}

func TestVersion2Keys(t *testing.T) {
	// The beginning of the sample packet of RFC 9369, Appendix A.2: header, and what is sampled of the payload.
	payload := make([]byte, 1162)
	copy(payload, readHex(t, "rfc9001-a2-payload.hex"))
	seal, _ := InitialKeys(version2, sampleID, true)
	got := seal.Seal(grown(unhex("d36b3343cf088394c8f03e5157080000449e00000002"), payload), 18, 4, 2)
	if want := unhex("d76b3343cf088394c8f03e5157080000 449ea0c95e82ffe67b6abcdb4298b485 dd04de806071"); !bytes.HasPrefix(got, want) {
		t.Errorf("sealed %x, want %x", got[:len(want)], want)
	}
}
