package eventloop

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"
)

// tcpPair returns both ends of a connection.
func tcpPair(t testing.TB, network string) (here, there net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = t.TempDir() + "/s"
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialled := make(chan net.Conn, 1)
	go func() {
		c, err := net.Dial(network, ln.Addr().String())
		if err != nil {
			t.Error(err)
		}
		dialled <- c
	}()
	if here, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	if there = <-dialled; there == nil {
		t.FailNow()
	}
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}

func TestUnwrap(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	w := Wrap(a)
	if Unwrap(w) != w || Unwrap(tls.Server(w, nil)) != w || Unwrap(a) != nil || Unwrap(tls.Client(b, nil)) != nil || Unwrap(nil) != nil {
		t.Error("Unwrap finds another connection")
	}
}

// Until it is attached a Conn is what it wraps, down to ending the stream.
func TestUnattached(t *testing.T) {
	a, b := tcpPair(t, "tcp")
	c := Wrap(a)
	c.Wake() // harmless
	c.SetReadDeadline(time.Unix(1, 0))
	if _, err := c.Read(make([]byte, 1)); err == nil || err == ErrAgain {
		t.Errorf("reading behind the deadline: %v", err)
	}
	c.SetReadDeadline(time.Time{})
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(b); string(got) != "x" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	b.Write([]byte("y"))
	if n, err := c.Read(make([]byte, 9)); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if p, q := net.Pipe(); Wrap(p).CloseWrite() != nil {
		t.Error("a connection without halves")
	} else {
		p.Close()
		q.Close()
	}
}
