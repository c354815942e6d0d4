package postgres

import (
	"slices"
	"strconv"
	"strings"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
)

// constValue is a constant that is not NULL, as the server reads it.
func constValue(c *pgquery.A_Const) string {
	switch v := c.Val.(type) {
	case *pgquery.A_Const_Ival:
		return strconv.Itoa(int(v.Ival.GetIval()))
	case *pgquery.A_Const_Fval:
		return v.Fval.GetFval()
	case *pgquery.A_Const_Boolval:
		return strconv.FormatBool(v.Boolval.GetBoolval())
	case *pgquery.A_Const_Sval:
		return v.Sval.GetSval()
	case *pgquery.A_Const_Bsval:
		return v.Bsval.GetBsval()
	}
	return ""
}

// session walks the statements that concern the session itself. It reports
// false for others.
func (a *analysis) session(n *pgquery.Node) bool {
	st := a.st
	switch v := n.GetNode().(type) {
	case *pgquery.Node_TransactionStmt:
		a.transaction(v.TransactionStmt)
	case *pgquery.Node_VariableSetStmt:
		a.setStmt(v.VariableSetStmt)
	case *pgquery.Node_VariableShowStmt:
		a.effect(access.VerbShow)
		a.object(access.Object{Kind: access.KindSetting, Name: settingName(v.VariableShowStmt.Name), Read: true})
		if v.VariableShowStmt.Name == "all" {
			a.answers("name", "setting", "description")
		} else {
			a.answers(v.VariableShowStmt.Name)
		}
	case *pgquery.Node_ConstraintsSetStmt:
		a.effect(access.VerbSet)
	case *pgquery.Node_ListenStmt:
		a.effect(access.VerbListen)
		a.channel(v.ListenStmt.Conditionname, false)
	case *pgquery.Node_UnlistenStmt:
		a.effect(access.VerbListen)
		a.channel(starIfEmpty(v.UnlistenStmt.Conditionname), false)
	case *pgquery.Node_NotifyStmt:
		a.effect(access.VerbNotify)
		a.channel(v.NotifyStmt.Conditionname, true)
	case *pgquery.Node_DiscardStmt:
		a.effect(access.VerbDiscard)
		st.DiscardAll = v.DiscardStmt.Target == pgquery.DiscardMode_DISCARD_ALL
		st.DiscardTmp = v.DiscardStmt.Target == pgquery.DiscardMode_DISCARD_TEMP
	case *pgquery.Node_PrepareStmt:
		a.prepare(v.PrepareStmt)
	case *pgquery.Node_ExecuteStmt:
		a.execute(v.ExecuteStmt)
	case *pgquery.Node_DeallocateStmt:
		a.effect(access.VerbClose)
		name := v.DeallocateStmt.Name
		st.Deallocate = &Deallocate{Name: name, All: name == "" || v.DeallocateStmt.Isall}
	case *pgquery.Node_DeclareCursorStmt:
		a.declare(v.DeclareCursorStmt)
	case *pgquery.Node_FetchStmt:
		a.fetch(v.FetchStmt)
	case *pgquery.Node_ClosePortalStmt:
		a.effect(access.VerbClose)
		name := v.ClosePortalStmt.Portalname
		st.Cursor = &Cursor{Op: CursorClose, Name: name, All: name == ""}
	case *pgquery.Node_ExplainStmt:
		a.explain(v.ExplainStmt)
	default:
		return false
	}
	return true
}

func starIfEmpty(name string) string {
	if name == "" {
		return "*"
	}
	return name
}

func (a *analysis) channel(name string, write bool) {
	a.st.Channel = name
	a.object(access.Object{Kind: access.KindChannel, Name: name, Read: !write, Write: write})
}

// answers describes a result that shows no table's columns.
func (a *analysis) answers(columns ...string) {
	a.st.ReturnsRows = true
	a.st.OutputsKnown = true
	for _, name := range columns {
		a.st.Outputs = append(a.st.Outputs, Output{Name: name, Traced: true})
	}
}

var transactions = map[pgquery.TransactionStmtKind]struct {
	tx   TxKind
	verb access.Verb
}{
	pgquery.TransactionStmtKind_TRANS_STMT_BEGIN:             {TxBegin, access.VerbBegin},
	pgquery.TransactionStmtKind_TRANS_STMT_START:             {TxBegin, access.VerbBegin},
	pgquery.TransactionStmtKind_TRANS_STMT_COMMIT:            {TxCommit, access.VerbCommit},
	pgquery.TransactionStmtKind_TRANS_STMT_ROLLBACK:          {TxRollback, access.VerbRollback},
	pgquery.TransactionStmtKind_TRANS_STMT_SAVEPOINT:         {TxSavepoint, access.VerbSavepoint},
	pgquery.TransactionStmtKind_TRANS_STMT_RELEASE:           {TxRelease, access.VerbSavepoint},
	pgquery.TransactionStmtKind_TRANS_STMT_ROLLBACK_TO:       {TxRollbackTo, access.VerbRollback},
	pgquery.TransactionStmtKind_TRANS_STMT_PREPARE:           {TxPrepare, access.VerbCommit},
	pgquery.TransactionStmtKind_TRANS_STMT_COMMIT_PREPARED:   {TxCommitPrepared, access.VerbCommit},
	pgquery.TransactionStmtKind_TRANS_STMT_ROLLBACK_PREPARED: {TxRollbackPrepared, access.VerbRollback},
}

func (a *analysis) transaction(s *pgquery.TransactionStmt) {
	k, ok := transactions[s.Kind]
	if !ok {
		a.opaque("a transaction command of a kind that is not known")
		return
	}
	a.effect(k.verb)
	a.st.Tx, a.st.Chain, a.st.TxName = k.tx, s.Chain, s.SavepointName
	for _, n := range s.Options {
		e := n.GetDefElem()
		a.st.ReadWrite = a.st.ReadWrite || e.GetDefname() == "transaction_read_only" && modeValue(e.GetArg()) != "on"
	}
	if s.Gid != "" {
		a.st.TxName = s.Gid
	}
}

// prepare: what is prepared is judged now, when its schema is disclosed, and
// again when it is executed.
func (a *analysis) prepare(s *pgquery.PrepareStmt) {
	for _, t := range s.Argtypes {
		a.typeName(t.GetTypeName())
	}
	a.st.Prepare = &Prepare{Name: s.Name, Inner: a.inside(s.Query, "as")}
	a.adopt(a.st.Prepare.Inner)
	a.verb = access.VerbPrepare
	a.impure()
}

// execute alone says nothing of what runs: the session knows, and replaces it.
func (a *analysis) execute(s *pgquery.ExecuteStmt) {
	a.effect(access.VerbExecute)
	a.partial("what EXECUTE runs is not in the text")
	e := &Execute{Name: s.Name}
	for _, n := range s.Params {
		arg := ConstArg{}
		arg.Text, arg.Null, arg.Known = constText(n)
		if !arg.Known {
			a.expr(&scope{}, n, access.UseFlow)
		}
		e.Args = append(e.Args, arg)
	}
	a.st.Execute = e
	a.st.ReturnsRows = true
}

func (a *analysis) declare(s *pgquery.DeclareCursorStmt) {
	const hold = 0x20 // CURSOR_OPT_HOLD of parsenodes.h
	inner := a.inside(s.Query, "for")
	a.adopt(inner)
	a.impure()
	a.st.Cursor = &Cursor{Op: CursorDeclare, Name: s.Portalname, Hold: s.Options&hold != 0, Inner: inner}
}

func (a *analysis) fetch(s *pgquery.FetchStmt) {
	a.effect(access.VerbFetch)
	a.impure() // it moves the cursor
	a.st.Cursor = &Cursor{Op: CursorFetch, Name: s.Portalname}
	if s.Ismove {
		a.st.Cursor.Op = CursorMove
		return
	}
	a.st.ReturnsRows = true
}

// explain plans, with ANALYZE it runs: then it is what it explains.
func (a *analysis) explain(s *pgquery.ExplainStmt) {
	in := a.inside(s.Query, "")
	a.adopt(in)
	a.st.Execute = in.Execute
	a.answers("QUERY PLAN")
	if in.Execute != nil || explainAnalyzes(s.Options) {
		a.st.DDL, a.st.Temp, a.st.TempViews, a.st.Settings = in.DDL, in.Temp, in.TempViews, in.Settings
		Measured(a.objects)
		return
	}
	a.verb = access.VerbExplain
	for i := range a.objects {
		if a.objects[i].Write {
			a.objects[i].Read, a.objects[i].Write = true, false
		}
	}
	a.impurity = false // nothing runs; what planning may fold is judged by confidence
	a.unscoped = false
	a.st.Settings = nil
}

// Measured notes that a plan is shown of a statement that runs: memory and sizes in
// it, of which a statement can make any multiple, tell how long values are that
// merely pass through, are sorted, or stand in a hash table. Columns are replaced, not
// changed in place.
func Measured(objects []access.Object) {
	const held = access.UseOutput | access.UseCarry | access.UseJoin | access.UseGroup | access.UseOrder | access.UseAggregate
	for i := range objects {
		cols := slices.Clone(objects[i].Columns)
		for j := range cols {
			if c := &cols[j]; c.Use&held != 0 && c.Use&access.UseFlow == 0 {
				c.Use |= access.UseFlow
				c.Exprs = append(slices.Clip(c.Exprs), access.UseExpr{Use: access.UseFlow, Text: "EXPLAIN ANALYZE"})
			}
		}
		objects[i].Columns = cols
	}
}

func explainAnalyzes(options []*pgquery.Node) bool {
	on := false
	for _, n := range options {
		if e := n.GetDefElem(); e != nil && strings.EqualFold(e.Defname, "analyze") {
			on = optionOn(e.Arg)
		}
	}
	return on
}

// optionOn reads a boolean option as defGetBoolean does; what cannot be read
// counts as on.
func optionOn(n *pgquery.Node) bool {
	if n == nil {
		return true
	}
	text := n.GetString_().GetSval()
	if i, ok := n.GetNode().(*pgquery.Node_Integer); ok {
		return i.Integer.GetIval() != 0
	}
	if b, ok := n.GetNode().(*pgquery.Node_Boolean); ok {
		return b.Boolean.GetBoolval()
	}
	switch strings.ToLower(text) {
	case "off", "false", "0":
		return false
	}
	return true
}

// inside analyzes a statement within this one on its own. Its text begins after
// the keyword, or is the whole text if there is none.
func (a *analysis) inside(n *pgquery.Node, keyword string) *Statement {
	at := after(a.st.Action.Text, keyword)
	st := newStatement(a.st.Action.Text[at:], a.env)
	st.Start, st.End = a.st.Start+at, a.st.End
	in := newAnalysis(a.env, a.text, st)
	in.depth = a.depth
	in.statement(n)
	st.Action.Op = opOf(n)
	st.Action.Shown = redact(n, st.Action.Text, st.Settings)
	st.Action.Origin = new(access.Origin)
	a.literal = true
	a.unscoped = a.unscoped || in.unscoped
	a.impurity = a.impurity || in.impurity
	return st
}

// after returns where the first token behind a reserved word stands that is in
// no bracket; 0 without such a word.
func after(text, keyword string) int {
	depth, found := 0, false
	l := lexer{text: text}
	for {
		t := l.next()
		switch part := text[t.start:t.end]; {
		case t.kind == tokEnd || t.kind == tokBad || keyword == "":
			return 0
		case found:
			return t.start
		case part == "(" || part == "[":
			depth++
		case part == ")" || part == "]":
			depth--
		case depth == 0 && t.kind == tokWord && strings.EqualFold(part, keyword):
			found = true
		}
	}
}

// adopt makes what a statement within this one does this one's doing.
func (a *analysis) adopt(in *Statement) {
	a.effect(in.Action.Verb)
	a.objects = append(a.objects, slices.Clone(in.Action.Objects)...)
	a.funcs = append(a.funcs, in.Action.SQL.Functions...)
	a.lower(in.Action.Confidence, in.Action.SQL.Why)
	a.limit = in.Action.SQL.Limit
	a.st.NumParams = in.NumParams
	a.st.MayChangeSettings = in.MayChangeSettings
	a.st.Settings = append(a.st.Settings, in.Settings...)
}
