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
	b := newBounded(ln, 2)
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
