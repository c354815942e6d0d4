package eventloop

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A Verdict says what a connection waits for after a turn.
type Verdict uint8

// The verdicts.
const (
	Again Verdict = iota // for input
	More                 // for nothing: others first, then another turn
	Held                 // for Loop.Resume; input is not looked at until then
	Done                 // for nothing any more: the connection leaves the loop
)

// ErrAgain is what reading returns during a turn when nothing is there to be
// read. It is a temporary net.Error, so that crypto/tls goes on after it.
var ErrAgain error = again{}

// errUnwatched is the error of a connection that is lame.
var errUnwatched = errors.New("eventloop: the system watches too many files")

type again struct{}

func (again) Error() string   { return "eventloop: nothing to read" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

// A Conn is a connection that can be attached to a loop. Until then it is the
// connection that it wraps. It is safe for concurrent use as a net.Conn is, but
// for one reader and one writer at a time.
type Conn struct {
	net.Conn // what was wrapped; closed once attached

	// Patient makes reads wait, as reads of other connections do, also in a turn.
	Patient atomic.Bool

	attached atomic.Bool
	loop     *Loop
	step     func() Verdict
	drained  bool // the step's: the last read took all there was, and no event came since

	// life is held for reading around system calls, so that a descriptor is not
	// closed, and its number given away, under one.
	life   sync.RWMutex
	fd     int
	closed bool
	shut   atomic.Bool // closed, for those who do not hold life
	lame   atomic.Bool // epoll would not take it

	readBy, writeBy atomic.Int64 // deadlines, unix nanoseconds; 0: none

	mu        sync.Mutex // guards what follows
	state     state
	again     bool // another turn is due
	slot      int32
	listed    bool          // the loop knows the descriptor
	interests uint32        // what it was told to look for
	in, out   chan struct{} // those who wait to read and to write

	waits bool // stands among the loop's held; guarded by the loop's mu
}

type state uint8

const (
	idle state = iota
	running
	held
	gone
)

// Wrap returns c in a form that can be attached to a loop later.
func Wrap(c net.Conn) *Conn { return &Conn{Conn: c, fd: -1} }

// Unwrap returns the Conn below c, through TLS and whatever else offers
// NetConn; nil if there is none.
func Unwrap(c net.Conn) *Conn {
	for c != nil {
		if ec, ok := c.(*Conn); ok {
			return ec
		}
		u, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = u.NetConn()
	}
	return nil
}

// closeWrite is CloseWrite of the connection that was wrapped.
func (c *Conn) closeWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

func expired(at *atomic.Int64) bool {
	d := at.Load()
	return d != 0 && time.Now().UnixNano() >= d
}

func deadline(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(t.UnixNano(), 1)
}

func opError(op string, err error) error { return os.NewSyscallError(op, err) }
