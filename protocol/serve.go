package protocol

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"
)

// An Acceptor is the accept loop that every adapter uses: it bounds what
// strangers can hold, and keeps one connection's failure its own.
//
// A connection is *unproven* until its handler says otherwise. Unproven ones
// are limited in number, in total and for each address, and in time.
type Acceptor struct {
	// Handle serves one connection and returns when it is done; the connection
	// is closed for it. It calls proven once the client has proven who it is:
	// that frees the client's place among the unproven and lifts the deadline.
	// ctx ends when the listener is asked to stop.
	Handle func(ctx context.Context, c net.Conn, proven func()) // required

	// Refuse tells a client, in the protocol's words, that there is no room.
	// It must not read. Nil: the connection is closed without a word.
	Refuse func(c net.Conn)

	Connections        int           // at once; 0: 5000
	Unproven           int           // of these, before authentication; 0: 512
	UnprovenPerAddress int           // likewise, from one address or IPv6 /64; 0: 128
	Handshake          time.Duration // to prove oneself; 0: 30 s
	Grace              time.Duration // for handlers to end after ctx did; 0: 10 s
	Log                *slog.Logger  // nil: silent
}

// withDefaults fills in what is zero.
func (a Acceptor) withDefaults() Acceptor {
	a.Connections = orDefault(a.Connections, 5000)
	a.Unproven = orDefault(a.Unproven, 512)
	a.UnprovenPerAddress = orDefault(a.UnprovenPerAddress, 128)
	a.Handshake = orDefault(a.Handshake, 30*time.Second)
	a.Grace = orDefault(a.Grace, 10*time.Second)
	if a.Log == nil {
		a.Log = slog.New(slog.DiscardHandler)
	}
	return a
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// Serve accepts connections until ctx ends, then gives the handlers Grace to
// return, closes what is left, and returns nil once all have. If ln fails
// before, it returns that error, after the same farewell.
func (a Acceptor) Serve(ctx context.Context, ln net.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s := &serving{Acceptor: a.withDefaults(), open: map[net.Conn]struct{}{}, unproven: map[netip.Prefix]int{}}
	unhook := context.AfterFunc(ctx, func() { ln.Close() })
	defer unhook()
	err := s.accept(ctx, ln)
	stop() // the handlers' ctx, if it was the listener that failed
	ln.Close()
	s.farewell()
	return err
}

// serving is one run of an Acceptor.
type serving struct {
	Acceptor
	handlers sync.WaitGroup

	mu       sync.Mutex // guards what follows
	open     map[net.Conn]struct{}
	waiting  int                  // unproven in all
	unproven map[netip.Prefix]int // by address
}

// acceptPause is how long the loop rests when the system has no descriptor or
// memory for one more connection: an error that time heals.
const acceptPause = 50 * time.Millisecond

func (s *serving) accept(ctx context.Context, ln net.Listener) error {
	for {
		c, err := ln.Accept()
		if err == nil {
			s.admit(ctx, c)
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if !acceptTemporary(err) {
			return fmt.Errorf("accept: %w", err)
		}
		s.Log.Warn("accept failed; trying again", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(acceptPause):
		}
	}
}

// acceptTemporary reports whether accepting may work again later. The
// interface's deprecation is about timeouts; for accept the net package still
// says with it what net/http relies on.
func acceptTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary() && !errors.Is(err, net.ErrClosed)
}

// admit gives c a goroutine, or refuses it.
func (s *serving) admit(ctx context.Context, c net.Conn) {
	from := addressOf(c)
	// Set before anything is written: a refusal must not block either.
	c.SetDeadline(time.Now().Add(s.Handshake))
	if !s.enter(c, from) {
		s.Log.Warn("connection refused: too many", "address", from.Addr().String())
		if s.Refuse != nil {
			s.Refuse(c)
		}
		c.Close()
		return
	}
	if tc, ok := c.(*net.TCPConn); ok {
		// Best effort; a peer that vanished is noticed in about two minutes.
		tc.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4})
	}
	s.handlers.Add(1)
	go s.handle(ctx, c, from)
}

// handle runs the handler. A panic ends this connection and no other.
func (s *serving) handle(ctx context.Context, c net.Conn, from netip.Prefix) {
	defer s.handlers.Done()
	proven := sync.OnceFunc(func() { s.release(from) })
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("panic in a connection", "panic", p, "stack", string(debug.Stack()))
		}
		proven()
		s.leave(c)
	}()
	s.Handle(ctx, c, func() {
		proven()
		c.SetDeadline(time.Time{})
	})
}

// enter takes a place, if there is one.
func (s *serving) enter(c net.Conn, from netip.Prefix) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= s.Connections || s.waiting >= s.Unproven || s.unproven[from] >= s.UnprovenPerAddress {
		return false
	}
	s.open[c] = struct{}{}
	s.waiting++
	s.unproven[from]++
	return true
}

// release gives back the place among the unproven.
func (s *serving) release(from netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
	if s.unproven[from]--; s.unproven[from] == 0 {
		delete(s.unproven, from)
	}
}

func (s *serving) leave(c net.Conn) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// farewell waits for the handlers, not longer than Grace before it closes
// their connections under them.
func (s *serving) farewell() {
	late := time.AfterFunc(s.Grace, s.closeAll)
	defer late.Stop()
	s.handlers.Wait()
}

func (s *serving) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		c.Close()
	}
}

// addressOf is what counts as one address: an IPv4 address, an IPv6 /64 (one
// customer has at least that many addresses), or nothing for other sockets.
func addressOf(c net.Conn) netip.Prefix {
	ap, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Prefix{}
	}
	addr, bits := ap.Addr().Unmap().WithZone(""), 32
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
