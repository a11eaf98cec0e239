package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestEcho(t *testing.T) {
	leak.Check(t)
	for _, size := range []string{"0", "1", "1000000"} {
		var out, errs bytes.Buffer
		if err := run(t.Context(), []string{"-size", size}, &out, &errs); err != nil {
			t.Fatalf("%s bytes: %v\n%s", size, err, errs.String())
		}
		if !strings.Contains(out.String(), size+" bytes there and back") {
			t.Errorf("%s bytes: it said %q", size, out.String())
		}
	}
}

func TestBadFlags(t *testing.T) {
	leak.Check(t)
	for _, args := range [][]string{{"-size", "-1"}, {"-listen", ":0", "-connect", "localhost:1"}, {"-nonsense"}} {
		var out, errs bytes.Buffer
		if err := run(t.Context(), args, &out, &errs); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}
