package pgtest

import (
	"bytes"
	"net"
	"sync"
)

// An Ear is a connection that keeps every byte that it reads. Safe for concurrent
// use as far as the connection is.
type Ear struct {
	net.Conn
	mu  sync.Mutex
	got bytes.Buffer
}

// Read reads from the connection.
func (e *Ear) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.got.Write(p[:n])
	return n, err
}

// Heard returns what was read since the last Take.
func (e *Ear) Heard() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return bytes.Clone(e.got.Bytes())
}

// Take returns what was read since the last Take, and forgets it.
func (e *Ear) Take() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := bytes.Clone(e.got.Bytes())
	e.got.Reset()
	return b
}

// Lower makes ASCII letters small and leaves every other byte: bytes.ToLower would
// replace those that are no UTF-8, so that they are found everywhere.
func Lower(b []byte) []byte {
	out := bytes.Clone(b)
	for i, c := range out {
		if 'A' <= c && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return out
}
