package imports

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/frittata-go/frittata"

// allowed tells for each package of the module, by its path below the module,
// which others it may import. A package may import what lies in an internal
// folder of its own. What is not listed may import nothing of the module.
var allowed = map[string][]string{
	"quic":                   {"quic/congestion", "internal/chunk", "internal/settings"},
	"quic/congestion":        {},
	"quic/internal/wire":     {"quic/internal/ranges"},
	"quic/internal/stream":   {"quic/internal/ranges", "internal/chunk"},
	"quic/internal/recovery": {"quic/internal/ranges", "quic/internal/wire", "quic/congestion"},
	"udp":                    {},
	"h3/qpack":               {},
	"h3":                     {"quic", "h3/qpack"},
	"internal/chunk":         {},
	"internal/leak":          {},
	"internal/pipe":          {"internal/chunk"},
	"internal/settings":      {},
	"":                       {"quic", "udp", "internal/chunk", "internal/pipe", "internal/settings"},
	"h3driver":               {"", "quic", "h3", "internal/chunk", "internal/pipe"},
	"http3":                  {"", "quic", "h3", "h3driver", "internal/chunk", "internal/pipe"},
	"internal/sim":           {"quic"},
	"cmd/frittata":           {"", "quic", "udp", "h3", "http3"},
	"examples/echo":          {"", "quic"},
}

// pure are the packages that own no goroutine, lock, socket, clock or logger, and may
// not import what has these.
var pure = []string{"quic", "h3"}

// impure are the packages of the standard library that pure ones do not import.
var impure = map[string]bool{
	"sync": true, "sync/atomic": true, "os": true, "log": true, "log/slog": true, "syscall": true, "net/http": true,
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func list(t *testing.T) []pkg {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/...").Output()
	if err != nil {
		var ee *exec.ExitError
		if errors.As(err, &ee) {
			t.Fatalf("go list: %v\n%s", err, ee.Stderr)
		}
		t.Fatal(err)
	}
	var pkgs []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func TestImportGraph(t *testing.T) {
	for _, p := range list(t) {
		from := below(p.ImportPath)
		for _, imp := range p.Imports {
			first, _, _ := strings.Cut(imp, "/")
			switch {
			case imp == module || strings.HasPrefix(imp, module+"/"):
				if to := below(imp); !mayImport(from, to) {
					t.Errorf("%q imports %q", from, to)
				}
			case strings.Contains(first, ".") && !strings.HasPrefix(imp, "golang.org/x/") && !strings.HasPrefix(from, "cmd/"):
				t.Errorf("%q imports %s: the core depends on the standard library and golang.org/x alone", from, imp)
			case isPure(from) && impure[imp]:
				t.Errorf("%q imports %s: it is a pure state machine", from, imp)
			}
		}
	}
}

func below(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, module), "/") }

func mayImport(from, to string) bool {
	if strings.HasPrefix(to, from+"/internal/") {
		return true
	}
	for _, a := range allowed[from] {
		if a == to {
			return true
		}
	}
	return false
}

func isPure(p string) bool {
	if p == "quic/internal/handshake" {
		return false // the seam to crypto/tls, which has a goroutine of its own
	}
	for _, q := range pure {
		if p == q || strings.HasPrefix(p, q+"/") {
			return true
		}
	}
	return false
}
