package worker

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	stackLimit  = 256 << 20 // bytes: a deep tree needs some hundred bytes a level
	memoryLimit = 8 << 30   // bytes of address space; most of it is stacks never touched
)

// restartLimited bounds stack and memory and becomes the same program again.
// On success it does not return.
func restartLimited() error {
	runtime.LockOSThread()
	limit := func(what int, n uint64) error {
		var old unix.Rlimit
		if err := unix.Getrlimit(what, &old); err != nil {
			return err
		}
		n = min(n, old.Max)
		return unix.Setrlimit(what, &unix.Rlimit{Cur: n, Max: n})
	}
	if err := limit(unix.RLIMIT_STACK, stackLimit); err != nil {
		return fmt.Errorf("limit the stack: %w", err)
	}
	if err := limit(unix.RLIMIT_AS, memoryLimit); err != nil {
		return fmt.Errorf("limit memory: %w", err)
	}
	if err := limit(unix.RLIMIT_CORE, 0); err != nil {
		return fmt.Errorf("limit core files: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	for _, wall := range []func() error{closeInherited, landlock} {
		if err := wall(); err != nil { // older kernels lack them; the filter below does not need them
			fmt.Fprintln(os.Stderr, "parse-worker: less confined:", err)
		}
	}
	return syscall.Exec("/proc/self/exe", []string{os.Args[0], Command, limited}, nil)
}

// confine lets the process compute and use the pipes that it has, and nothing
// else: a seccomp filter over all threads refuses every other system call with
// EPERM.
func confine() error {
	if len(allowedCalls) == 0 {
		return fmt.Errorf("no list of system calls for %s", runtime.GOARCH)
	}
	filter := seccompFilter(auditArch, allowedCalls)
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}

// seccompFilter is a program that allows calls of one architecture.
// seccomp_data: the call's number at 0, the architecture at 4.
func seccompFilter(arch uint32, calls []uint32) []unix.SockFilter {
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	ret := func(what uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: what}
	}
	equal := func(k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	refuse := uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.EPERM)
	prog := []unix.SockFilter{load(4), equal(arch, 1, 0), ret(unix.SECCOMP_RET_KILL_PROCESS), load(0)}
	for i, c := range calls {
		prog = append(prog, equal(c, uint8(len(calls)-i), 0))
	}
	return append(prog, ret(refuse), ret(unix.SECCOMP_RET_ALLOW))
}

// Undumpable keeps other processes of the same user, the children among them,
// from reading this one's memory. serve calls it once.
func Undumpable() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }

// commonCalls are what the Go runtime, C's allocator and threads, and the two
// pipes need.
var commonCalls = []uint32{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_FUTEX, unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MADVISE,
	unix.SYS_MREMAP, unix.SYS_BRK, unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
	unix.SYS_CLONE, unix.SYS_CLONE3, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP,
	unix.SYS_CLOCK_GETTIME, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_TGKILL,
	unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_CREATE1, unix.SYS_EVENTFD2, unix.SYS_PIPE2, unix.SYS_FCNTL,
	unix.SYS_CLOSE, unix.SYS_GETRANDOM, unix.SYS_RSEQ, unix.SYS_SET_ROBUST_LIST, unix.SYS_PRLIMIT64, unix.SYS_RESTART_SYSCALL,
	unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_DELETE, unix.SYS_SETITIMER, unix.SYS_MINCORE, unix.SYS_PRCTL,
}
