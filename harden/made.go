package harden

import "fmt"

// What a script makes and finds again at the next run: roles, schemas, views and
// the event trigger. [Mark] tells them from what others have made.

// ownRole makes a role, or makes sure that one of that name is what an earlier
// run has made of it: who has attributes, memberships or things of its own can do
// more than is granted here.
func ownRole(name string) string {
	return fmt.Sprintf(`  DECLARE
    r oid := (SELECT oid FROM pg_roles WHERE rolname = %[1]s);
  BEGIN
    IF r IS NULL THEN
      CREATE ROLE %[2]s LOGIN;
      COMMENT ON ROLE %[2]s IS %[3]s;
    ELSIF shobj_description(r, 'pg_authid') IS DISTINCT FROM %[3]s THEN
      RAISE EXCEPTION 'there is a role %% that others have made', %[1]s USING HINT = %[4]s;
    ELSIF EXISTS (SELECT FROM pg_roles WHERE oid = r AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)) THEN
      RAISE EXCEPTION 'role %% may do too much: it is a superuser, creates roles or databases, replicates or passes row security by', %[1]s;
    ELSIF EXISTS (SELECT FROM pg_auth_members WHERE member = r) THEN
      RAISE EXCEPTION 'role %% may do too much: it is a member of other roles', %[1]s USING HINT = 'REVOKE them from it.';
    ELSIF EXISTS (SELECT FROM pg_class WHERE relowner = r AND relpersistence <> 't') OR EXISTS (SELECT FROM pg_namespace WHERE nspowner = r)
      OR EXISTS (SELECT FROM pg_proc WHERE proowner = r) OR EXISTS (SELECT FROM pg_database WHERE datdba = r) THEN
      RAISE EXCEPTION 'role %% may do too much: it owns things', %[1]s USING HINT = 'REASSIGN OWNED BY it to another.';
    END IF;
  END;`, Literal(name), Ident(name), Literal(Mark), handOver)
}

// nothingLeft makes sure that a role has lost what there was. What somebody other
// than a table's owner has granted, REVOKE does not take back.
func nothingLeft(name string) string {
	return fmt.Sprintf(`  DECLARE
    r oid := (SELECT oid FROM pg_roles WHERE rolname = %[1]s);
    what text := (SELECT string_agg(DISTINCT l.on_what, ', ') FROM (
      SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) x WHERE x.grantee = r AND n.nspname <> %[1]s
      UNION SELECT a.attrelid::regclass::text FROM pg_attribute a, aclexplode(a.attacl) x WHERE x.grantee = r
      UNION SELECT 'schema ' || n.nspname FROM pg_namespace n, aclexplode(n.nspacl) x WHERE x.grantee = r AND x.privilege_type = 'CREATE'
      UNION SELECT 'what ' || pg_get_userbyid(d.defaclrole) || ' will make' FROM pg_default_acl d, aclexplode(d.defaclacl) x WHERE x.grantee = r
      UNION SELECT 'database ' || d.datname FROM pg_database d, aclexplode(d.datacl) x WHERE x.grantee = r AND x.privilege_type = 'CREATE') l (on_what));
  BEGIN
    IF what IS NOT NULL THEN
      RAISE EXCEPTION 'role %% has rights on %% that this script cannot take back', %[1]s, what USING HINT = 'Whoever granted them can REVOKE them.';
    END IF;
  END;`, Literal(name))
}

// handOver is an SQL literal.
const handOver = `'Rename it, or hand it over by a COMMENT on it: "` + Mark + `".'`

// ownSchema makes a schema unless an earlier run has. Who owns a schema can put
// into it what they like: the caller sees to that.
func ownSchema(name string) string {
	return fmt.Sprintf(`  DECLARE
    s oid := (SELECT oid FROM pg_namespace WHERE nspname = %[1]s);
  BEGIN
    IF s IS NULL THEN
      CREATE SCHEMA %[2]s;
      COMMENT ON SCHEMA %[2]s IS %[3]s;
    ELSIF obj_description(s, 'pg_namespace') IS DISTINCT FROM %[3]s THEN
      RAISE EXCEPTION 'there is a schema %% that others have made', %[1]s USING HINT = %[4]s;
    END IF;
  END;`, Literal(name), Ident(name), Literal(Mark), handOver)
}

// dropViews drops the views of an earlier run.
func dropViews(schema string) string {
	return fmt.Sprintf(`  DECLARE v name;
  BEGIN
    FOR v IN SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = %[1]s AND c.relkind = 'v' AND obj_description(c.oid, 'pg_class') = %[2]s LOOP
      EXECUTE format('DROP VIEW %%I.%%I', %[1]s, v);
    END LOOP;
  END;`, Literal(schema), Literal(Mark))
}

// trigger tells the gateway of DDL from elsewhere. It is made whole or not at
// all: a function that a lesser account owns would be run, with whatever that
// account makes of it, by everybody who does DDL, superusers too.
func (p *Plan) trigger(w *writer) {
	if p.Channel == "" {
		return
	}
	w.head("DDL from elsewhere is told to the gateway at once, not found at its next look.")
	tell := dollar(fmt.Sprintf(`BEGIN
  -- What sessions make for themselves is nobody else's business.
  IF tg_tag LIKE 'DROP %%' OR EXISTS (SELECT FROM pg_event_trigger_ddl_commands() c WHERE c.schema_name IS DISTINCT FROM 'pg_temp') THEN
    PERFORM pg_notify(%s, '');
  END IF;
END`, Literal(p.Channel)))
	w.block(fmt.Sprintf(`%[4]s
  ALTER SCHEMA %[3]s OWNER TO CURRENT_USER;
  REVOKE ALL ON SCHEMA %[3]s FROM PUBLIC;
  CREATE OR REPLACE FUNCTION %[3]s.tell_ddl() RETURNS event_trigger LANGUAGE plpgsql SET search_path = pg_catalog AS %[5]s;
  ALTER FUNCTION %[3]s.tell_ddl() OWNER TO CURRENT_USER;
  IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = %[1]s) THEN
    CREATE EVENT TRIGGER %[2]s ON ddl_command_end EXECUTE FUNCTION %[3]s.tell_ddl();
  END IF;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE NOTICE 'no event trigger by this run: that needs a superuser. Where there is none, the gateway looks once a minute.';`,
		Literal(p.Channel), Ident(p.Channel), Ident(Own), ownSchema(Own), tell))
}
