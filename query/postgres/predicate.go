package postgres

import (
	"strings"

	pgquery "github.com/pganalyze/pg_query_go/v6"
)

// bare returns the name of the target's column that an expression is, with or
// without a cast or collation; "" if it is none.
func (p *predicates) bare(n *pgquery.Node) string {
	for {
		switch v := n.GetNode().(type) {
		case *pgquery.Node_TypeCast:
			n = v.TypeCast.Arg
		case *pgquery.Node_CollateClause:
			n = v.CollateClause.Arg
		case *pgquery.Node_ColumnRef:
			return p.targetColumn(v.ColumnRef)
		default:
			return ""
		}
	}
}

// targetColumn returns the column's name if the target alone can be meant.
func (p *predicates) targetColumn(ref *pgquery.ColumnRef) string {
	parts := names(ref.Fields)
	name := parts[len(parts)-1]
	if len(parts) > 1 {
		if parts[len(parts)-2] != p.target.alias {
			return ""
		}
		return name
	}
	mine := len(p.target.find(name)) > 0 || !p.target.known || systemColumns()[name]
	for _, it := range p.sc.items {
		if it != p.target && !it.hidden && !it.strict && (!it.known || len(it.find(name)) > 0) {
			mine = false
		}
	}
	if !mine {
		return ""
	}
	return name
}

// keepers are functions whose result still tells a column's values apart.
var keepers = set(`lower upper btrim ltrim rtrim date date_trunc date_part extract substr substring left right
 md5 length char_length to_char split_part date_bin regexp_replace replace`)

// derived reports whether an expression is a keeper over a bare column, a field
// of a JSON column, or a column plus a constant.
func (p *predicates) derived(n *pgquery.Node) bool {
	switch v := n.GetNode().(type) {
	case *pgquery.Node_TypeCast:
		return p.derived(v.TypeCast.Arg)
	case *pgquery.Node_FuncCall:
		return keepers()[lastName(v.FuncCall.Funcname)] && p.someBare(v.FuncCall.Args)
	case *pgquery.Node_AExpr:
		switch lastName(v.AExpr.Name) {
		case "->", "->>", "#>", "#>>", "+", "-", "%":
			return p.bare(v.AExpr.Lexpr) != "" && !p.mentions(v.AExpr.Rexpr)
		}
	}
	return false
}

func (p *predicates) someBare(args []*pgquery.Node) bool {
	for _, n := range args {
		if p.bare(n) != "" {
			return true
		}
	}
	return false
}

// mentions reports whether a column of the target may occur in an expression.
func (p *predicates) mentions(n *pgquery.Node) bool {
	found := false
	p.a.eachColumn(n, func(ref *pgquery.ColumnRef) {
		parts := names(ref.Fields)
		if len(parts) == 1 {
			found = found || len(p.target.find(parts[0])) > 0 || !p.target.known || parts[0] == p.target.alias
			return
		}
		found = found || parts[len(parts)-2] == p.target.alias || parts[0] == p.target.alias
	})
	return found || p.a.steps > maxSteps
}

// twin reports whether an expression is the same column of the same relation
// under another name: a self-join on it holds for every row.
func (p *predicates) twin(n *pgquery.Node, column string) bool {
	parts := names(n.GetColumnRef().GetFields())
	if len(parts) < 2 || parts[len(parts)-1] != column {
		return false
	}
	for _, it := range p.sc.named("", parts[len(parts)-2]) {
		for _, r := range it.rels {
			for _, t := range p.target.rels {
				if r == t {
					return true
				}
			}
		}
	}
	return false
}

// columnsOf lists the target's columns in a predicate.
func (p *predicates) columnsOf(n *pgquery.Node) []string {
	var cols []string
	p.a.eachColumn(n, func(ref *pgquery.ColumnRef) {
		if name := p.targetColumn(ref); name != "" {
			cols = append(cols, name)
		}
	})
	return cols
}

// eachColumn visits every column reference below a node.
func (a *analysis) eachColumn(n *pgquery.Node, visit func(*pgquery.ColumnRef)) {
	if n == nil || a.tired() || !a.enter() {
		return
	}
	defer a.leave()
	if ref := n.GetColumnRef(); ref != nil {
		visit(ref)
		return
	}
	var walk func(m protoMessage)
	walk = func(m protoMessage) {
		if child, ok := m.Interface().(*pgquery.Node); ok {
			a.eachColumn(child, visit)
			return
		}
		a.children(m, walk)
	}
	a.children(n.ProtoReflect(), walk)
}

// wildcard reports whether a pattern may match everything.
func (p *predicates) wildcard(n *pgquery.Node) bool {
	if f := n.GetFuncCall(); f != nil && len(f.Args) > 0 && strings.HasSuffix(lastName(f.Funcname), "_escape") {
		n = f.Args[0] // SIMILAR TO, LIKE ... ESCAPE
	}
	s, ok := stringConst(n)
	if !ok {
		return p.mentions(n)
	}
	p.a.literal = true
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r >= 0x80
	})
}

// optional reports whether a regular expression has parts that need not match,
// and so may match everything.
func (p *predicates) optional(n *pgquery.Node) bool {
	s, ok := stringConst(n)
	return ok && strings.ContainsAny(s, `*?|{\`)
}

// empty reports whether a constant may be an empty array, object or range.
func (p *predicates) empty(n *pgquery.Node) bool {
	if arr := n.GetAArrayExpr(); arr != nil {
		return len(arr.Elements) == 0
	}
	s, ok := stringConst(n)
	if !ok {
		return false
	}
	p.a.literal = true
	return strings.Trim(s, "{}[]() \t\r\n") == "" || s == "(,)"
}
