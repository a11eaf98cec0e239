package main

import "fmt"

// exitCode tells a script what went wrong. The codes are documented in the help of
// get and serve, and do not change their meaning.
type exitCode int

const (
	exitOK          exitCode = 0
	exitOther       exitCode = 1
	exitUsage       exitCode = 2
	exitDNS         exitCode = 3
	exitNoAnswer    exitCode = 4
	exitCertificate exitCode = 5
	exitProtocol    exitCode = 6
	exitTimeout     exitCode = 7
	exitStatus      exitCode = 8
	exitIncomplete  exitCode = 9
	exitFile        exitCode = 10
	exitListen      exitCode = 11
	exitInterrupted exitCode = 130 // as shells have it: 128 and SIGINT
)

// exitCodesOfGet is part of the help of get.
const exitCodesOfGet = `Exit codes (of several failures the first counts):
    0  all went well
    1  another error
    2  the command line is wrong
    3  the host's name has no address
    4  no QUIC at that address: nothing answered
    5  the certificate was not accepted, or not the pinned one
    6  the server speaks QUIC, but no HTTP/3 (ALPN), or not version 1
    7  timeout
    8  the server answered with an HTTP error (status 400 or more; with -o
       whatever is not the file)
    9  the transfer broke off; with -o the same command resumes it
   10  a file could not be read or written
  130  interrupted
`

const exitCodesOfServe = `Exit codes:
    0  shut down after all transfers were completed
    1  another error, or transfers were cut off by a second signal
    2  the command line is wrong
   10  the root, the certificate or the key cannot be read
   11  the address cannot be listened on: the port is taken, for one
`

// failure is an error that a user is told: what went wrong, and what to try.
type failure struct {
	code exitCode
	what string
	try  string // lines; may be empty
	err  error  // the cause; may be nil
	told bool   // the user knows already
}

func (f *failure) Error() string { return f.what }

func (f *failure) Unwrap() error { return f.err }

// usageError is a failure of who wrote the command line.
func usageError(format string, args ...any) *failure {
	return &failure{code: exitUsage, what: fmt.Sprintf(format, args...)}
}

// fileError is a failure to read or write a file.
func fileError(err error, try string) *failure {
	return &failure{code: exitFile, what: err.Error(), try: try, err: err}
}
