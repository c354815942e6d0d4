package server

import (
	"net"
	"sync"
)

// Bounds on what strangers can hold of the web listener: each connection costs a
// descriptor that a database session could need, and who holds them all from one
// address keeps approvers from answering.
const (
	maxWebConnections = 1024
	maxWebAddress     = 256 // from one address
)

// A bounded listener admits so many connections at once, others wait in the
// kernel's queue; and fewer from one address, where more are closed.
type bounded struct {
	net.Listener
	places chan struct{}
	each   int
	done   chan struct{}
	once   sync.Once

	mu   sync.Mutex     // guards held
	held map[string]int // by address
}

func newBounded(ln net.Listener, n, each int) *bounded {
	return &bounded{Listener: ln, places: make(chan struct{}, n), each: each, done: make(chan struct{}), held: map[string]int{}}
}

// Accept waits for a place, then for a connection.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		select {
		case b.places <- struct{}{}:
		case <-b.done:
			return nil, net.ErrClosed
		}
		c, err := b.Listener.Accept()
		if err != nil {
			<-b.places
			return nil, err
		}
		from, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		if b.admit(from) {
			return &placed{Conn: c, leave: sync.OnceFunc(func() { b.left(from) })}, nil
		}
		c.Close()
		<-b.places
	}
}

func (b *bounded) admit(from string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held[from] >= b.each {
		return false
	}
	b.held[from]++
	return true
}

func (b *bounded) left(from string) {
	b.mu.Lock()
	if b.held[from]--; b.held[from] == 0 {
		delete(b.held, from)
	}
	b.mu.Unlock()
	<-b.places
}

// Close closes the listener.
func (b *bounded) Close() error {
	b.once.Do(func() { close(b.done) })
	return b.Listener.Close()
}

// A placed connection gives its place back when it closes.
type placed struct {
	net.Conn
	leave func()
}

func (p *placed) Close() error {
	defer p.leave()
	return p.Conn.Close()
}
