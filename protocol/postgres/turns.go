package postgres

// How the two directions of a session come to run: by turns in an event loop,
// or each in a goroutine of its own.

import (
	"errors"
	"runtime"
	"sync/atomic"

	"sluice/internal/eventloop"
	"sluice/pipeline"
	query "sluice/query/postgres"
)

// errHeld ends a turn that waits for the journal.
var errHeld = errors.New("waiting for the journal")

// A turns is a session's place in an event loop.
type turns struct {
	loop             *loop
	client, upstream *eventloop.Conn
}

// run runs both directions to their ends and returns the client's error.
func (s *session) run() error {
	if s.attach() {
		return s.runByTurns()
	}
	upstream := make(chan struct{})
	go func() {
		defer close(upstream)
		s.end(guard(s.readUpstream))
	}()
	err := guard(s.readClient)
	s.clientEnded(err)
	<-upstream
	return err
}

// A side is one direction as the loop sees it.
type side struct {
	step  func() error
	ended func(error)
	done  chan error
}

// turn runs a direction until it has nothing to do.
func (d *side) turn() eventloop.Verdict {
	err := guard(d.step)
	switch err {
	case eventloop.ErrAgain:
		return eventloop.Again
	case errHeld:
		return eventloop.Held
	case errMore:
		return eventloop.More
	}
	d.ended(err)
	d.done <- err
	return eventloop.Done
}

// errMore ends a turn that has taken long enough.
var errMore = errors.New("others first")

// A loop is an event loop and what the journal needs to know about it.
type loop struct {
	*eventloop.Loop
	held atomic.Bool // some direction waits for the journal
}

// startLoops starts as many event loops as keep the machine busy, if the
// journal can tell them when a record is durable.
func (srv *Server) startLoops() {
	j, ok := srv.Gate.Journal.(pipeline.Notifier)
	if !ok || srv.Loops < 0 {
		return
	}
	n := srv.Loops
	if n == 0 {
		n = (runtime.NumCPU() + 1) / 2
	}
	for range n {
		el, err := eventloop.New(j.Kick)
		if err != nil {
			srv.Log.Debug("no event loop, a goroutine for each direction", "error", err)
			return
		}
		l := &loop{Loop: el}
		srv.loops = append(srv.loops, l)
		srv.deaf = append(srv.deaf, j.Notify(func() {
			if l.held.Swap(false) {
				l.Resume()
			}
		}))
	}
}

func (srv *Server) stopLoops() {
	for i, l := range srv.loops {
		srv.deaf[i]()
		l.Close()
	}
	srv.loops = nil
}

// loop returns the loop for the next session; nil: there is none.
func (srv *Server) loop() *loop {
	if len(srv.loops) == 0 {
		return nil
	}
	return srv.loops[int(srv.opened.Add(1))%len(srv.loops)]
}

// attach gives the session a place in a loop, if there is one and both
// connections can be attached.
func (s *session) attach() bool {
	l := s.srv.loop()
	client, up := eventloop.Unwrap(s.conn), eventloop.Unwrap(s.up.Conn)
	if l == nil || client == nil || up == nil {
		return false
	}
	if !client.Attach(l.Loop) {
		return false
	}
	if !up.Attach(l.Loop) {
		client.Patient.Store(true)
		return false
	}
	s.ctx = query.WithSlow(s.ctx, s.blocks)
	s.gate.Blocks, s.gate.Kicks = s.blocks, true
	s.turns.Store(&turns{loop: l, client: client, upstream: up})
	return true
}

func (s *session) runByTurns() error {
	client := &side{s.readClient, s.clientEnded, make(chan error, 1)}
	up := &side{s.readUpstream, s.end, make(chan error, 1)}
	t := s.turns.Load()
	t.upstream.Start(up.turn)
	t.client.Start(client.turn)
	if s.ctx.Err() != nil {
		s.wake() // it ended before there was anybody to wake
	}
	err := <-client.done
	<-up.done
	return err
}

// wake gives both directions a turn, to notice that the session has ended.
func (s *session) wake() {
	if t := s.turns.Load(); t != nil {
		t.client.Wake()
		t.upstream.Wake()
	}
}

// blocks is called before something that may take long: others go on meanwhile.
func (s *session) blocks() {
	if t := s.turns.Load(); t != nil {
		t.loop.Yield()
	}
}

// readPatiently makes reads from the client wait, for whoever reads outside a
// turn.
func (s *session) readPatiently(wait bool) {
	if t := s.turns.Load(); t != nil {
		t.client.Patient.Store(wait)
	}
}

// recorded waits until permits' records are durable: by ending the turn, or where
// there are no turns, by blocking.
func (s *session) recorded(permits ...*pipeline.Permit) error {
	t := s.turns.Load()
	for _, p := range permits {
		if t != nil && !p.Settled() {
			t.loop.held.Store(true)
			if !p.Settled() { // it may have been before held was seen
				if s.ctx.Err() != nil {
					return errEnded
				}
				return errHeld
			}
		}
		if err := p.Durable(s.ctx); err != nil {
			return journalFatal(err)
		}
	}
	return nil
}

// maxChunks is how many buffers of an answer a turn passes on.
const maxChunks = 4
