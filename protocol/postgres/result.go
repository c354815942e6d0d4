package postgres

import (
	"time"

	"sluice/access"
	"sluice/mask"
	"sluice/pipeline"
	"sluice/protocol/postgres/wire"
	"sluice/query/catalog"
	query "sluice/query/postgres"
)

// A result counts one statement's answer and holds the plan for its rows.
type result struct {
	rows, bytes, masked int64
	plan                *plan
	limits              pipeline.Limits
	described           bool     // the upstream has said what its columns are
	limited             bool     // a limit has ended it
	shown               int64    // rows since the last tag
	dropped             int64    // bytes beyond the limit
	stopped             bool     // the upstream was asked to stop
	cursor              *result  // what FETCH got from its cursor before
	out                 *copyOut // of a COPY TO STDOUT
	hold                *hold    // set: its rows wait for the number of rows changed
	began               time.Time
}

func (r *result) count(rows int64, size int) {
	r.rows += rows
	r.shown += rows
	r.bytes += int64(size)
}

func (r *result) outcome(now time.Time) access.Outcome {
	return access.Outcome{Rows: r.rows, Bytes: r.bytes, Masked: r.masked, Truncate: r.limited,
		Duration: now.Sub(r.began).Microseconds()}
}

// A run is a simple Query in progress: one result after the other.
type run struct {
	statements []*query.Statement // what stands behind each action
	permits    []*pipeline.Permit
	cursors    []*portal // what each statement fetches from; nil entries: no FETCH
	copies     []*copyTo // for COPY TO STDOUT under obligations; nil entries: none
	own        bool      // the client's own text was forwarded
	index      int
	cur        result
	failed     bool
	last       []byte // of a script: the last tag, which waits for the commit
}

func (s *session) newRun(d *describer, permits []*pipeline.Permit, own bool) *run {
	r := &run{statements: d.judged, cursors: d.cursors, permits: permits, own: own}
	r.start(s.srv.Now())
	return r
}

func (r *run) start(now time.Time) {
	r.cur = result{began: now}
	if p := r.permit(); p != nil && len(p.Decision.Obligations) > 0 {
		r.cur.limit(p)
		if r.index < len(r.cursors) && r.cursors[r.index] != nil {
			r.cur.cursor = &r.cursors[r.index].cur
		}
	}
}

func (r *run) statement() *query.Statement {
	if r.index < len(r.statements) {
		return r.statements[r.index]
	}
	return nil
}

func (r *run) permit() *pipeline.Permit {
	if r.index < len(r.permits) {
		return r.permits[r.index]
	}
	return nil
}

func (r *run) next(s *session) {
	r.index++
	r.start(s.srv.Now())
}

// abandon reports the statements that an error kept from running.
func (r *run) abandon() {
	for i := r.index; i < len(r.permits); i++ {
		r.permits[i].Done(access.Outcome{NotRun: true}) // does nothing to the failed one
	}
	r.index = len(r.permits)
}

// A plan says what happens to each column of a result.
type plan struct {
	columns []columnPlan
	limits  pipeline.Limits
	copy    *copyFormat // set: rows come as CopyData
	any     bool        // some column is masked or looked into

	clear, shown []byte // room for one value of a COPY: as it is, and masked
}

// A columnPlan is what happens to one column.
type columnPlan struct {
	masked bool           // the whole value, or the parts that with knows
	detect *mask.Detector // set: what it finds in the value, or in what masked left
	with   mask.Transform // for masked
	found  mask.Transform // for what detect finds
	typ    mask.Type
	binary bool
}

// described handles RowDescription: the second point of evaluation.
func (s *session) described(e *entry, msg []byte) error {
	if e.kind == kindDescribe {
		s.pop(e)
		return nil
	}
	if s.planless(e) {
		return errUnplanned
	}
	if e.run != nil {
		e.run.cur.described = true
	}
	if e.run == nil || e.run.permit() == nil || !s.mustPlan(e.run.permit()) {
		return nil
	}
	p, err := s.makePlan(e.run.permit(), e.run.statement(), msg)
	e.run.cur.plan = p
	return err
}

// planPortal makes the plan of a portal from the gateway's own Describe.
func (s *session) planPortal(po *portal, msg []byte) error {
	p, err := s.makePlan(po.permit, po.judged, msg)
	po.cur.plan, po.cur.described = p, true
	return err
}

// mustPlan reports whether a result's columns have to be looked at.
func (s *session) mustPlan(p *pipeline.Permit) bool {
	return s.masked() || len(p.Decision.Obligations) > 0
}

// makePlan decides about every column of a description. What cannot be traced
// becomes NULL rather than pass.
func (s *session) makePlan(p *pipeline.Permit, st *query.Statement, msg []byte) (*plan, error) {
	fields, err := wire.ParseRowDescription(msg[wire.HeaderLen:], nil)
	if err != nil {
		return nil, s.malformed(err)
	}
	cols, known := make([]access.Column, len(fields)), make([]shown, len(fields))
	lineage := lineageOf(st, len(fields))
	snap := s.snapshot()
	whole, traced, own := s.env.wholeLineage(&p.Request.Action)
	for i, f := range fields {
		cols[i], known[i] = column(snap, f, told(st, f, lineage, i), i), shown{shownCopy(snap, f), f.Mod}
		if lineage != nil {
			o := &st.Outputs[i]
			known[i].copied = known[i].copied || f.Table == 0 && tracedCopy(snap, o)
			cols[i].Traced = cols[i].Traced && !contradicts(f, o)
		}
		if !cols[i].Traced && traced && (f.Table == 0 || own && unseen(snap, f)) {
			cols[i].Origins, cols[i].Traced = append(cols[i].Origins, whole...), true
		}
	}
	pl, err := s.planColumns(p, cols, known)
	if err != nil || pl == nil {
		return pl, err
	}
	for i, f := range fields {
		pl.columns[i].binary = f.Binary
	}
	return pl, nil
}

// told is lineage for column i: what the text says, unless that is no more than
// that it is one of several, and the server says which.
func told(st *query.Statement, f wire.Field, lineage []access.Column, i int) []access.Column {
	if lineage == nil || f.Table == 0 || !st.Outputs[i].Either {
		return lineage
	}
	return nil
}

// A shown is what masks need to know of a column and policies do not.
type shown struct {
	copied bool  // it shows a table's values as they are
	mod    int32 // the type's modifier; -1: none
}

// planColumns asks the policy about columns and compiles its answer; nil if
// all rows may pass.
func (s *session) planColumns(p *pipeline.Permit, cols []access.Column, known []shown) (*plan, error) {
	pl := &plan{columns: make([]columnPlan, len(cols)), limits: p.Limits()}
	masks, err := p.Result(cols)
	if err != nil {
		s.srv.Log.Warn("result not traceable, all values hidden", "decision", p.ID(), "error", err)
		masks = make([]access.Mask, len(cols))
		for i := range masks {
			masks[i].With = "null"
		}
	}
	for i, m := range masks {
		c := &pl.columns[i]
		if m.With == "" && len(m.Detect) == 0 {
			continue
		}
		c.typ = typeOf(s.snapshot(), cols[i].Type, known[i].mod)
		if !known[i].copied && m.With != "" && (len(m.Detect) == 0 || len(m.Paths) > 0) {
			m.With, m.Paths, m.Detect = forComputed(m.With), nil, nil
		}
		if err := c.compile(s.srv.keys(), m); err != nil {
			s.srv.Log.Warn("mask not possible, values hidden", "decision", p.ID(), "error", err)
			*c = columnPlan{masked: true}
		}
		pl.any = pl.any || c.masked || c.detect != nil
	}
	if !pl.any && limitPlan(&pl.limits) == nil {
		return nil, nil
	}
	return pl, nil
}

// lineageOf returns what the text says of a result's columns, if it speaks of
// as many.
func lineageOf(st *query.Statement, n int) []access.Column {
	if st == nil {
		return nil
	}
	if cols, ok := st.Columns(); ok && len(cols) == n {
		return cols
	}
	return nil
}

// values are the uses of a column by which its value can be in a result.
const values = access.UseOutput | access.UseFlow | access.UseRow | access.UseStore | access.UseCarry

// wholeLineage is what any column of an action's result can show, for columns
// that cannot be told apart: those of functions in FROM, of joins that merge, of
// recursion. It is complete where everything that the action touches is known; own
// says that a temporary table of the session, which no catalog knows, is part of it.
func (e *environment) wholeLineage(a *access.Action) (origins []access.ColumnID, complete, own bool) {
	complete = a.Confidence == access.Exact
	for i := range a.Objects {
		o := &a.Objects[i]
		if o.Kind != access.KindTable || o.System {
			continue
		}
		if o.Schema == "pg_temp" && o.OID == 0 && e.ownTable(o.Name) {
			own = true
			continue
		}
		complete = complete && o.ColumnsKnown && o.Schema != "pg_temp"
		for _, c := range o.Columns {
			if c.Use&values == 0 {
				continue
			}
			origins = append(origins, access.ColumnID{Schema: o.Schema, Table: o.Name, Column: c.Name})
		}
	}
	return origins, complete, own
}

// unseen reports whether a field is a column of a relation that the catalog does
// not know.
func unseen(snap *catalog.Snapshot, f wire.Field) bool {
	return snap != nil && f.Attribute > 0 && snap.Relation(f.Table) == nil
}

// column combines what the server says of a column with what the text says.
// The two must not contradict each other: the union of their origins counts,
// and a column is traced only if one of them traces it completely.
func column(snap *catalog.Snapshot, f wire.Field, lineage []access.Column, i int) access.Column {
	c := access.Column{Name: string(f.Name), Type: f.Type}
	if lineage != nil {
		c.Origins = append(c.Origins, lineage[i].Origins...)
		c.Traced, c.Parts, c.Mixed = lineage[i].Traced, lineage[i].Parts, lineage[i].Mixed
	}
	switch {
	case f.Table == 0:
	case f.Attribute < 0:
		c.Traced = true // a system column: ctid, xmin, tableoid
	case snap == nil:
		c.Traced = false
	default:
		origins, complete := originsOf(snap, f)
		c.Origins = append(c.Origins, origins...)
		c.Traced = complete && (lineage == nil || c.Traced || len(lineage[i].Origins) == 0)
	}
	return c
}

// originsOf is what a column shows by what the server says of it. Attribute 0 is
// the whole row.
func originsOf(snap *catalog.Snapshot, f wire.Field) (origins []access.ColumnID, complete bool) {
	if f.Attribute != 0 {
		return snap.Origins(f.Table, f.Attribute)
	}
	rel := snap.Relation(f.Table)
	if rel == nil {
		return nil, false
	}
	complete = true
	for _, c := range rel.Columns {
		more, ok := snap.Origins(f.Table, c.Num)
		origins, complete = append(origins, more...), complete && ok
	}
	return origins, complete
}

func (s *session) snapshot() *catalog.Snapshot {
	return s.env.catalog()
}

// applyPlan masks one row, or drops it behind a limit.
func (s *session) applyPlan(e *entry, p *plan, typ byte, msg []byte, row bool, head int) error {
	cur := e.current()
	if row && cur.beyond(&p.limits) {
		s.discard(e, cur, msg, head)
		return nil
	}
	if !p.any {
		s.show(cur, msg, nil)
		return nil
	}
	var err error
	s.scratch = s.scratch[:0]
	if typ == 'd' {
		s.scratch, err = p.maskCopy(s.scratch, msg, &cur.masked)
	} else {
		s.scratch, err = p.maskRow(s.scratch, msg, &cur.masked)
	}
	if err != nil {
		return &fatal{code: "XX000", message: "sluice: a result does not match its description: " + err.Error()}
	}
	s.show(cur, msg, s.scratch)
	if cap(s.scratch) > 16*upstreamBuffer {
		s.scratch = nil
	}
	return nil
}

// show lets a row pass, as itself or as shown; held rows wait.
func (s *session) show(cur *result, msg, shown []byte) {
	switch {
	case cur.hold != nil && shown != nil:
		s.keep(cur, msg, shown)
	case cur.hold != nil:
		s.keep(cur, msg, msg)
	case shown != nil:
		s.replace(msg, shown)
	}
}

// scrub returns what may be shown of an error's message while a mask applies.
func scrub(se wire.ServerError, statement string) string {
	return mask.Scrub(se.Code, se.Message, statement)
}

// scrubbed rebuilds an ErrorResponse or NoticeResponse without anything that
// can carry a value: the message becomes a template, and DETAIL, HINT, CONTEXT
// and the internal query go. Severity, SQLSTATE and position stay, and the names
// of objects where the server itself put them in.
func scrubbed(msg []byte, statement string, canonical bool) []byte {
	out, at := wire.Begin(nil, msg[0])
	var code, file string
	wire.EachField(msg[wire.HeaderLen:], func(typ byte, v []byte) {
		switch typ {
		case 'C':
			code = string(v)
		case 'F':
			file = string(v)
		}
	})
	wire.EachField(msg[wire.HeaderLen:], func(typ byte, v []byte) {
		switch typ {
		case 'S', 'V', 'C':
		case 'M':
			v = []byte(mask.Scrub(code, string(v), statement))
		case 'P':
			if canonical {
				return
			}
		case 's', 't', 'c', 'd', 'n':
			if !namesObjects(file) {
				return
			}
		default:
			return
		}
		out = wire.AppendString(append(out, typ), string(v))
	})
	return wire.End(append(out, 0), at)
}

// namesObjects reports whether an error from this file of the server's source
// names objects. RAISE fills the same fields with whatever it is given, and
// cannot choose the file.
func namesObjects(file string) bool {
	switch file {
	case "nbtinsert.c", "execMain.c", "execIndexing.c", "execPartition.c", "ri_triggers.c", "domains.c",
		"tablecmds.c", "typecmds.c", "index.c", "tuplesort.c", "tuplesortvariants.c":
		return true
	}
	return false
}

// withoutPosition rebuilds an error whose position counts characters of
// another text than the client's.
func withoutPosition(msg []byte) []byte {
	out, at := wire.Begin(nil, msg[0])
	wire.EachField(msg[wire.HeaderLen:], func(typ byte, v []byte) {
		if typ != 'P' {
			out = wire.AppendString(append(out, typ), string(v))
		}
	})
	return wire.End(append(out, 0), at)
}
