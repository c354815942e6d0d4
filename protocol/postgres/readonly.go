package postgres

// Whom no rule could allow to write has read-only transactions in the server as
// well: functions that write fail there, whatever the analysis made of them.

import (
	"sluice/access"
	query "sluice/query/postgres"
)

// readOnlySetting is a start-up parameter, so that RESET and DISCARD come back to it.
const readOnlySetting = "default_transaction_read_only"

// settleReadOnly follows a policy or a subject that has changed since the session
// began, as soon as no transaction is open.
func (s *session) settleReadOnly() error {
	want := s.gate.Posture().ReadOnly
	if s.readOnly == want || s.piping {
		return nil
	}
	if err := s.settleQueue(); err != nil {
		return err
	}
	if byte(s.status.Load()) != 'I' {
		return nil
	}
	sql := "SET " + readOnlySetting + " = off"
	if want {
		sql = "SET " + readOnlySetting + " = on"
	}
	p, err := s.gate.Own(access.Action{Verb: access.VerbSet, Op: "SLUICE", Text: sql, Confidence: access.Exact,
		SQL: &access.SQL{Scoped: true, Limit: -1, Changes: access.ChangesNone, Settings: []string{readOnlySetting}}})
	if err != nil {
		return journalFatal(err)
	}
	if err := p.Durable(s.ctx); err != nil {
		return journalFatal(err)
	}
	f, err := s.ownQuery(sql)
	if err != nil {
		return err
	}
	o := access.Outcome{}
	if f.failed {
		o.Error = f.why
	}
	p.Done(o)
	s.readOnly = want
	return nil
}

// mayNotWrite turns a wish for transactions that may write, in a session that has
// none, into a change of what protects.
func (s *session) mayNotWrite(st *query.Statement, a *access.Action) {
	if s.readOnly && st.ReadWrite {
		a.Verb, a.Op, a.Origin, a.Shape = access.VerbConfigure, a.Op+" READ WRITE", nil, nil
	}
}
