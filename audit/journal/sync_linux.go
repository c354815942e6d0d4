package journal

import (
	"os"

	"golang.org/x/sys/unix"
)

// openSync opens a segment so that every write is durable when it returns.
// O_DSYNC needs one system call where a write and fdatasync need two.
func openSync(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|unix.O_DSYNC, 0)
}

// openFill opens a segment for filling: past the page cache if the file system
// can do that, which takes a tenth of the CPU time.
func openFill(path string) (*os.File, error) {
	const flags = os.O_CREATE | os.O_TRUNC | os.O_WRONLY
	if f, err := os.OpenFile(path, flags|unix.O_DIRECT, 0o600); err == nil {
		return f, nil
	}
	return os.OpenFile(path, flags, 0o600)
}

// aligned returns n zero bytes at a page's beginning, as O_DIRECT demands.
func aligned(n int) ([]byte, func(), error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, err
	}
	return b, func() { unix.Munmap(b) }, nil
}
