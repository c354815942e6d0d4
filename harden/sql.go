package harden

import (
	"fmt"
	"slices"
	"strings"
)

// SQL is the script: one transaction that can be run again and again.
func (p *Plan) SQL() string {
	w := writer{}
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
	w.block(fmt.Sprintf(`  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = %[1]s) THEN
    CREATE ROLE %[2]s LOGIN;
  ELSIF EXISTS (SELECT FROM pg_roles WHERE rolname = %[1]s AND (rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls)) THEN
    RAISE EXCEPTION 'role %% exists and may do too much', %[1]s;
  END IF;`, Literal(RoleName(r.Group)), name))
	for _, s := range p.Schemas {
		w.do("REVOKE ALL ON SCHEMA %s FROM %s", Ident(s), name)
		w.do("REVOKE ALL ON ALL TABLES IN SCHEMA %s FROM %s", Ident(s), name)
		w.do("REVOKE ALL ON ALL SEQUENCES IN SCHEMA %s FROM %s", Ident(s), name)
	}
	for _, s := range r.schemas() {
		w.do("GRANT USAGE ON SCHEMA %s TO %s", Ident(s), name)
	}
	for i := range r.Tables {
		r.Tables[i].grants(w, name)
	}
	r.views(w, name)
	r.settings(w, name)
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
	w.block(fmt.Sprintf(`  IF EXISTS (SELECT FROM pg_namespace WHERE nspname = %[1]s) THEN
    DECLARE v name;
    BEGIN
      FOR v IN SELECT relname FROM pg_class WHERE relnamespace = %[2]s::regnamespace AND relkind = 'v' LOOP
        EXECUTE format('DROP VIEW %%I.%%I', %[1]s, v);
      END LOOP;
    END;
  END IF;`, Literal(schema), Literal(Ident(schema))))
	if !r.viewed() {
		return
	}
	w.do("CREATE SCHEMA IF NOT EXISTS %s", Ident(schema))
	w.do("REVOKE ALL ON SCHEMA %s FROM PUBLIC, %s", Ident(schema), role)
	w.do("GRANT USAGE ON SCHEMA %s TO %s", Ident(schema), role)
	for i := range r.Tables {
		if t := &r.Tables[i]; t.viewed() {
			t.view(w, Name{schema, r.viewName(t)}, role)
		}
	}
}

// viewName is the table's own name, unless another schema has the same.
func (r *Role) viewName(t *Table) string {
	for i := range r.Tables {
		if o := &r.Tables[i]; o != t && o.viewed() && o.Name.Name == t.Name.Name {
			name := t.Schema + "_" + t.Name.Name
			return strings.ToValidUTF8(name[:min(len(name), 63)], "")
		}
	}
	return t.Name.Name
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
	w.do("REVOKE ALL ON %s FROM PUBLIC", name.sql())
	w.do("GRANT SELECT ON %s TO %s", name.sql(), role)
}

func (r *Role) settings(w *writer, role string) {
	if r.viewed() {
		w.say("so that the views are found first; the tables themselves by their full names")
		w.do(`ALTER ROLE %s SET search_path = %s, "$user", public`, role, Ident(RoleName(r.Group)))
	} else {
		w.do("ALTER ROLE %s RESET search_path", role)
	}
	if r.writes() {
		w.do("ALTER ROLE %s RESET default_transaction_read_only", role)
	} else {
		w.do("ALTER ROLE %s SET default_transaction_read_only = on", role)
	}
	if r.Timeout != "" {
		w.say("%s", r.Why)
		w.do("ALTER ROLE %s SET statement_timeout = %s", role, Literal(r.Timeout))
	} else {
		w.say("no rule limits the time: ALTER ROLE %s SET statement_timeout = '5min' would", role)
		w.do("ALTER ROLE %s RESET statement_timeout", role)
	}
}

// trigger tells the gateway of DDL from elsewhere.
func (p *Plan) trigger(w *writer) {
	if p.Channel == "" {
		return
	}
	w.head("DDL from elsewhere is told to the gateway at once, not found at its next look.")
	w.do("CREATE SCHEMA IF NOT EXISTS %s", Ident(Own))
	w.do("REVOKE ALL ON SCHEMA %s FROM PUBLIC", Ident(Own))
	w.do("CREATE OR REPLACE FUNCTION %s.tell_ddl() RETURNS event_trigger LANGUAGE plpgsql SET search_path = pg_catalog AS %s", Ident(Own), dollar(fmt.Sprintf(`BEGIN
  -- What sessions make for themselves is nobody else's business.
  IF tg_tag LIKE 'DROP %%' OR EXISTS (SELECT FROM pg_event_trigger_ddl_commands() c WHERE c.schema_name IS DISTINCT FROM 'pg_temp') THEN
    PERFORM pg_notify(%s, '');
  END IF;
END`, Literal(p.Channel))))
	w.block(fmt.Sprintf(`  IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = %[1]s) THEN
    CREATE EVENT TRIGGER %[2]s ON ddl_command_end EXECUTE FUNCTION %[3]s.tell_ddl();
  END IF;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE NOTICE 'no event trigger: that needs a superuser. The gateway looks once a minute.';`, Literal(p.Channel), Ident(p.Channel), Ident(Own)))
}

// Ident quotes an identifier.
func Ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func idents(names []string) string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = Ident(n)
	}
	return strings.Join(all, ", ")
}

// Literal quotes a text, whatever standard_conforming_strings is.
func Literal(s string) string {
	quoted := `'` + strings.ReplaceAll(s, `'`, `''`) + `'`
	if strings.Contains(s, `\`) {
		return ` E` + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

// dollar quotes a body with a tag that does not occur in it.
func dollar(body string) string {
	tag := "$sluice$"
	for n := 0; strings.Contains(body, tag); n++ {
		tag = fmt.Sprintf("$sluice%d$", n)
	}
	return tag + body + tag
}

// oneLine keeps a comment from ending early.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
}
