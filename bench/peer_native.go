package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
)

// native is a stack whose processes are not this command but a program in Rust,
// a package of the workspace in peersDir. It speaks with the driver as child
// does.
type native struct {
	pkg       string   // of the workspace, and the name of the program
	tools     []string // that the build needs
	workloads []string // that the program has

	program string // its path, once it is built
}

// peersDir is where the workspace is, from where the command is run.
const peersDir = "peers"

var quinnStack = &stack{native: &native{
	pkg:   "quinn-peer",
	tools: []string{"cargo", "cc"},
	workloads: []string{"bulk", "http-bulk", "requests", "handshake", "idle", "http-idle", "datagrams",
		"spread", "http-spread"},
}}

// tokioQuicheStack is quiche with its runtime. Its build needs what BoringSSL's does.
var tokioQuicheStack = &stack{native: &native{
	pkg:   "tokio-quiche-peer",
	tools: []string{"cargo", "cc", "c++", "cmake", "clang"},
	workloads: []string{"bulk", "http-bulk", "requests", "handshake", "idle", "http-idle", "datagrams",
		"spread", "http-spread"},
}}

// buildNatives builds the programs of all peers that have one, and returns the
// peers that can take part: those without a program, and those whose program
// there is now. For each of the others it writes a line that says why.
func buildNatives(ctx context.Context, peers []peer, log io.Writer) []peer {
	why := make(map[string]error)
	for _, p := range peers {
		for _, name := range []string{p.server, p.client} {
			n := stacks[name].native
			if _, tried := why[name]; n == nil || tried {
				continue
			}
			if why[name] = n.build(ctx, exec.LookPath, log); why[name] != nil {
				fmt.Fprintf(log, "without %s: %v\n", name, why[name])
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(peers), func(p peer) bool {
		return why[p.server] != nil || why[p.client] != nil
	})
}

// build builds the program, unless that is done already. What cargo does goes to
// log: the first time takes minutes.
func (n *native) build(ctx context.Context, lookPath func(string) (string, error), log io.Writer) error {
	if _, err := os.Stat(filepath.Join(peersDir, "Cargo.toml")); err != nil {
		return fmt.Errorf("it is built in bench: %w", err)
	}
	for _, tool := range n.tools {
		if _, err := lookPath(tool); err != nil {
			return fmt.Errorf("its build needs %s, which is not installed", tool)
		}
	}
	target, err := targetDir()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "cargo", n.buildArgs(target)...)
	cmd.Dir = peersDir
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cargo could not build it: %w", err)
	}
	n.program = filepath.Join(target, "release", n.pkg)
	if runtime.GOOS == "windows" {
		n.program += ".exe"
	}
	return nil
}

// buildArgs are the arguments of cargo. The versions are those of Cargo.lock.
func (n *native) buildArgs(target string) []string {
	return []string{"build", "--release", "--locked", "--package", n.pkg, "--target-dir", target}
}

// targetDir is where cargo puts what it builds: in the workspace, or where the
// environment says.
func targetDir() (string, error) {
	if dir := os.Getenv("CARGO_TARGET_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	return filepath.Abs(filepath.Join(peersDir, "target"))
}
