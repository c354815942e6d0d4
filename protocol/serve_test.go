package protocol

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A served is a running Acceptor and what a test needs to talk to it.
type served struct {
	t    *testing.T
	addr string
	stop context.CancelFunc
	done chan error
}

func serve(t *testing.T, a Acceptor) *served {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &served{t, ln.Addr().String(), stop, make(chan error, 1)}
	go func() { s.done <- a.Serve(ctx, ln) }()
	t.Cleanup(stop)
	return s
}

// end stops the server and returns what Serve did.
func (s *served) end() error {
	s.stop()
	return <-s.done
}

func (s *served) dial() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second)) // a hang is a failure
	return c
}

// line reads what the server says up to a newline or the end.
func line(t *testing.T, c net.Conn) string {
	t.Helper()
	var b []byte
	for one := make([]byte, 1); ; {
		n, err := c.Read(one)
		if n == 1 && one[0] != '\n' {
			b = append(b, one[0])
			continue
		}
		if n == 0 && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatal(err)
		}
		return string(b)
	}
}

// echo proves the client by its first byte, then returns bytes until the end.
func echo(_ context.Context, c net.Conn, proven func()) {
	one := make([]byte, 1)
	if _, err := c.Read(one); err != nil {
		return
	}
	proven()
	c.Write(one)
	io.Copy(c, c)
}

func roundTrip(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text + "\n")); err != nil {
		t.Fatal(err)
	}
	if got := line(t, c); got != text {
		t.Fatalf("got %q, want %q", got, text)
	}
}

func TestServe(t *testing.T) {
	s := serve(t, Acceptor{Handle: echo})
	a, b := s.dial(), s.dial()
	roundTrip(t, a, "first")
	roundTrip(t, b, "second")
	roundTrip(t, a, "third")
	a.Close()
	b.Close()
	if err := s.end(); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Error("still listening")
	}
}

func TestPanicEndsOneConnection(t *testing.T) {
	var mu sync.Mutex
	var log bytes.Buffer
	s := serve(t, Acceptor{
		Log: slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return log.Write(p)
		}), nil)),
		Handle: func(ctx context.Context, c net.Conn, proven func()) {
			echo(ctx, &panicConn{c}, proven)
		}})
	good, bad := s.dial(), s.dial()
	roundTrip(t, good, "before")
	bad.Write([]byte("!"))
	if got := line(t, bad); got != "" {
		t.Errorf("got %q", got)
	}
	roundTrip(t, good, "after")
	good.Close()
	if err := s.end(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "panic in a connection") || !strings.Contains(log.String(), "panicConn") {
		t.Errorf("log = %s", &log)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A panicConn panics on "!".
type panicConn struct{ net.Conn }

func (c *panicConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if bytes.IndexByte(p[:n], '!') >= 0 {
		panic("told to")
	}
	return n, err
}

func refuse(c net.Conn) { c.Write([]byte("full\n")) }

func TestUnprovenAreLimited(t *testing.T) {
	for name, limits := range map[string]Acceptor{
		"in all":         {Unproven: 2},
		"by address":     {UnprovenPerAddress: 2},
		"more than both": {Unproven: 2, UnprovenPerAddress: 2},
	} {
		t.Run(name, func(t *testing.T) {
			limits.Handle, limits.Refuse = echo, refuse
			s := serve(t, limits)
			a, b := s.dial(), s.dial()
			if got := line(t, s.dial()); got != "full" {
				t.Errorf("the third got %q", got)
			}
			roundTrip(t, a, "proven") // makes room
			c := s.dial()
			if got := line(t, s.dial()); got != "full" {
				t.Errorf("the one beyond got %q", got)
			}
			b.Close() // so does leaving, which the server has to notice first
			eventually(t, func() bool {
				d := s.dial()
				d.Write([]byte("x\n"))
				return line(t, d) == "x"
			})
			roundTrip(t, c, "proven")
			roundTrip(t, a, "still here")
		})
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	s := serve(t, Acceptor{Handle: echo, Refuse: refuse, Connections: 2})
	a, b := s.dial(), s.dial()
	roundTrip(t, a, "one")
	roundTrip(t, b, "two")
	if got := line(t, s.dial()); got != "full" {
		t.Errorf("the third got %q", got)
	}
	a.Close()
	eventually(t, func() bool {
		d := s.dial()
		d.Write([]byte("x\n"))
		return line(t, d) == "x"
	})
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never came true")
		}
	}
}

// Silence before the proof ends the connection; after it, it does not.
func TestHandshakeDeadline(t *testing.T) {
	const limit = 100 * time.Millisecond
	var connections atomic.Int64
	s := serve(t, Acceptor{Handshake: limit, Handle: func(ctx context.Context, c net.Conn, proven func()) {
		if connections.Add(1) == 1 {
			proven()
		}
		echo(ctx, c, proven)
	}})
	proven := s.dial()
	eventually(t, func() bool { return connections.Load() == 1 })
	if got := line(t, s.dial()); got != "" { // returns only once the server hangs up
		t.Errorf("got %q", got)
	}
	roundTrip(t, proven, "still here") // though it is older
}

// Handlers are told, and get Grace to return before their connections go.
func TestGrace(t *testing.T) {
	told := make(chan struct{})
	s := serve(t, Acceptor{Grace: time.Minute, Handle: func(ctx context.Context, c net.Conn, proven func()) {
		proven()
		close(told)
		<-ctx.Done()
		c.Write([]byte("goodbye\n"))
	}})
	c := s.dial()
	<-told
	s.stop()
	if got := line(t, c); got != "goodbye" {
		t.Errorf("got %q", got)
	}
	if err := <-s.done; err != nil {
		t.Error(err)
	}

	stuck := serve(t, Acceptor{Grace: time.Millisecond, Handle: func(_ context.Context, c net.Conn, proven func()) {
		proven()
		io.Copy(io.Discard, c) // deaf to ctx
	}})
	stuck.dial()
	if err := stuck.end(); err != nil {
		t.Error(err)
	}
}

// A failingListener fails as told before it accepts.
type failingListener struct {
	net.Listener
	errs chan error
}

func (l *failingListener) Accept() (net.Conn, error) {
	select {
	case err := <-l.errs:
		return nil, &net.OpError{Op: "accept", Err: err}
	default:
		return l.Listener.Accept()
	}
}

func TestAcceptErrors(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &failingListener{ln, make(chan error, 3)}
	f.errs <- syscall.EMFILE
	f.errs <- syscall.ECONNABORTED
	done := make(chan error, 1)
	go func() { done <- Acceptor{Handle: echo, Grace: time.Millisecond}.Serve(context.Background(), f) }()
	s := &served{t: t, addr: ln.Addr().String()}
	roundTrip(t, s.dial(), "after out of descriptors")
	f.errs <- syscall.EINVAL
	s.dial().Close() // wakes Accept
	if err := <-done; !errors.Is(err, syscall.EINVAL) {
		t.Errorf("got %v", err)
	}
}

func TestAddressOf(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7:1": "192.0.2.7/32", "[::ffff:192.0.2.7]:1": "192.0.2.7/32",
		"[2001:db8:1:2:3::4]:1": "2001:db8:1:2::/64", "[fe80::1%eth0]:1": "fe80::/64", "@": "invalid Prefix",
	} {
		var addr net.Addr = &net.UnixAddr{Name: in}
		if ap, err := netip.ParseAddrPort(in); err == nil {
			addr = net.TCPAddrFromAddrPort(ap)
		}
		if got := addressOf(&addressedConn{addr: addr}).String(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

type addressedConn struct {
	net.Conn
	addr net.Addr
}

func (c *addressedConn) RemoteAddr() net.Addr { return c.addr }
