// Package relay is a TCP relay that cuts what it forwards into small writes.
// Placed before and behind the gateway, it makes every message arrive in pieces,
// which shakes out framing mistakes at no cost.
package relay

import (
	"net"
	"sync"
)

// A Relay forwards connections. Close stops it.
type Relay struct {
	Addr string // where it listens, host:port

	ln       net.Listener
	upstream string
	max      int
	conns    sync.WaitGroup

	mu   sync.Mutex // guards live and done
	live map[net.Conn]bool
	done bool
}

// Start listens on a free loopback port and forwards every connection to
// upstream, in writes of at most max bytes; max 0 forwards as read.
func Start(upstream string, max int) (*Relay, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Relay{Addr: ln.Addr().String(), ln: ln, upstream: upstream, max: max, live: map[net.Conn]bool{}}
	r.conns.Add(1)
	go r.accept()
	return r, nil
}

// Close ends the listener and every connection, and waits for them.
func (r *Relay) Close() {
	r.ln.Close()
	r.mu.Lock()
	r.done = true
	for c := range r.live {
		c.Close()
	}
	r.mu.Unlock()
	r.conns.Wait()
}

func (r *Relay) accept() {
	defer r.conns.Done()
	for {
		client, err := r.ln.Accept()
		if err != nil {
			return
		}
		r.conns.Add(1)
		go func() {
			defer r.conns.Done()
			r.serve(client)
		}()
	}
}

func (r *Relay) serve(client net.Conn) {
	defer r.forget(client)
	server, err := net.Dial("tcp", r.upstream)
	if err != nil {
		return
	}
	defer r.forget(server)
	if !r.keep(client) || !r.keep(server) {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.copy(server, client)
	}()
	r.copy(client, server)
	<-done
}

// keep registers a connection for Close; false if that has happened already.
func (r *Relay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return false
	}
	r.live[c] = true
	return true
}

func (r *Relay) forget(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.live, c)
	c.Close()
}

// copy forwards one direction and passes on its end: half-closed connections
// stay half-closed, as a client that shuts down its sending side expects.
func (r *Relay) copy(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if werr := r.write(to, buf[:n]); werr != nil {
			from.Close()
			return
		}
		if err != nil {
			to.(*net.TCPConn).CloseWrite()
			return
		}
	}
}

func (r *Relay) write(to net.Conn, b []byte) error {
	for len(b) > 0 {
		n := len(b)
		if r.max > 0 {
			n = min(n, r.max)
		}
		if _, err := to.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
