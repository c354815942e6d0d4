package server

import (
	"strings"
	"testing"

	"sluice/access"
	"sluice/harden"
	"sluice/internal/pgtest"
)

// rules replaces the house's policy; %[1]s is what its groups end in.
func (h *hardHouse) rules(rules string) {
	h.t.Helper()
	const head = "apiVersion: sluice/v1\nkind: Policy\nmetadata: {name: access}\nspec:\n  rules:\n"
	writeFile(h.t, h.folder, "rules.yaml", head+strings.ReplaceAll(rules, "%[1]s", h.suffix))
}

// expect runs SQL as the role of a group and looks for a text in the answer.
func (h *hardHouse) expect(group string, want map[string]string) {
	h.t.Helper()
	for sql, text := range want {
		if got := h.as(group, sql); !strings.Contains(got, text) || text == "" && got != "" || strings.Contains(got, "needle") {
			h.t.Errorf("%s: %s: %q, want %q", group, sql, got, text)
		}
	}
}

const hardWritersRule = "  - {id: writers, match: {groups: [\"wri'ters\\\"$sluice$\\n--\\\\%[1]s\"], access: [read, write]}, effect: allow}\n"

// A role that an earlier run has made keeps nothing when the policy says
// nothing for its group any more.
func TestHardenTakesBack(t *testing.T) {
	for name, rules := range map[string]string{
		"denied":   hardWritersRule + "  - {id: none, match: {groups: [readers%[1]s]}, effect: deny}\n",
		"unnamed":  hardWritersRule,
		"no group": "  - {id: nobody, match: {groups: [nobody%[1]s]}, effect: deny}\n",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHardHouse(t, pgtest.Shared(t))
			h.apply()
			h.expect("readers", map[string]string{"SELECT name FROM public.customers": "Ann", "SELECT email FROM customers": "***@example.com"})
			h.rules(rules)
			h.apply()
			h.expect("readers", map[string]string{"SELECT name FROM public.customers": "permission denied", "SELECT email FROM customers": "permission denied",
				"SELECT body FROM notes": "permission denied", `SELECT * FROM "Odd ""Schema"."T;--"`: "permission denied"})
			first := h.rights()
			if sql := h.apply(); strings.Contains(sql, "earlier run; now") {
				t.Error("what was taken back is taken back again")
			}
			if second := h.rights(); second != first {
				t.Errorf("before\n%s\nafter\n%s", first, second)
			}
		})
	}
}

// What rules say of columns by name holds for those that come later: they are
// not granted before the next run.
func TestHardenLaterColumns(t *testing.T) {
	h := newHardHouse(t, pgtest.Shared(t))
	h.rules(hardWritersRule + `  - {id: readers, match: {groups: [readers%[1]s], access: [read]}, effect: allow}
  - {id: secret, match: {groups: [readers%[1]s], columns: ["*.*.ssn"]}, effect: mask, mask: {with: "null"}}
  - {id: fixed, match: {columns: ["*.*.audit"], access: [write]}, effect: deny}
`)
	h.apply()
	h.pg.Exec(t, h.db, "ALTER TABLE notes ADD COLUMN ssn text DEFAULT 'needle', ADD COLUMN audit text DEFAULT 'a', ADD COLUMN other text DEFAULT 'o'")
	h.expect("readers", map[string]string{"SELECT ssn FROM notes": "permission denied", "SELECT body FROM notes": "x", "SELECT count(*) FROM notes": "1"})
	h.expect(hardWriters, map[string]string{"UPDATE notes SET audit = 'b'": "permission denied", "INSERT INTO notes (audit) VALUES ('b')": "permission denied",
		"UPDATE notes SET body = 'y' RETURNING body": "y"})
	h.apply()
	h.expect("readers", map[string]string{"SELECT ssn FROM public.notes": "permission denied", "SELECT other, ssn IS NULL FROM notes": "o|t"})
	h.expect(hardWriters, map[string]string{"UPDATE notes SET audit = 'b'": "permission denied", "UPDATE notes SET other = 'p' RETURNING other": "p"})
}

// What others have made is neither used nor touched.
func TestHardenLeavesOthers(t *testing.T) {
	role := func(h *hardHouse) string { return harden.Ident(harden.RoleName("readers" + h.suffix)) }
	for name, c := range map[string]struct{ before, want string }{
		"a role":     {"CREATE ROLE %[1]s LOGIN", "others have made"},
		"a schema":   {"CREATE SCHEMA %[1]s; CREATE VIEW %[1]s.theirs AS SELECT 1", "others have made"},
		"membership": {"CREATE ROLE %[1]s LOGIN IN ROLE pg_read_all_data; COMMENT ON ROLE %[1]s IS 'made by sluice harden'", "member of other roles"},
		"attributes": {"CREATE ROLE %[1]s LOGIN CREATEDB; COMMENT ON ROLE %[1]s IS 'made by sluice harden'", "may do too much"},
		"a thing":    {"CREATE ROLE %[1]s LOGIN; COMMENT ON ROLE %[1]s IS 'made by sluice harden'; CREATE TABLE theirs (id int); ALTER TABLE theirs OWNER TO %[1]s", "owns things"},
		"others' grants": {"CREATE ROLE %[1]s LOGIN; COMMENT ON ROLE %[1]s IS 'made by sluice harden'; CREATE ROLE giver%[2]s; GRANT USAGE ON SCHEMA finance TO giver%[2]s; GRANT SELECT ON finance.salaries TO giver%[2]s WITH GRANT OPTION; " +
			"SET ROLE giver%[2]s; GRANT SELECT ON finance.salaries TO %[1]s; RESET ROLE", "rights on finance.salaries that this script cannot take back"},
		"the server's": {"CREATE ROLE %[1]s LOGIN; COMMENT ON ROLE %[1]s IS 'made by sluice harden'; GRANT SELECT ON pg_authid TO %[1]s", "rights on pg_authid that"},
		"one column":   {"CREATE ROLE %[1]s LOGIN; COMMENT ON ROLE %[1]s IS 'made by sluice harden'; GRANT SELECT (rolpassword) ON pg_authid TO %[1]s", "rights on pg_authid that"},
		"later tables": {"CREATE ROLE %[1]s LOGIN; COMMENT ON ROLE %[1]s IS 'made by sluice harden'; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO %[1]s", "rights on what postgres will make that"},
		"make schemas": {"CREATE ROLE %[1]s LOGIN; COMMENT ON ROLE %[1]s IS 'made by sluice harden'; DO $$ BEGIN EXECUTE 'GRANT CREATE ON DATABASE ' || current_database() || ' TO %[1]s'; END $$", "rights on database t"},
		"own schema":   {"CREATE SCHEMA sluice", "others have made"},
		"their view":   {"CREATE SCHEMA %[1]s; COMMENT ON SCHEMA %[1]s IS 'made by sluice harden'; CREATE VIEW %[1]s.theirs AS SELECT 1", ""},
		"handed over":  {"CREATE ROLE %[1]s LOGIN; COMMENT ON ROLE %[1]s IS 'made by sluice harden'", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHardHouse(t, pgtest.Shared(t))
			h.rules("  - {id: readers, match: {groups: [readers%[1]s], access: [read]}, effect: allow}\n" +
				"  - {id: mail, match: {columns: [\"*.customers.email\"], groups: [readers%[1]s]}, effect: mask, mask: {with: email}}\n")
			h.pg.Exec(t, h.db, "DO $$ BEGIN CREATE ROLE "+harden.Ident(harden.RoleName(hardWriters+h.suffix))+"; END $$") // the house drops it
			h.pg.Exec(t, h.db, strings.NewReplacer("%[1]s", role(h), "%[2]s", h.suffix).Replace(c.before))
			t.Cleanup(func() {
				h.pg.Exec(t, h.db, "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'giver"+h.suffix+"') THEN DROP OWNED BY giver"+h.suffix+" CASCADE; DROP ROLE giver"+h.suffix+"; END IF; END $$")
			})
			before := h.rights()
			r, err := Harden(t.Context(), h.folder, "shop")
			if err != nil {
				t.Fatal(err)
			}
			err = r.Apply(t.Context(), "", access.Secret{}, func(string) {})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if after := h.rights(); c.want != "" && after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
			if strings.Contains(c.before, "theirs AS") && h.pg.Exec(t, h.db, "SELECT * FROM "+role(h)+".theirs") != "1" {
				t.Error("their view is gone")
			}
			h.pg.Exec(t, h.db, "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = "+harden.Literal(harden.RoleName("readers"+h.suffix))+") THEN CREATE ROLE "+role(h)+"; END IF; END $$")
		})
	}
}

// What one person may do is not what their group may.
func TestHardenGrantsNobodyElses(t *testing.T) {
	h := newHardHouse(t, pgtest.Shared(t))
	h.rules(hardWritersRule + `  - {id: readers, match: {groups: [readers%[1]s], tables: [notes], access: [read]}, effect: allow}
  - {id: alice, match: {subjects: [alice]}, effect: allow}
  - {id: also, match: {groups: [readers%[1]s], subjects: ["*@example.com"], access: [read, write]}, effect: allow}
`)
	if sql := h.apply(); !strings.Contains(sql, "access/alice: allow") {
		t.Errorf("the rule is not named in\n%s", sql)
	}
	h.expect("readers", map[string]string{"SELECT body FROM notes": "x", "SELECT amount FROM finance.salaries": "permission denied", "BEGIN READ WRITE; DELETE FROM notes": "permission denied"})
}

// The function that runs at everybody's DDL belongs to who ran the script last,
// never to who was there first.
func TestHardenOwnsItsTrigger(t *testing.T) {
	h := newHardHouse(t, pgtest.Shared(t))
	mallory := harden.Ident("mallory" + h.suffix)
	h.pg.Exec(t, h.db, "CREATE ROLE "+mallory, "CREATE SCHEMA sluice AUTHORIZATION "+mallory, "COMMENT ON SCHEMA sluice IS 'made by sluice harden'",
		"CREATE FUNCTION sluice.tell_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'", "ALTER FUNCTION sluice.tell_ddl() OWNER TO "+mallory)
	t.Cleanup(func() { h.pg.Exec(t, h.db, "DROP OWNED BY "+mallory, "DROP ROLE "+mallory) })
	h.apply()
	if got := h.pg.Exec(t, h.db, "SELECT nspowner::regrole, proowner::regrole FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE proname = 'tell_ddl'"); strings.Contains(got, "mallory") {
		t.Error(got)
	}
}

// The same group may have other rights in another database of the server.
func TestHardenTwoDatabases(t *testing.T) {
	h := newHardHouse(t, pgtest.Shared(t))
	h.apply()
	other := newHardHouse(t, pgtest.Shared(t))
	other.rules(strings.ReplaceAll("  - {id: all, match: {groups: [readers%[1]s], access: [read, write]}, effect: allow}\n", "%[1]s", h.suffix))
	h.pg.Exec(t, h.db, "DO $$ BEGIN CREATE ROLE "+harden.Ident(harden.RoleName(hardWriters+other.suffix))+"; CREATE ROLE "+harden.Ident(harden.RoleName("readers"+other.suffix))+"; END $$")
	other.apply()
	t.Cleanup(func() { h.pg.Exec(t, other.db, "DROP OWNED BY "+harden.Ident(harden.RoleName("readers"+h.suffix))) })
	h.expect("readers", map[string]string{"SHOW default_transaction_read_only": "on", "SHOW statement_timeout": "7s", "SELECT email FROM customers": "a***@example.com"})
	elsewhere := &hardHouse{t: t, pg: h.pg, db: other.db, suffix: h.suffix}
	elsewhere.expect("readers", map[string]string{"SHOW default_transaction_read_only": "off", "SHOW statement_timeout": "0", "SELECT email FROM customers": "ann@example.com"})
}

// A view that reads as its reader does hides rows by row security: no view of the
// role's stands between.
func TestHardenKeepsRowSecurity(t *testing.T) {
	h := newHardHouse(t, pgtest.Shared(t))
	h.pg.Exec(t, h.db, "INSERT INTO guarded VALUES (1, 'g@example.com')", "CREATE VIEW seen WITH (security_invoker) AS SELECT id, email FROM guarded")
	h.apply()
	h.expect("readers", map[string]string{"SELECT id FROM guarded": "", "SELECT id FROM seen": "permission denied", "SELECT id FROM public.seen": "permission denied"})
}
