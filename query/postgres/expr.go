package postgres

import (
	"slices"
	"strings"

	pgquery "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"sluice/access"
)

// expr walks an expression whose columns are put to the given use. Only a bare
// column keeps UseOutput; select.go sees to that.
func (a *analysis) expr(sc *scope, n *pgquery.Node, use access.Use) {
	if n == nil || n.Node == nil || !a.enter() {
		return
	}
	defer a.leave()
	switch v := n.Node.(type) {
	case *pgquery.Node_AConst, *pgquery.Node_AStar, *pgquery.Node_String_, *pgquery.Node_Integer,
		*pgquery.Node_SetToDefault, *pgquery.Node_SqlvalueFunction:
	case *pgquery.Node_ParamRef:
		a.st.NumParams = max(a.st.NumParams, int(v.ParamRef.Number))
	case *pgquery.Node_ColumnRef:
		c := a.reference(sc, v.ColumnRef, use)
		a.note(&c, use)
	case *pgquery.Node_AExpr:
		a.comparison(sc, v.AExpr, use)
	case *pgquery.Node_BoolExpr:
		for _, arg := range v.BoolExpr.Args {
			a.boolean(sc, arg, use)
		}
	case *pgquery.Node_NullTest:
		a.asks(sc, v.NullTest.Arg, access.UseNull, use)
	case *pgquery.Node_BooleanTest:
		a.asks(sc, v.BooleanTest.Arg, access.UseEqual, use)
	case *pgquery.Node_CoalesceExpr, *pgquery.Node_CaseExpr:
		c := a.value(sc, n, use)
		a.note(&c, use)
	case *pgquery.Node_List:
		a.exprs(sc, v.List.Items, use)
	case *pgquery.Node_TypeCast:
		a.typeName(v.TypeCast.TypeName)
		a.expr(sc, v.TypeCast.Arg, use)
	case *pgquery.Node_FuncCall:
		a.call(sc, v.FuncCall, use)
	case *pgquery.Node_SubLink:
		a.subLink(sc, v.SubLink, use)
	case *pgquery.Node_SelectStmt:
		a.nested(sc, v.SelectStmt, use)
	case *pgquery.Node_SortBy:
		if len(v.SortBy.UseOp) > 0 {
			a.operator(v.SortBy.UseOp)
		}
		a.expr(sc, v.SortBy.Node, use)
	default:
		a.rare(sc, n, use)
	}
}

func (a *analysis) exprs(sc *scope, list []*pgquery.Node, use access.Use) {
	for _, n := range list {
		a.expr(sc, n, use)
	}
}

// rare walks the expressions of the grammar that need no rule of their own:
// whatever columns and functions they hold is found by walking. A node that the
// raw grammar does not put into expressions is not understood.
func (a *analysis) rare(sc *scope, n *pgquery.Node, use access.Use) {
	switch n.Node.(type) {
	case *pgquery.Node_CaseWhen, *pgquery.Node_MinMaxExpr, *pgquery.Node_AArrayExpr, *pgquery.Node_RowExpr,
		*pgquery.Node_AIndirection, *pgquery.Node_AIndices, *pgquery.Node_CollateClause, *pgquery.Node_NamedArgExpr,
		*pgquery.Node_GroupingFunc, *pgquery.Node_GroupingSet, *pgquery.Node_ResTarget, *pgquery.Node_MultiAssignRef,
		*pgquery.Node_WindowDef, *pgquery.Node_IndexElem, *pgquery.Node_MergeSupportFunc,
		*pgquery.Node_XmlExpr, *pgquery.Node_XmlSerialize, *pgquery.Node_RangeTableFuncCol,
		*pgquery.Node_JsonObjectConstructor, *pgquery.Node_JsonArrayConstructor, *pgquery.Node_JsonArrayQueryConstructor,
		*pgquery.Node_JsonAggConstructor, *pgquery.Node_JsonObjectAgg, *pgquery.Node_JsonArrayAgg,
		*pgquery.Node_JsonFuncExpr, *pgquery.Node_JsonParseExpr, *pgquery.Node_JsonScalarExpr,
		*pgquery.Node_JsonSerializeExpr, *pgquery.Node_JsonIsPredicate, *pgquery.Node_JsonValueExpr,
		*pgquery.Node_JsonKeyValue, *pgquery.Node_JsonArgument, *pgquery.Node_JsonBehavior, *pgquery.Node_JsonOutput,
		*pgquery.Node_JsonTableColumn, *pgquery.Node_JsonTablePathSpec, *pgquery.Node_JsonFormat, *pgquery.Node_JsonReturning:
		a.attributes(n.GetAIndirection())
		a.children(n.ProtoReflect(), func(c protoreflect.Message) { a.generic(sc, c, flowing(use)) })
	case *pgquery.Node_CurrentOfExpr, *pgquery.Node_Boolean, *pgquery.Node_Float, *pgquery.Node_BitString:
	default:
		a.opaque("an expression of a kind that is not known")
	}
}

// attributes judges (expression).name: a field, or a function of the value.
func (a *analysis) attributes(ind *pgquery.A_Indirection) {
	for _, n := range ind.GetIndirection() {
		name := n.GetString_().GetSval()
		if name == "" {
			continue
		}
		_, _, users := a.userFunction("", name, 1)
		if class, own := functionClasses()[name]; users || own && class != fnPure || a.env.Catalog == nil {
			a.function("", name, 1, nil)
		}
	}
}

// starValue is table.* inside an expression: the whole row.
func (a *analysis) starValue(sc *scope, qualifier []string, use access.Use) {
	for _, it := range a.starItems(sc, qualifier) {
		a.noteAll(it, asRow(use))
	}
}

// starItems returns the items that qualifier.* stands for.
func (a *analysis) starItems(sc *scope, qualifier []string) []*item {
	if len(qualifier) == 0 {
		var all []*item
		for _, it := range sc.items {
			if !it.hidden && !it.strict {
				all = append(all, it)
			}
		}
		return all
	}
	schema := ""
	if len(qualifier) > 1 {
		schema = qualifier[len(qualifier)-2]
	}
	items := sc.named(schema, qualifier[len(qualifier)-1])
	if len(items) == 0 {
		a.unresolved(sc, strings.Join(qualifier, ".")+".*")
	}
	return items
}

// operator judges an operator by its name.
func (a *analysis) operator(name []*pgquery.Node) {
	p := names(name)
	op := p[len(p)-1]
	if len(p) > 1 && p[0] != "pg_catalog" {
		if !a.trustedOperator(p[0], op) {
			a.partial("operator " + p[0] + "." + op + " is not the server's own")
			a.flow(lineage{broken: true})
		}
		return
	}
	if !isSystemOperator()[op] && !strings.Contains(op, "BETWEEN") && !a.pathOperator(op) {
		a.partial("operator " + op + " is not known")
	}
	if len(p) == 1 && !slices.Contains(a.ops, op) {
		a.ops = append(a.ops, op)
	}
}

// implied judges an operator that the server looks for by its name where the text
// has none: USING, CASE x WHEN, IN (SELECT ...), BETWEEN.
func (a *analysis) implied(op string) {
	if !slices.Contains(a.ops, op) {
		a.ops = append(a.ops, op)
	}
}

func (a *analysis) trustedOperator(schema, name string) bool {
	if a.env.Catalog == nil {
		return false
	}
	found := false
	for _, o := range a.env.Catalog.Operators(name) {
		if o.Schema == schema {
			found = true
			if !trusted(o.Extension, o.Language, false) {
				return false
			}
		}
	}
	return found
}

// pathOperator reports whether users defined an operator of that name where
// the search_path finds it; finish judges it.
func (a *analysis) pathOperator(name string) bool {
	if a.env.Catalog == nil {
		return false
	}
	for _, o := range a.env.Catalog.Operators(name) {
		if slices.Contains(a.env.path, o.Schema) {
			return true
		}
	}
	return false
}

// typeName judges the type of a cast.
func (a *analysis) typeName(t *pgquery.TypeName) {
	if t == nil || len(t.Names) == 0 {
		return
	}
	p := names(t.Names)
	schema, name := "", p[len(p)-1]
	if len(p) > 1 {
		schema = p[len(p)-2]
	}
	switch {
	case (schema == "" || schema == "pg_catalog") && isSystemType()[name]:
		if schema == "" {
			a.shadowedType(name)
		}
	case schema == "information_schema":
	case a.env.Catalog == nil:
		a.partial("type " + name + " is not known")
	default:
		a.userType(schema, name)
	}
}

// shadowedType looks for a user's type before pg_catalog in the path, and for the row
// type of a temporary relation, which comes before both.
func (a *analysis) shadowedType(name string) {
	if _, ok := a.env.Temp[name]; ok {
		a.partial("the type of temporary relation " + name + " hides the server's own")
	}
	for _, s := range a.env.path {
		if s == "pg_catalog" || a.env.Catalog == nil {
			return
		}
		if a.env.Catalog.Type(s, name) != nil {
			a.partial("type " + s + "." + name + " hides the server's own")
		}
	}
}

// domain judges the type of a column that is made: what is written to it later is
// checked by the code of a domain.
func (a *analysis) domain(t *pgquery.TypeName) {
	p := names(t.Names)
	if len(p) == 0 || a.env.Catalog == nil {
		return
	}
	path := a.env.path
	if len(p) > 1 {
		path = p[len(p)-2 : len(p)-1]
	}
	for _, s := range path {
		if d := a.env.Catalog.Type(s, p[len(p)-1]); d != nil && d.Kind == 'd' {
			a.judgeType(d.Kind, d.Schema+"."+d.Name, d.Extension)
		}
	}
}

func (a *analysis) userType(schema, name string) {
	path := a.env.path
	if schema != "" {
		path = []string{schema}
	}
	found := false
	for _, s := range path { // all: those before others may be dropped
		if t := a.env.Catalog.Type(s, name); t != nil {
			a.types = append(a.types, t.OID)
			a.judgeType(t.Kind, t.Schema+"."+name, t.Extension)
			found = true
		}
		// A row type's input function is record_in.
		found = found || a.env.Catalog.Lookup(s, strings.TrimPrefix(name, "_")) != nil
	}
	if !found {
		a.partial("type " + name + " is not in the catalog")
	}
}

// Computes reports whether reading a value of a type runs nothing but the server's
// own code and that of trusted extensions.
func (e *Env) Computes(oid uint32) bool {
	for range 2 { // an array's elements
		if oid < firstUserOID {
			return true
		}
		if e.Catalog == nil {
			return false
		}
		t := e.Catalog.TypeByOID(oid)
		if t == nil {
			return false
		}
		if t.Kind != 'b' || t.Base == 0 {
			return t.Kind == 'e' || t.Kind == 'b' && isTrusted()[t.Extension]
		}
		oid = t.Base
	}
	return false
}

// judgeType: enums, composites and ranges run the server's own code; a domain
// runs its CHECKs, a base type whatever its author wrote.
func (a *analysis) judgeType(kind byte, name, extension string) {
	switch kind {
	case 'e', 'c', 'r', 'm':
	case 'b':
		if extension == "" || !isTrusted()[extension] {
			a.partial("type " + name + " is a user's own")
		}
	default:
		a.partial("type " + name + " checks its values with a user's code")
	}
}
