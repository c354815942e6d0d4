package eventloop

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// flood is a step that writes data once something comes, and hands out how that
// ended.
func flood(c *Conn, data []byte, result chan<- error) func() Verdict {
	return func() Verdict {
		if _, err := c.Read(make([]byte, 10)); err == ErrAgain {
			return Again
		}
		_, err := c.Write(data)
		result <- err
		return Again
	}
}

const floodSize = 16 << 20 // more than any socket takes

// quiet fails the test if the loop has turns all the time, as it does when an
// event comes that nobody takes.
func quiet(t *testing.T, l *Loop) {
	t.Helper()
	var before uint64
	var me *leader
	eventually(t, "the loop has peace", func() bool {
		last, who := before, me
		me = l.leader.Load()
		before = me.turns.Load()
		time.Sleep(30 * time.Millisecond)
		return who == me && before-last < 50
	})
}

// A client that does not read stops nobody else, costs nothing, and gets
// everything in the end.
func TestSlowReaders(t *testing.T) {
	l := newLoop(t, nil)
	data := make([]byte, floodSize)
	rand.Read(data)
	const n = 5
	result := make(chan error, n)
	var slow []net.Conn
	for range n {
		c, there := attached(t, l, "tcp")
		c.Start(flood(c, data, result))
		there.Write([]byte("x"))
		slow = append(slow, there)
	}
	there := startEcho(t, l)
	for range 20 {
		answers(t, there)
	}
	quiet(t, l)
	var wg sync.WaitGroup
	for i, c := range slow {
		wg.Go(func() {
			got := make([]byte, len(data))
			c.SetDeadline(time.Now().Add(patience))
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, data) {
				t.Errorf("slow reader %d: %v", i, err)
			}
		})
	}
	for range 20 {
		answers(t, there)
	}
	wg.Wait()
	for range n {
		if err := receive(t, "a writer ends", result); err != nil {
			t.Error(err)
		}
	}
}

// An event that cannot be taken now does not come again and again.
func TestNoSpinning(t *testing.T) {
	reset := func(c net.Conn) {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	say := func(c net.Conn) { c.Write([]byte("hello")) }
	for _, tt := range []struct {
		name  string
		start func(*testing.T, *Loop, *Conn) // leads c into the state
		event func(net.Conn)
	}{
		{"input while a step blocks", block, say},
		{"reset while a step blocks", block, reset},
		{"input while held", hold, say},
		{"reset while held", hold, reset},
		{"input when gone", leave, say},
		{"end when gone", leave, func(c net.Conn) { c.Close() }},
		{"reset when gone", leave, reset},
		{"input before it starts", func(*testing.T, *Loop, *Conn) {}, say},
		{"input behind a patient reader", readOnce, func(c net.Conn) { say(c); say(c) }},
		{"reset behind a patient reader", readOnce, reset},
		{"input while a writer waits", writeMuch, say},
		{"reset while a writer waits", writeMuch, reset},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLoop(t, nil)
			c, there := attached(t, l, "tcp")
			tt.start(t, l, c)
			tt.event(there)
			quiet(t, l)
			answers(t, startEcho(t, l))
		})
	}
}

func block(t *testing.T, l *Loop, c *Conn) {
	release, blocked := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(release) })
	c.Start(func() Verdict {
		l.Yield()
		close(blocked)
		<-release
		return Done
	})
	receive(t, "a turn", blocked)
}

func hold(t *testing.T, l *Loop, c *Conn) {
	c.Start(func() Verdict { return Held })
	eventually(t, "it is held", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.held) == 1
	})
}

func leave(t *testing.T, _ *Loop, c *Conn) {
	c.Start(func() Verdict { return Done })
	eventually(t, "it is gone", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.state == gone
	})
}

func readOnce(t *testing.T, _ *Loop, c *Conn) {
	c.Patient.Store(true)
	go c.Read(make([]byte, 1))
	eventually(t, "it waits", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.in != nil
	})
}

func writeMuch(t *testing.T, l *Loop, c *Conn) {
	c.Start(func() Verdict {
		if _, err := c.Read(make([]byte, 10)); err == ErrAgain || err == nil {
			return Again
		}
		return Done
	})
	go c.Write(make([]byte, floodSize))
	eventually(t, "it waits", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.out != nil
	})
}

func TestDeadlines(t *testing.T) {
	l := newLoop(t, nil)
	soon := func() time.Time { return time.Now().Add(10 * time.Millisecond) }
	read := func(c *Conn) error { _, err := c.Read(make([]byte, 1)); return err }
	write := func(c *Conn) error { _, err := c.Write(make([]byte, floodSize)); return err }
	for _, tt := range []struct {
		name   string
		before func(*Conn)
		do     func(*Conn) error
		while  func(*Conn)
	}{
		{"read", func(c *Conn) { c.SetReadDeadline(soon()) }, read, nil},
		{"write", func(c *Conn) { c.SetWriteDeadline(soon()) }, write, nil},
		{"both, past", func(c *Conn) { c.SetDeadline(time.Unix(1, 0)) }, read, nil},
		{"read, from elsewhere", nil, read, func(c *Conn) { c.SetReadDeadline(time.Unix(1, 0)) }},
		{"write, from elsewhere", nil, write, func(c *Conn) { c.SetDeadline(time.Unix(1, 0)) }},
		{"sooner than before", func(c *Conn) { c.SetDeadline(time.Now().Add(time.Hour)) }, read, func(c *Conn) { c.SetReadDeadline(soon()) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := attached(t, l, "tcp")
			c.Patient.Store(true)
			if tt.before != nil {
				tt.before(c)
			}
			result := make(chan error, 1)
			go func() { result <- tt.do(c) }()
			if tt.while != nil {
				eventually(t, "it waits", func() bool {
					c.mu.Lock()
					defer c.mu.Unlock()
					return c.in != nil || c.out != nil
				})
				tt.while(c)
			}
			if err := receive(t, "the deadline", result); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%v", err)
			}
			c.SetDeadline(time.Time{})
			c.Patient.Store(false)
			if err := read(c); err != ErrAgain {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// A deadline holds whether it was set before, behind or during the move to the
// loop, and so does Close: a session may be ended at any moment.
func TestAttachRaces(t *testing.T) {
	leakFree(t, func(t *testing.T) {
		l := newLoop(t, nil)
		for i := range 300 {
			here, _ := tcpPair(t, "unix")
			c := Wrap(here)
			c.Patient.Store(true)
			end := func() { c.SetDeadline(time.Unix(1, 0)) }
			if i%2 == 0 {
				end = func() { c.Close() }
			}
			var wg sync.WaitGroup
			if i%10 < 2 {
				end()
			}
			wg.Go(func() { c.Attach(l) })
			wg.Go(end)
			wg.Wait()
			if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, ErrAgain) {
				t.Fatalf("round %d: read %d, %v", i, n, err)
			}
			c.Close()
		}
	})
}

// Close ends whoever waits, at whatever moment it comes.
func TestCloseRaces(t *testing.T) {
	leakFree(t, func(t *testing.T) {
		l := newLoop(t, nil)
		big := make([]byte, 1<<20)
		for i := range 400 {
			c, _ := attached(t, l, "unix")
			c.Patient.Store(true)
			result := make(chan error, 1)
			if i%2 == 0 {
				go func() { _, err := c.Read(make([]byte, 1)); result <- err }()
			} else {
				go func() { _, err := c.Write(big); result <- err }()
			}
			if i%3 == 0 {
				time.Sleep(time.Duration(i) * time.Microsecond)
			}
			c.Close()
			if err := receive(t, "the end of who waits", result); !errors.Is(err, net.ErrClosed) {
				t.Fatalf("round %d: %v", i, err)
			}
			if err := c.Close(); !errors.Is(err, net.ErrClosed) {
				t.Fatalf("second Close: %v", err)
			}
		}
	})
}

// Close while another goroutine is between asking for input and waiting for it.
func TestWaitBehindClose(t *testing.T) {
	l := newLoop(t, nil)
	c, _ := attached(t, l, "tcp")
	c.Close()
	done := make(chan struct{})
	go func() {
		c.waitReady(&c.in, unix.EPOLLIN, &c.readBy)
		c.waitReady(&c.out, unix.EPOLLOUT, &c.writeBy)
		close(done)
	}()
	receive(t, "the wait ends", done)
}

// Connections that come and go, closed by either side and by the loop's own
// steps, do not disturb others, though they inherit their numbers.
func TestChurn(t *testing.T) {
	leakFree(t, func(t *testing.T) {
		l := newLoop(t, nil)
		stays := startEcho(t, l)
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := range 60 {
					here, there := tcpPair(t, "unix")
					c := Wrap(here)
					if !c.Attach(l) {
						t.Error("not attached")
						return
					}
					ended := make(chan struct{})
					c.Start(echo(c, func() { close(ended) }))
					if err := exchange(there, []byte{byte(w), byte(i), 1, 2, 3}); err != nil {
						t.Errorf("%v", err)
					}
					if i%2 == 0 {
						there.Close()
					} else {
						c.Close()
						c.Wake()
					}
					receive(t, "the end of the echo", ended)
					there.Close()
				}
			})
		}
		for range 100 {
			answers(t, stays)
		}
		wg.Wait()
	})
}

// A half-closed connection still gets its answer.
func TestHalfClosed(t *testing.T) {
	l := newLoop(t, nil)
	c, there := attached(t, l, "tcp")
	var got []byte
	c.Start(func() Verdict {
		buf := make([]byte, 3)
		for {
			n, err := c.Read(buf)
			got = append(got, buf[:n]...)
			switch err {
			case nil:
			case ErrAgain:
				return Again
			case io.EOF:
				c.Write(got)
				c.CloseWrite()
				return Done
			default:
				return Done
			}
		}
	})
	there.Write([]byte("all of it"))
	there.(*net.TCPConn).CloseWrite()
	there.SetDeadline(time.Now().Add(patience))
	if all, err := io.ReadAll(there); string(all) != "all of it" || err != nil {
		t.Errorf("%q %v", all, err)
	}
	c.Close()
	if err := c.CloseWrite(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("CloseWrite behind Close: %v", err)
	}
}

// Somebody else reads while the step is blocked; what comes behind that is the
// step's again.
func TestPatientReader(t *testing.T) {
	l := newLoop(t, nil)
	c, there := attached(t, l, "tcp")
	seen, enough := make(chan string, 10), make(chan struct{})
	buf := make([]byte, 100)
	first := true
	c.Start(func() Verdict {
		for {
			n, err := c.Read(buf)
			if err != nil {
				return Again
			}
			seen <- "step " + string(buf[:n])
			if !first {
				continue
			}
			first = false
			l.Yield()
			c.Patient.Store(true)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					p := make([]byte, 100)
					n, err := c.Read(p)
					if err != nil {
						return
					}
					seen <- "other " + string(p[:n])
				}
			}()
			<-enough
			c.SetReadDeadline(time.Unix(1, 0))
			<-done
			c.SetReadDeadline(time.Time{})
			c.Patient.Store(false)
		}
	})
	there.Write([]byte("one"))
	eventually(t, "somebody else reads", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.in != nil
	})
	there.Write([]byte("two"))
	for _, want := range []string{"step one", "other two"} {
		if got := receive(t, want, seen); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	close(enough)
	there.Write([]byte("three"))
	if got := receive(t, "three", seen); got != "step three" && got != "other three" {
		t.Errorf("%q, want three", got)
	}
	eventually(t, "the step is over", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.state == idle
	})
	there.Write([]byte("four"))
	if got := receive(t, "four", seen); got != "step four" {
		t.Errorf("%q, want step four", got)
	}
}

// Where a descriptor cannot be had, the connection stays as it was.
func TestNotAttached(t *testing.T) {
	l := newLoop(t, nil)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if Wrap(a).Attach(l) {
		t.Error("a pipe was attached")
	}
	here, there := tcpPair(t, "tcp")
	c := Wrap(here)
	if attachWithoutDescriptors(t, c, l) {
		t.Fatal("attached without a descriptor")
	}
	there.Write([]byte("x"))
	if n, err := c.Read(make([]byte, 9)); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	if !c.Attach(l) {
		t.Error("not attached when there was room again")
	}
	if c.Attach(l) {
		t.Error("attached twice")
	}
	c.Close()
	if closed := Wrap(here); closed.Attach(l) {
		t.Error("a closed connection was attached")
	}
}

func attachWithoutDescriptors(t *testing.T, c *Conn, l *Loop) bool {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	none := was
	none.Cur = 3
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
			t.Fatal(err)
		}
	}()
	return c.Attach(l)
}

// A connection that the kernel will not watch fails instead of waiting for ever.
func TestUnwatched(t *testing.T) {
	here, _ := tcpPair(t, "tcp")
	l := &Loop{ep: -1, bell: -1, dead: true, conns: []*Conn{nil}} // epoll_ctl fails
	c := Wrap(here)
	if !c.Attach(l) {
		t.Fatal("not attached")
	}
	defer c.Close()
	c.Start(func() Verdict { return Done })
	if l.due.pop() != c {
		t.Error("no turn to notice it in")
	}
	for _, patient := range []bool{false, true} {
		c.Patient.Store(patient)
		if _, err := c.Read(make([]byte, 1)); err != errUnwatched {
			t.Errorf("%v", err)
		}
	}
	if _, err := c.Write([]byte("x")); err != errUnwatched {
		t.Errorf("%v", err)
	}
}

// Behind its end a loop touches nothing, whoever has its descriptors' numbers now.
func TestBehindTheEnd(t *testing.T) {
	l, err := New(func() {})
	if err != nil {
		t.Fatal(err)
	}
	here, _ := tcpPair(t, "tcp")
	c := Wrap(here)
	if !c.Attach(l) {
		t.Fatal("not attached")
	}
	c.Close()
	l.Close()
	l.Close()
	eventually(t, "the loop is gone", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.dead
	})
	var fds [8]int
	for i := range fds { // one of them gets the bell's number
		fds[i] = eventfd(t)
	}
	l.Resume()
	l.Yield()
	c.Wake()
	for _, fd := range fds {
		var b [8]byte
		if n, _ := unix.Read(fd, b[:]); n > 0 {
			t.Error("the bell was rung on somebody else's file")
		}
	}
	l.mu.Lock()
	if l.running != 0 {
		t.Error("a leader was started behind the end")
	}
	l.mu.Unlock()
	other, _ := tcpPair(t, "tcp")
	if Wrap(other).Attach(l) {
		t.Error("attached to a loop that has ended")
	}
}

// A loop that ends with turns under way waits for them with its descriptors.
func TestEndDuringATurn(t *testing.T) {
	leakFree(t, func(t *testing.T) {
		l, err := New(func() {})
		if err != nil {
			t.Fatal(err)
		}
		here, _ := tcpPair(t, "tcp")
		c := Wrap(here)
		if !c.Attach(l) {
			t.Fatal("not attached")
		}
		started, release := make(chan struct{}), make(chan struct{})
		var over atomic.Bool
		c.Start(func() Verdict {
			l.Yield()
			close(started)
			<-release
			c.Close()
			over.Store(true)
			return Done
		})
		receive(t, "a turn", started)
		l.Close()
		l.mu.Lock()
		if l.dead {
			t.Error("the loop is gone before its last turn")
		}
		l.mu.Unlock()
		close(release)
		eventually(t, "the turn is over", over.Load)
	})
}

func TestLine(t *testing.T) {
	var q line
	var conns [100]Conn
	in, out := 0, 0
	for _, n := range []int{3, -2, 5, -6, 0, -1, 40, -30, 50, -59, 2, -2} {
		for ; n > 0; n-- {
			q.push(&conns[in])
			in++
		}
		for ; n < 0; n++ {
			c := q.pop()
			if out == in {
				if c != nil {
					t.Fatal("something from nothing")
				}
				continue
			}
			if c != &conns[out] {
				t.Fatalf("number %d is another", out)
			}
			out++
		}
		if q.len() != in-out {
			t.Fatalf("%d, want %d", q.len(), in-out)
		}
	}
}

func eventfd(t *testing.T) int {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}
