// Package imports has no code: its test reads the module's import graph and
// fails on an arrow that ARCHITECTURE.md does not have.
package imports
