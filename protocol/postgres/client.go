package postgres

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"sluice/access"
	"sluice/internal/eventloop"
	"sluice/pipeline"
	"sluice/protocol/postgres/wire"
	query "sluice/query/postgres"
)

// readClient reads messages, decides and forwards. What was collected is
// written when the next message is not complete yet: one write for what was
// read together, and never a wait for a Sync. Everything that it is in the
// middle of is kept in the session, so that it may end with [errHeld] or
// [eventloop.ErrAgain] and be called again.
func (s *session) readClient() error {
	for {
		if len(s.out) >= flushAt {
			if err := s.forward(); err != nil {
				return err
			}
		}
		if s.streaming > 0 {
			if err := s.stream(); err != nil {
				return err
			}
			continue
		}
		typ, size, ok, err := s.in.Header()
		if err != nil {
			return s.protocolError(err)
		}
		if !ok || !s.in.Whole(size) {
			if ok && typ == 'd' && size > s.in.Cap() {
				s.streaming = size
				continue
			}
			if err := s.fill(); err != nil {
				return err
			}
			continue
		}
		if err := s.message(typ, s.in.Take(size)); err != nil {
			return err
		}
	}
}

func (s *session) fill() error {
	if err := s.forward(); err != nil {
		return err
	}
	s.in.Shrink(clientBuffer)
	err := s.read()
	if err == eventloop.ErrAgain {
		return err
	}
	s.active.Store(s.srv.Now().UnixNano())
	if err == io.EOF && s.in.Buffered() > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// read reads from the client. readUpstream interrupts it where a script has
// failed while the client sends COPY data: the client may be waiting for the end
// of its Query.
func (s *session) read() error {
	for {
		err := s.in.Fill()
		if !errors.Is(err, errTimeout) || s.ctx.Err() != nil {
			return err
		}
		s.readOn()
		if s.script != nil {
			s.script = nil
			s.endScript()
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
}

// readOn lifts the deadline that interrupted reading, but for the one that ends
// the session: close cancels ctx first.
func (s *session) readOn() {
	s.conn.SetReadDeadline(time.Time{})
	if s.ctx.Err() != nil {
		s.conn.SetReadDeadline(past)
	}
}

// forward writes what was collected, once the records of what is in it are
// durable. Records of pure reads are waited for before their answer instead.
func (s *session) forward() error {
	if len(s.out) == 0 {
		return nil
	}
	if err := s.recordParse(); err != nil {
		return err
	}
	if err := s.recorded(s.unsent...); err != nil {
		return err
	}
	s.unsent = s.unsent[:0]
	_, err := s.up.Conn.Write(s.out)
	s.out = s.out[:0]
	if cap(s.out) > 4*flushAt {
		s.out = nil
	}
	return err
}

// flush is forward for those who cannot be called again: it waits.
func (s *session) flush() error {
	for {
		err := s.forward()
		if err != errHeld {
			return err
		}
		s.blocks()
		for _, p := range s.unsent {
			if err := p.Durable(s.ctx); err != nil {
				return journalFatal(err)
			}
		}
	}
}

// flushWait is flush for those who then wait for an answer.
func (s *session) flushWait() error {
	s.blocks()
	return s.flush()
}

// stream forwards what has come of a CopyData message that is larger than the
// buffer.
func (s *session) stream() error {
	n := min(s.streaming, s.in.Buffered())
	s.out = append(s.out, s.in.Take(n)...)
	if s.streaming -= n; s.streaming == 0 {
		return nil
	}
	return s.fill()
}

func (s *session) protocolError(err error) error {
	return &fatal{code: "08P01", message: "sluice: " + err.Error()}
}

// message handles one whole message with its header.
func (s *session) message(typ byte, msg []byte) error {
	switch typ {
	case 'P', 'B', 'D', 'E', 'C':
		// Set behind the message: what the gateway itself asks before the first
		// one is outside the client's implicit transaction.
		defer func() { s.piping = true }()
	}
	switch typ {
	case 'Q':
		return s.query(msg[wire.HeaderLen:])
	case 'P':
		return s.parse(msg)
	case 'B':
		return s.bind(msg)
	case 'D':
		return s.describe(msg)
	case 'E':
		return s.execute(msg)
	case 'C':
		return s.closeName(msg)
	case 'S':
		return s.sync(msg)
	case 'H':
		s.out = append(s.out, msg...)
		return nil
	case 'F':
		return s.function(msg)
	case 'c', 'f':
		if err := s.push(&entry{kind: kindCopyEnd}); err != nil {
			return err
		}
		s.out = append(s.out, msg...)
		return s.endCopyData()
	case 'd':
		s.out = append(s.out, msg...)
		return nil
	case 'X':
		s.out = append(s.out, msg...)
		if err := s.flush(); err != nil {
			return err
		}
		return io.EOF
	}
	return s.protocolError(fmt.Errorf("unknown message type %q", typ))
}

// push queues the entry of a message that goes (or went) into out. An entry
// behind an error that waits for a Sync is skipped by the upstream: it is
// settled at once.
func (s *session) push(e *entry) error {
	if s.queue.full() {
		if err := s.flush(); err != nil {
			return err
		}
		s.blocks()
	}
	for s.pushed = s.queue.push(e); s.pushed == pushSealed; s.pushed = s.queue.push(e) {
		if err := s.flush(); err != nil {
			return err
		}
		s.blocks()
		s.queue.open()
	}
	switch s.pushed {
	case pushSkipped:
		s.skipped(e)
	case pushClosed:
		return errEnded
	case pushQueued, pushIgnored, pushSealed:
	}
	return nil
}

// ask decides about actions, waiting for people where a rule demands it. A
// refusal comes back as such; an error ends the session.
func (s *session) ask(actions ...access.Action) ([]*pipeline.Permit, *refusal, error) {
	s.gate.InTransaction = byte(s.status.Load()) != 'I'
	if s.debts.any() {
		return s.askIndebted(actions)
	}
	permits, err := s.gate.Ask(s.waiting.context(s.ctx), actions...)
	return s.asked(permits, err, actions)
}

// asked makes of the pipeline's answer what ask returns.
func (s *session) asked(permits []*pipeline.Permit, err error, actions []access.Action) ([]*pipeline.Permit, *refusal, error) {
	s.maskedNow.Store(s.gate.Posture().Masked)
	if werr := s.stopWatching(); werr != nil && err == nil {
		for _, p := range permits {
			p.Done(access.Outcome{NotRun: true, Error: "the client left"})
		}
		return nil, nil, werr
	}
	if err == nil {
		preview(permits)
		return permits, nil, nil
	}
	var d *pipeline.Denied
	var f *fatal
	switch {
	case errors.As(err, &d):
	case errors.As(err, &f) || err == errEnded:
		return nil, nil, err
	default:
		return nil, nil, &fatal{code: "XX000", message: "sluice: " + err.Error()}
	}
	if s.ctx.Err() != nil {
		return nil, nil, errEnded
	}
	s.input(d.Asked) // what was typed is recorded, whatever becomes of it
	return nil, s.refusal(d, actions[min(d.Index, len(actions)-1)]), nil
}

// hold notes that permits' records must be durable before out is written,
// unless they are pure reads.
func (s *session) hold(permits ...*pipeline.Permit) {
	for _, p := range permits {
		if !p.Request.Action.Pure {
			s.unsent = append(s.unsent, p)
		}
	}
}

// query handles a simple Query: every statement is decided before any is
// forwarded, since the server runs them in one implicit transaction.
func (s *session) query(body []byte) error {
	text, err := wire.ParseQuery(body)
	if err != nil {
		return s.protocolError(err)
	}
	e := &entry{kind: kindQuery, segment: s.segment}
	b, err := s.analyze(string(text))
	if err != nil {
		return err
	}
	d := s.describer(e)
	actions, err := d.actions(b)
	if err != nil {
		return err
	}
	s.debts.judging(b)
	permits, refused, err := s.ask(actions...)
	if err != nil {
		return err
	}
	s.segment++
	// exec_simple_query drops the unnamed statement and portal first.
	s.names.add(change{segment: e.segment, owner: e, index: -1, space: statements},
		change{segment: e.segment, owner: e, index: -1, space: portals})
	if refused != nil {
		e.deny = refused
		if err := s.push(e); err != nil {
			return err
		}
		s.out = wire.AppendQuery(s.out, refused.stand())
		s.settlePiping()
		return nil
	}
	return s.forwardQuery(e, b, d, permits)
}

// settlePiping notes that a Query or FunctionCall ended the pipeline, unless
// the upstream skips it: then only a Sync does.
func (s *session) settlePiping() {
	if s.pushed == pushQueued {
		s.endPiping()
	}
}

// endPiping notes the end of a pipeline, and so of its implicit transaction: if
// that fails, or the setting was local to it, a search_path set in it is gone.
func (s *session) endPiping() {
	s.piping, s.bound = false, false
	s.env.unsure = s.env.unsure || s.env.moved
}

func (s *session) forwardQuery(e *entry, b *query.Batch, d *describer, permits []*pipeline.Permit) error {
	texts, own, err := s.forwarded(b, approved(permits))
	if err != nil {
		return s.refuseForwarded(e, permits, err)
	}
	limited := scripted(permits)
	e.permits = permits
	e.run = s.newRun(d, permits, own && (!limited || len(texts) == 1))
	if err := s.copyPlans(e.run, b, permits); err != nil {
		e.run, e.permits = nil, nil
		return s.refuseForwarded(e, permits, err)
	}
	s.names.add(d.changes...)
	for _, st := range b.Statements {
		s.follow(st)
	}
	s.debts.queried(b)
	s.owe(permits...)
	s.input(permits)
	s.hold(permits...)
	e.sent = s.srv.Now()
	if limited {
		return s.forwardScript(e, b, texts)
	}
	var ch <-chan verdict
	if len(b.Statements) == 1 && readsCopy(b.Statements[0]) {
		defer func() { s.arm(e, permits[0]) }() // its data is still to be read from the client
	} else {
		ch = e.clocked(permits[0])
	}
	if err := s.push(e); err != nil {
		return err
	}
	if own {
		s.out = wire.AppendQuery(s.out, b.Text)
	} else {
		s.out = wire.AppendQuery(s.out, strings.Join(texts, "; "))
	}
	s.settlePiping()
	return s.runTimed(e, permits[0], ch)
}

// refuseForwarded refuses actions whose canonical text could not be made.
func (s *session) refuseForwarded(e *entry, permits []*pipeline.Permit, why error) error {
	for _, p := range permits {
		p.Done(access.Outcome{NotRun: true, Error: why.Error()})
	}
	e.deny = notCanonical(permits[0].ID(), why)
	if err := s.push(e); err != nil {
		return err
	}
	s.out = wire.AppendQuery(s.out, e.deny.stand())
	s.settlePiping()
	return nil
}

// follow takes up what a statement that is forwarded does to the session.
func (s *session) follow(st *query.Statement) {
	s.env.follow(st)
	s.followLexical(st)
	s.debts.follow(st, s.segment)
}

// function handles FunctionCall, the fast path: an action like any other.
func (s *session) function(msg []byte) error {
	f, err := wire.ParseFunctionCall(msg[wire.HeaderLen:])
	if err != nil {
		return s.protocolError(err)
	}
	e := &entry{kind: kindFunction, segment: s.segment, sent: s.srv.Now()}
	permits, refused, err := s.ask(s.describer(e).call(f))
	if err != nil {
		return err
	}
	s.segment++
	if refused != nil {
		e.deny = refused
		if err := s.push(e); err != nil {
			return err
		}
		s.settlePiping()
		s.out = wire.AppendBadFunctionCall(s.out)
		return nil
	}
	e.permits = permits
	s.input(permits)
	s.hold(permits...)
	ch := e.clocked(permits[0])
	if err := s.push(e); err != nil {
		return err
	}
	s.settlePiping()
	s.out = append(s.out, msg...)
	return s.runTimed(e, permits[0], ch)
}

// input records what was typed.
func (s *session) input(permits []*pipeline.Permit) {
	if s.rec == nil {
		return
	}
	for _, p := range permits {
		s.rec.Input(p.ID(), p.Request.Action.Visible())
	}
}
