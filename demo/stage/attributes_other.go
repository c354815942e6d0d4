//go:build !linux

package stage

import "syscall"

// attributes keep the gateway out of reach of Ctrl+C in the terminal. Nothing
// ends it if this process is killed: that takes Linux.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
