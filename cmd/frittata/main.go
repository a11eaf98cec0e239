// Frittata serves files over HTTP/3 and gets them.
//
//	frittata serve [--addr :4433] [--root DIR]   a file server
//	frittata get [-o FILE] URL...                a client
//
// Run "frittata help" for more, and "frittata get --help" for the options and
// exit codes of a command.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
)

// env is what the commands need of the process, so that tests can run them in theirs.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string

	// signals gets SIGINT and SIGTERM. After forget they end the process again.
	signals <-chan os.Signal
	forget  func()

	// self is how this program is called, for commands that a user is told to run.
	self string

	// listening, if it is there, is told the address that serve listens on.
	listening func(addr string)
}

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	e := &env{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		getenv:  os.Getenv,
		signals: signals,
		forget:  func() { signal.Stop(signals) },
		self:    self(),
	}
	os.Exit(int(run(context.Background(), e, os.Args[1:])))
}

const usage = `frittata serves files over HTTP/3 and gets them.

Usage:
  frittata serve [options]         serve a directory
  frittata get [options] URL...    get what is at a URL
  frittata version                 tell the version
  frittata help [COMMAND]          tell about a command

Examples:
  frittata serve --root public     # on :4433, with a certificate made on the spot
  frittata get https://example.com/
  frittata get -o big.iso https://example.com/big.iso
`

// run is main with what it depends on as arguments. args are without the program's name.
func run(ctx context.Context, e *env, args []string) exitCode {
	if len(args) == 0 {
		fmt.Fprint(e.stderr, usage)
		return exitUsage
	}
	name, args := args[0], args[1:]
	var err error
	switch name {
	case "serve":
		err = runServe(ctx, e, args)
	case "get":
		err = runGet(ctx, e, args)
	case "version", "--version", "-version":
		name = "version"
		err = runVersion(e, args)
	case "help", "--help", "-help", "-h":
		name = "help"
		err = runHelp(e, args)
	default:
		fmt.Fprintf(e.stderr, "frittata: there is no command %q\n\n%s", name, usage)
		return exitUsage
	}
	return report(e.stderr, name, err)
}

// report tells what went wrong and what to try, and returns the exit code for it.
func report(w io.Writer, command string, err error) exitCode {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{code: exitOther, what: err.Error()}
	}
	if f.told {
		return f.code
	}
	fmt.Fprintf(w, "frittata %s: %s\n", command, f.what)
	for line := range strings.Lines(f.try) {
		fmt.Fprintf(w, "  %s\n", strings.TrimSuffix(line, "\n"))
	}
	if f.code == exitUsage {
		fmt.Fprintf(w, "Run \"frittata %s --help\" for the options.\n", command)
	}
	return f.code
}

func runHelp(e *env, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(e.stdout, usage)
		return nil
	}
	switch args[0] {
	case "-h", "-help", "--help":
		return runHelp(e, args[1:])
	case "serve":
		return runServe(context.Background(), e, []string{"--help"})
	case "get":
		return runGet(context.Background(), e, []string{"--help"})
	case "version", "help":
		fmt.Fprint(e.stdout, usage)
		return nil
	}
	fmt.Fprintf(e.stderr, "frittata help: there is no command %q\n\n%s", args[0], usage)
	return &failure{code: exitUsage, what: "there is no such command", told: true}
}

func runVersion(e *env, args []string) error {
	if len(args) > 0 {
		if args[0] == "--help" || args[0] == "-h" || args[0] == "-help" {
			fmt.Fprint(e.stdout, "Usage: frittata version\n\nTells the version of frittata and of Go.\n")
			return nil
		}
		return usageError("version takes no arguments")
	}
	fmt.Fprintf(e.stdout, "frittata %s (%s, %s/%s)\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

// version is the module's version as the go command recorded it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}

// self is how to call this program once more.
func self() string {
	exe, err := os.Executable()
	if err == nil && strings.Contains(exe, "go-build") {
		return "go run ./cmd/frittata" // what "go run" made is gone when it ends
	}
	return shellQuote(os.Args[0])
}

// shellQuote quotes s for a POSIX shell if it needs that.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@%+=:,./_-", r)
	}
	if s != "" && strings.TrimLeftFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
