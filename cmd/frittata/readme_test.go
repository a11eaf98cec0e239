package main

import (
	"encoding/json"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadmeCompiles builds the programs of README.md, as if they were in this module.
func TestReadmeCompiles(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	overlay := make(map[string]string) // where a file seems to be, and where it is
	var packages []string
	for i, block := range strings.Split(string(readme), "```go\n")[1:] {
		src, _, _ := strings.Cut(block, "```")
		if formatted, err := format.Source([]byte(src)); err != nil || string(formatted) != src {
			t.Errorf("program %d is not formatted: %v", i, err)
		}
		name := fmt.Sprintf("readme%d", i)
		file := filepath.Join(dir, name+".go")
		if err := os.WriteFile(file, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay[filepath.Join(root, "internal", name, "main.go")] = file
		packages = append(packages, "./internal/"+name)
	}
	if len(packages) == 0 {
		t.Fatal("README.md has no programs")
	}
	b, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, b, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", append([]string{"build", "-overlay", list, "-o", dir + string(filepath.Separator)}, packages...)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
