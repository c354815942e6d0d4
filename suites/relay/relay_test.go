package relay

import (
	"bytes"
	"io"
	"net"
	"testing"
)

// echo serves connections that get back what they sent, once they have ended.
func echo(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b, _ := io.ReadAll(c)
				c.Write(b)
			}()
		}
	}()
	return ln.Addr().String()
}

func TestRelay(t *testing.T) {
	for _, max := range []int{0, 1, 7} {
		r, err := Start(echo(t), max)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		c, err := net.Dial("tcp", r.Addr)
		if err != nil {
			t.Fatal(err)
		}
		sent := bytes.Repeat([]byte("all the bytes, in order. "), 1000)
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		c.(*net.TCPConn).CloseWrite() // the echo answers only if this reaches it
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("max %d: %d of %d bytes, %v", max, len(got), len(sent), err)
		}
	}
}

func TestCloseEndsConnections(t *testing.T) {
	r, err := Start(echo(t), 7)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	c.Write([]byte("x"))
	r.Close()
	if _, err := io.ReadAll(c); err == nil {
		// A clean end is as good as a reset: what matters is that Read returned.
		return
	}
}

func TestUpstreamDown(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := ln.Addr().String()
	ln.Close()
	r, err := Start(nobody, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, err := net.Dial("tcp", r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(c); len(b) != 0 {
		t.Errorf("read %q from nobody", b)
	}
}
