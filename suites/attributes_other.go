//go:build !linux

package main

import "syscall"

// attributes keep Ctrl+C from reaching the gateway before the suites have stopped.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
