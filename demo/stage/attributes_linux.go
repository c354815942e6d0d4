package stage

import "syscall"

// attributes keep the gateway out of reach of Ctrl+C in the terminal, which
// goes to the whole process group (Strike ends things in order), and let the
// kernel end it if this process is killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
