package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"sluice/access"
	"sluice/pipeline"
	"sluice/protocol"
	"sluice/protocol/postgres/wire"
	query "sluice/query/postgres"
)

const (
	clientBuffer   = 16 << 10 // bytes read from a client at once
	upstreamBuffer = 64 << 10 // bytes read from an upstream at once
	flushAt        = 64 << 10 // bytes collected for the upstream before they are written
	readAhead      = 1 << 20  // bytes read from a client while an approval is pending
)

// A session relays between one client and one upstream, in two directions:
// readClient decides and forwards (client.go), readUpstream answers (reply.go).
// Each runs when its connection can be read, in an event loop or in a goroutine
// of its own (turns.go). They share the queue, the names and the atomics;
// everything else belongs to the one that its comment names.
type session struct {
	srv    *Server
	gate   *pipeline.Session // readClient's
	info   SessionInfo
	target protocol.Target
	minor  uint16

	parent context.Context // ends with the gateway
	ending sync.Once
	cause  error           // why the session ended; set by ending
	ctx    context.Context // ends with the session, its cause says why
	cancel context.CancelCauseFunc

	client *clientWriter
	conn   net.Conn // the client
	up     *upstream
	in     *wire.Reader       // from the client; readClient's
	out    []byte             // collected for the upstream; readClient's
	unsent []*pipeline.Permit // whose records must be durable before out is written

	queue   *queue
	names   *names
	segment uint64 // readClient's: grows behind every Sync, Query and FunctionCall
	env     *environment
	rec     Recording

	turns       atomic.Pointer[turns] // nil: each direction has a goroutine of its own
	replication bool                  // set at start: texts may be replication commands
	status      atomic.Uint32         // of the last ReadyForQuery: I, T or E
	active      atomic.Int64          // unix nanoseconds of the last message either way
	waiting     waiter
	watch       *watch // readClient's: reading ahead while an action waits
	marker      string // a name that no client can know
	leave       func() // gives back the subject's place
	unregister  func() // forgets the cancel key

	// readClient's.
	readOnly     bool               // the server was told that nothing may be written
	bound        bool               // portals were made since the last Sync
	piping       bool               // extended messages were forwarded since the last Sync
	lexical      bool               // a change of how texts are read may be in flight
	lexicalMoved bool               // there was one in this session
	pushed       pushed             // what became of the last entry
	refreshed    time.Time          // last wait for a fresh catalog
	parsed       *entry             // a Parse in out whose record will be that of its Bind
	parsing      []access.Action    // what that Parse prepares
	syntax       *query.SyntaxError // of the text being judged
	judging      *query.Env         // that it is judged in
	script       *script            // a Query whose COPY data the client is sending
	copying      <-chan verdict     // of a limited COPY whose data the client is sending
	debts        debts              // what has run and waits for its commit to be approved
	streaming    int                // bytes of a long CopyData message that are still to come
	redacted     map[*access.Origin]string

	// readUpstream's.
	replies replies
	ddl     bool   // the catalog may have changed in this transaction
	scratch []byte // for a masked row

	maskedNow atomic.Bool   // some mask could apply
	ended     atomic.Uint64 // transactions that have ended
	stale     atomic.Bool   // the catalog has changed since the last wait for a fresh one
}

// serve runs the session to its end.
func (s *session) serve() error {
	s.srv.mu.Lock()
	s.srv.sessions[s] = struct{}{}
	s.srv.mu.Unlock()
	stop := context.AfterFunc(s.parent, func() {
		s.end(&fatal{code: "57P01", message: "sluice: terminating connection: the gateway is shutting down"})
	})
	defer stop()
	s.replies.rd = wire.NewReader(s.up.Conn, upstreamBuffer, s.up.Buffered)
	err := s.run()
	s.end(err)
	s.finish(s.cause)
	return s.cause
}

// clientEnded handles the end of readClient.
func (s *session) clientEnded(err error) {
	if err == io.EOF {
		// The client left; what it sent still runs, as it would without a
		// gateway, and the audit learns how it ended.
		closeWrite(s.up.Conn)
	} else {
		s.end(err)
	}
}

func closeWrite(c net.Conn) {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		w.CloseWrite()
	}
}

// guard turns a panic into an error that ends this session alone.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicError(r)
		}
	}()
	return f()
}

// end stops both directions. The first call decides why.
func (s *session) end(err error) {
	if err == nil {
		err = io.EOF
	}
	s.ending.Do(func() { s.close(err) })
}

func (s *session) close(err error) {
	s.cause = err
	s.cancel(err)
	var f *fatal
	if errors.As(err, &f) {
		s.client.last(f.report())
	}
	s.conn.SetDeadline(past) // whoever reads or writes lets go
	s.up.Conn.Close()
	s.names.stop()
	s.queue.stop()
	s.wake()
}

var past = time.Unix(1, 0)

// finish settles what is left: nothing that was forwarded stays without an
// outcome, and what was not is said to be so.
func (s *session) finish(cause error) {
	s.conn.Close()
	s.unregister()
	for _, e := range s.queue.close() {
		for _, p := range e.permits {
			p.Done(access.Outcome{Unknown: true, Error: "connection ended before the answer"})
		}
		e.release()
	}
	finishUnused(s.names.close())
	s.replies.finish()
	s.srv.mu.Lock()
	delete(s.srv.sessions, s)
	s.srv.mu.Unlock()
	if s.rec != nil {
		s.rec.Close()
	}
	s.env.release()
	s.gate.Close(reason(cause))
	s.leave()
}

func reason(err error) string {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return "client closed"
	}
	return err.Error()
}

var errEnded = errors.New("session ended")

// kill ends the session from outside, telling the client why.
func (s *session) kill(code, message string) {
	s.end(&fatal{code: code, message: message})
}

// A waiter lets a CancelRequest withdraw the action that waits for approval.
type waiter struct {
	mu      sync.Mutex
	ctx     context.Context
	cancel  context.CancelFunc
	waiting bool
}

// context returns the context to ask under: one for the whole session until it
// is cancelled.
func (w *waiter) context(parent context.Context) context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx == nil || w.ctx.Err() != nil {
		w.ctx, w.cancel = context.WithCancel(parent)
	}
	return w.ctx
}

// set says whether an action waits for people.
func (w *waiter) set(waiting bool) {
	w.mu.Lock()
	w.waiting = waiting
	w.mu.Unlock()
}

// withdraw gives up the waiting action; it reports false if none waits.
func (w *waiter) withdraw() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.waiting {
		return false
	}
	w.cancel()
	return true
}

// cancelled carries out a CancelRequest: a waiting action is withdrawn,
// anything else is cancelled upstream.
func (s *session) cancelled(ctx context.Context) {
	if s.waiting.withdraw() {
		return
	}
	if err := s.up.cancel(ctx); err != nil {
		s.srv.Log.Warn("cancel", "session", s.info.ID, "error", err)
	}
}

// A clientWriter is the only way to the client. Readers of both directions
// write: answers, and notices and errors of the gateway's own, which must stand
// between messages and never inside one.
type clientWriter struct {
	mu      sync.Mutex
	conn    net.Conn
	inside  bool   // a message was written in part
	pending []byte // whole messages that wait for the end of the one being written
	closed  bool
	since   atomic.Int64 // unix nanoseconds when the current write began; 0: none
	now     func() time.Time
}

// write writes p. whole says that p ends at the end of a message.
func (w *clientWriter) write(p []byte, whole bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return net.ErrClosed
	}
	w.inside = !whole
	if whole && len(w.pending) > 0 {
		p = append(append([]byte(nil), p...), w.pending...)
		w.pending = nil
	}
	return w.raw(p)
}

func (w *clientWriter) raw(p []byte) error {
	w.since.Store(w.now().UnixNano())
	_, err := w.conn.Write(p)
	w.since.Store(0)
	return err
}

// insert writes whole messages as soon as they fit between others.
func (w *clientWriter) insert(p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	if w.inside {
		w.pending = append(w.pending, p...)
		return
	}
	w.raw(p)
}

// last writes a final message, if it fits, and closes for writing.
func (w *clientWriter) last(p []byte) {
	if !w.mu.TryLock() {
		return // the client does not even read; nothing more to say to it
	}
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	if !w.inside {
		w.conn.SetWriteDeadline(w.now().Add(time.Second))
		w.raw(p)
	}
	w.closed = true
}
