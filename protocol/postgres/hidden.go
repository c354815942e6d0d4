package postgres

import (
	"bytes"
	"strings"
	"time"

	"sluice/access"
	"sluice/protocol/postgres/wire"
	query "sluice/query/postgres"
)

// A finding is what a query of the gateway's own, sent on the session's
// connection between the client's messages, found out.
type finding struct {
	done   chan struct{} // closed when settled
	row    []string      // of the first row; nil if there was none or it failed
	failed bool
	why    string // the error, if it failed

	all   bool       // every row is kept
	rows  [][][]byte // with all: the values, nil for NULL
	bytes int        // of them
}

// settings asks for what gives names their meaning. Every name in it is
// qualified: it must not depend on what it asks for.
const settingsQuery = "SELECT pg_catalog.current_setting('search_path'), current_user, pg_catalog.current_setting('backslash_quote')"

// settleEnv makes the environment certain for a restricted subject: if
// something may have changed search_path or role, the upstream is asked.
func (s *session) settleEnv() error {
	if !s.env.unsure {
		return nil
	}
	if !s.queue.idle() {
		// A ROLLBACK may be in flight, or what fails the transaction, and what stands
		// behind it is judged now.
		if err := s.settleQueue(); err != nil {
			return err
		}
	}
	if byte(s.status.Load()) == 'E' {
		s.env.set(nil, s.env.user) // nothing can be asked, and nothing but a rollback will run
		return nil
	}
	action := access.Action{Verb: access.VerbShow, Op: "SLUICE", Text: settingsQuery, Confidence: access.Exact, Pure: true,
		SQL: &access.SQL{Scoped: true, Limit: -1}}
	p, err := s.gate.Own(action)
	if err != nil {
		return journalFatal(err)
	}
	f, err := s.ownQuery(settingsQuery)
	if err != nil {
		return err
	}
	s.blocks()
	if err := p.Durable(s.ctx); err != nil {
		return journalFatal(err)
	}
	p.Done(access.Outcome{Rows: 1})
	if f.failed || len(f.row) != 3 {
		s.env.set(nil, s.env.user)
		return nil
	}
	s.env.set(splitPath(f.row[0]), f.row[1])
	s.env.unsure = false
	s.env.moved = s.env.moved && (s.piping || byte(s.status.Load()) != 'I')
	return nil
}

// settleQueue waits until all that was forwarded is answered.
func (s *session) settleQueue() error {
	if s.piping {
		s.out = wire.AppendEmpty(s.out, 'H')
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.blocks()
	s.queue.drain()
	return nil
}

// ownQuery runs a query of the gateway's own with unnamed things untouched,
// and waits for its answer. Inside a client's pipeline it ends with Flush, so
// that the implicit transaction stays open; otherwise with Sync.
func (s *session) ownQuery(sql string) (*finding, error) {
	f := &finding{done: make(chan struct{})}
	hidden := func(k kind) *entry { return &entry{kind: k, segment: s.segment, hidden: true, piped: s.piping} }
	exec := hidden(kindExecute)
	exec.finding = f
	entries := []*entry{hidden(kindParse), hidden(kindBind), exec, hidden(kindClose), hidden(kindClose)}
	end := byte('H')
	if !s.piping {
		end = 'S'
		entries = append(entries, hidden(kindSync))
	}
	entries[len(entries)-1].last = f
	for _, e := range entries {
		if err := s.push(e); err != nil {
			return nil, err
		}
	}
	name := s.marker + "_own" // the bare marker must never exist
	s.out = wire.AppendParse(s.out, name, sql, nil)
	s.out = wire.AppendBind(s.out, name, name)
	s.out = wire.AppendExecute(s.out, name)
	s.out = wire.AppendTarget(s.out, 'C', 'P', name)
	s.out = wire.AppendTarget(s.out, 'C', 'S', name)
	s.out = wire.AppendEmpty(s.out, end)
	if err := s.flush(); err != nil {
		return nil, err
	}
	s.blocks()
	select {
	case <-f.done:
		return f, nil
	case <-s.ctx.Done():
		return nil, errEnded
	}
}

// doubtful reports whether texts may mean something else to the upstream than
// to the analysis. After a change of a lexical setting it waits for what is in
// flight, since ParameterStatus tells how it went.
func (e *environment) doubtful(s *session) bool {
	if s.lexical && !s.queue.inCopy() && s.settleQueue() == nil {
		s.lexical = false
	}
	return s.lexical || e.drifted.Load()
}

// followLexical notes statements that may change how texts are read.
func (s *session) followLexical(st *query.Statement) {
	for _, c := range st.Settings {
		switch c.Name {
		case "standard_conforming_strings", "client_encoding", "names", "backslash_quote", "all":
			s.lexical, s.lexicalMoved = true, true
		}
	}
	back := st.Tx == query.TxRollback || st.Tx == query.TxRollbackTo
	if st.DiscardAll || st.MayChangeSettings || back && s.lexicalMoved {
		s.lexical = true
	}
}

// followOwn takes up the gateway's own settings: reason and patience.
func (s *session) followOwn(st *query.Statement) {
	if !sluiceSetting(st) {
		return
	}
	c := st.Settings[0]
	s.setOwn(c.Name, c.Value)
}

func (s *session) setOwn(name, value string) {
	switch strings.TrimPrefix(name, "sluice.") {
	case "reason":
		s.gate.Reason = value
	case "ticket":
		s.gate.Ticket = value
	case "wait":
		s.gate.Wait = patience(value)
	}
}

// patience reads sluice.wait: seconds, or a duration with a unit. Zero means
// not to wait at all; nothing, or something unreadable, to wait as long as it
// takes.
func patience(value string) time.Duration {
	value = strings.TrimSpace(value)
	d, err := time.ParseDuration(value)
	if err != nil {
		if d, err = time.ParseDuration(value + "s"); err != nil {
			return 0
		}
	}
	if d <= 0 {
		return -1
	}
	return d
}

// freshCatalog waits for a catalog that holds what was committed until now,
// at most once a second if this session itself changed nothing.
func (s *session) freshCatalog() bool {
	now := s.srv.Now()
	if s.env.loader == nil || !s.stale.Swap(false) && now.Sub(s.refreshed) < time.Second {
		return false
	}
	s.refreshed = now
	s.blocks()
	_, err := s.env.loader.Fresh(s.ctx)
	return err == nil
}

// hiddenReply handles the answer to a message of the gateway's own.
func (s *session) hiddenReply(e *entry, typ byte, msg []byte) error {
	switch typ {
	case 'E':
		// An error that ends the session, or that fails what the client itself
		// began, is the client's to hear.
		se, err := wire.ParseError(msg[wire.HeaderLen:])
		if err != nil || se.Severity != "ERROR" || !e.guarded && (e.kind == kindDescribe || e.piped || s.replies.tx) {
			s.failure(e, msg)
			return nil
		}
		s.drop(msg)
		s.hiddenFailed(e, se)
		return nil
	case 'T':
		s.drop(msg)
		if e.kind == kindDescribe {
			err := s.planPortal(e.portal, msg)
			s.pop(e)
			return err
		}
		return nil
	case 'D':
		s.drop(msg)
		return e.finding.read(msg)
	case 'Z':
		s.drop(msg)
		if len(msg) != wire.HeaderLen+1 {
			return s.malformed(wire.ErrMalformed)
		}
		s.replies.failed = false
		s.status.Store(uint32(msg[wire.HeaderLen]))
	case '1', '2', '3', 'C', 'I', 'n':
		s.drop(msg)
	default:
		s.drop(msg)
		return nil
	}
	s.pop(e)
	return nil
}

func (s *session) hiddenFailed(e *entry, se wire.ServerError) {
	if e.finding != nil {
		e.finding.failed, e.finding.why = true, se.Code+" "+se.Message
		if s.masked() {
			e.finding.why = se.Code
		}
	}
	s.pop(e)
	for _, skipped := range s.queue.skip() {
		s.skipped(skipped)
	}
}

// maxFound bounds what is kept of an answer, in bytes.
const maxFound = 16 << 20

// read keeps the first row, or all.
func (f *finding) read(msg []byte) error {
	if f != nil && f.all {
		return f.readAll(msg)
	}
	if f == nil || f.row != nil {
		return nil
	}
	return wire.EachValue(msg[wire.HeaderLen:], func(_ int, v []byte) {
		f.row = append(f.row, string(v))
	})
}

func (f *finding) readAll(msg []byte) error {
	if f.bytes += len(msg); f.bytes > maxFound {
		f.failed, f.why, f.rows = true, "the answer is too long", nil
		return nil
	}
	var row [][]byte
	err := wire.EachValue(msg[wire.HeaderLen:], func(_ int, v []byte) { row = append(row, bytes.Clone(v)) })
	f.rows = append(f.rows, row)
	return err
}
