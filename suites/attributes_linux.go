package main

import "syscall"

// attributes let the kernel end the gateway if this process is killed, and keep
// Ctrl+C from reaching it before the suites have stopped.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
