package server

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// An either accepts both TLS and clear text, told apart by the first byte: 22
// is a TLS handshake and no HTTP method. It is for loopback only, where the
// configuration would allow clear text anyhow.
type either struct {
	net.Listener
	tls      *tls.Config
	accepted chan net.Conn
	failed   chan error
	done     chan struct{}
	once     sync.Once
}

// firstByte is how long a client may take to say anything.
const firstByte = 10 * time.Second

const tlsHandshake = 22 // RFC 8446, section 5.1

func newEither(ln net.Listener, c *tls.Config) *either {
	e := &either{Listener: ln, tls: c, accepted: make(chan net.Conn), failed: make(chan error, 1), done: make(chan struct{})}
	go e.run()
	return e
}

func (e *either) run() {
	for {
		c, err := e.Listener.Accept()
		if err != nil {
			e.failed <- err
			var t interface{ Temporary() bool }
			if errors.As(err, &t) && t.Temporary() {
				continue // who accepts waits before it asks again
			}
			return
		}
		go e.sort(c)
	}
}

// sort reads the first byte and hands the connection on with it.
func (e *either) sort(c net.Conn) {
	first := make([]byte, 1)
	c.SetReadDeadline(time.Now().Add(firstByte))
	if _, err := io.ReadFull(c, first); err != nil {
		c.Close()
		return
	}
	c.SetReadDeadline(time.Time{})
	var sorted net.Conn = &prefixed{Conn: c, rest: io.MultiReader(bytes.NewReader(first), c)}
	if first[0] == tlsHandshake {
		sorted = tls.Server(sorted, e.tls)
	}
	select {
	case e.accepted <- sorted:
	case <-e.done:
		c.Close()
	}
}

// Accept returns the next connection.
func (e *either) Accept() (net.Conn, error) {
	select {
	case c := <-e.accepted:
		return c, nil
	case err := <-e.failed:
		return nil, err
	case <-e.done:
		return nil, net.ErrClosed
	}
}

// Close closes the listener.
func (e *either) Close() error {
	e.once.Do(func() { close(e.done) })
	return e.Listener.Close()
}

// A prefixed connection gives back what was read of it.
type prefixed struct {
	net.Conn
	rest io.Reader
}

func (p *prefixed) Read(b []byte) (int, error) { return p.rest.Read(b) }
