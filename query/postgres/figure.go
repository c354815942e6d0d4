package postgres

import (
	"strings"

	pgquery "github.com/pganalyze/pg_query_go/v6"
)

// targetName is the name that the server gives a column (FigureColname).
func targetName(t *pgquery.ResTarget) string {
	if t.Name != "" {
		return t.Name
	}
	name, _ := figureName(t.Val)
	return name
}

// figureName returns the name and how strong it is: 2 for names of columns and
// functions, 1 for types and keywords, 0 for none.
func figureName(n *pgquery.Node) (string, int) {
	switch v := n.GetNode().(type) {
	case *pgquery.Node_ColumnRef:
		return lastName(v.ColumnRef.Fields), 2
	case *pgquery.Node_AIndirection:
		if s := lastName(v.AIndirection.Indirection); s != "" {
			return s, 2
		}
		return figureName(v.AIndirection.Arg)
	case *pgquery.Node_FuncCall:
		return lastName(v.FuncCall.Funcname), 2
	case *pgquery.Node_TypeCast:
		if s, strength := figureName(v.TypeCast.Arg); strength > 1 {
			return s, strength
		}
		return lastName(v.TypeCast.GetTypeName().GetNames()), 1
	case *pgquery.Node_CollateClause:
		return figureName(v.CollateClause.Arg)
	case *pgquery.Node_CaseExpr:
		if s, strength := figureName(v.CaseExpr.Defresult); strength > 1 {
			return s, strength
		}
		return "case", 1
	case *pgquery.Node_CoalesceExpr:
		return "coalesce", 2
	case *pgquery.Node_AArrayExpr:
		return "array", 2
	case *pgquery.Node_RowExpr:
		return "row", 2
	case *pgquery.Node_SubLink:
		return subLinkName(v.SubLink)
	}
	return keywordName(n)
}

// keywordName names what the grammar spells with keywords.
func keywordName(n *pgquery.Node) (string, int) {
	switch v := n.GetNode().(type) {
	case *pgquery.Node_MinMaxExpr:
		if v.MinMaxExpr.Op == pgquery.MinMaxOp_IS_LEAST {
			return "least", 2
		}
		return "greatest", 2
	case *pgquery.Node_AExpr:
		if v.AExpr.Kind == pgquery.A_Expr_Kind_AEXPR_NULLIF {
			return "nullif", 2
		}
	case *pgquery.Node_SqlvalueFunction:
		name := strings.TrimPrefix(v.SqlvalueFunction.Op.String(), "SVFOP_")
		return strings.ToLower(strings.TrimSuffix(name, "_N")), 2
	case *pgquery.Node_GroupingFunc:
		return "grouping", 2
	case *pgquery.Node_XmlExpr:
		if op := v.XmlExpr.Op; op != pgquery.XmlExprOp_IS_DOCUMENT {
			return strings.ToLower(strings.TrimPrefix(op.String(), "IS_")), 2
		}
	case *pgquery.Node_XmlSerialize:
		return "xmlserialize", 2
	case *pgquery.Node_JsonObjectConstructor:
		return "json_object", 2
	case *pgquery.Node_JsonArrayConstructor, *pgquery.Node_JsonArrayQueryConstructor:
		return "json_array", 2
	case *pgquery.Node_JsonObjectAgg:
		return "json_objectagg", 2
	case *pgquery.Node_JsonArrayAgg:
		return "json_arrayagg", 2
	case *pgquery.Node_JsonFuncExpr:
		return strings.ToLower(strings.TrimSuffix(v.JsonFuncExpr.Op.String(), "_OP")), 2
	}
	return "?column?", 0
}

func subLinkName(s *pgquery.SubLink) (string, int) {
	switch s.SubLinkType {
	case pgquery.SubLinkType_EXISTS_SUBLINK:
		return "exists", 2
	case pgquery.SubLinkType_ARRAY_SUBLINK:
		return "array", 2
	case pgquery.SubLinkType_EXPR_SUBLINK:
		if list := s.Subselect.GetSelectStmt().GetTargetList(); len(list) > 0 {
			return targetName(list[0].GetResTarget()), 2
		}
	}
	return "?column?", 0
}

// lastName returns the last String of a list, "" if the list ends otherwise.
func lastName(list []*pgquery.Node) string {
	for i := len(list) - 1; i >= 0; i-- {
		if s := list[i].GetString_(); s != nil {
			return s.GetSval()
		}
	}
	return ""
}
