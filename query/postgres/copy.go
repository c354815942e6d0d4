package postgres

import (
	"slices"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
)

// copyStmt is COPY in its three directions: through the connection, a file of
// the server, a program on the server.
func (a *analysis) copyStmt(s *pgquery.CopyStmt) {
	a.literal = true
	c := &Copy{From: s.IsFrom, Stdio: s.Filename == "", Format: "text"}
	a.st.Copy = c
	a.copyEffect(s, c)
	for _, n := range s.Options {
		c.option(n.GetDefElem())
	}
	if s.Query != nil {
		a.copyQuery(s, c)
		return
	}
	a.copyRelation(s, c)
}

func (a *analysis) copyEffect(s *pgquery.CopyStmt, c *Copy) {
	switch {
	case s.IsProgram:
		c.Program = s.Filename
		a.effect(access.VerbCopyFile)
		a.object(access.Object{Kind: access.KindProgram, Name: s.Filename, Read: s.IsFrom, Write: !s.IsFrom})
		a.partial("a program on the server may do anything")
	case s.Filename != "":
		c.File = s.Filename
		a.effect(access.VerbCopyFile)
		a.object(access.Object{Kind: access.KindFile, Name: s.Filename, Read: s.IsFrom, Write: !s.IsFrom})
		a.partial("what the server's files hold is not in the text")
	case s.IsFrom:
		a.effect(access.VerbCopyIn)
	default:
		a.effect(access.VerbCopyOut)
		a.impure()
	}
}

func (a *analysis) copyQuery(s *pgquery.CopyStmt, c *Copy) {
	in := a.inside(s.Query, "")
	c.Query = in
	if in.Action.Verb == access.VerbSelect {
		in.Action.Verb = access.VerbCopyOut // reading is what a COPY TO does anyway
	}
	a.adopt(in)
	if !c.Stdio {
		bypassed(a.objects)
	}
	a.st.Outputs, a.st.OutputsKnown = in.Outputs, in.OutputsKnown
}

func (a *analysis) copyRelation(s *pgquery.CopyStmt, c *Copy) {
	var rels []*relUse
	if s.IsFrom {
		rels = a.written(s.Relation)
	} else {
		rels = a.use1(s.Relation, true, false)
	}
	it := a.relationItem(s.Relation, rels)
	last := rels[len(rels)-1]
	c.Schema, c.Relation, c.Columns = last.schema, last.name, names(s.Attlist)
	if len(it.behind) > 0 {
		c.Schema, c.Relation = "", "" // it may be another
	}
	sc := &scope{items: []*item{it}, list: it.listed()}
	if s.IsFrom {
		for _, r := range rels {
			a.copied(r, c.Columns)
		}
		a.condition(sc, s.WhereClause, access.UseFilter)
		return
	}
	d := &derived{known: true}
	if len(c.Columns) == 0 {
		a.star(sc, nil, outermost, d)
	}
	for _, name := range c.Columns {
		found := a.unqualified(sc, name, access.UseFlow)
		d.known = d.known && len(found) == 1
		d.cols = append(d.cols, found...)
	}
	if c.Stdio {
		a.outputs(d)
	} else {
		a.consume(d, access.UseStore)
	}
}

// bypassed turns outputs that never pass through the gateway into copies.
func bypassed(objects []access.Object) {
	for i := range objects {
		cols := slices.Clone(objects[i].Columns)
		for j := range cols {
			if cols[j].Use&access.UseOutput != 0 {
				cols[j].Use = cols[j].Use&^access.UseOutput | access.UseStore
			}
		}
		objects[i].Columns = cols
	}
}

// copied notes the columns that COPY FROM fills.
func (a *analysis) copied(r *relUse, cols []string) {
	if len(cols) == 0 {
		r.all |= access.UseAssign
	}
	for _, name := range cols {
		r.use(name, access.UseAssign, spot{})
	}
}

func (c *Copy) option(e *pgquery.DefElem) {
	text := e.GetArg().GetString_().GetSval()
	switch e.GetDefname() {
	case "format":
		c.Format = text
	case "delimiter":
		c.Delimiter = text
	case "null":
		c.Null = text
	case "quote":
		c.Quote = text
	case "escape":
		c.Escape = text
	case "header":
		c.Header = optionOn(e.Arg)
	case "freeze":
	default:
		c.OtherOptions = true
	}
}
