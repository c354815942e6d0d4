package postgres

// Limits on results: rows and bytes. What is beyond them does not reach the
// client, which is told so before the command tag. The upstream is stopped as
// well where that undoes nothing; otherwise the rest is read and dropped.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"sluice/access"
	"sluice/pipeline"
	"sluice/protocol/postgres/wire"
	query "sluice/query/postgres"
)

// drainBytes is how much of a result is dropped before the upstream is asked to
// stop: a cancel costs a connection.
const drainBytes = 1 << 20

// limit takes up what limits a permit carries.
func (r *result) limit(p *pipeline.Permit) {
	r.limits = p.Limits()
	r.plan = limitPlan(&r.limits)
	if counted(p, &r.limits) {
		r.hold = new(hold)
	}
}

func limitPlan(l *pipeline.Limits) *plan {
	if l.Rows.N == 0 && l.Bytes.N == 0 {
		return nil
	}
	return &plan{limits: *l}
}

// A copyOut is what the upstream said of the COPY data that it sends.
type copyOut struct {
	binary bool
	header bool // the first line holds names
	begun  bool
}

// row reports whether a CopyData message holds a row, and how many bytes of it
// are the binary format's header.
func (c *copyOut) row(body []byte) (row bool, head int) {
	first := !c.begun
	c.begun = true
	switch {
	case !c.binary:
		return !first || !c.header, 0
	case first && bytes.HasPrefix(body, copySignature) && len(body) >= len(copySignature)+8:
		head = len(copySignature) + 8
		head += int(min(binary.BigEndian.Uint32(body[head-4:]), uint32(len(body)-head)))
	}
	return !bytes.Equal(body[head:], copyTrailer), head
}

// copyHeader reports whether the COPY in progress begins with names.
func (e *entry) copyHeader() bool {
	st := (*query.Statement)(nil)
	if e.run != nil {
		st = e.run.statement()
	} else if e.portal != nil {
		st = e.portal.judged
	}
	return st != nil && st.Copy != nil && st.Copy.Header
}

// copyTrailer ends a binary COPY.
var copyTrailer = []byte{0xff, 0xff}

// beyond reports whether the row just counted is over a limit, or behind one that
// was. What was fetched from a cursor before counts with it.
func (r *result) beyond(l *pipeline.Limits) bool {
	rows, size, ended := r.rows, r.bytes, r.limited
	if r.cursor != nil {
		rows, size, ended = rows+r.cursor.rows, size+r.cursor.bytes, ended || r.cursor.limited
	}
	return ended || l.Rows.Over(rows) || l.Bytes.Over(size)
}

// discard drops a row that is over a limit; head bytes of it are none of its own.
func (s *session) discard(e *entry, cur *result, msg []byte, head int) {
	cur.uncount(len(msg))
	s.drop(msg)
	if head > 0 {
		s.replace(nil, copyData(msg[wire.HeaderLen:wire.HeaderLen+head]))
	}
	s.stopEarly(e, cur)
}

// uncount takes back that a row was counted, which a limit keeps from the client.
func (r *result) uncount(size int) {
	r.limited = true
	r.rows--
	r.shown--
	r.bytes -= int64(size)
	r.dropped += int64(size)
}

func copyData(body []byte) []byte {
	out, at := wire.Begin(nil, 'd')
	return wire.End(append(out, body...), at)
}

// stopEarly cancels a statement upstream whose remaining rows nobody will see.
// A cancel fails the statement, so it must be all that the segment consists of,
// outside a transaction, and only read. Nothing else is forwarded until it is over:
// a cancel that comes late must not hit what comes next.
func (s *session) stopEarly(e *entry, cur *result) {
	if cur.stopped || cur.dropped < drainBytes || !s.stoppable(e) || !s.queue.seal(e) {
		return
	}
	cur.stopped = true
	c := &canceller{most: 8 * time.Second, wait: s.blocks, vain: "sluice: a result that goes on behind its limit could not be stopped"}
	s.replies.stopping = c
	s.blocks()
	c.start(s.strike(c), func() time.Duration { return s.strike(c) })
}

func (s *session) stoppable(e *entry) bool {
	r := &s.replies
	if r.tx || r.failed || r.suspended || len(r.held) > 0 || e.scripted || len(e.permits) != 1 {
		return false
	}
	a := &e.permits[0].Request.Action
	return a.Confidence == access.Exact && (a.Verb == access.VerbSelect || a.Verb == access.VerbCopyOut)
}

// stopped turns the error of a statement that was stopped into the end of its
// result.
func (s *session) stopped(e *entry, msg []byte, code string) bool {
	if code != codeWithdrawn || e.run == nil && e.portal == nil || !e.current().stopped {
		return false
	}
	cur := e.current()
	var out []byte
	word := "SELECT"
	if c := cur.out; c != nil {
		word = "COPY"
		if c.binary {
			out = copyData(copyTrailer)
		}
		out = wire.AppendEmpty(out, 'c')
	}
	tag := wire.AppendCommandComplete(nil, fmt.Sprintf("%s %d", word, cur.shown))
	s.replace(msg, append(out, ending(cur, tag)...))
	s.finishStatement(nil, e.permits[0], cur, tag)
	finishUnused(s.names.settle(e, 0, confirmed))
	if e.run != nil {
		e.run.next(s)
	} else {
		s.pop(e)
	}
	return true
}

// unseal lets the client's messages pass again, at the end of the segment.
func (s *session) unseal() {
	if c := s.replies.stopping; c != nil {
		s.replies.stopping = nil
		c.stop()
		s.queue.unseal()
	}
}

// ending returns what ends a result: the rows held, a word that a limit ended
// it, and the command tag, corrected where a limit made it wrong.
func ending(cur *result, msg []byte) []byte {
	out := cur.heldRows()
	if !cur.limited {
		return append(out, msg...)
	}
	what, by := thousands(cur.limits.Rows.N)+" rows", cur.limits.Rows
	if cur.limits.Rows.N == 0 || cur.limits.Bytes.N > 0 && !cur.full() {
		what, by = thousands(cur.limits.Bytes.N)+" bytes", cur.limits.Bytes
	}
	out = wire.AppendReport(out, 'N', wire.Report{Severity: "WARNING", Code: "01000",
		Message: fmt.Sprintf("sluice: the result ends after %s, by %s", what, by.Rule),
		Hint:    "Narrow the query with WHERE or LIMIT."})
	if msg[0] == 'C' {
		return wire.AppendCommandComplete(out, limitedTag(string(msg[wire.HeaderLen:len(msg)-1]), cur.shown))
	}
	return append(out, msg...)
}

// full reports whether as many rows were shown as may be.
func (r *result) full() bool {
	rows := r.rows
	if r.cursor != nil {
		rows += r.cursor.rows
	}
	return rows >= r.limits.Rows.N
}

// heldRows gives up the rows that were held.
func (r *result) heldRows() (rows []byte) {
	if r.hold != nil {
		rows, r.hold = r.hold.rows, nil
	}
	return rows
}

// endResult ends a result for the client.
func (s *session) endResult(cur *result, msg []byte) {
	if cur.hold != nil || cur.limited {
		s.replace(msg, ending(cur, msg))
	}
	cur.shown = 0
}

// limitedTag is a command tag that counts the rows shown, where it counted those of
// the result. That of a write counts the rows changed, whatever was shown of them.
func limitedTag(tag string, rows int64) string {
	if wire.TagWrites([]byte(tag)) {
		return tag
	}
	for i := len(tag) - 1; i >= 0; i-- {
		if tag[i] == ' ' {
			return fmt.Sprintf("%s %d", tag[:i], rows)
		}
	}
	return tag
}
