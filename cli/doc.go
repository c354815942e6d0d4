// Package cli is the command line: arguments in, exit code out.
//
// The tour: cli.go builds the tree of commands and turns errors into exit codes
// and texts with a next step. output.go prints every listing as table, JSON or
// YAML. gateway.go finds the gateway and the credential. The other files are
// the commands by subject. Commands that work on the gateway's files (serve,
// check, test, and can, audit verify and session play beside a gateway) call
// package server; all others go through the HTTP API.
//
// # Exit codes
//
// 0 done, 1 refused or failed, 2 wrong usage, 3 waiting for approval.
//
// What comes from others (statements, messages, names) is printed with control
// characters escaped: a statement must not be able to repaint an approver's
// terminal.
package cli
