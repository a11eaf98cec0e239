package qpack

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// readQIF reads header lists: one field a line, an empty line between lists.
func readQIF(t testing.TB, name string) (lists [][]Field) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var list []Field
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		line := s.Text()
		if line == "" {
			if list != nil {
				lists = append(lists, list)
			}
			list = nil
			continue
		}
		n, v, _ := strings.Cut(line, "\t")
		list = append(list, Field{Name: n, Value: v})
	}
	if list != nil {
		lists = append(lists, list)
	}
	return lists
}

type qifRecord struct {
	stream uint64
	data   []byte
}

// readRecords reads the records of an encoded file: stream ID, length, data.
func readRecords(t testing.TB, name string) (records []qifRecord) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for len(b) > 0 {
		n := binary.BigEndian.Uint32(b[8:])
		records = append(records, qifRecord{binary.BigEndian.Uint64(b), b[12 : 12+n]})
		b = b[12+n:]
	}
	return records
}

// TestVectors decodes what another implementation encoded without a dynamic table.
func TestVectors(t *testing.T) {
	want := readQIF(t, "testdata/qif/netbsd.qif")
	var d Decoder
	i := 0
	for _, r := range readRecords(t, "testdata/qif/netbsd.ls-qpack.out.0.0.0") {
		if r.stream == 0 {
			if err := d.HandleEncoderStream(r.data); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := d.Decode(nil, r.data, 1<<20)
		if err != nil {
			t.Fatalf("section %d: %v", i, err)
		}
		for j := range got {
			got[j].Sensitive = false
		}
		if !slices.Equal(got, want[i]) {
			t.Fatalf("section %d: got %v, want %v", i, got, want[i])
		}
		i++
	}
	if i != len(want) {
		t.Fatalf("%d sections, want %d", i, len(want))
	}
}

// TestErrorVectors decodes what a decoder must refuse. Two of the inputs were
// errors with HPACK's static table, which had the indexes 1 to 61; QPACK's has 0
// to 98 (RFC 9204, Section 3.1).
func TestErrorVectors(t *testing.T) {
	files, _ := filepath.Glob("testdata/qif/errors/err*")
	if len(files) != 12 {
		t.Fatalf("%d files, want 12", len(files))
	}
	valid := map[string]bool{"err9": true, "err10": true}
	for _, name := range files {
		var d Decoder
		var err error
		for _, r := range readRecords(t, name) {
			want := CodeDecompressionFailed
			if r.stream == 0 {
				want = CodeEncoderStreamError
				err = d.HandleEncoderStream(r.data)
			} else {
				_, err = d.Decode(nil, r.data, 1<<20)
			}
			if valid[filepath.Base(name)] {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if e, ok := err.(*Error); !ok || e.Code != want {
				t.Errorf("%s: error %v, want code %#x", name, err, want)
			}
		}
	}
}

// TestRoundTrip encodes header lists and decodes them again.
func TestRoundTrip(t *testing.T) {
	var e Encoder
	var d Decoder
	var total, plain int
	for i, want := range readQIF(t, "testdata/qif/netbsd.qif") {
		b := e.AppendSection(nil, want)
		total += len(b)
		for _, f := range want {
			plain += len(f.Name) + len(f.Value)
		}
		got, err := d.Decode(nil, b, SectionSize(want))
		if err != nil {
			t.Fatalf("section %d: %v", i, err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("section %d: got %v, want %v", i, got, want)
		}
		if _, err := d.Decode(nil, b, SectionSize(want)-1); err != ErrTooLarge {
			t.Fatalf("section %d: error %v below its size, want ErrTooLarge", i, err)
		}
	}
	if total*10 > plain*8 {
		t.Errorf("encoded to %d of %d bytes", total, plain)
	}
}
