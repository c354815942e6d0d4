// Package server wires the parts into a running gateway, and nothing else: what
// a part does stands in its own package.
//
// The tour: server.go has New, Start and Shutdown, in the order in which parts
// depend on each other. serve.go is the process around it (signals, logs, the
// table of what was opened). adapt*.go give the HTTP API its small views of the
// parts. tls.go makes certificates, metrics.go counts, reload.go swaps in
// changed files. offline.go does what needs no running gateway: check, test,
// can, verify and play.
package server
