package postgres

import (
	"strconv"
	"strings"

	pgquery "github.com/pganalyze/pg_query_go/v6"
)

// A describer puts expressions into a few words for messages. The values of
// constants are left out: messages are stored.
type describer struct {
	out  []byte
	deep int
	last *pgquery.Node // what was described last, and how
	text string
}

// maxDescribed is how many bytes an expression may take in a message.
const maxDescribed = 72

// maxDescribedDepth bounds the describer's recursion.
const maxDescribedDepth = 24

// elided stands for constants, and for what is too long to show.
const elided = "..."

func (d *describer) describe(at spot) string {
	if at.node == nil {
		return at.word
	}
	if at.node != d.last {
		d.out, d.deep = d.out[:0], 0
		d.expr(at.node)
		if len(d.out) > maxDescribed {
			d.out = append(cutRune(d.out[:maxDescribed]), elided...)
		}
		d.last, d.text = at.node, string(d.out)
	}
	return d.text
}

// cutRune drops a rune that was cut in two.
func cutRune(b []byte) []byte {
	return []byte(strings.ToValidUTF8(string(b), ""))
}

func (d *describer) put(parts ...string) {
	for _, p := range parts {
		d.out = append(d.out, p...)
	}
}

func (d *describer) expr(n *pgquery.Node) {
	d.deep++
	defer func() { d.deep-- }()
	if d.deep > maxDescribedDepth || len(d.out) > maxDescribed {
		d.put(elided)
		return
	}
	switch v := n.GetNode().(type) {
	case *pgquery.Node_ColumnRef:
		d.name(v.ColumnRef.Fields)
	case *pgquery.Node_ParamRef:
		d.put("$", strconv.Itoa(int(v.ParamRef.Number)))
	case *pgquery.Node_FuncCall:
		d.call(v.FuncCall)
	case *pgquery.Node_AExpr:
		d.operator(v.AExpr)
	case *pgquery.Node_TypeCast:
		d.expr(v.TypeCast.Arg)
		d.put("::", lastName(v.TypeCast.GetTypeName().GetNames()))
	case *pgquery.Node_BoolExpr:
		d.boolean(v.BoolExpr)
	case *pgquery.Node_NullTest:
		d.expr(v.NullTest.Arg)
		d.put(map[bool]string{true: " IS NULL", false: " IS NOT NULL"}[v.NullTest.Nulltesttype == pgquery.NullTestType_IS_NULL])
	case *pgquery.Node_SubLink:
		d.subLink(v.SubLink)
	case *pgquery.Node_JoinExpr:
		d.join(v.JoinExpr)
	default:
		d.rest(n)
	}
}

func (d *describer) rest(n *pgquery.Node) {
	switch v := n.GetNode().(type) {
	case *pgquery.Node_CaseExpr:
		d.put("CASE ... END")
	case *pgquery.Node_CoalesceExpr:
		d.list("coalesce(", v.CoalesceExpr.Args)
	case *pgquery.Node_RowExpr:
		d.list("(", v.RowExpr.Args)
	case *pgquery.Node_AArrayExpr:
		d.list("array(", v.AArrayExpr.Elements)
	case *pgquery.Node_CollateClause:
		d.expr(v.CollateClause.Arg)
		d.put(" COLLATE ", lastName(v.CollateClause.Collname))
	case *pgquery.Node_BooleanTest:
		d.expr(v.BooleanTest.Arg)
		d.put(" IS ", elided)
	case *pgquery.Node_AIndirection:
		d.put("(")
		d.expr(v.AIndirection.Arg)
		d.put(").", lastName(v.AIndirection.Indirection))
	case *pgquery.Node_List:
		d.list("(", v.List.Items)
	case *pgquery.Node_String_:
		d.put(v.String_.GetSval())
	default:
		if name, strength := figureName(n); strength > 0 {
			d.put(name, "(", elided, ")")
		} else {
			d.put(elided)
		}
	}
}

func (d *describer) name(fields []*pgquery.Node) {
	for i, f := range fields {
		if i > 0 {
			d.put(".")
		}
		if f.GetAStar() != nil {
			d.put("*")
		} else {
			d.put(f.GetString_().GetSval())
		}
	}
}

func (d *describer) list(open string, items []*pgquery.Node) {
	d.put(open)
	for i, n := range items {
		if i > 0 {
			d.put(", ")
		}
		if i > 3 {
			d.put(elided)
			break
		}
		d.expr(n)
	}
	d.put(")")
}

func (d *describer) call(f *pgquery.FuncCall) {
	d.put(lastName(f.Funcname))
	switch {
	case f.AggStar:
		d.put("(*)")
	case f.AggDistinct:
		d.list("(DISTINCT ", f.Args)
	default:
		d.list("(", f.Args)
	}
	if f.Over != nil {
		d.put(" OVER (", elided, ")")
	}
}

var operatorWords = map[pgquery.A_Expr_Kind]string{
	pgquery.A_Expr_Kind_AEXPR_DISTINCT: " IS DISTINCT FROM ", pgquery.A_Expr_Kind_AEXPR_NOT_DISTINCT: " IS NOT DISTINCT FROM ",
	pgquery.A_Expr_Kind_AEXPR_LIKE: " LIKE ", pgquery.A_Expr_Kind_AEXPR_ILIKE: " ILIKE ", pgquery.A_Expr_Kind_AEXPR_SIMILAR: " SIMILAR TO ",
	pgquery.A_Expr_Kind_AEXPR_IN: " IN ", pgquery.A_Expr_Kind_AEXPR_BETWEEN: " BETWEEN ", pgquery.A_Expr_Kind_AEXPR_NOT_BETWEEN: " NOT BETWEEN ",
}

func (d *describer) operator(e *pgquery.A_Expr) {
	if e.Kind == pgquery.A_Expr_Kind_AEXPR_NULLIF {
		d.list("nullif(", []*pgquery.Node{e.Lexpr, e.Rexpr})
		return
	}
	if e.Lexpr != nil {
		d.expr(e.Lexpr)
	}
	word := operatorWords[e.Kind]
	if word == "" {
		word = " " + lastName(e.Name) + " "
	}
	d.put(word)
	switch e.Kind {
	case pgquery.A_Expr_Kind_AEXPR_IN, pgquery.A_Expr_Kind_AEXPR_BETWEEN, pgquery.A_Expr_Kind_AEXPR_NOT_BETWEEN:
		d.put(elided)
	case pgquery.A_Expr_Kind_AEXPR_OP_ANY, pgquery.A_Expr_Kind_AEXPR_OP_ALL:
		d.put("ANY(")
		d.expr(e.Rexpr)
		d.put(")")
	default:
		d.expr(e.Rexpr)
	}
}

func (d *describer) boolean(b *pgquery.BoolExpr) {
	word := " AND "
	switch b.Boolop {
	case pgquery.BoolExprType_OR_EXPR:
		word = " OR "
	case pgquery.BoolExprType_NOT_EXPR:
		d.put("NOT ")
	}
	for i, n := range b.Args {
		if i > 0 {
			d.put(word)
		}
		d.expr(n)
	}
}

func (d *describer) subLink(s *pgquery.SubLink) {
	if s.Testexpr != nil {
		d.expr(s.Testexpr)
		d.put(" IN ")
	}
	d.put("(SELECT ", elided, ")")
}

func (d *describer) join(j *pgquery.JoinExpr) {
	if j.IsNatural {
		d.put("NATURAL JOIN")
		return
	}
	d.list("USING (", j.UsingClause)
}
