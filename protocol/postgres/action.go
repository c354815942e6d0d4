package postgres

import (
	"fmt"
	"slices"
	"strings"

	"sluice/access"
	"sluice/protocol/postgres/wire"
	query "sluice/query/postgres"
)

// analyze says what a text means in the session's environment. Where a
// restricted subject's environment is unsure, the upstream is asked first.
func (s *session) analyze(text string) (*query.Batch, error) {
	s.syntax = nil
	if err := s.settle(); err != nil {
		return nil, err
	}
	s.maskedNow.Store(s.gate.Posture().Masked)
	s.judging = s.env.current()
	if s.env.doubtful(s) {
		return opaqueBatch(text, "the session reads texts differently: standard_conforming_strings or client_encoding"), nil
	}
	b, err := s.srv.Analyzer.Analyze(s.ctx, s.info.Subject.ID, text, s.judging)
	if err != nil {
		if s.ctx.Err() != nil {
			return nil, errEnded
		}
		return opaqueBatch(text, "the parser cannot be reached: "+err.Error()), nil
	}
	if s.gate.Posture().Restricted && unknownNames(b) && s.freshCatalog() {
		if err := s.settleCatalog(); err != nil {
			return nil, err
		}
		s.judging = s.env.current()
		return s.srv.Analyzer.Analyze(s.ctx, s.info.Subject.ID, text, s.judging)
	}
	if len(b.Statements) == 1 {
		s.syntax = b.Statements[0].Syntax
	}
	return b, nil
}

// settle takes up changes of policy and subject and, where a restricted subject's
// environment is unsure, asks the upstream.
func (s *session) settle() error {
	if err := s.gate.Refresh(); err != nil {
		return nil // Ask will refuse
	}
	if err := s.settleReadOnly(); err != nil {
		return err
	}
	if !s.gate.Posture().Restricted {
		return nil
	}
	if err := s.settleEnv(); err != nil {
		return err
	}
	return s.settleCatalog()
}

// opaqueBatch is a text that was not analysed: one statement of which nothing
// is known.
func opaqueBatch(text, why string) *query.Batch {
	return &query.Batch{Text: text, Statements: []*query.Statement{{
		End: len(text), MayChangeSettings: true,
		Action: access.Action{Op: "UNKNOWN", Text: text, SQL: &access.SQL{Limit: -1, Statements: 1, Why: why}},
	}}}
}

// unknownNames reports whether a relation, or a column of one, was not found in
// the catalog: it may be newer than the snapshot.
func unknownNames(b *query.Batch) bool {
	for _, st := range b.Statements {
		for i := range st.Action.Objects {
			o := &st.Action.Objects[i]
			if o.Kind != access.KindTable || o.System || o.Schema == "pg_temp" {
				continue
			}
			if o.OID == 0 && (o.Read || st.Action.Confidence != access.Exact) || o.OID != 0 && !o.ColumnsKnown {
				return true
			}
		}
	}
	return false
}

// A describer turns the statements of one message into actions and collects
// what they would do to names.
type describer struct {
	s       *session
	owner   *entry
	env     *query.Env // that the statements were judged in
	changes []change
	// judged are the statements that stand behind the actions: for EXECUTE and
	// FETCH, the prepared one and the cursor's query.
	judged []*query.Statement
	// cursors are what they fetch from; nil entries fetch nothing.
	cursors []*portal
	refers  referent // of the last EXECUTE or FETCH
}

func (s *session) describer(owner *entry) *describer {
	return &describer{s: s, owner: owner, env: s.judging}
}

// actions describes every statement of a batch, in order: a PREPARE is known
// to the EXECUTE behind it.
func (d *describer) actions(b *query.Batch) ([]access.Action, error) {
	if len(b.Statements) == 0 {
		d.judged = append(d.judged, nil)
		return []access.Action{d.empty(b.Text)}, nil
	}
	moved := false
	list := make([]access.Action, len(b.Statements))
	for i, st := range b.Statements {
		a, err := d.action(st)
		if err != nil {
			return nil, err
		}
		if moved && touchesData(&a) && d.s.gate.Posture().Restricted {
			a = unknownCode(a, "what its names mean depends on a statement before it: send it separately")
		}
		moved = moved || moves(st) || d.s.env.moved && ends(st)
		list[i] = a
		d.change(st, i)
		d.s.followOwn(st)
	}
	return list, nil
}

// touchesData reports whether an action reaches relations, or may.
func touchesData(a *access.Action) bool {
	if a.Confidence != access.Exact {
		return true
	}
	for i := range a.Objects {
		if a.Objects[i].Kind == access.KindTable && !a.Objects[i].System {
			return true
		}
	}
	return false
}

// ends reports whether a statement ends a transaction or goes back in one.
func ends(st *query.Statement) bool {
	return st.Tx == query.TxRollback || st.Tx == query.TxRollbackTo || st.Tx == query.TxCommit
}

// renewed judges a prepared statement in today's environment: the server plans
// it again when the search_path or an object changed.
func (s *session) renewed(def *prepared) (*prepared, error) {
	if err := s.settle(); err != nil {
		return nil, err
	}
	env := s.env.current()
	if def.st == nil || def.env == env {
		return def, nil
	}
	b, err := s.srv.Analyzer.Analyze(s.ctx, s.info.Subject.ID, def.source, env)
	if err != nil {
		return nil, errEnded
	}
	if len(b.Statements) != 1 {
		return def, nil
	}
	again := *def
	again.st, again.env = b.Statements[0], env
	return &again, nil
}

// mustBeCanonical reports whether a statement was forwarded as the client wrote
// it, and may run only as it was judged.
func (s *session) mustBeCanonical(def *prepared) bool {
	return def.st != nil && !def.canonical && s.gate.Posture().Restricted && judgedByTree(def.st)
}

// empty is the action of a text without statements.
func (d *describer) empty(text string) access.Action {
	return access.Action{Verb: access.VerbShow, Op: "EMPTY", Text: text, Confidence: access.Exact, Pure: true,
		SQL: &access.SQL{Scoped: true, Limit: -1, Changes: access.ChangesNone}}
}

func (d *describer) action(st *query.Statement) (access.Action, error) {
	a := st.Action
	a.Binding = d.s.env.bindings()
	d.s.mayNotWrite(st, &a)
	judged := st
	var cursor *portal
	var err error
	switch {
	case sluiceSetting(st):
		a.Verb = access.VerbSet // to the upstream it is an unknown setting; here it is harmless
	case st.Execute != nil:
		a, judged, err = d.executed(st, a)
	case st.Cursor != nil && (st.Cursor.Op == query.CursorFetch || st.Cursor.Op == query.CursorMove):
		a, judged, cursor, err = d.fetched(st, a)
	}
	if d.s.replication && a.Confidence == access.Opaque {
		a.Verb, a.Op = access.VerbReplication, "REPLICATION"
	}
	d.judged, d.cursors = append(d.judged, judged), append(d.cursors, cursor)
	return a, err
}

// executed describes EXECUTE by what was prepared under that name.
func (d *describer) executed(st *query.Statement, a access.Action) (access.Action, *query.Statement, error) {
	def, err := d.s.names.statement(st.Execute.Name, d.owner.segment, d.changes, d.s.flushWait)
	if err != nil {
		return a, nil, err
	}
	a.Origin = nil
	if def != nil {
		d.refers = referent{st: def.st}
		if def, err = d.s.renewed(def); err != nil {
			return a, nil, err
		}
	}
	if def == nil || def.st == nil || d.s.distrusted(def) || d.s.mustBeCanonical(def) {
		d.refers = referent{}
		return unknownCode(a, fmt.Sprintf("prepared statement %q is not known to the gateway", st.Execute.Name)), st, nil
	}
	a = behind(a, def.st, constants(st.Execute.Args))
	switch {
	case st.Execute.Into:
		keep(&a)
	case a.Op == "EXPLAIN":
		query.Measured(a.Objects)
	}
	return a, def.st, nil
}

// keep turns what an action would show into what it stores: CREATE TABLE ... AS
// EXECUTE gives the client nothing to mask.
func keep(a *access.Action) {
	for i := range a.Objects {
		cols := slices.Clone(a.Objects[i].Columns)
		for j := range cols {
			if cols[j].Use&access.UseOutput != 0 {
				cols[j].Use = cols[j].Use&^access.UseOutput | access.UseFlow
			}
		}
		a.Objects[i].Columns = cols
	}
}

// behind combines a statement with the one that it runs: the more
// consequential verb, all objects, the lesser confidence.
func behind(a access.Action, inner *query.Statement, args []access.Arg) access.Action {
	in := &inner.Action
	if a.Verb != access.VerbExplain && (a.Verb == access.VerbExecute || a.Verb == access.VerbUnknown || in.Verb.Class() >= a.Verb.Class()) {
		a.Verb = in.Verb
	}
	a.Objects = append(append([]access.Object(nil), a.Objects...), in.Objects...)
	a.Confidence = in.Confidence
	a.Pure = in.Pure && a.Verb.Class() == access.ClassRead
	if in.SQL != nil {
		sql := *in.SQL
		if a.Op != "EXECUTE" && sql.Changes == access.ChangesCounted {
			sql.Changes = access.ChangesUnknown // the tag is that of EXPLAIN or CREATE TABLE AS
		}
		if a.SQL != nil {
			sql.Statements, sql.Index = a.SQL.Statements, a.SQL.Index
		}
		a.SQL = &sql
	}
	a.Args = args
	a.Binding = append(append([]access.Setting(nil), a.Binding...), access.Setting{Name: "statement", Value: in.Text})
	if in.Shown != "" && a.Shown == "" {
		a.Shown = a.Text
	}
	return a
}

func constants(list []query.ConstArg) []access.Arg {
	var args []access.Arg
	for _, c := range list {
		args = append(args, access.Arg{Value: []byte(c.Text), Null: c.Null})
	}
	return args
}

// unknownCode marks an action that runs something the gateway did not see.
func unknownCode(a access.Action, why string) access.Action {
	a.Verb, a.Confidence, a.Pure, a.Origin = access.VerbExecute, access.Opaque, false, nil
	sql := access.SQL{Limit: -1}
	if a.SQL != nil {
		sql = *a.SQL
	}
	sql.Why = why
	a.SQL = &sql
	return a
}

// fetched describes FETCH by the cursor's query.
func (d *describer) fetched(st *query.Statement, a access.Action) (access.Action, *query.Statement, *portal, error) {
	po, err := d.s.names.portal(st.Cursor.Name, d.owner.segment, d.changes, d.s.flushWait)
	if err != nil {
		return a, nil, nil, err
	}
	d.refers = referent{po: po}
	if po == nil || po.def.st == nil || d.s.distrusted(po.def) {
		d.refers = referent{}
		a.Origin, a.Confidence, a.Pure = nil, access.Opaque, false
		sql := access.SQL{Limit: -1, Scoped: true, Changes: access.ChangesNone, Why: fmt.Sprintf("cursor %q is not known to the gateway", st.Cursor.Name)}
		a.SQL = &sql
		return a, st, po, nil
	}
	return d.fetchOf(a, po.def.st), po.def.st, po, nil
}

func (d *describer) fetchOf(a access.Action, inner *query.Statement) access.Action {
	a.Origin, a.Pure = nil, false
	a.Objects, a.Confidence = inner.Action.Objects, inner.Action.Confidence
	a.Binding = append(append([]access.Setting(nil), d.s.env.bindings()...), access.Setting{Name: "cursor", Value: inner.Action.Text + " in " + d.s.info.ID})
	return a
}

// fetch describes an Execute message on a cursor that SQL declared.
func (d *describer) fetch(def *prepared) access.Action {
	a := access.Action{Verb: access.VerbFetch, Op: "FETCH", Text: "FETCH", SQL: &access.SQL{Scoped: true, Limit: -1, Changes: access.ChangesNone}}
	if def.st == nil || d.s.distrusted(def) {
		return a
	}
	d.judged = append(d.judged, def.st)
	return d.fetchOf(a, def.st)
}

// bound describes a statement with the values of a Bind.
func (d *describer) bound(def *prepared, m wire.Bind) (access.Action, error) {
	if def.st == nil {
		d.judged = append(d.judged, nil)
		a := d.empty(def.text)
		if def.opaque {
			a = unknownCode(a, "it holds several statements")
		}
		return a, nil
	}
	a, err := d.action(def.st)
	if err != nil {
		return a, err
	}
	if d.s.distrusted(def) {
		a = unknownCode(a, "code that the gateway cannot look into may have redefined the statement")
	}
	if m.NumParams > 0 {
		a.Args = bindArgs(def, m)
	}
	return a, nil
}

// distrusted reports whether a name may stand for something else than the
// gateway saw. Code may have redefined it; whoever may run such code
// unrestricted gains nothing by that.
func (s *session) distrusted(def *prepared) bool {
	return def.opaque && s.gate.Posture().Restricted
}

// bindArgs copies the values: what a message holds is gone with the next one.
func bindArgs(def *prepared, m wire.Bind) []access.Arg {
	args := make([]access.Arg, m.NumParams)
	size := 0
	m.Each(func(_ int, v []byte) { size += len(v) })
	data := make([]byte, 0, size)
	m.Each(func(i int, v []byte) {
		args[i].Binary = m.Binary(i)
		if i < len(def.types) {
			args[i].Type = def.types[i]
		}
		if v == nil {
			args[i].Null = true
			return
		}
		at := len(data)
		data = append(data, v...)
		args[i].Value = data[at:len(data):len(data)]
	})
	return args
}

// call describes a FunctionCall message. What the function does is not known.
func (d *describer) call(f wire.FunctionCall) access.Action {
	d.judged = append(d.judged, nil)
	return access.Action{
		Verb: access.VerbFunctionCall, Op: "FUNCTION CALL", Text: fmt.Sprintf("function call of OID %d", f.OID),
		Objects: []access.Object{{Kind: access.KindFunction, Name: fmt.Sprint(f.OID), OID: f.OID}},
		Args:    bindArgs(&prepared{}, f.Bind), Binding: d.s.env.bindings(),
		SQL: &access.SQL{Limit: -1, Why: "the fast path names functions by number"},
	}
}

// change notes what a statement does to names if it succeeds.
func (d *describer) change(st *query.Statement, index int) {
	add := func(c change) {
		c.segment, c.owner, c.index = d.owner.segment, d.owner, index
		d.changes = append(d.changes, c)
	}
	switch {
	case st.Prepare != nil:
		add(change{space: statements, name: st.Prepare.Name, stmt: &prepared{st: st.Prepare.Inner, text: st.Action.Text,
			source: st.Prepare.Inner.Action.Text, env: d.env, canonical: d.s.gate.Posture().Restricted}})
	case st.Deallocate != nil:
		add(change{space: statements, name: st.Deallocate.Name, all: st.Deallocate.All})
	case st.DiscardAll:
		add(change{space: statements, all: true})
		add(change{space: portals, all: true})
	case st.Cursor != nil && st.Cursor.Op == query.CursorDeclare:
		add(change{space: portals, name: st.Cursor.Name, portal: &portal{def: &prepared{st: st.Cursor.Inner}}})
	case st.Cursor != nil && st.Cursor.Op == query.CursorClose:
		add(change{space: portals, name: st.Cursor.Name, all: st.Cursor.All})
	}
}

// forwarded returns the texts to send for a batch, one a statement: the client's own, unless a
// restrictive rule could apply or an approval was given; then what was judged
// is what runs, as its canonical deparse. own reports whether it is the
// client's.
func (s *session) forwarded(b *query.Batch, approved bool) (texts []string, own bool, err error) {
	canonical := approved || s.gate.Posture().Restricted
	changed := false
	parts := make([]string, 0, len(b.Statements))
	for _, st := range b.Statements {
		part := st.Action.Text
		switch {
		case sluiceSetting(st):
			part, changed = s.harmless(), true
		case canonical && judgedByTree(st):
			if part, err = s.srv.Analyzer.Canonical(s.ctx, s.info.Subject.ID, st); err != nil {
				return nil, false, err
			}
			changed = changed || part != st.Action.Text
		}
		parts = append(parts, part)
	}
	if len(parts) == 1 && !changed {
		parts[0] = b.Text // where an error stands is counted in it
	}
	return parts, !changed, nil
}

// judgedByTree reports whether a statement touches data, so that its text must
// be what the tree says. Queries of the system catalog alone, as psql and ORMs
// make them, run as written.
func judgedByTree(st *query.Statement) bool {
	if st.Prepare != nil {
		return judgedByTree(st.Prepare.Inner)
	}
	switch st.Action.Verb.Class() {
	case access.ClassRead, access.ClassWrite:
	default:
		return false
	}
	if st.Action.Confidence == access.Opaque {
		return false
	}
	for i := range st.Action.Objects {
		o := &st.Action.Objects[i]
		if o.Kind == access.KindTable && !o.System {
			return true
		}
	}
	return false
}

// sluiceSetting reports whether a statement sets one of the gateway's own
// settings, which never reach the upstream.
func sluiceSetting(st *query.Statement) bool {
	switch st.Action.Verb {
	case access.VerbSet, access.VerbConfigure:
		return !st.ReturnsRows && st.Prepare == nil && len(st.Settings) == 1 && strings.HasPrefix(st.Settings[0].Name, "sluice.")
	}
	return false
}

// harmless is a statement with the same tag as SET that changes nothing.
func (s *session) harmless() string {
	return "SET application_name FROM CURRENT"
}
