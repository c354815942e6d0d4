package eventloop

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// duplicate returns a descriptor of c's socket that the runtime's poller does
// not know; -1 if c has none.
func duplicate(c net.Conn) (int, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return -1, nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	var dupErr error
	err = raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3) })
	if err == nil {
		err = dupErr
	}
	if err != nil {
		return -1, opError("dup", err)
	}
	return fd, nil
}

// pollNow is epoll_wait without waiting.
func pollNow(ep int, events []unix.EpollEvent) int {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// transfer is recvNow or sendNow, neither of which waits: a descriptor of the
// runtime's would have to be announced to its scheduler, this one need not.
func (c *Conn) transfer(do func(fd int, p []byte) (int, syscall.Errno), p []byte) (int, error) {
	c.life.RLock()
	defer c.life.RUnlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case c.lame.Load():
			return 0, errUnwatched
		}
		switch n, errno := do(c.fd, p); errno {
		case 0:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, ErrAgain
		default:
			return 0, errno
		}
	}
}

// Read reads what is there. During a turn it returns ErrAgain where nothing is,
// unless Patient is set.
func (c *Conn) Read(p []byte) (int, error) {
	if !c.attached.Load() {
		return c.Conn.Read(p)
	}
	if len(p) == 0 {
		return 0, nil
	}
	patient := c.Patient.Load()
	if !patient && c.drained && !c.shut.Load() && !c.lame.Load() && c.readBy.Load() == 0 {
		return 0, ErrAgain
	}
	for {
		if expired(&c.readBy) {
			return 0, os.ErrDeadlineExceeded
		}
		n, err := c.transfer(recvNow, p)
		switch {
		case err == ErrAgain && !patient:
			return 0, err
		case err == ErrAgain:
			c.waitReady(&c.in, unix.EPOLLIN, &c.readBy)
			continue
		case err == net.ErrClosed, err == errUnwatched:
			return 0, err
		case err != nil:
			return 0, opError("read", err)
		case n == 0:
			return 0, io.EOF
		}
		if !patient {
			c.drained = n < len(p)
		}
		return n, nil
	}
}

// Write writes all of p. It yields the loop before it waits.
func (c *Conn) Write(p []byte) (int, error) {
	if !c.attached.Load() {
		return c.Conn.Write(p)
	}
	done := 0
	for done < len(p) {
		if expired(&c.writeBy) {
			return done, os.ErrDeadlineExceeded
		}
		n, err := c.transfer(sendNow, p[done:])
		switch {
		case err == ErrAgain:
			c.loop.Yield()
			c.waitReady(&c.out, unix.EPOLLOUT, &c.writeBy)
		case err == net.ErrClosed, err == errUnwatched:
			return done, err
		case err != nil:
			return done, opError("write", err)
		}
		done += n
	}
	return done, nil
}

// Close closes the connection. A turn that is due still comes.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.attached.Load() {
		return c.Conn.Close()
	}
	c.life.Lock()
	defer c.life.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	c.shut.Store(true)
	defer c.leave()
	signal(c.in)
	signal(c.out)
	if c.listed {
		unix.EpollCtl(c.loop.ep, unix.EPOLL_CTL_DEL, c.fd, &unix.EpollEvent{})
	}
	return unix.Close(c.fd)
}

// CloseWrite ends the stream that is written.
func (c *Conn) CloseWrite() error {
	if !c.attached.Load() {
		return c.closeWrite()
	}
	c.life.RLock()
	defer c.life.RUnlock()
	if c.closed {
		return net.ErrClosed
	}
	return unix.Shutdown(c.fd, unix.SHUT_WR)
}

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readBy.Store(deadline(t))
	c.writeBy.Store(deadline(t))
	if !c.attached.Load() {
		return c.Conn.SetDeadline(t)
	}
	signal(c.in) // to look at the deadline again
	signal(c.out)
	return nil
}

// SetReadDeadline sets the deadline for reads.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readBy.Store(deadline(t))
	if !c.attached.Load() {
		return c.Conn.SetReadDeadline(t)
	}
	signal(c.in)
	return nil
}

// SetWriteDeadline sets the deadline for writes.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeBy.Store(deadline(t))
	if !c.attached.Load() {
		return c.Conn.SetWriteDeadline(t)
	}
	signal(c.out)
	return nil
}
