package main

import (
	"errors"
	"flag"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestHelpAndUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code exitCode
		text string
	}{
		{nil, exitUsage, "Usage:"},
		{[]string{"help"}, exitOK, "Examples:"},
		{[]string{"--help"}, exitOK, "Examples:"},
		{[]string{"-h"}, exitOK, "Examples:"},
		{[]string{"help", "get"}, exitOK, "--pin SPKI"},
		{[]string{"help", "serve"}, exitOK, "--debug-endpoints"},
		{[]string{"help", "version"}, exitOK, "Usage:"},
		{[]string{"help", "nothing"}, exitUsage, "there is no command \"nothing\"\n\nfrittata serves"},
		{[]string{"help", "--help"}, exitOK, "Examples:"},
		{[]string{"--help", "get"}, exitOK, "--pin SPKI"},
		{[]string{"get", "--help"}, exitOK, "Exit codes"},
		{[]string{"get", "https://x", "-h"}, exitOK, "Examples:"},
		{[]string{"serve", "--help"}, exitOK, "Exit codes"},
		{[]string{"version"}, exitOK, "frittata "},
		{[]string{"--version"}, exitOK, "frittata "},
		{[]string{"version", "--help"}, exitOK, "Usage"},
		{[]string{"version", "x"}, exitUsage, "no arguments"},
		{[]string{"fetch"}, exitUsage, `no command "fetch"`},
		{[]string{"get", "--colour", "https://x"}, exitUsage, "no option colour"},
		{[]string{"serve", "--port", "1"}, exitUsage, "--help"},
		{[]string{"serve", "--addr", ":65536"}, exitUsage, "65536"},
	} {
		stdout, stderr := expect(t, tt.code, tt.args, tt.text)
		// Help that was asked for is output, help in place of what was asked for is an error.
		if tt.code == exitOK && stderr != "" || tt.code != exitOK && stdout != "" {
			t.Errorf("frittata %q: the text is on the wrong output:\nout: %s\nerr: %s", tt.args, stdout, stderr)
		}
	}
}

func TestParseFlagsAnywhere(t *testing.T) {
	for _, tt := range []struct {
		args string
		rest string
		x    bool
		s    string
	}{
		{"a b", "a b", false, ""},
		{"-x a -s 1 b", "a b", true, "1"},
		{"a --x b --s=2", "a b", true, "2"},
		{"a -- -x b", "a -x b", false, ""},
		{"-- -x", "-x", false, ""},
		{"- -x", "-", true, ""},
		{"", "", false, ""},
	} {
		fs := newFlags("test")
		x := fs.Bool("x", false, "")
		s := fs.String("s", "", "")
		rest, err := parseFlags(fs, strings.Fields(tt.args), io.Discard, "")
		if err != nil || !slices.Equal(rest, strings.Fields(tt.rest)) || *x != tt.x || *s != tt.s {
			t.Errorf("%q: %q, -x %v, -s %q, %v", tt.args, rest, *x, *s, err)
		}
	}
	var help strings.Builder
	if _, err := parseFlags(newFlags("test"), []string{"a", "--help"}, &help, "the help"); !errors.Is(err, flag.ErrHelp) || help.String() != "the help" {
		t.Errorf("--help: %v, %q", err, &help)
	}
}

func TestReport(t *testing.T) {
	var b strings.Builder
	if code := report(&b, "get", errors.New("plain")); code != exitOther || b.String() != "frittata get: plain\n" {
		t.Errorf("a plain error: %d, %q", code, &b)
	}
	b.Reset()
	f := &failure{code: exitFile, what: "what", try: "one\ntwo"}
	if code := report(&b, "serve", f); code != exitFile || b.String() != "frittata serve: what\n  one\n  two\n" {
		t.Errorf("a failure: %d, %q", code, &b)
	}
	b.Reset()
	if code := report(&b, "get", &failure{code: exitDNS, told: true}); code != exitDNS || b.Len() != 0 {
		t.Errorf("a failure that was told: %d, %q", code, &b)
	}
}

func TestShellQuote(t *testing.T) {
	for s, want := range map[string]string{
		"": "''", "plain-1.0_x/y:z": "plain-1.0_x/y:z", "a+b/c=": "a+b/c=", "two words": "'two words'",
		"$x": "'$x'", "it's": `'it'\''s'`, "*": "'*'",
	} {
		if got := shellQuote(s); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
}
