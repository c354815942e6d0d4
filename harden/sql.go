package harden

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// SQL is the script: one transaction that can be run again and again.
func (p *Plan) SQL() string {
	w := writer{}
	w.do("SET client_encoding = 'UTF8'")
	w.say("What the policy says of %s (database %s), for the database to enforce by itself.", p.Resource, p.Database)
	w.say("Everything below can be run again; it replaces what an earlier run has made.")
	w.say("To use a role: give it a password (ALTER ROLE ... PASSWORD) and make it the credential")
	w.say("of a resource for its group. It says nothing about who is not in the group.")
	w.notes("Not expressed here; the gateway enforces it:", p.Notes)
	w.do("BEGIN")
	w.do("SET LOCAL search_path = pg_catalog")
	w.do("SET LOCAL lock_timeout = '5s'")
	p.public(&w)
	for i := range p.Roles {
		p.role(&w, &p.Roles[i])
	}
	for _, name := range p.Gone {
		p.gone(&w, name)
	}
	p.trigger(&w)
	w.do("COMMIT")
	return w.b.String()
}

type writer struct{ b strings.Builder }

// do writes a statement.
func (w *writer) do(format string, args ...any) { fmt.Fprintf(&w.b, format+";\n", args...) }

// say writes a comment.
func (w *writer) say(format string, args ...any) {
	w.b.WriteString("-- " + oneLine(fmt.Sprintf(format, args...)) + "\n")
}

func (w *writer) notes(title string, notes []string) {
	if len(notes) == 0 {
		return
	}
	w.say("%s", title)
	for _, n := range notes {
		w.say("  %s", n)
	}
}

func (w *writer) head(format string, args ...any) {
	w.b.WriteByte('\n')
	w.say(format, args...)
}

// block writes an anonymous block of PL/pgSQL.
func (w *writer) block(body string) { w.do("DO %s", dollar("BEGIN\n"+body+"\nEND")) }

// public takes from everybody what a role must not have.
func (p *Plan) public(w *writer) {
	if len(p.Public)+len(p.Creators) == 0 {
		return
	}
	w.head("Rights of everybody are rights of every role. Whoever else needs these must be granted them.")
	for _, s := range p.Creators {
		w.do("REVOKE CREATE ON SCHEMA %s FROM PUBLIC", Ident(s))
	}
	for _, t := range p.Public {
		w.do("REVOKE ALL ON %s FROM PUBLIC", t.sql())
	}
}

func (n Name) sql() string { return Ident(n.Schema) + "." + Ident(n.Name) }

func (p *Plan) role(w *writer, r *Role) {
	name := Ident(RoleName(r.Group))
	w.head("Group %s", r.Group)
	w.notes("The gateway enforces on top:", r.Notes)
	w.block(ownRole(RoleName(r.Group)))
	for _, revoke := range p.revocations(name) {
		w.do("%s", revoke)
	}
	w.block(nothingLeft(RoleName(r.Group)))
	for _, s := range r.schemas() {
		w.do("GRANT USAGE ON SCHEMA %s TO %s", Ident(s), name)
	}
	for i := range r.Tables {
		r.Tables[i].grants(w, name)
	}
	r.views(w, name)
	p.settings(w, r, name)
}

// revocations take from a role what earlier runs gave it.
func (p *Plan) revocations(role string) []string {
	var all []string
	for _, s := range p.Schemas {
		for _, what := range []string{"SCHEMA ", "ALL TABLES IN SCHEMA ", "ALL SEQUENCES IN SCHEMA "} {
			all = append(all, "REVOKE ALL ON "+what+Ident(s)+" FROM "+role)
		}
	}
	return all
}

// gone takes everything from a role that the policy says nothing for any more.
func (p *Plan) gone(w *writer, name string) {
	w.head("Role %s was made by an earlier run; now no rule allows its group anything here.", name)
	for _, revoke := range p.revocations(Ident(name)) {
		w.do("%s", revoke)
	}
	w.block(nothingLeft(name))
	w.block(dropViews(name))
	w.block(fmt.Sprintf(`  IF EXISTS (SELECT FROM pg_namespace WHERE nspname = %s AND obj_description(oid, 'pg_namespace') = %s) THEN
    REVOKE ALL ON SCHEMA %s FROM %s;
  END IF;`, Literal(name), Literal(Mark), Ident(name), Ident(name)))
}

// schemas are those that the role has a right in.
func (r *Role) schemas() []string {
	var all []string
	for i := range r.Tables {
		if t := &r.Tables[i]; t.any() && !slices.Contains(all, t.Schema) {
			all = append(all, t.Schema)
		}
	}
	slices.Sort(all)
	return all
}

func (t *Table) any() bool {
	return t.Select.Any() || t.Insert.Any() || t.Update.Any() || t.Delete || t.Truncate
}

// grants writes what the role may do with the table itself.
func (t *Table) grants(w *writer, role string) {
	var whole, some []string
	add := func(right string, c Columns) {
		switch {
		case c.All:
			whole = append(whole, right)
		case len(c.Names) > 0:
			some = append(some, right+" ("+idents(c.Names)+")")
		}
	}
	kind := ""
	if t.Sequence {
		kind = "SEQUENCE "
		add("USAGE", t.Update)
	} else {
		add("SELECT", t.Select)
		add("INSERT", t.Insert)
		add("UPDATE", t.Update)
	}
	if t.Delete {
		whole = append(whole, "DELETE")
	}
	if t.Truncate {
		whole = append(whole, "TRUNCATE")
	}
	if rights := append(whole, some...); len(rights) > 0 {
		w.say("%s", strings.Join(t.Why, ", "))
		w.do("GRANT %s ON %s%s TO %s", strings.Join(rights, ", "), kind, t.sql(), role)
	}
	if t.NoView != "" {
		w.say("%s.%s: %s", t.Schema, t.Name.Name, t.NoView)
	}
}

// views writes the role's own schema, where tables with masked columns stand
// under their names.
func (r *Role) views(w *writer, role string) {
	schema := RoleName(r.Group)
	w.block(dropViews(schema))
	if !r.viewed() {
		return
	}
	w.block(ownSchema(schema))
	w.do("ALTER SCHEMA %s OWNER TO CURRENT_USER", Ident(schema))
	w.do("REVOKE ALL ON SCHEMA %s FROM PUBLIC, %s", Ident(schema), role)
	w.do("GRANT USAGE ON SCHEMA %s TO %s", Ident(schema), role)
	names := r.viewNames()
	for i := range r.Tables {
		if t := &r.Tables[i]; t.viewed() {
			t.view(w, Name{schema, names[t.Name]}, role)
		}
	}
}

func (t *Table) view(w *writer, name Name, role string) {
	var columns []string
	for _, c := range t.Select.Names {
		columns = append(columns, Ident(c))
	}
	for _, m := range t.Masked {
		if m.Expr == "" {
			w.say("left out: %s, %s", m.Column, m.Why)
			continue
		}
		w.say("masked: %s, %s", m.Column, m.Why)
		columns = append(columns, m.Expr+" AS "+Ident(m.Column))
	}
	w.do("CREATE VIEW %s WITH (security_barrier) AS SELECT %s FROM %s", name.sql(), strings.Join(columns, ", "), t.sql())
	w.do("COMMENT ON VIEW %s IS %s", name.sql(), Literal(Mark))
	w.do("REVOKE ALL ON %s FROM PUBLIC", name.sql())
	w.do("GRANT SELECT ON %s TO %s", name.sql(), role)
}

// settings are of this database: the same role may stand for a group in others.
func (p *Plan) settings(w *writer, r *Role, role string) {
	alter := "ALTER ROLE " + role + " IN DATABASE " + Ident(p.Database)
	if r.viewed() {
		w.say("so that the views are found first; the tables themselves by their full names")
		w.do(`%s SET search_path = %s, "$user", public`, alter, Ident(RoleName(r.Group)))
	} else {
		w.do("%s RESET search_path", alter)
	}
	if r.writes() {
		w.do("%s RESET default_transaction_read_only", alter)
	} else {
		w.do("%s SET default_transaction_read_only = on", alter)
	}
	if r.Timeout != "" {
		w.say("%s", r.Why)
		w.do("%s SET statement_timeout = %s", alter, Literal(r.Timeout))
	} else {
		w.say("no rule limits the time: %s SET statement_timeout = '5min' would", alter)
		w.do("%s RESET statement_timeout", alter)
	}
}

// Ident quotes an identifier. What cannot be seen, or makes other text look like
// something else, is spelt out: people read the script before they run it.
func Ident(name string) string {
	quoted := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
	if strings.IndexFunc(name, unseen) < 0 {
		return quoted
	}
	return "U&" + spell(strings.ReplaceAll(quoted, `\`, `\\`), `\%04X`, `\+%06X`)
}

// unseen reports characters that are not printed as themselves.
func unseen(r rune) bool { return !unicode.IsPrint(r) }

// spell writes unseen characters as escapes of four digits, or of more.
func spell(s, short, long string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case !unseen(r):
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, short, r)
		default:
			fmt.Fprintf(&b, long, r)
		}
	}
	return b.String()
}

func idents(names []string) string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = Ident(n)
	}
	return strings.Join(all, ", ")
}

// Literal quotes a text, whatever standard_conforming_strings is, as [Ident] does
// an identifier.
func Literal(s string) string {
	quoted := `'` + strings.ReplaceAll(s, `'`, `''`) + `'`
	if strings.Contains(s, `\`) || strings.IndexFunc(s, unseen) >= 0 {
		return ` E` + spell(strings.ReplaceAll(quoted, `\`, `\\`), `\u%04X`, `\U%08X`)
	}
	return quoted
}

// dollar quotes a body with a tag that does not occur in it.
func dollar(body string) string {
	tag := "$sluice$"
	for n := 0; strings.Contains(body+"$", tag); n++ { // the body's end and the tag's first sign are read together
		tag = fmt.Sprintf("$sluice%d$", n)
	}
	return tag + body + tag
}

// oneLine keeps a comment from ending early, or from looking like anything else.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unseen(r) {
			return ' '
		}
		return r
	}, s)
}
