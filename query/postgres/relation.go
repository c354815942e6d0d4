package postgres

import (
	"slices"
	"strings"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
	"sluice/query/catalog"
)

// A relUse is one relation in use by a statement.
type relUse struct {
	rel          *catalog.Relation // nil: not in the catalog
	schema, name string
	temp         bool // of the session
	read, write  bool
	whole        bool // the statement concerns the relation, not its rows
	moved        bool // its name, or one of its column's, becomes another
	uses         map[string]*usage
	all          access.Use // of every column
	unknown      bool       // some column that is not known is used
}

func (r *relUse) use(column string, use access.Use, at spot) *usage {
	if use == 0 {
		return nil
	}
	u := r.uses[column]
	if u == nil {
		if r.uses == nil {
			r.uses = make(map[string]*usage)
		}
		u = new(usage)
		r.uses[column] = u
	}
	u.add(use, at)
	return u
}

func (r *relUse) system() bool { return catalog.SystemSchema(r.schema) }

// move notes that the relation gets another name. Of a view, what it shows counts.
func (r *relUse) move() {
	r.moved = true
	if r.rel != nil && r.rel.IsView() {
		r.unknown = false
		r.all |= access.UseFlow
	}
}

// shell reports whether a view as such is concerned, not what it shows. Under
// another name what it shows could be taken for something else.
func (r *relUse) shell() bool { return r.whole && !r.moved && r.rel.IsView() }

// relation resolves a name to what it can mean: one relation, or two where a
// temporary one may or may not hide another (the transaction that made it may
// have been rolled back).
func (a *analysis) relation(schema, name string) []*relUse {
	var found []*relUse
	if schema == "" || temporarySchema(schema) {
		if r, ok := a.env.Temp[name]; ok {
			found = append(found, a.relUse(tempSchema, name, r, true))
		}
	}
	switch {
	case temporarySchema(schema):
		if len(found) == 0 {
			found = append(found, a.relUse(tempSchema, name, nil, true))
		}
	case schema != "":
		found = append(found, a.relUse(schema, name, a.lookup(schema, name), false))
	default:
		found = a.alongPath(name, found)
	}
	return found
}

func (a *analysis) lookup(schema, name string) *catalog.Relation {
	if a.env.Catalog == nil {
		return nil
	}
	return a.env.Catalog.Lookup(schema, name)
}

// alongPath appends what name means outside pg_temp.
func (a *analysis) alongPath(name string, found []*relUse) []*relUse {
	for _, schema := range a.env.path {
		if r := a.lookup(schema, name); r != nil {
			return append(found, a.relUse(schema, name, r, false))
		}
		if schema == "pg_catalog" && a.env.Catalog == nil && isSystemRelation()[name] {
			return append(found, a.relUse(schema, name, nil, false))
		}
	}
	if len(found) == 0 {
		found = append(found, a.relUse("", name, nil, false))
	}
	return found
}

// relUse returns the statement's one record of a relation.
func (a *analysis) relUse(schema, name string, rel *catalog.Relation, temp bool) *relUse {
	key := catalog.Name{Schema: schema, Name: name}
	if r := a.relIndex[key]; r != nil {
		return r
	}
	r := &relUse{rel: rel, schema: schema, name: name, temp: temp}
	if a.relIndex == nil {
		a.relIndex = make(map[catalog.Name]*relUse)
	}
	a.relIndex[key] = r
	a.rels = append(a.rels, r)
	a.judge(r)
	return r
}

// judge notes what a relation means for confidence and purity.
func (a *analysis) judge(r *relUse) {
	qualified := strings.TrimPrefix(r.schema+"."+r.name, ".")
	if strings.HasPrefix(r.name, "pg_") || r.system() {
		if isLeakyRelation()[r.name] {
			a.partial(qualified + " shows what is not its own")
		}
	}
	switch {
	case r.rel == nil && r.temp:
		r.unknown = true
	case r.rel == nil:
		r.unknown = true
		a.partial("relation " + qualified + " is not in the catalog")
	case r.rel.Kind == 'f' || r.rel.RowSecurity:
		a.impure()
	}
}

// use1 marks every meaning of a name as read or written, and what the name hides.
// It returns the meanings.
func (a *analysis) use1(rv *pgquery.RangeVar, read, write bool) []*relUse {
	a.database(rv.GetCatalogname())
	rels := a.relation(rv.GetSchemaname(), rv.GetRelname())
	for _, r := range slices.Concat(rels, a.hidden(rv)) {
		r.read = r.read || read
		r.write = r.write || write
		if write && r.rel != nil && r.rel.Rules {
			a.partial("rules rewrite statements on " + r.schema + "." + r.name)
		}
	}
	return rels
}

// written is use1 for statements that change rows. The server's own tables say what
// names mean, and who may do what.
func (a *analysis) written(rv *pgquery.RangeVar) []*relUse {
	rels := a.use1(rv, false, true)
	for _, r := range rels {
		if r.system() {
			a.partial("it changes the server's own " + r.schema + "." + r.name)
		}
	}
	return rels
}

// whole is use1 for statements that concern a relation as such: any column may
// be meant.
func (a *analysis) whole(rv *pgquery.RangeVar, read, write bool) []*relUse {
	if rv == nil {
		return nil
	}
	rels := a.use1(rv, read, write)
	for _, r := range slices.Concat(rels, a.hidden(rv)) {
		r.unknown, r.whole = true, true
	}
	return rels
}

// database refuses what names another database: the server will, too.
func (a *analysis) database(name string) {
	if name != "" && name != a.env.Database {
		a.partial("another database is named")
	}
}

// relationItem makes the FROM item of a relation.
func (a *analysis) relationItem(rv *pgquery.RangeVar, rels []*relUse) *item {
	it := &item{alias: rv.GetRelname(), rels: rels, behind: a.hidden(rv), known: true, sure: true}
	if rv.GetAlias() == nil {
		it.schema = rels[len(rels)-1].schema
	}
	for _, r := range rels {
		if r.rel == nil || r.rel.Columns == nil && r.temp {
			it.known = false
			continue
		}
		for i := range r.rel.Columns {
			it.cols = append(it.cols, r.column(&r.rel.Columns[i]))
		}
	}
	it.mayBeBehind()
	it.aliased(rv.GetAlias())
	return it
}

func (it *item) aliased(alias *pgquery.Alias) {
	if alias == nil {
		return
	}
	it.alias, it.schema = alias.GetAliasname(), ""
	it.rename(names(alias.GetColnames()))
}

func (r *relUse) column(c *catalog.Column) column {
	col := column{name: c.Name, marks: []mark{{r, c.Name}}, bare: true}
	if r.temp {
		col.line.broken = true // nothing says what was put into it
	} else {
		col.line.sources = []catalog.Source{{Relation: r.rel.OID, Num: c.Num}}
	}
	return col
}

// names returns the strings of a list of String nodes.
func names(list []*pgquery.Node) []string {
	out := make([]string, 0, len(list))
	for _, n := range list {
		out = append(out, n.GetString_().GetSval())
	}
	return out
}

// tableObjects lists every relation in use, and what it reaches.
func (a *analysis) tableObjects() []access.Object {
	var objects []access.Object
	d := new(describer)
	for _, r := range a.rels {
		r.expand()
		r.generated()
		objects = append(objects, r.object(d))
	}
	for _, r := range a.rels {
		if r.rel != nil && !r.temp && !r.system() && !a.shallow && !r.shell() {
			objects = append(objects, a.reached(r, d)...)
		}
	}
	return objects
}

// expand spreads a use of all columns over the known ones.
func (r *relUse) expand() {
	if r.all == 0 || r.rel == nil {
		return
	}
	for i := range r.rel.Columns {
		r.use(r.rel.Columns[i].Name, r.all, spot{})
	}
}

// generated adds what the generated columns in use are computed from.
func (r *relUse) generated() {
	if r.rel == nil {
		return
	}
	for i := range r.rel.Columns {
		c := &r.rel.Columns[i]
		u := r.uses[c.Name]
		if u == nil || u.use&readUses == 0 {
			continue
		}
		for _, num := range c.From { // no generated column: the server forbids that
			if from := r.rel.ByNum(num); from != nil {
				r.use(from.Name, access.UseCarry, spot{}).merge(u.computed())
			}
		}
	}
}

// readUses are the uses that show or depend on a column's value.
const readUses = ^access.UseAssign

func (r *relUse) reads() bool {
	for _, u := range r.uses {
		if u.use&readUses != 0 {
			return true
		}
	}
	return r.read
}

func (r *relUse) object(d *describer) access.Object {
	o := access.Object{
		Kind: access.KindTable, Schema: r.schema, Name: r.name, Read: r.reads(), Write: r.write,
		ColumnsKnown: !r.unknown, System: r.system(), Columns: d.columnUses(r.uses),
	}
	if r.rel != nil {
		o.OID = r.rel.OID
		o.Derived = !r.temp && !r.shell() && r.rel.Derived()
	}
	return o
}

// reached lists what a relation reaches: the tables below a view, the parents
// of a partition, with the columns that the ones in use stand for.
func (a *analysis) reached(r *relUse, d *describer) []access.Object {
	relations, why := a.env.Catalog.Reaches(r.rel)
	if why != "" {
		a.partial(why)
	}
	if len(relations) == 0 {
		return nil
	}
	uses, complete := a.below(r)
	a.decided(r, relations, uses)
	var objects []access.Object
	for _, b := range relations {
		a.judgeBelow(b)
		objects = append(objects, access.Object{
			Kind: access.KindTable, Schema: b.Schema, Name: b.Name, OID: b.OID, Read: r.reads(), Write: r.write && !a.maintenance,
			Columns: d.columnUses(uses[b.OID]), ColumnsKnown: complete && !r.unknown,
			Via: r.schema + "." + r.name, System: b.System, Derived: b.Derived(),
		})
	}
	return objects
}

func (a *analysis) judgeBelow(b *catalog.Relation) {
	if b.Kind == 'f' || b.RowSecurity {
		a.impure()
	}
	if b.System && isLeakyRelation()[b.Name] {
		a.partial(b.Schema + "." + b.Name + " shows what is not its own")
	}
}

// below maps the uses of a relation's columns to those they stand for, by OID.
// Through a view that computes, a finer use is a coarse one of what lies below.
func (a *analysis) below(r *relUse) (uses map[uint32]map[string]*usage, complete bool) {
	uses = make(map[uint32]map[string]*usage)
	complete = true
	for name, u := range r.uses {
		c := r.rel.Column(name)
		if c == nil {
			complete = false
			continue
		}
		complete = a.passOn(r.rel.OID, c.Num, u, uses) && complete
	}
	return uses, complete
}

// passOn adds the usage of a column to those that it stands for. It reports false
// if they are not all known.
func (a *analysis) passOn(relation uint32, num int16, u *usage, uses map[uint32]map[string]*usage) bool {
	sources, complete := a.env.Catalog.Sources(relation, num)
	if !a.env.Catalog.Copied(relation, num) {
		u = u.computed()
	}
	for _, src := range sources {
		id, _ := a.env.Catalog.ColumnID(src)
		if uses[src.Relation] == nil {
			uses[src.Relation] = make(map[string]*usage)
		}
		if uses[src.Relation][id.Column] == nil {
			uses[src.Relation][id.Column] = new(usage)
		}
		uses[src.Relation][id.Column].merge(u)
	}
	return complete
}

// decided adds the columns that decide which rows the views on the way have.
func (a *analysis) decided(r *relUse, below []*catalog.Relation, uses map[uint32]map[string]*usage) {
	if a.maintenance || !r.reads() && a.verb == access.VerbInsert {
		return
	}
	a.decidedBy(r.rel, uses)
	for _, rel := range below {
		a.decidedBy(rel, uses)
	}
}

func (a *analysis) decidedBy(rel *catalog.Relation, uses map[uint32]map[string]*usage) {
	if !rel.IsView() || rel.System {
		return
	}
	for _, by := range a.env.Catalog.Trace(rel).Decides {
		u := &usage{}
		u.add(by.Use, spot{word: by.Text})
		a.passOn(by.Source.Relation, by.Source.Num, u, uses)
	}
}
