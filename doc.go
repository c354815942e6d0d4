// Package sluice is the root of the module and holds no code: the folders are
// the architecture. ARCHITECTURE.md is the tour; deps_test.go says which package
// may import which, and why. There is no Go API promise: the interface is the
// binary, its configuration, its HTTP API and the protocols that it speaks.
package sluice
