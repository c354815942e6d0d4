package postgres

import (
	"fmt"
	"io"

	"sluice/access"
	"sluice/internal/eventloop"
	"sluice/protocol/postgres/wire"
)

// A replies is the state of the upstream's direction. It belongs to
// readUpstream, and to finish once that has returned.
type replies struct {
	rd   *wire.Reader
	mark int    // where what passes unchanged begins in the reader's buffer
	out  []byte // what was rewritten so far of this chunk

	skip     int  // bytes of a long message that are still to pass
	dropping bool // or to be dropped

	top *entry // the head of the queue, as long as it is that

	held   []held // outcomes of the segment so far: an error may undo them
	failed bool   // an error came in this segment
	tx     bool   // a transaction block was open when the segment began

	suspended bool       // a portal was left in the middle in this segment
	stopping  *canceller // set: a result is being stopped; nothing is forwarded until the segment's end
}

// maxHeld bounds the outcomes that wait; beyond it the oldest are reported as
// they are.
const maxHeld = 1 << 14

// head returns the entry that the next answer belongs to. Only readUpstream
// pops, so it stays the head until then.
func (r *replies) head(q *queue) *entry {
	if r.top == nil {
		r.top = q.head()
	}
	return r.top
}

// finish reports what is still held when the session ends.
func (r *replies) finish() {
	for _, h := range r.held {
		h.permit.Done(h.outcome)
	}
	r.held = nil
	if r.stopping != nil {
		r.stopping.stop()
	}
}

// readUpstream walks the upstream's messages by their headers. What needs no
// change is written as it came, one write a chunk. Like readClient it may end
// in between and be called again.
func (s *session) readUpstream() error {
	r := &s.replies
	for chunks := 0; ; chunks++ {
		whole, err := s.walk()
		if werr := s.emit(whole); err == nil || err == errHeld && werr != nil {
			err = werr
		}
		if err != nil {
			return err
		}
		if chunks == maxChunks && s.turns.Load() != nil {
			return errMore
		}
		r.rd.Shrink(upstreamBuffer)
		err = r.rd.Fill()
		r.mark = r.rd.Pos() // filling moves what is buffered
		switch err {
		case nil:
		case io.EOF, eventloop.ErrAgain:
			return err
		default:
			return fmt.Errorf("upstream: %w", err)
		}
		s.active.Store(s.srv.Now().UnixNano())
	}
}

// walk handles every whole message in the buffer, and begins to pass one that
// is larger than the buffer and needs no change. It reports whether what is to
// be written ends at the end of a message.
func (s *session) walk() (whole bool, err error) {
	r := &s.replies
	for {
		if r.skip > 0 && !s.passMore() {
			return r.dropping, nil
		}
		typ, size, ok, err := r.rd.Header()
		if err != nil || !ok {
			return true, err
		}
		if !r.rd.Whole(size) {
			if size <= r.rd.Cap() {
				return true, nil
			}
			if !s.passable(typ) {
				return true, s.bearable(typ, size)
			}
			if err := s.passLong(typ, size); err != nil {
				return true, err
			}
			continue
		}
		if err := s.answerable(typ); err != nil {
			return true, err
		}
		msg := r.rd.Take(size)
		if err := s.reply(typ, msg); err != nil {
			if r.mark < r.rd.Pos() {
				s.drop(msg) // what was not approved of must not leave with the rest
			}
			return true, err
		}
	}
}

// passLong begins to pass a message that does not fit the buffer, or to drop a row
// behind a limit.
func (s *session) passLong(typ byte, size int) error {
	if err := s.answerable(typ); err != nil {
		return err
	}
	r := &s.replies
	if r.skip, r.dropping = size, false; typ == 'V' || typ == 'N' {
		return nil
	}
	e := r.head(s.queue)
	cur := e.current()
	cur.count(1, size)
	if r.dropping = cur.plan != nil && cur.beyond(&cur.plan.limits); r.dropping {
		cur.uncount(size)
		s.stopEarly(e, cur)
	}
	return nil
}

// passMore passes, or drops, what is there of a long row, and reports whether that
// was all of it.
func (s *session) passMore() bool {
	r := &s.replies
	n := min(r.skip, r.rd.Buffered())
	if piece := r.rd.Take(n); r.dropping {
		s.drop(piece)
	}
	r.skip -= n
	return r.skip == 0
}

// passable reports whether a message may pass without being looked at.
func (s *session) passable(typ byte) bool {
	e := s.replies.head(s.queue)
	switch typ {
	case 'N':
		return !s.masked() && (e == nil || !e.hidden)
	case 'V':
		return e != nil && e.deny == nil && answers(e.kind, typ)
	case 'D', 'd':
	default:
		return false
	}
	if e == nil || e.hidden || e.deny != nil || !answers(e.kind, typ) || s.holding(e) || s.unplanned(e, typ) {
		return false
	}
	p := s.planOf(e)
	return p == nil || typ == 'D' && !p.any
}

// bearable refuses to collect a message that must be looked into and is longer than
// a client's may be: a row to mask, an error, an answer to the gateway itself.
func (s *session) bearable(typ byte, size int) error {
	if most := s.srv.Limits.Message; most > 0 && size > most {
		return &fatal{code: "54000", message: fmt.Sprintf("sluice: the upstream sent %q of %s bytes, and the limit is %s where it must be looked into",
			typ, thousands(int64(size)), thousands(int64(most)))}
	}
	return nil
}

// emit writes what this chunk amounts to.
func (s *session) emit(whole bool) error {
	r := &s.replies
	run := r.rd.Since(r.mark)
	r.mark = r.rd.Pos()
	out := run
	if len(r.out) > 0 {
		r.out = append(r.out, run...)
		out = r.out
		r.out = r.out[:0]
	}
	if cap(r.out) > 16*upstreamBuffer {
		r.out = nil
	}
	if len(out) == 0 {
		return nil
	}
	if s.rec != nil {
		s.rec.Output("", out)
	}
	return s.client.write(out, whole)
}

// drop removes the message just taken from what is written.
func (s *session) drop(msg []byte) { s.replace(msg, nil) }

// replace writes other bytes in the place of the message just taken.
func (s *session) replace(msg, with []byte) {
	r := &s.replies
	r.out = append(r.out, r.rd.Since(r.mark)[:r.rd.Pos()-r.mark-len(msg)]...)
	r.out = append(r.out, with...)
	r.mark = r.rd.Pos()
}

// reply handles one whole message of the upstream.
func (s *session) reply(typ byte, msg []byte) error {
	switch typ {
	case 'N':
		return s.notice(msg)
	case 'A':
		return s.notification(msg)
	case 'S':
		return s.parameter(msg)
	}
	e := s.replies.head(s.queue)
	if e == nil {
		return s.unasked(typ, msg)
	}
	if e.scripted && (typ == '1' || typ == '2' || typ == '3' || typ == 'n') {
		s.drop(msg) // to the client this is a Query
		return nil
	}
	if bodiless(typ) && len(msg) > wire.HeaderLen {
		return s.malformed(wire.ErrMalformed)
	}
	if !answers(e.kind, typ) {
		return &fatal{code: "08P01", message: fmt.Sprintf("sluice: the upstream sent %q out of turn", typ)}
	}
	if e.deny != nil && typ != 'E' && typ != 'Z' {
		return &fatal{code: "XX000", message: fmt.Sprintf("sluice: the upstream answered %q to a message made to fail", typ)}
	}
	if e.hidden {
		return s.hiddenReply(e, typ, msg)
	}
	switch typ {
	case 'D', 'd':
		return s.row(e, typ, msg)
	case 'C', 'I', 's':
		return s.complete(e, typ, msg)
	case 'Z':
		return s.ready(e, msg)
	case 'E':
		return s.failure(e, msg)
	case 'T':
		return s.described(e, msg)
	case '1', '2', '3':
		s.confirm(e)
	case 'n':
		s.pop(e)
	case 't', 'c', 'V':
	case 'G', 'H', 'W':
		return s.copyBegins(e, typ, msg)
	default:
		return &fatal{code: "08P01", message: fmt.Sprintf("sluice: the upstream sent an unknown message %q", typ)}
	}
	return nil
}

// answerable waits until the records behind the answer that comes next are
// durable: before its first byte leaves. Anything but a pure read was waited for
// before it was forwarded.
func (s *session) answerable(typ byte) error {
	switch typ {
	case 'N', 'A', 'S':
		return nil // answers nothing
	}
	e := s.replies.head(s.queue)
	if e == nil || e.durable {
		return nil
	}
	if c := e.cover.Load(); c != nil {
		if err := s.recorded(c); err != nil {
			return err
		}
	}
	if err := s.recorded(e.permits...); err != nil {
		return err
	}
	e.durable = true
	return nil
}

// bodiless reports messages that say nothing but their type.
func bodiless(typ byte) bool {
	switch typ {
	case '1', '2', '3', 'n', 's', 'I', 'c':
		return true
	}
	return false
}

// answers reports whether a message can belong to the answer of an entry. What
// does not fit must end the session: rows of an unexpected result would pass
// without a plan.
func answers(k kind, typ byte) bool {
	switch typ {
	case 'E':
		return true
	case 'Z':
		return k == kindQuery || k == kindSync || k == kindFunction
	case 'D', 'd', 'c', 'C', 'I', 'G', 'H', 'W':
		return k == kindQuery || k == kindExecute
	case 's':
		return k == kindExecute
	case 'T':
		return k == kindQuery || k == kindDescribe
	case 't', 'n':
		return k == kindDescribe
	case '1':
		return k == kindParse
	case '2':
		return k == kindBind
	case '3':
		return k == kindClose
	case 'V':
		return k == kindFunction
	}
	return false
}

func (s *session) malformed(err error) error {
	return &fatal{code: "08P01", message: "sluice: from the upstream: " + err.Error()}
}

// confirm handles ParseComplete, BindComplete and CloseComplete.
func (s *session) confirm(e *entry) {
	finishUnused(s.names.settle(e, 0, confirmed))
	if e.kind == kindParse {
		s.settleParse(e, access.Outcome{})
	}
	s.pop(e)
}

func (s *session) pop(e *entry) {
	s.replies.top = nil
	s.queue.pop()
	e.release()
}

// ready handles ReadyForQuery: the end of a segment.
func (s *session) ready(e *entry, msg []byte) error {
	if len(msg) != wire.HeaderLen+1 {
		return s.malformed(wire.ErrMalformed)
	}
	status := msg[wire.HeaderLen]
	if e.run != nil && len(e.run.last) > 0 && !e.run.failed {
		s.replace(msg, append(e.run.last, msg...))
	}
	s.endSegment(e, status)
	s.unseal()
	s.pop(e)
	return nil
}
