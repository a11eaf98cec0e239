package main

import (
	"errors"
	"flag"
	"io"
	"strings"
)

// newFlags returns a set of flags that prints nothing by itself.
func newFlags(command string) *flag.FlagSet {
	fs := flag.NewFlagSet(command, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	return fs
}

// parseFlags parses flags wherever they are among the arguments, which package
// flag does only before the first argument that is none. What comes after "--" is no flag.
// For --help it prints help and returns flag.ErrHelp.
func parseFlags(fs *flag.FlagSet, args []string, w io.Writer, help string) (rest []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				_, _ = io.WriteString(w, help) // nobody is left to tell
				return nil, err
			}
			text := err.Error()
			if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
				text = "there is no option " + name
			}
			return nil, usageError("%s", text)
		}
		left := fs.Args()
		if len(left) == 0 {
			return rest, nil
		}
		if at := len(args) - len(left); at > 0 && args[at-1] == "--" {
			return append(rest, left...), nil
		}
		rest = append(rest, left[0])
		args = left[1:]
	}
}
