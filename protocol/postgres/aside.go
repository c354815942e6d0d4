package postgres

// What the upstream says that answers nothing.

import (
	"bytes"
	"fmt"

	"sluice/protocol/postgres/wire"
)

// unasked handles a message that answers nothing: only an error that ends the
// upstream's session may come so.
func (s *session) unasked(typ byte, msg []byte) error {
	if typ != 'E' {
		return &fatal{code: "08P01", message: fmt.Sprintf("sluice: the upstream sent %q unasked", typ)}
	}
	if s.masked() {
		s.replace(msg, scrubbed(msg, "", false))
	}
	return nil
}

// notification handles NotificationResponse: while a mask applies, a payload
// could carry a value that somebody's trigger put there.
func (s *session) notification(msg []byte) error {
	if !s.masked() {
		return nil
	}
	body := msg[wire.HeaderLen:]
	if len(body) < 5 {
		return s.malformed(wire.ErrMalformed)
	}
	end := bytes.IndexByte(body[4:], 0)
	if end < 0 {
		return s.malformed(wire.ErrMalformed)
	}
	out, at := wire.Begin(nil, 'A')
	out = append(out, body[:4+end+1]...)
	s.replace(msg, wire.End(append(out, 0), at))
	return nil
}

func (s *session) notice(msg []byte) error {
	if e := s.replies.head(s.queue); e != nil && e.hidden {
		s.drop(msg)
		return nil
	}
	if s.masked() {
		s.replace(msg, scrubbed(msg, "", false))
	}
	return nil
}

// masked reports whether some mask could apply to the session, as last seen by
// readClient.
func (s *session) masked() bool { return s.maskedNow.Load() }

func (s *session) parameter(msg []byte) error {
	name, value, err := wire.ParseParameterStatus(msg[wire.HeaderLen:])
	if err != nil {
		return s.malformed(err)
	}
	s.env.report(name, value)
	return nil
}
