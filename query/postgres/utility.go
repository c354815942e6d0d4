package postgres

import (
	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
	"sluice/query/catalog"
)

// utility walks the statements that change structure, rights or the server. The
// raw grammar knows a closed list of them; what is on none is not understood.
func (a *analysis) utility(n *pgquery.Node) {
	if a.creates(n) || a.createsMore(n) || a.alters(n) || a.drops(n) || a.roles(n) || a.foreign(n) || a.runs(n) || a.maintains(n) {
		return
	}
	a.verb = access.VerbUnknown
	a.opaque("a statement of a kind that is not known")
}

// ddl records a change of structure.
func (a *analysis) ddl(v access.Verb) {
	a.effect(v)
	a.st.DDL = true
}

// named records an object other than a relation that is changed.
func (a *analysis) named(kind access.ObjectKind, parts ...string) {
	o := access.Object{Kind: kind, Write: true}
	switch len(parts) {
	case 0:
		return
	case 1:
		o.Name = parts[0]
	default:
		o.Schema, o.Name = parts[len(parts)-2], parts[len(parts)-1]
	}
	a.object(o)
}

// temporary reports whether a relation is made in pg_temp.
func (a *analysis) temporary(rv *pgquery.RangeVar) bool {
	return rv.GetRelpersistence() == "t" || a.createdIn(rv.GetSchemaname()) == tempSchema
}

// createdIn is the schema in which an object of that qualification is made; empty if
// that is not known.
func (a *analysis) createdIn(schema string) string {
	switch {
	case schema == "":
		return a.env.creates
	case temporarySchema(schema):
		return tempSchema
	}
	return schema
}

// created records a relation that does not exist yet, and the verb.
func (a *analysis) created(rv *pgquery.RangeVar) {
	a.database(rv.GetCatalogname())
	if a.temporary(rv) {
		a.ddl(access.VerbTemp)
		a.st.Temp = append(a.st.Temp, rv.Relname)
		a.object(access.Object{Kind: access.KindTable, Schema: tempSchema, Name: rv.Relname, Write: true, ColumnsKnown: true})
		return
	}
	a.ddl(access.VerbCreate)
	o := access.Object{Kind: access.KindTable, Schema: a.createdIn(rv.Schemaname), Name: rv.Relname, Write: true, ColumnsKnown: true}
	if r := a.lookup(o.Schema, o.Name); r != nil {
		o.OID, o.ColumnsKnown = r.OID, false // OR REPLACE, IF NOT EXISTS
	}
	a.object(o)
}

// altered records a relation whose structure changes. One that is certainly the
// session's own makes the verb temp.
func (a *analysis) altered(v access.Verb, rv *pgquery.RangeVar) {
	rels := a.whole(rv, false, true)
	if len(rels) == 1 && rels[0].temp && rels[0].rel != nil || len(rels) == 1 && a.onlyTemp(rels[0]) {
		v = access.VerbTemp
	}
	a.ddl(v)
}

// onlyTemp: the name is known as temporary and means nothing else.
func (a *analysis) onlyTemp(r *relUse) bool {
	_, known := a.env.Temp[r.name]
	return r.temp && known
}

// inner walks a part of a statement for the relations, functions and queries
// that it names. Column references belong to relations that are listed whole.
func (a *analysis) inner(m protoMessage) {
	if !m.IsValid() || !a.enter() {
		return
	}
	defer a.leave()
	switch v := m.Interface().(type) {
	case *pgquery.RangeVar:
		a.whole(v, true, false) // REFERENCES, LIKE, statistics
	case *pgquery.SelectStmt:
		a.nested(&scope{}, v, access.UseStore)
	case *pgquery.FuncCall:
		a.calls(v)
	case *pgquery.ColumnRef:
	case *pgquery.TypeName:
		a.domain(v)
	case *pgquery.InsertStmt, *pgquery.UpdateStmt, *pgquery.DeleteStmt, *pgquery.MergeStmt:
		a.opaque("a statement stands where none is expected")
	default:
		a.children(m, a.inner)
	}
}

// calls judges a call in a default, a check or an index: the functions count,
// the columns are the relation's own.
func (a *analysis) calls(f *pgquery.FuncCall) {
	p := names(f.Funcname)
	schema := ""
	if len(p) > 1 {
		schema = p[len(p)-2]
	}
	a.function(schema, p[len(p)-1], len(f.Args), f)
	for _, n := range f.Args {
		a.inner(n.ProtoReflect())
	}
}

func (a *analysis) parts(list ...[]*pgquery.Node) {
	for _, nodes := range list {
		for _, n := range nodes {
			a.inner(n.ProtoReflect())
		}
	}
}

// readsQuery walks the query of a view or table and makes its reads part of
// this statement.
func (a *analysis) readsQuery(n *pgquery.Node) {
	switch v := n.GetNode().(type) {
	case *pgquery.Node_SelectStmt:
		a.nested(&scope{}, v.SelectStmt, access.UseStore)
	case *pgquery.Node_ExecuteStmt:
		verb := a.verb
		a.execute(v.ExecuteStmt)
		a.verb = verb // what it runs, the session adds
		a.st.Execute.Into, a.st.ReturnsRows = true, false
	default:
		a.opaque("a query of a kind that is not known")
	}
}

// into is SELECT INTO.
func (a *analysis) into(c *pgquery.IntoClause) { a.created(c.Rel) }

// createTable walks the columns and constraints of CREATE TABLE.
func (a *analysis) createTable(s *pgquery.CreateStmt) {
	a.created(s.Relation)
	for _, n := range s.InhRelations {
		a.whole(n.GetRangeVar(), false, true)
	}
	a.parts(s.TableElts, s.Constraints)
	if s.Partbound != nil {
		a.inner(s.Partbound.ProtoReflect())
	}
	if s.Partspec != nil {
		a.inner(s.Partspec.ProtoReflect())
	}
}

// code marks a statement that stores code, which later statements run.
func (a *analysis) code(what string) { a.partial(what + " holds code that is not looked into") }

// qualifiedNames returns the parts of the name that a node is.
func qualifiedNames(n *pgquery.Node) []string {
	switch v := n.GetNode().(type) {
	case *pgquery.Node_List:
		return names(v.List.Items)
	case *pgquery.Node_String_:
		return []string{v.String_.GetSval()}
	case *pgquery.Node_ObjectWithArgs:
		return names(v.ObjectWithArgs.Objname)
	case *pgquery.Node_TypeName:
		return names(v.TypeName.Names)
	case *pgquery.Node_RangeVar:
		return catalogName(v.RangeVar)
	}
	return nil
}

func catalogName(rv *pgquery.RangeVar) []string {
	if rv.Schemaname == "" {
		return []string{rv.Relname}
	}
	return []string{rv.Schemaname, rv.Relname}
}

// rangeVarOf turns name parts into a relation's name.
func rangeVarOf(p []string) *pgquery.RangeVar {
	rv := &pgquery.RangeVar{}
	switch len(p) {
	case 0:
	case 1:
		rv.Relname = p[0]
	case 2:
		rv.Schemaname, rv.Relname = p[0], p[1]
	default:
		rv.Catalogname, rv.Schemaname, rv.Relname = p[0], p[1], p[2]
	}
	return rv
}

// relationType reports whether an object type is a relation's.
func relationType(t pgquery.ObjectType) bool {
	switch t {
	case pgquery.ObjectType_OBJECT_TABLE, pgquery.ObjectType_OBJECT_VIEW, pgquery.ObjectType_OBJECT_MATVIEW,
		pgquery.ObjectType_OBJECT_FOREIGN_TABLE, pgquery.ObjectType_OBJECT_SEQUENCE:
		return true
	}
	return false
}

// partOfRelation: the last name is the part's, those before the relation's.
func partOfRelation(t pgquery.ObjectType) bool {
	switch t {
	case pgquery.ObjectType_OBJECT_COLUMN, pgquery.ObjectType_OBJECT_TABCONSTRAINT, pgquery.ObjectType_OBJECT_TRIGGER,
		pgquery.ObjectType_OBJECT_RULE, pgquery.ObjectType_OBJECT_POLICY:
		return true
	}
	return false
}

// kindOf says what an object type is in the words of access.
func kindOf(t pgquery.ObjectType) access.ObjectKind {
	switch t {
	case pgquery.ObjectType_OBJECT_FUNCTION, pgquery.ObjectType_OBJECT_PROCEDURE, pgquery.ObjectType_OBJECT_ROUTINE,
		pgquery.ObjectType_OBJECT_AGGREGATE:
		return access.KindFunction
	case pgquery.ObjectType_OBJECT_SCHEMA:
		return access.KindSchema
	case pgquery.ObjectType_OBJECT_DATABASE:
		return access.KindDatabase
	case pgquery.ObjectType_OBJECT_ROLE:
		return access.KindRole
	case pgquery.ObjectType_OBJECT_TYPE, pgquery.ObjectType_OBJECT_DOMAIN:
		return access.KindType
	}
	return access.KindOther
}

// concerns records the object of a statement that names it by type.
func (a *analysis) concerns(v access.Verb, t pgquery.ObjectType, n *pgquery.Node) {
	p := qualifiedNames(n)
	switch {
	case relationType(t):
		a.altered(v, rangeVarOf(p))
	case t == pgquery.ObjectType_OBJECT_INDEX:
		a.ddl(v)
		a.named(access.KindOther, p...)
	case partOfRelation(t) && len(p) > 1:
		a.altered(v, rangeVarOf(p[:len(p)-1]))
	default:
		a.ddl(v)
		a.named(kindOf(t), p...)
	}
}

// schemaRelations lists every known relation of a schema.
func (a *analysis) schemaRelations(schema string) {
	if a.env.Catalog == nil {
		return
	}
	a.env.Catalog.Relations(func(r *catalog.Relation) bool {
		if r.Schema == schema {
			u := a.relUse(r.Schema, r.Name, r, false)
			u.write, u.unknown = true, true
		}
		return true
	})
}
