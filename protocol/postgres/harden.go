package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"sluice/protocol"
	"sluice/query/catalog"
)

// Everybody is what PUBLIC may do in a database, and what earlier hardening left.
type Everybody struct {
	Database  string          // as the server calls it
	Relations map[uint32]bool // on which there is any right, by OID
	Creators  []string        // schemas in which things may be made
	Later     []string        // of whose new tables PUBLIC has rights, in words
	Made      []string        // roles with the given comment and rights in this database
}

const everybodySQL = `SELECT c.oid FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) x WHERE x.grantee = 0 AND c.oid >= 16384
 UNION SELECT a.attrelid FROM pg_catalog.pg_attribute a, pg_catalog.aclexplode(a.attacl) x WHERE x.grantee = 0 AND a.attrelid >= 16384`

const creatorsSQL = `SELECT n.nspname FROM pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) x
 WHERE x.grantee = 0 AND x.privilege_type = 'CREATE' AND n.nspname !~ '^pg_' ORDER BY 1`

const laterSQL = `SELECT DISTINCT pg_catalog.pg_get_userbyid(d.defaclrole) || COALESCE(' in schema ' || n.nspname, '')
 FROM pg_catalog.pg_default_acl d LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace, pg_catalog.aclexplode(d.defaclacl) x
 WHERE d.defaclobjtype IN ('r', 'S') AND x.grantee = 0 ORDER BY 1`

const madeSQL = `SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.shobj_description(r.oid, 'pg_authid') = $1
 AND EXISTS (SELECT FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_database d ON d.oid = s.dbid AND d.datname = pg_catalog.current_database()
 WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.refobjid = r.oid) ORDER BY 1`

// Everybody reads what PUBLIC may do, and which roles that bear a comment have
// rights.
func (srv *Server) Everybody(ctx context.Context, t protocol.Target, comment string) (Everybody, error) {
	e := Everybody{Relations: map[uint32]bool{}}
	var r catalogReader
	defer r.close()
	if err := r.connect(ctx, t); err != nil {
		return e, fmt.Errorf("postgres: %w", err)
	}
	if err := r.exec(ctx, catalog.SetupSQL); err != nil {
		return e, fmt.Errorf("postgres: %w", err)
	}
	list := func(to *[]string) func(string) error {
		return func(v string) error { *to = append(*to, v); return nil }
	}
	for _, q := range []struct {
		sql  string
		args [][]byte
		take func(string) error
	}{
		{"SELECT pg_catalog.current_database()", nil, func(v string) error { e.Database = v; return nil }},
		{everybodySQL, nil, func(v string) error {
			oid, err := strconv.ParseUint(v, 10, 32)
			e.Relations[uint32(oid)] = true
			return err
		}},
		{creatorsSQL, nil, list(&e.Creators)},
		{laterSQL, nil, list(&e.Later)},
		{madeSQL, [][]byte{[]byte(comment)}, list(&e.Made)},
	} {
		result := r.conn.ExecParams(ctx, q.sql, q.args, nil, nil, nil).Read()
		if result.Err != nil {
			return e, fmt.Errorf("postgres: %w", result.Err)
		}
		for _, row := range result.Rows {
			if err := q.take(string(row[0])); err != nil {
				return e, fmt.Errorf("postgres: %w", err)
			}
		}
	}
	return e, nil
}

// applyTime bounds a script of DDL.
const applyTime = 5 * time.Minute

// Apply runs a script that holds its own transaction, as t's account. notice is
// told what the server says meanwhile.
func (srv *Server) Apply(ctx context.Context, t protocol.Target, script string, notice func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, applyTime)
	defer cancel()
	d, err := newDialing(t, map[string]string{"application_name": "sluice", "client_encoding": "UTF8", "standard_conforming_strings": "on", "client_min_messages": "notice"})
	if err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	d.cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notice(n.Message) }
	conn, err := d.connect(ctx)
	if err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := conn.Exec(ctx, script).Close(); err != nil {
		return fmt.Errorf("postgres: nothing was applied: %w", err)
	}
	return nil
}
