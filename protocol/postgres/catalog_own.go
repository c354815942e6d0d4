package postgres

// The catalog as a restricted session's open transaction sees it. What it created or
// altered is not in the snapshot that all share before it commits; so the session's
// own connection is asked, in its transaction, before the next statement is judged.

import (
	"fmt"

	"sluice/access"
	"sluice/query/catalog"
	query "sluice/query/postgres"
)

const (
	// ownMillis is how long reading the transaction's own part of the catalog may take.
	ownMillis = 30_000
	// ownLockMillis is how long the definition of a view may wait for locks: less
	// than deadlock_timeout, so that nobody else is chosen to give way.
	ownLockMillis = 500
)

// followCatalog notes what a forwarded statement may do to the catalog. Temporary
// relations have names of their own; see followTemp.
func (e *environment) followCatalog(st *query.Statement) {
	code := st.Action.Confidence != access.Exact && st.Execute == nil // what is prepared is no DDL
	if st.DDL && st.Action.Verb != access.VerbTemp || code {
		e.pending, e.changed = true, true
	}
	if e.pending && st.Tx != query.TxNone {
		e.changed = true
	}
}

// settleCatalog takes up what the session itself did to the catalog. In a pipeline
// nothing is asked: names that are new in it are not known before its end.
func (s *session) settleCatalog() error {
	e := s.env
	if e.loader == nil || s.piping {
		return nil
	}
	if own := e.private.Load(); !e.changed && (own == nil || own.Base() == e.loader.Snapshot()) {
		return nil
	}
	if err := s.settleQueue(); err != nil {
		return err
	}
	switch byte(s.status.Load()) {
	case 'I':
		e.private.Store(nil)
		e.pending, e.changed = false, false
		if s.stale.Load() {
			s.freshCatalog()
		}
	case 'T':
		return s.readOwn()
	}
	return nil // in a failed transaction nothing runs but its end
}

// readOwn asks for the transaction's own part of the catalog. What cannot be read is
// not known.
func (s *session) readOwn() error {
	base := s.env.loader.Snapshot()
	if s.queue.skips() || base == nil {
		return nil
	}
	sql := catalog.OwnSQL()
	p, err := s.gate.Own(access.Action{Verb: access.VerbShow, Op: "SLUICE", Text: sql, Shown: "the catalog as the transaction sees it",
		Confidence: access.Exact, Pure: true, SQL: &access.SQL{Scoped: true, Limit: -1, Changes: access.ChangesNone}})
	if err != nil {
		return journalFatal(err)
	}
	f, err := s.askOwn(sql)
	if err != nil {
		return err
	}
	if err := p.Durable(s.ctx); err != nil {
		return journalFatal(err)
	}
	s.env.changed = false
	own, err := overlay(base, f)
	if err != nil {
		s.srv.Log.Warn("catalog of a transaction not read", "session", s.info.ID, "error", err)
		p.Done(access.Outcome{Error: err.Error()})
		s.env.private.Store(nil)
		return nil
	}
	p.Done(access.Outcome{Rows: int64(len(f.rows))})
	if was := s.env.private.Load(); was == nil || own == nil || was.Version() != own.Version() || was.Base() != base {
		s.env.private.Store(own)
	}
	return nil
}

// overlay is what was found, over the snapshot that all share; nil: nothing.
func overlay(base *catalog.Snapshot, f *finding) (*catalog.Snapshot, error) {
	if f.failed {
		return nil, fmt.Errorf("the server says %s", f.why)
	}
	rows, err := catalog.ReadOwn(f.rows)
	if err != nil || rows.Empty() {
		return nil, err
	}
	return base.With(rows)
}

// askOwn runs a query inside the client's transaction so that nothing of it stays:
// no setting, no lock, and if it fails no error.
func (s *session) askOwn(sql string) (*finding, error) {
	found, undone := &finding{done: make(chan struct{}), all: true}, &finding{done: make(chan struct{})}
	name := s.marker + "_own"
	qs := []*question{{sql: "SAVEPOINT " + name}, {sql: catalog.OwnSetup},
		{sql: fmt.Sprintf("SET LOCAL statement_timeout = %d", ownMillis)},
		{sql: fmt.Sprintf("SET LOCAL lock_timeout = %d", ownLockMillis)},
		{sql: sql, found: found}}
	back := []*question{{sql: "ROLLBACK TO SAVEPOINT " + name}, {sql: "RELEASE SAVEPOINT " + name}}
	// All at once: so the server has no settings to report in between.
	if err := s.askSettled(append(qs, back...), found); err != nil || !found.failed {
		return found, err
	}
	return found, s.askSettled(back, undone)
}

// askSettled asks and waits until f is settled, which is with the last answer.
func (s *session) askSettled(qs []*question, f *finding) error {
	if err := s.askAll(qs, 'S', true, f); err != nil {
		return err
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.blocks()
	select {
	case <-f.done:
		return nil
	case <-s.ctx.Done():
		return errEnded
	}
}
