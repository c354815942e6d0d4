package postgres

// How readUpstream settles what its answers say: outcomes, failures, and the
// ends of segments.

import (
	"sluice/access"
	"sluice/pipeline"
	"sluice/protocol/postgres/wire"
	query "sluice/query/postgres"
)

// A held is an outcome that waits for the end of its segment.
type held struct {
	permit  *pipeline.Permit
	outcome access.Outcome
}

// finishStatement holds a statement's outcome until its segment ends.
func (s *session) finishStatement(st *query.Statement, p *pipeline.Permit, cur *result, msg []byte) {
	s.queue.endCopy()
	o := cur.outcome(s.srv.Now())
	if cur.cursor != nil {
		cur.cursor.rows += cur.rows
		cur.cursor.bytes += cur.bytes
		cur.cursor.limited = cur.cursor.limited || cur.limited
	}
	if msg[0] == 'C' {
		tag := msg[wire.HeaderLen : len(msg)-1]
		if n := wire.TagRows(tag); n > o.Rows && (!cur.limited || wire.TagWrites(tag)) {
			o.Rows = n
		}
	}
	if p != nil {
		if n, ok := changedRows(msg); ok && p.Deferred() != pipeline.NotDeferred {
			p.Changed(n)
		}
		s.holdOutcome(held{p, o})
	}
	if st != nil {
		if st.Tx == query.TxCommit || st.Tx == query.TxPrepare || st.Tx == query.TxRollback {
			s.ended.Add(1)
		}
		if st.DDL && s.env.loader != nil {
			s.ddl = true
		}
		if st.Tx == query.TxCommit || st.Tx == query.TxPrepare {
			s.replies.release(false)
		}
		if st.Action.Confidence != access.Exact {
			s.names.taint()
		}
	}
}

func (s *session) holdOutcome(h held) {
	r := &s.replies
	if len(r.held) >= maxHeld {
		r.release(false)
	}
	r.held = append(r.held, h)
}

// release reports the outcomes held. undone: an error has rolled them back.
func (r *replies) release(undone bool) {
	for _, h := range r.held {
		h.outcome.Undone = undone
		h.permit.Done(h.outcome)
	}
	clear(r.held)
	r.held = r.held[:0]
}

// settleFailed reports the end of what an error ended.
func (s *session) settleFailed(e *entry, text string) {
	e.begin()
	switch {
	case e.run != nil:
		if p := e.run.permit(); p != nil {
			o := e.run.cur.outcome(s.srv.Now())
			o.Error = text
			p.Done(o)
		}
		e.run.failed = true
	case e.kind == kindParse:
		s.settleParse(e, access.Outcome{Error: text})
	case e.portal != nil && e.portal.permit != nil && e.kind != kindDescribe:
		o := e.portal.cur.outcome(s.srv.Now())
		o.Error = text
		e.portal.permit.Done(o)
	case e.kind == kindFunction:
		for _, p := range e.permits {
			p.Done(access.Outcome{Error: text})
		}
	}
	finishUnused(s.names.settle(e, 1<<30, failedUpstream))
}

// skipped settles an entry that the upstream skips behind an error.
func (s *session) skipped(e *entry) {
	for _, p := range e.permits {
		if e.kind != kindExecute || e.portal == nil || e.portal.cur.rows == 0 {
			p.Done(access.Outcome{NotRun: true, Error: "skipped behind an error"})
		}
	}
	finishUnused(s.names.settle(e, 1<<30, skippedByError))
	e.begin()
	if e.finding != nil {
		e.finding.failed = true
	}
	e.release()
}

// settleParse reports the end of a Parse that had a record of its own.
func (s *session) settleParse(e *entry, o access.Outcome) {
	for _, p := range e.permits {
		p.Done(o)
	}
}

// errorText returns what the audit keeps of an error and, if it must be
// changed, what the client sees.
func (s *session) errorText(e *entry, msg []byte, se wire.ServerError) (text string, shown []byte) {
	statement, canonical := "", false
	if e.run != nil {
		canonical = !e.run.own
		if st := e.run.statement(); st != nil {
			statement = st.Action.Text
		}
	} else if e.portal != nil && e.portal.def.st != nil {
		statement = e.portal.def.st.Action.Text
		canonical = e.portal.def.text != statement
	}
	if s.masked() {
		return se.Code + " " + scrub(se, statement), scrubbed(msg, statement, canonical)
	}
	if canonical {
		return se.Code + " " + se.Message, withoutPosition(msg)
	}
	return se.Code + " " + se.Message, nil
}

// failure handles ErrorResponse. In the extended protocol the upstream then
// skips everything up to the next Sync.
func (s *session) failure(e *entry, msg []byte) error {
	se, err := wire.ParseError(msg[wire.HeaderLen:])
	if err != nil {
		return s.malformed(err)
	}
	if s.stopped(e, msg, se.Code) {
		return nil
	}
	s.replies.failed = true
	s.queue.endCopy()
	text, shown := s.errorText(e, msg, se)
	late := e.expired(se.Code)
	switch {
	case late != nil:
		text = late.Code + " " + late.Message
		s.replace(msg, wire.AppendReport(nil, 'E', *late))
	case e.refusal() != nil && se.Severity == "ERROR":
		s.replace(msg, wire.AppendReport(nil, 'E', e.refusal().report))
	case shown != nil:
		s.replace(msg, shown)
	}
	s.settleFailed(e, text)
	if e.scripted {
		if err := s.scriptFailed(e); err != nil {
			return err
		}
	}
	if e.kind == kindQuery || e.kind == kindFunction {
		return nil // ReadyForQuery follows
	}
	if e.kind == kindSync {
		return nil // an error at commit; ReadyForQuery follows
	}
	s.pop(e)
	for _, skipped := range s.queue.skip() {
		s.skipped(skipped)
	}
	return nil
}

func (s *session) endSegment(e *entry, status byte) {
	r := &s.replies
	if e.run != nil {
		e.run.abandon()
	}
	if e.kind == kindFunction {
		for _, p := range e.permits {
			p.Done(access.Outcome{Rows: 1, Duration: s.srv.Now().Sub(e.sent).Microseconds()})
		}
	}
	finishUnused(s.names.settle(e, 1<<30, failedUpstream))
	// Outside a transaction block an error has rolled back the whole segment.
	r.release(r.failed && status == 'I' && !r.tx)
	r.failed, r.suspended, r.tx = false, false, status != 'I'
	if status == 'I' {
		finishUnused(s.names.endTransaction())
		s.ended.Add(1)
	}
	if s.ddl && status == 'I' {
		s.ddl = false
		s.stale.Store(true)
		s.env.loader.Invalidate()
	}
	s.status.Store(uint32(status))
	s.queue.endCopy()
}
