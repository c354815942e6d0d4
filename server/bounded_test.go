package server

import (
	"net"
	"testing"
)

func TestBounded(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := newBounded(ln, 2, 9)
	accepted := make(chan net.Conn)
	ended := make(chan error, 1)
	go func() {
		for {
			c, err := b.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- c
		}
	}()
	for range 3 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	one, two := <-accepted, <-accepted
	select {
	case <-accepted:
		t.Fatal("a third connection was let in")
	default:
	}
	one.Close()
	one.Close() // twice gives back one place
	three := <-accepted
	if len(b.places) != 2 {
		t.Errorf("%d places taken by 2 connections", len(b.places))
	}
	two.Close()
	three.Close()
	b.Close()
	if err := <-ended; err == nil {
		t.Error("accepting went on after Close")
	}
}

// One address cannot hold all places.
func TestBoundedByAddress(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := newBounded(ln, 9, 2)
	defer b.Close()
	accepted := make(chan net.Conn, 9)
	go func() {
		for {
			c, err := b.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func(from string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial("127.0.0.1")
	dial("127.0.0.1")
	one := <-accepted
	<-accepted
	if _, err := dial("127.0.0.1").Read(make([]byte, 1)); err == nil {
		t.Error("a third connection of one address stays")
	}
	dial("127.0.0.2")
	<-accepted
	one.Close()
	dial("127.0.0.1")
	<-accepted
}
