//go:build !linux

package eventloop

import (
	"errors"
	"fmt"
)

// A Loop does not exist here.
type Loop struct{}

// New fails: there is no epoll.
func New(func()) (*Loop, error) { return nil, fmt.Errorf("eventloop: %w", errors.ErrUnsupported) }

// Close does nothing.
func (l *Loop) Close() {}

// Yield does nothing.
func (l *Loop) Yield() {}

// Resume does nothing.
func (l *Loop) Resume() {}

// Attach reports that c cannot be attached.
func (c *Conn) Attach(*Loop) bool { return false }

// Start does nothing.
func (c *Conn) Start(func() Verdict) {}

// Wake does nothing.
func (c *Conn) Wake() {}

// CloseWrite ends the stream that is written.
func (c *Conn) CloseWrite() error { return c.closeWrite() }
