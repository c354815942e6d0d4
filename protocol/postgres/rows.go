package postgres

// Rows, what announces them and what ends them.

import (
	"fmt"

	"sluice/access"
	"sluice/protocol/postgres/wire"
)

// planless reports whether rows come for which no action was decided while a
// mask could apply.
func (s *session) planless(e *entry) bool {
	return e.run != nil && e.run.permit() == nil && s.masked()
}

// unplanned reports whether rows come without the description that a plan would
// have been made from.
func (s *session) unplanned(e *entry, typ byte) bool {
	switch {
	case s.planless(e):
		return true
	case e.run == nil && e.portal == nil:
		return true
	case typ == 'd':
		return s.masked() && e.current().out == nil
	case e.run != nil:
		return s.masked() && !e.run.cur.described
	}
	return e.portal.asked && !e.portal.cur.described
}

var errUnplanned = &fatal{code: "XX000", message: "sluice: the upstream sent a result that nobody asked for"}

// planOf returns what must happen to the rows of the result in progress; nil:
// they pass.
func (s *session) planOf(e *entry) *plan {
	switch {
	case e == nil:
		return nil
	case e.run != nil:
		return e.run.cur.plan
	case e.portal != nil:
		return e.portal.cur.plan
	}
	return nil
}

// holding reports whether the rows of the result in progress are held.
func (s *session) holding(e *entry) bool {
	return (e.run != nil || e.portal != nil) && e.current().hold != nil
}

// row handles DataRow and CopyData.
func (s *session) row(e *entry, typ byte, msg []byte) error {
	if s.unplanned(e, typ) {
		return errUnplanned
	}
	cur := e.current()
	row, head := true, 0
	if cur.out != nil {
		row, head = cur.out.row(msg[wire.HeaderLen:])
	}
	cur.count(one(row), len(msg))
	p := cur.plan
	if p == nil {
		if cur.hold != nil {
			s.keep(cur, msg, msg)
		}
		return nil
	}
	return s.applyPlan(e, p, typ, msg, row, head)
}

func one(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// complete handles CommandComplete, EmptyQueryResponse and PortalSuspended.
func (s *session) complete(e *entry, typ byte, msg []byte) error {
	if typ == 'C' && (len(msg) <= wire.HeaderLen || msg[len(msg)-1] != 0) {
		return s.malformed(wire.ErrMalformed)
	}
	switch {
	case e.run != nil:
		return s.completeQuery(e, typ, msg)
	case e.kind == kindExecute && e.portal != nil:
		return s.completeExecute(e, typ, msg)
	}
	return &fatal{code: "08P01", message: fmt.Sprintf("sluice: the upstream sent %q out of turn", typ)}
}

func (s *session) completeQuery(e *entry, typ byte, msg []byte) error {
	run := e.run
	e.copying = false
	if p := run.permit(); p != nil {
		if over := weigh(p, &run.cur, msg); over != nil {
			s.undo(p, &run.cur, msg, over)
			e.deny = over
			return e.decide(verdict{over: over})
		}
	}
	within := run.cur.hold != nil || run.cur.limits.Timeout.N > 0
	if e.scripted && run.index == len(run.permits)-1 {
		s.replace(msg, run.cur.heldRows())
		run.last = ending(&run.cur, msg)
	} else {
		s.endResult(&run.cur, msg)
	}
	if typ == 'C' {
		s.finishStatement(run.statement(), run.permit(), &run.cur, msg)
		finishUnused(s.names.settle(e, run.index, confirmed))
	}
	run.next(s)
	if within {
		return e.decide(verdict{within: true})
	}
	return nil
}

func (s *session) completeExecute(e *entry, typ byte, msg []byte) error {
	po := e.portal
	e.begin()
	if over := weigh(po.permit, &po.cur, msg); over != nil {
		s.undo(po.permit, &po.cur, msg, over)
		finishUnused(s.names.settle(e, 0, failedUpstream))
		err := e.decide(verdict{over: over})
		s.pop(e)
		return err
	}
	if typ == 's' && po.cur.limited && po.permit.Request.Action.Verb == access.VerbSelect {
		// Nothing more will come: say so, or the client asks for ever.
		s.replace(msg, ending(&po.cur, wire.AppendCommandComplete(nil, "SELECT 0")))
		po.cur.shown = 0
		s.finishStatement(po.judged, po.permit, &po.cur, msg)
		s.pop(e)
		return nil
	}
	if typ == 's' {
		s.replies.suspended = true
		po.cur.shown = 0
		s.pop(e)
		return nil
	}
	within := po.cur.hold != nil
	s.endResult(&po.cur, msg)
	s.finishStatement(po.judged, po.permit, &po.cur, msg)
	finishUnused(s.names.settle(e, 0, confirmed))
	if within {
		e.decide(verdict{within: true})
	}
	s.pop(e)
	return nil
}

// copyBegins handles CopyInResponse, CopyOutResponse and CopyBothResponse.
func (s *session) copyBegins(e *entry, typ byte, msg []byte) error {
	if typ != 'H' {
		for _, ignored := range s.queue.beginCopy() {
			ignored.release()
		}
	}
	e.begin()
	if e.scripted && typ != 'H' {
		e.copying = true
		return e.decide(verdict{copying: true})
	}
	if typ != 'H' {
		return nil
	}
	to := e.copyTo()
	if len(msg) <= wire.HeaderLen || to == nil && s.masked() {
		return errUnplanned
	}
	cur := e.current()
	cur.out = &copyOut{binary: msg[wire.HeaderLen] == 1, header: e.copyHeader()}
	if to != nil && to.plan != nil {
		cur.plan = to.plan
	}
	return nil
}

// copyTo is how the COPY TO STDOUT in progress is sent; nil: it was not planned.
func (e *entry) copyTo() *copyTo {
	if e.run == nil {
		return e.portal.copy
	}
	if e.run.index < len(e.run.copies) {
		return e.run.copies[e.run.index]
	}
	return nil
}
