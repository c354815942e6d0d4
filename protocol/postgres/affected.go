package postgres

// Limits on affected rows. How many rows a statement changes is known when it has
// run, from its command tag; until then nothing of it is final. In the extended
// protocol an implicit transaction lasts until Sync, and any error before that
// takes everything back: so the gateway sends a limited statement without what
// comes behind it, looks at the tag, and then either goes on or sends a message
// that fails. What becomes of transaction, savepoints and pipeline is the
// server's own doing, as with every refusal. A simple Query is sent in this way
// too (script.go).

import (
	"fmt"
	"strconv"

	"sluice/access"
	"sluice/pipeline"
	"sluice/protocol/postgres/wire"
)

// maxHold bounds what is held of the rows that a limited statement returns, in
// bytes.
const maxHold = 16 << 20

// A hold keeps the rows of a statement until the number of rows that it changed
// is known.
type hold struct {
	rows []byte
	many bool // more than may be held
}

// counted reports whether what runs under a permit is held to a number of rows.
func counted(p *pipeline.Permit, l *pipeline.Limits) bool {
	return l.Affected.N > 0 && p.Request.Action.SQL != nil && p.Request.Action.SQL.Changes == access.ChangesCounted
}

// add keeps one row. Behind the limit there is nothing to keep any more.
func (h *hold) add(row []byte, over bool) {
	if over || len(h.rows)+len(row) > maxHold {
		h.many = h.many || !over
		h.rows = nil
	}
	if over || h.many {
		return
	}
	h.rows = append(h.rows, row...)
}

// keep holds the message just taken, as the client may see it, in the place of
// letting it pass.
func (s *session) keep(cur *result, msg, shown []byte) {
	cur.hold.add(shown, cur.limits.Affected.Over(cur.rows))
	s.drop(msg)
}

// A verdict is what the reader of the client waits for before it forwards more.
type verdict struct {
	copying bool     // the upstream reads COPY data
	within  bool     // the statement has run and may stand
	over    *refusal // it has run and must not stand
	// None of these: it has failed, or never begun.
}

// verdicts is how many verdicts an entry can have before they are read.
const verdicts = 4

// weigh looks at the tag of a statement that may change only so many rows. It
// returns the refusal if they were more.
func weigh(p *pipeline.Permit, cur *result, msg []byte) *refusal {
	if cur.hold == nil {
		return nil
	}
	limit := cur.limits.Affected
	n, ok := changedRows(msg)
	switch {
	case !ok:
		return tooMany(p, limit.Rule, "the server did not say how many rows this would change")
	case limit.Over(n):
		return tooMany(p, limit.Rule, fmt.Sprintf("this would change %s rows, the limit is %s", thousands(n), thousands(limit.N)))
	case cur.hold.many:
		return tooMany(p, limit.Rule, fmt.Sprintf("this returns more than %s bytes, which is what is held until the changed rows are counted", thousands(maxHold)))
	}
	return nil
}

// changedRows reads the number of changed rows from a CommandComplete.
func changedRows(msg []byte) (n int64, ok bool) {
	if msg[0] != 'C' || len(msg) <= wire.HeaderLen {
		return 0, false
	}
	return wire.TagAffected(msg[wire.HeaderLen : len(msg)-1])
}

func tooMany(p *pipeline.Permit, rule, why string) *refusal {
	return &refusal{id: p.ID(), report: wire.Report{
		Severity: "ERROR", Code: codeDenied,
		Message: "sluice: denied by " + rule + ": " + why,
		Detail:  "decision " + p.ID(),
		Hint:    "Nothing was changed. Narrow the statement with WHERE.",
	}}
}

// thousands writes a number as people read it.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// undo reports a statement that must not stand: it has run, and what the reader
// of the client sends next takes it back.
func (s *session) undo(p *pipeline.Permit, cur *result, msg []byte, why *refusal) {
	s.queue.endCopy()
	s.drop(msg)
	o := cur.outcome(s.srv.Now())
	o.Undone, o.Error = true, why.report.Code+" "+why.report.Message
	if n, ok := changedRows(msg); ok {
		o.Rows = n
	}
	p.Done(o)
	if p.Request.Action.Confidence != access.Exact {
		s.names.taint()
	}
}

// await waits for the verdict about what was forwarded last.
func (s *session) await(ch <-chan verdict) (verdict, error) {
	s.out = wire.AppendEmpty(s.out, 'H')
	if err := s.flush(); err != nil {
		return verdict{}, err
	}
	s.blocks()
	select {
	case v := <-ch:
		return v, nil
	case <-s.ctx.Done():
		return verdict{}, errEnded
	}
}

// awaitExecute lets a limited Execute stand, or makes the client's pipeline fail.
func (s *session) awaitExecute(ch <-chan verdict, e *entry) error {
	v, err := s.await(ch)
	if err != nil {
		return err
	}
	if v.within && e != nil {
		if v.over, err = s.askEnded(e.permits[0]); err != nil {
			return err
		}
	}
	if v.over == nil {
		return nil
	}
	return s.refuseBind(&entry{kind: kindBind, segment: s.segment}, v.over)
}

// endCopyData goes on behind a CopyDone or CopyFail, where the COPY is limited or
// was not sent as the client sent it.
func (s *session) endCopyData() error {
	if ch := s.copying; ch != nil {
		s.copying = nil
		return s.awaitExecute(ch, nil)
	}
	if sc := s.script; sc != nil {
		s.script = nil
		return s.continueScript(sc)
	}
	return nil
}

// partial refuses to run a limited statement bit by bit: its number of rows
// would be known only with the last of them.
func partial(p *pipeline.Permit) *refusal {
	r := tooMany(p, p.Limits().Affected.Rule, "a limit on changed rows needs an Execute without a row limit of its own")
	r.report.Hint = "Fetch all rows that RETURNING gives at once."
	return r
}
