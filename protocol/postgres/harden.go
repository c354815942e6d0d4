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

// Everybody is what PUBLIC may do in a database.
type Everybody struct {
	Relations map[uint32]bool // on which there is any right, by OID
	Creators  []string        // schemas in which things may be made
}

const everybodySQL = `SELECT c.oid FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) x WHERE x.grantee = 0 AND c.oid >= 16384
 UNION SELECT a.attrelid FROM pg_catalog.pg_attribute a, pg_catalog.aclexplode(a.attacl) x WHERE x.grantee = 0 AND a.attrelid >= 16384`

const creatorsSQL = `SELECT n.nspname FROM pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) x
 WHERE x.grantee = 0 AND x.privilege_type = 'CREATE' ORDER BY 1`

// Everybody reads what PUBLIC may do.
func (srv *Server) Everybody(ctx context.Context, t protocol.Target) (Everybody, error) {
	e := Everybody{Relations: map[uint32]bool{}}
	var r catalogReader
	defer r.close()
	if err := r.connect(ctx, t); err != nil {
		return e, fmt.Errorf("postgres: %w", err)
	}
	if err := r.exec(ctx, catalog.SetupSQL); err != nil {
		return e, fmt.Errorf("postgres: %w", err)
	}
	for sql, take := range map[string]func(string) error{
		everybodySQL: func(v string) error {
			oid, err := strconv.ParseUint(v, 10, 32)
			e.Relations[uint32(oid)] = true
			return err
		},
		creatorsSQL: func(v string) error { e.Creators = append(e.Creators, v); return nil },
	} {
		results, err := r.conn.Exec(ctx, sql).ReadAll()
		if err != nil {
			return e, fmt.Errorf("postgres: %w", err)
		}
		for _, row := range results[0].Rows {
			if err := take(string(row[0])); err != nil {
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
