package postgres

import (
	"context"
	"errors"
	"slices"

	pgquery "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"sluice/access"
)

// errNotCounted: only what one table and one condition say can be counted.
var errNotCounted = errors.New("only an UPDATE or DELETE of one table, by a condition that always answers the same, can be counted")

// changeable are functions whose answer differs from call to call: what they pick
// when counted is not what they pick when run.
var changeable = set(`
 random random_normal gen_random_uuid uuidv4 uuidv7 clock_timestamp timeofday nextval currval lastval setval
`)

// Counting returns the query that counts the rows which an UPDATE or DELETE would
// change: SELECT count(*) over its table and condition. It reads, and nothing
// else. params are the numbers of the parameters in it, ascending.
func (a *Analyzer) Counting(ctx context.Context, subject, text string, env *Env) (sql string, params []int, err error) {
	raw, err := a.parser.Parse(ctx, subject, text)
	if err != nil {
		return "", nil, err
	}
	var tree pgquery.ParseResult
	if err := proto.Unmarshal(raw, &tree); err != nil || len(tree.Stmts) != 1 {
		return "", nil, errNotCounted
	}
	rel, where := counted(tree.Stmts[0].Stmt)
	if rel == nil {
		return "", nil, errNotCounted
	}
	count := &pgquery.SelectStmt{
		TargetList: []*pgquery.Node{{Node: &pgquery.Node_ResTarget{ResTarget: &pgquery.ResTarget{Val: countStar()}}}},
		FromClause: []*pgquery.Node{{Node: &pgquery.Node_RangeVar{RangeVar: rel}}}, WhereClause: where,
		LimitOption: pgquery.LimitOption_LIMIT_OPTION_DEFAULT, Op: pgquery.SetOperation_SETOP_NONE,
	}
	tree.Stmts = []*pgquery.RawStmt{{Stmt: &pgquery.Node{Node: &pgquery.Node_SelectStmt{SelectStmt: count}}}}
	if raw, err = proto.Marshal(&tree); err != nil {
		return "", nil, err
	}
	if sql, err = a.parser.Deparse(ctx, subject, raw); err != nil {
		return "", nil, err
	}
	b, err := a.Analyze(ctx, subject, sql, env)
	if err != nil {
		return "", nil, err
	}
	if len(b.Statements) != 1 || !onlyReads(b.Statements[0]) {
		return "", nil, errNotCounted
	}
	return sql, paramsIn(where), nil
}

// counted returns the table and the condition of a statement that can be counted.
func counted(n *pgquery.Node) (*pgquery.RangeVar, *pgquery.Node) {
	var rel *pgquery.RangeVar
	var where *pgquery.Node
	switch v := n.GetNode().(type) {
	case *pgquery.Node_UpdateStmt:
		if s := v.UpdateStmt; s.WithClause == nil && len(s.FromClause) == 0 {
			rel, where = s.Relation, s.WhereClause
		}
	case *pgquery.Node_DeleteStmt:
		if s := v.DeleteStmt; s.WithClause == nil && len(s.UsingClause) == 0 {
			rel, where = s.Relation, s.WhereClause
		}
	}
	if where.GetCurrentOfExpr() != nil {
		return nil, nil
	}
	return rel, where
}

func countStar() *pgquery.Node {
	name := func(s string) *pgquery.Node {
		return &pgquery.Node{Node: &pgquery.Node_String_{String_: &pgquery.String{Sval: s}}}
	}
	return &pgquery.Node{Node: &pgquery.Node_FuncCall{FuncCall: &pgquery.FuncCall{
		Funcname: []*pgquery.Node{name("pg_catalog"), name("count")}, AggStar: true, Funcformat: pgquery.CoercionForm_COERCE_EXPLICIT_CALL,
	}}}
}

func onlyReads(st *Statement) bool {
	a := &st.Action
	if !a.Pure || a.Confidence != access.Exact || a.Verb != access.VerbSelect {
		return false
	}
	return !slices.ContainsFunc(a.SQL.Functions, func(f string) bool { return changeable()[unqualified(f)] })
}

func unqualified(name string) string {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '.' {
			return name[i+1:]
		}
	}
	return name
}

// paramsIn lists the parameters below a node.
func paramsIn(n *pgquery.Node) []int {
	if n == nil {
		return nil
	}
	var found []int
	a := &analysis{st: &Statement{}}
	var visit func(m protoMessage)
	visit = func(m protoMessage) {
		if !a.enter() {
			return
		}
		defer a.leave()
		if p, ok := m.Interface().(*pgquery.ParamRef); ok {
			found = append(found, int(p.Number))
		}
		a.children(m, visit)
	}
	visit(n.ProtoReflect())
	slices.Sort(found)
	return slices.Compact(found)
}
