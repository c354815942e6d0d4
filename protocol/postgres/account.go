package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"sluice/access"
	"sluice/protocol"
	"sluice/query/catalog"
)

// Seen is what a look at a database found.
type Seen struct {
	Resource access.Resource
	Snapshot *catalog.Snapshot // the latest; the same as last time if nothing changed
	Account  *Account          // as whom the gateway is connected
}

// An Account is what the gateway's own credential may do upstream, whatever
// policy says. The less the better: what the database refuses, no mistake of the
// gateway's can let through.
type Account struct {
	User        string
	Superuser   bool
	CreateRole  bool
	CreateDB    bool
	Replication bool
	BypassRLS   bool
	Owns        int      // tables and views of this database
	Member      []string // of the server's own roles that give more than they seem to
}

// riskyRoles are the server's own roles that reach beyond a database's tables,
// with what they allow.
func riskyRoles() map[string]string {
	return map[string]string{
		"pg_read_server_files":      "may read files of the server",
		"pg_write_server_files":     "may write files of the server",
		"pg_execute_server_program": "may run programs on the server",
		"pg_read_all_data":          "reads every table, whatever is granted",
		"pg_write_all_data":         "writes every table, whatever is granted",
		"pg_signal_backend":         "may end other users' sessions",
		"pg_maintain":               "may vacuum, reindex and lock every table",
		"pg_create_subscription":    "may make the server connect to others",
	}
}

const accountSQL = `SELECT r.rolname, r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolreplication, r.rolbypassrls,
 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r','p','v','m','f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
 AND (c.relowner = r.oid OR NOT r.rolsuper AND pg_catalog.pg_has_role(r.oid, c.relowner, 'MEMBER'))),
 (SELECT pg_catalog.string_agg(m.rolname, ' ' ORDER BY m.rolname) FROM pg_catalog.pg_roles m
 WHERE m.rolname ~ '^pg_' AND NOT r.rolsuper AND pg_catalog.pg_has_role(r.oid, m.oid, 'MEMBER'))
 FROM pg_catalog.pg_roles r WHERE r.rolname = current_user`

func (r *catalogReader) readAccount(ctx context.Context) (*Account, error) {
	results, err := r.conn.Exec(ctx, accountSQL).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return nil, fmt.Errorf("account: the server does not know it")
	}
	row := results[0].Rows[0]
	is := func(i int) bool { return string(row[i]) == "t" }
	a := &Account{User: string(row[0]), Superuser: is(1), CreateRole: is(2), CreateDB: is(3), Replication: is(4), BypassRLS: is(5)}
	if a.Owns, err = strconv.Atoi(string(row[6])); err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	for _, role := range strings.Fields(string(row[7])) {
		if riskyRoles()[role] != "" {
			a.Member = append(a.Member, role)
		}
	}
	return a, nil
}

// Warnings says what the account may do that it should not be able to, each
// with what to do about it. Empty: nothing was found.
func (a *Account) Warnings() []string {
	if a.Superuser {
		return []string{fmt.Sprintf("%s is a superuser: the database refuses it nothing, files and programs of its machine included; use an ordinary role with the grants that are needed (sluice harden prints some)", a.User)}
	}
	var all []string
	warn := func(given bool, what, remedy string) {
		if given {
			all = append(all, a.User+" "+what+"; "+remedy)
		}
	}
	alter := func(no string) string { return fmt.Sprintf("ALTER ROLE %s %s", quoteName(a.User), no) }
	warn(a.Owns > 0, fmt.Sprintf("owns %d tables or views, or is a member of the role that does: it may drop them, change them and grant itself anything on them", a.Owns), "let another role own them and grant this one what is needed")
	for _, role := range a.Member {
		warn(true, riskyRoles()[role]+" ("+role+")", fmt.Sprintf("REVOKE %s FROM %s", role, quoteName(a.User)))
	}
	warn(a.BypassRLS, "passes row security by", alter("NOBYPASSRLS"))
	warn(a.Replication, "may replicate: it can read every table as a stream, past all grants", alter("NOREPLICATION"))
	warn(a.CreateRole, "may create roles and so give itself rights", alter("NOCREATEROLE"))
	warn(a.CreateDB, "may create databases", alter("NOCREATEDB"))
	return all
}

// quoteName writes an identifier so that it means exactly this name.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Look looks at a database once, with a connection of its own.
func (srv *Server) Look(ctx context.Context, t protocol.Target) (Seen, error) {
	var r catalogReader
	defer r.close()
	snap, err := r.snapshot(ctx, t, srv.buildCatalog)
	if err != nil {
		return Seen{}, fmt.Errorf("postgres: %w", err)
	}
	return Seen{Resource: t.Resource, Snapshot: snap, Account: r.account}, nil
}
