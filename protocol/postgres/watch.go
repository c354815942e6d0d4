package postgres

// What readClient does while an action waits for people.

import (
	"errors"

	"sluice/access"
	"sluice/protocol/postgres/wire"
)

// tell shows a waiting client where its request stands, and from then on
// watches the client: closing or cancelling withdraws the request.
func (s *session) tell(p access.Pending) {
	if s.watch == nil {
		s.flush() // an error shows at the next write; what came before must not wait for people
	}
	s.client.insert(wire.AppendReport(nil, 'N', waitingReport(p)))
	s.startWatching()
}

// startWatching reads ahead from the client while an action waits, up to a
// bound, so that its leaving is noticed.
func (s *session) startWatching() {
	if s.watch != nil {
		return
	}
	w := &watch{done: make(chan struct{})}
	s.watch = w
	s.waiting.set(true)
	s.readPatiently(true)
	go func() {
		defer close(w.done)
		buf := make([]byte, clientBuffer)
		for len(w.ahead) < readAhead {
			n, err := s.conn.Read(buf)
			w.ahead = append(w.ahead, buf[:n]...)
			if err != nil {
				if !errors.Is(err, errTimeout) {
					w.err = err
					s.waiting.withdraw()
				}
				return
			}
		}
	}()
}

// A watch is the reading ahead while an action waits. Its fields belong to its
// goroutine until done is closed.
type watch struct {
	done  chan struct{}
	ahead []byte
	err   error
}

// stopWatching takes the client's bytes back. An error means that it left.
func (s *session) stopWatching() error {
	w := s.watch
	if w == nil {
		return nil
	}
	s.watch = nil
	s.waiting.set(false)
	s.conn.SetReadDeadline(past)
	<-w.done
	s.readOn()
	s.readPatiently(false)
	s.in.Append(w.ahead)
	return w.err
}
