//go:build !race

package eventloop

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func recvNow(fd int, p []byte) (int, syscall.Errno) { return raw(unix.SYS_RECVFROM, fd, p) }
func sendNow(fd int, p []byte) (int, syscall.Errno) { return raw(unix.SYS_SENDTO, fd, p) }

func raw(trap uintptr, fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}
