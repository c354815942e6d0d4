package postgres

import (
	"strings"

	pgquery "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

// A truth is what a predicate says about the rows of the target.
type truth uint8

const (
	unsure  truth = iota // nothing is known: counts as every row
	always               // holds for every row
	never                // holds for none
	limited              // holds for some: it compares a column of the target with something else
)

// scoped records whether a WHERE clause limits the rows of the target: it is
// shown to compare the target's own columns with something that does not follow
// from them. What cannot be shown counts as unlimited.
func (a *analysis) scoped(sc *scope, target *item, where *pgquery.Node) {
	if !a.limits(sc, target, where) {
		a.unscoped = true
	}
}

func (a *analysis) limits(sc *scope, target *item, where *pgquery.Node) bool {
	if where == nil || where.GetNode() == nil {
		return false
	}
	p := predicates{a: a, sc: sc, target: target}
	t := p.truth(where)
	return t == limited || t == never
}

type predicates struct {
	a      *analysis
	sc     *scope
	target *item
}

func (p *predicates) truth(n *pgquery.Node) truth {
	if p.a.tired() || !p.a.enter() {
		return unsure
	}
	defer p.a.leave()
	switch v := n.GetNode().(type) {
	case *pgquery.Node_AConst:
		return p.constant(v.AConst)
	case *pgquery.Node_BoolExpr:
		return p.boolean(v.BoolExpr)
	case *pgquery.Node_AExpr:
		return p.comparison(v.AExpr)
	case *pgquery.Node_NullTest:
		return p.nullTest(v.NullTest)
	case *pgquery.Node_BooleanTest:
		return p.booleanTest(v.BooleanTest)
	case *pgquery.Node_SubLink:
		return p.subLink(v.SubLink)
	case *pgquery.Node_CurrentOfExpr:
		return limited
	case *pgquery.Node_ColumnRef:
		if p.bare(n) != "" {
			return limited // a boolean column
		}
	case *pgquery.Node_TypeCast:
		if c := v.TypeCast.Arg.GetAConst(); c != nil {
			p.a.literal = true
			return p.boolText(c)
		}
	}
	return unsure
}

func (p *predicates) constant(c *pgquery.A_Const) truth {
	if c.Isnull {
		return never
	}
	if b, ok := c.Val.(*pgquery.A_Const_Boolval); ok {
		if b.Boolval.GetBoolval() {
			return always
		}
		return never
	}
	return p.boolText(c)
}

// boolText is a string that the server reads as a boolean.
func (p *predicates) boolText(c *pgquery.A_Const) truth {
	p.a.literal = true
	if c.Isnull {
		return never
	}
	switch strings.ToLower(c.GetSval().GetSval()) {
	case "f", "false", "off", "no", "n", "0":
		return never
	}
	return unsure
}

func (p *predicates) boolean(b *pgquery.BoolExpr) truth {
	switch b.Boolop {
	case pgquery.BoolExprType_AND_EXPR:
		return p.and(b.Args)
	case pgquery.BoolExprType_OR_EXPR:
		return p.or(b.Args)
	case pgquery.BoolExprType_NOT_EXPR:
		return p.not(b.Args[0])
	}
	return unsure
}

// and is limited by any part that is.
func (p *predicates) and(args []*pgquery.Node) truth {
	result := always
	for _, n := range args {
		switch p.truth(n) {
		case never:
			return never
		case limited:
			result = limited
		case unsure:
			if result == always {
				result = unsure
			}
		}
	}
	return result
}

// or is limited only if every part is, and no two parts can complete each
// other: x = 1 OR x <> 1, x IS NULL OR x IS NOT NULL, x > 0 OR x <= 0. Parts on
// one column that are not all equalities count as completing.
func (p *predicates) or(args []*pgquery.Node) truth {
	result := never
	open := make(map[string]bool) // column -> some part on it is no equality
	seen := make(map[string]int)
	for _, n := range args {
		switch p.truth(n) {
		case always:
			return always
		case unsure:
			return unsure
		case limited:
			result = limited
			for _, col := range p.columnsOf(n) {
				seen[col]++
				open[col] = open[col] || !p.finite(n)
			}
		}
	}
	for col, n := range seen {
		if n > 1 && open[col] {
			return unsure
		}
	}
	return result
}

// not turns the few cases around that are decided; what limits still excludes
// something when negated, unless that was nothing.
func (p *predicates) not(n *pgquery.Node) truth {
	switch p.truth(n) {
	case always:
		return never
	case never:
		if c := n.GetAConst(); c != nil && c.Isnull {
			return never
		}
		return always
	case limited:
		if n.GetBoolExpr() != nil {
			return unsure // NOT (x = 1 AND x = 2)
		}
		return limited
	}
	return unsure
}

// finite reports whether a predicate holds for a listed set of values only.
func (p *predicates) finite(n *pgquery.Node) bool {
	if b := n.GetBoolExpr(); b != nil {
		for _, arg := range b.Args {
			if b.Boolop == pgquery.BoolExprType_AND_EXPR && p.finite(arg) {
				return true
			}
		}
		return false
	}
	e := n.GetAExpr()
	if e == nil {
		return false
	}
	switch e.Kind {
	case pgquery.A_Expr_Kind_AEXPR_OP, pgquery.A_Expr_Kind_AEXPR_IN, pgquery.A_Expr_Kind_AEXPR_OP_ANY:
		return lastName(e.Name) == "="
	}
	return false
}

func (p *predicates) comparison(e *pgquery.A_Expr) truth {
	op := lastName(e.Name)
	switch e.Kind {
	case pgquery.A_Expr_Kind_AEXPR_OP, pgquery.A_Expr_Kind_AEXPR_DISTINCT, pgquery.A_Expr_Kind_AEXPR_NOT_DISTINCT:
		return p.operator(op, e)
	case pgquery.A_Expr_Kind_AEXPR_LIKE, pgquery.A_Expr_Kind_AEXPR_ILIKE, pgquery.A_Expr_Kind_AEXPR_SIMILAR:
		if p.wildcard(e.Rexpr) {
			return unsure
		}
		return p.against(e.Lexpr, e.Rexpr)
	case pgquery.A_Expr_Kind_AEXPR_OP_ANY, pgquery.A_Expr_Kind_AEXPR_OP_ALL:
		if p.empty(e.Rexpr) {
			return unsure
		}
		return p.against(e.Lexpr, e.Rexpr)
	case pgquery.A_Expr_Kind_AEXPR_IN, pgquery.A_Expr_Kind_AEXPR_BETWEEN, pgquery.A_Expr_Kind_AEXPR_NOT_BETWEEN,
		pgquery.A_Expr_Kind_AEXPR_BETWEEN_SYM, pgquery.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		return p.against(e.Lexpr, e.Rexpr)
	}
	return unsure
}

func (p *predicates) operator(op string, e *pgquery.A_Expr) truth {
	if e.Lexpr == nil || e.Rexpr == nil {
		return unsure
	}
	distinct := e.Kind != pgquery.A_Expr_Kind_AEXPR_OP
	if sameExpr(e.Lexpr, e.Rexpr) {
		return same(op, e.Kind)
	}
	if l, r := e.Lexpr.GetAConst(), e.Rexpr.GetAConst(); l != nil && r != nil && !distinct {
		return p.constants(op, l, r)
	}
	if n := nullConst(e.Lexpr, e.Rexpr); n != nil && !distinct {
		return never // = NULL holds for no row
	} else if n != nil {
		return unsure
	}
	switch op {
	case "=":
		return p.equality(e.Lexpr, e.Rexpr)
	case "~", "~*", "!~", "!~*":
		if p.wildcard(e.Rexpr) || p.optional(e.Rexpr) {
			return unsure
		}
	case "~~", "~~*", "!~~", "!~~*":
		if p.wildcard(e.Rexpr) {
			return unsure
		}
	case "<", ">", "<=", ">=", "<>", "!=":
	case "@>", "<@", "&&", "?", "?|", "?&", "@@", "<<", ">>", "^@":
		if p.empty(e.Lexpr) || p.empty(e.Rexpr) {
			return unsure
		}
	default:
		return unsure
	}
	return p.against(e.Lexpr, e.Rexpr)
}

// same is an expression compared with itself; rows where it is NULL are not
// worth a promise.
func same(op string, kind pgquery.A_Expr_Kind) truth {
	switch {
	case kind == pgquery.A_Expr_Kind_AEXPR_DISTINCT:
		return never
	case kind == pgquery.A_Expr_Kind_AEXPR_NOT_DISTINCT, op == "=", op == "<=", op == ">=":
		return always
	case op == "<>", op == "!=", op == "<", op == ">":
		return never
	}
	return unsure
}

func sameExpr(x, y *pgquery.Node) bool {
	if x.GetAConst() != nil {
		return false // constants decides, and notes that it looked
	}
	x, y = proto.CloneOf(x), proto.CloneOf(y)
	stripLocations(x.ProtoReflect())
	stripLocations(y.ProtoReflect())
	return proto.Equal(x, y)
}

// constants compares two literals, as far as their texts tell.
func (p *predicates) constants(op string, l, r *pgquery.A_Const) truth {
	p.a.literal = true
	if l.Isnull || r.Isnull {
		return never
	}
	if op != "=" && op != "<>" && op != "!=" {
		return unsure
	}
	x, y := proto.CloneOf(l), proto.CloneOf(r)
	x.Location, y.Location = 0, 0
	equal := proto.Equal(x, y)
	if _, ok := x.Val.(*pgquery.A_Const_Ival); !equal && (!ok || y.GetIval() == nil) {
		return unsure // '1' = '01' depends on a type
	}
	if equal == (op == "=") {
		return always
	}
	return never
}

func nullConst(nodes ...*pgquery.Node) *pgquery.A_Const {
	for _, n := range nodes {
		if c := n.GetAConst(); c != nil && c.Isnull {
			return c
		}
	}
	return nil
}

// equality also accepts functions that keep enough of a column's value apart.
func (p *predicates) equality(l, r *pgquery.Node) truth {
	if t := p.against(l, r); t != unsure {
		return t
	}
	if p.derived(l) && !p.mentions(r) || p.derived(r) && !p.mentions(l) {
		return limited
	}
	return unsure
}

// against is a bare column of the target compared with what does not follow
// from the same row: constants, parameters, other tables, subqueries; or with
// another column of the target.
func (p *predicates) against(l, r *pgquery.Node) truth {
	x, y := p.bare(l), p.bare(r)
	switch {
	case x != "" && y != "" && x != y:
		return limited
	case x != "" && y == "" && !p.mentions(r) && !p.twin(r, x):
		return limited
	case y != "" && x == "" && !p.mentions(l) && !p.twin(l, y):
		return limited
	}
	return p.rows(l, r)
}

// rows compares (a, b) with something.
func (p *predicates) rows(l, r *pgquery.Node) truth {
	row := l.GetRowExpr()
	if row == nil || p.mentions(r) {
		return unsure
	}
	for _, n := range row.Args {
		if p.bare(n) != "" {
			return limited
		}
	}
	return unsure
}

func (p *predicates) nullTest(t *pgquery.NullTest) truth {
	name := p.bare(t.Arg)
	if name == "" {
		return unsure
	}
	notNull := p.notNull(name)
	isNull := t.Nulltesttype == pgquery.NullTestType_IS_NULL
	switch {
	case notNull && isNull:
		return never
	case notNull:
		return always
	case !p.target.known:
		return unsure
	}
	return limited
}

// notNull reports whether a column holds no NULL by its definition.
func (p *predicates) notNull(name string) bool {
	if systemColumns()[name] {
		return true
	}
	for _, r := range p.target.rels {
		if r.rel == nil {
			continue
		}
		if c := r.rel.Column(p.realName(name)); c != nil && c.NotNull {
			return true
		}
	}
	return false
}

// realName undoes a column alias.
func (p *predicates) realName(name string) string {
	for _, c := range p.target.find(name) {
		for _, m := range c.marks {
			return m.col
		}
	}
	return name
}

func (p *predicates) booleanTest(t *pgquery.BooleanTest) truth {
	name := p.bare(t.Arg)
	if name == "" {
		return unsure
	}
	switch t.Booltesttype {
	case pgquery.BoolTestType_IS_UNKNOWN:
		if p.notNull(name) {
			return never
		}
	case pgquery.BoolTestType_IS_NOT_UNKNOWN:
		if p.notNull(name) || !p.target.known {
			return always
		}
	}
	return limited
}
