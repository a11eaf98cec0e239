package main

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNativeSkipped checks that a peer that cannot be built is left out, with a
// line that says why, and that the others stay.
func TestNativeSkipped(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	peers, err := parsePeers("frittata,quinn,quinn+quic-go,quic-go")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	got := buildNatives(t.Context(), peers, &log)
	want := []peer{{"frittata", "frittata"}, {"frittata-inline", "frittata-inline"}, {"quic-go", "quic-go"}}
	if !slices.Equal(got, want) {
		t.Errorf("%v take part, want %v", got, want)
	}
	if s := log.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "without quinn: its build needs cargo") {
		t.Errorf("the log says %q", s)
	}
}

// TestNativeTools checks that each missing tool is named.
func TestNativeTools(t *testing.T) {
	for name, s := range stacks {
		if s.native == nil {
			continue
		}
		for _, tool := range s.native.tools {
			err := s.native.build(t.Context(), func(file string) (string, error) {
				if file == tool {
					return "", errors.New("not here")
				}
				return file, nil
			}, nil)
			if err == nil || !strings.Contains(err.Error(), tool) {
				t.Errorf("%s without %s: %v", name, tool, err)
			}
		}
	}
}

// TestNativeCommand checks what cargo is told, and where the program is then.
func TestNativeCommand(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CARGO_TARGET_DIR", dir)
	target, err := targetDir()
	if err != nil || target != dir {
		t.Errorf("the target directory is %q, %v", target, err)
	}
	got := strings.Join(quinnStack.native.buildArgs(target), " ")
	if want := "build --release --locked --package quinn-peer --target-dir " + dir; got != want {
		t.Errorf("cargo %s, want cargo %s", got, want)
	}
	t.Setenv("CARGO_TARGET_DIR", "")
	if target, err = targetDir(); err != nil || !filepath.IsAbs(target) || filepath.Base(target) != "target" {
		t.Errorf("the target directory is %q, %v", target, err)
	}
}

// TestNativeRows checks that native peers take part in the rows of the workloads
// that they have, and not where a setting is not theirs.
func TestNativeRows(t *testing.T) {
	for name, s := range stacks {
		if s.native == nil {
			continue
		}
		n := 0
		for _, r := range allRows(quickSizes) {
			if !r.can(peer{name, name}) {
				continue
			}
			n++
			if r.spec.DisableGSO || r.spec.DisableGRO || r.spec.Workload == "turns" {
				t.Errorf("%s is in %s", name, r.name)
			}
		}
		if n == 0 {
			t.Errorf("%s is in no row", name)
		}
	}
}
