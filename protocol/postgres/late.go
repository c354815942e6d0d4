package postgres

// The server binds the names of SELECT, INSERT and their like with Bind. Those of
// every other statement it looks up when the portal runs: what EXECUTE and FETCH
// name, the tables of COPY, the search_path of PREPARE. A portal was judged when it
// was bound, so it runs only while they still mean the same.

import (
	"slices"

	"sluice/access"
	query "sluice/query/postgres"
)

// A referent is what EXECUTE or FETCH names: the statement that was prepared, or
// the portal. The zero referent is unknown.
type referent struct {
	st *query.Statement
	po *portal
}

// boundEarly are the statements whose names mean what they meant to Bind.
var boundEarly = []string{"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "EXPLAIN", "DECLARE CURSOR"}

// bindsLate reports whether the server looks names of a statement up only when it
// runs: those of relations, or a prepared statement or cursor.
func bindsLate(st *query.Statement) (relations, named bool) {
	switch {
	case st == nil:
		return false, false
	case st.Execute != nil:
		return true, true
	case fetches(st):
		return false, true
	case st.Copy != nil, st.Prepare != nil:
		return true, false
	}
	a := &st.Action
	return !slices.Contains(boundEarly, a.Op) && (len(a.Objects) > 0 || a.Confidence != access.Exact), false
}

func fetches(st *query.Statement) bool {
	return st.Cursor != nil && (st.Cursor.Op == query.CursorFetch || st.Cursor.Op == query.CursorMove)
}

// changed reports whether what a portal would run may be another thing than what
// was judged.
func (s *session) changed(e *entry, po *portal) (bool, error) {
	relations, named := bindsLate(po.def.st)
	if relations && s.gate.Posture().Restricted {
		if err := s.settle(); err != nil || po.def.env != s.env.current() {
			return true, err
		}
	}
	if !named {
		return false, nil
	}
	d := s.describer(e)
	if _, err := d.action(po.def.st); err != nil {
		return true, err
	}
	return d.refers != po.refers, nil
}

// refuseChanged refuses to run such a portal.
func (s *session) refuseChanged(e *entry) error {
	return s.refuseExecute(e, missing("0A000", "sluice: what this would run may have changed since it was bound; bind it again"))
}
