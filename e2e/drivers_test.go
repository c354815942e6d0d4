package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"
)

// TestDrivers runs the same program with each driver on both sides.
func TestDrivers(t *testing.T) {
	s := onStage(t)
	for name, run := range map[string]func(t *testing.T, s side) string{"pgx": runPgx, "pq": runPq, "node": runNode, "python": runPython} {
		t.Run(name, func(t *testing.T) {
			var out [2]string
			for i, side := range sides(s) {
				reset(t)
				out[i] = run(t, side)
				if strings.Count(out[i], "\n") < 15 {
					t.Fatalf("%s printed little:\n%s", side.name, out[i])
				}
			}
			same(t, out[0], out[1])
		})
	}
}

func runPython(t *testing.T, s side) string {
	python := "/usr/bin/python3" // Debian's own: another in PATH would not see Debian's packages
	if _, err := os.Stat(python); err != nil {
		python = "python3"
	}
	return foreign(t, s, python, "testdata/drivers/python.py")
}

func runNode(t *testing.T, s side) string { return foreign(t, s, "node", "testdata/drivers/node.js") }

// foreign runs a program in another language.
func foreign(t *testing.T, s side, interpreter, script string) string {
	t.Helper()
	cmd := exec.Command(interpreter, script)
	u := url.URL{Scheme: "postgres", User: url.UserPassword("app", "demo"), Host: s.host + ":" + s.port, Path: "/app"}
	cmd.Env = append(s.env(t, "app"), "DSN="+s.dsn("app"), "URL="+u.String(), "NODE_PG="+filepath.Join(house.root, "e2e/node/node_modules/pg"), "PYTHONDONTWRITEBYTECODE=1", "NODE_NO_WARNINGS=1", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %s: %v\n%s", s.name, script, err, out)
	}
	return string(out)
}

// A transcript collects what a program sees.
type transcript struct {
	strings.Builder
	t *testing.T
}

func (tr *transcript) note(what string, v any, err error) {
	var server *pgconn.PgError
	var libpq *pq.Error
	switch {
	case errors.As(err, &server):
		fmt.Fprintf(tr, "%s: %s %s %q %q %q %s\n", what, server.Severity, server.Code, server.Message, server.Detail, server.Hint, server.ConstraintName)
	case errors.As(err, &libpq):
		fmt.Fprintf(tr, "%s: %s %s %q %q %q %s\n", what, libpq.Severity, libpq.Code, libpq.Message, libpq.Detail, libpq.Hint, libpq.Constraint)
	case err != nil:
		fmt.Fprintf(tr, "%s: %v\n", what, err)
	default:
		fmt.Fprintf(tr, "%s: %v\n", what, v)
	}
}

const typesQuery = `SELECT 1::int2, 2::int4, 3::int8, 1.5::float4, 2.5::float8, 12345.6789::numeric, true, 'text'::text, 'c'::char(3), '\x00ff'::bytea,
	'2024-02-29'::date, '2024-02-29 12:00:00.123456+00'::timestamptz, '1 day 02:03:04'::interval, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid,
	'{"a": 1}'::json, '{"b": [null]}'::jsonb, '{1,NULL,3}'::int[], '{a,"b c"}'::text[], '10.0.0.0/8'::cidr, NULL::text, int4range(1, 5), point(1, 2)`

func runPgx(t *testing.T, s side) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	tr := &transcript{t: t}
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		fmt.Fprintln(tr, mode)
		db, err := pgx.Connect(ctx, s.dsn("app")+" default_query_exec_mode="+mode)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		pgxProgram(ctx, tr, db)
		tr.note("close", "closed", db.Close(ctx))
	}
	return tr.String()
}

func pgxProgram(ctx context.Context, tr *transcript, db *pgx.Conn) {
	exec := func(what, query string, args ...any) {
		tag, err := db.Exec(ctx, query, args...)
		tr.note(what, tag, err)
	}
	exec("drop", "DROP TABLE IF EXISTS g")
	exec("create", "CREATE TABLE g (id int PRIMARY KEY, v text)")
	for i := range 3 {
		exec("insert", "INSERT INTO g VALUES ($1, $2)", i, fmt.Sprint("v", i))
	}
	exec("duplicate", "INSERT INTO g VALUES ($1, $2)", 1, "again")
	exec("syntax", "SELEC 1")
	exec("division", "SELECT 1 / $1::int", 0)
	rows, err := db.Query(ctx, typesQuery)
	if err == nil {
		var all [][]any
		all, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) ([]any, error) { return r.Values() })
		tr.note("types", fmt.Sprintf("%v", all), err)
		for _, f := range rows.FieldDescriptions() {
			fmt.Fprint(tr, f.Name, ":", f.DataTypeOID, ":", f.TypeModifier, ":", f.Format, " ")
		}
	}
	pgxBatch(ctx, tr, db)
	pgxTransaction(ctx, tr, db)
	n, err := db.CopyFrom(ctx, pgx.Identifier{"g"}, []string{"id", "v"}, pgx.CopyFromSlice(100, func(i int) ([]any, error) { return []any{1000 + i, "copied"}, nil }))
	tr.note("copy in", n, err)
	n, err = db.CopyFrom(ctx, pgx.Identifier{"g"}, []string{"id"}, pgx.CopyFromRows([][]any{{1}}))
	tr.note("copy duplicate", n, err)
	pgxCancel(ctx, tr, db)
	exec("after", "SELECT count(*) FROM g")
}

func pgxBatch(ctx context.Context, tr *transcript, db *pgx.Conn) {
	for _, bad := range []bool{false, true} {
		var b pgx.Batch
		b.Queue("INSERT INTO g VALUES ($1, 'batch')", 50)
		b.Queue("SELECT count(*) FROM g")
		if bad {
			b.Queue("INSERT INTO g VALUES (50, 'twice')")
		}
		b.Queue("DELETE FROM g WHERE id = $1", 50)
		results := db.SendBatch(ctx, &b)
		for range b.Len() {
			tag, err := results.Exec()
			tr.note("batch", tag, err)
		}
		tr.note("batch end", nil, results.Close())
	}
}

func pgxTransaction(ctx context.Context, tr *transcript, db *pgx.Conn) {
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO g VALUES (60, 'kept')")
		nested := pgx.BeginFunc(ctx, tx, func(sp pgx.Tx) error {
			_, err := sp.Exec(ctx, "INSERT INTO g VALUES (60, 'dropped')")
			return err
		})
		tr.note("savepoint", nil, nested)
		return err
	})
	tr.note("transaction", nil, err)
	var n int
	tr.note("kept", nil, db.QueryRow(ctx, "SELECT count(*) FROM g WHERE id = 60").Scan(&n))
	fmt.Fprintln(tr, n)
}

// pgxCancel cancels a statement by a cancel request, and goes on.
func pgxCancel(ctx context.Context, tr *transcript, db *pgx.Conn) {
	waiting := make(chan error, 1)
	go func() {
		// A cancel that comes before the statement would be lost.
		for out := ""; out != "t" && ctx.Err() == nil; {
			out, _ = onStage(tr.t).Server.SQL("app", "SELECT count(*) > 0 FROM pg_stat_activity WHERE state = 'active' AND usename = 'app' AND query LIKE '%pg_sleep%'")
		}
		waiting <- db.PgConn().CancelRequest(ctx)
	}()
	_, err := db.Exec(ctx, "SELECT pg_sleep(60)")
	tr.note("cancelled", nil, err)
	tr.note("cancel request", nil, <-waiting)
}

func runPq(t *testing.T, s side) string {
	tr := &transcript{t: t}
	for _, extra := range []string{"", " binary_parameters=yes"} {
		db, err := sql.Open("postgres", s.dsn("app")+extra)
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxOpenConns(3)
		pqProgram(tr, db)
		pqListen(t, tr, s, db)
		tr.note("close", "closed", db.Close())
	}
	return tr.String()
}

func pqProgram(tr *transcript, db *sql.DB) {
	exec := func(what, query string, args ...any) {
		res, err := db.Exec(query, args...)
		var n int64
		if err == nil {
			n, err = res.RowsAffected()
		}
		tr.note(what, n, err)
	}
	exec("drop", "DROP TABLE IF EXISTS q")
	exec("create", "CREATE TABLE q (id int PRIMARY KEY, v text, b bytea)")
	exec("insert", "INSERT INTO q VALUES ($1, $2, $3)", 1, "it's", []byte{0, 255})
	exec("duplicate", "INSERT INTO q VALUES ($1, $2)", 1, "again")
	exec("several", "INSERT INTO q VALUES (2); INSERT INTO q VALUES (3)")
	exec("several, one bad", "INSERT INTO q VALUES (4); SELECT 1/0")
	row := make([]any, strings.Count(typesQuery, "::")+3)
	for i := range row {
		row[i] = new(any)
	}
	if rows, err := db.Query(typesQuery); err == nil {
		columns, err := rows.Columns()
		row = row[:len(columns)]
		rows.Next()
		tr.note("columns", columns, errors.Join(err, rows.Scan(row...), rows.Close()))
		for _, v := range row {
			fmt.Fprintf(tr, "%v ", *v.(*any))
		}
	} else {
		tr.note("types", nil, err)
	}
	stmt, err := db.Prepare("SELECT v, b FROM q WHERE id = $1")
	tr.note("prepare", nil, err)
	for id := range 4 {
		var v sql.NullString
		var b []byte
		err := stmt.QueryRow(id).Scan(&v, &b)
		tr.note("row", fmt.Sprint(v, b), err)
	}
	pqCopy(tr, db)
}

func pqCopy(tr *transcript, db *sql.DB) {
	tx, err := db.Begin()
	tr.note("begin", nil, err)
	stmt, err := tx.Prepare("COPY q (id, v) FROM STDIN")
	tr.note("copy", nil, err)
	for i := range 500 {
		if _, err := stmt.Exec(100+i, "copied"); err != nil {
			tr.note("copy row", i, err)
		}
	}
	_, err = stmt.Exec()
	tr.note("copy end", nil, errors.Join(err, stmt.Close(), tx.Commit()))
	var n int
	tr.note("count", nil, db.QueryRow("SELECT count(*) FROM q").Scan(&n))
	fmt.Fprintln(tr, n)
}

func pqListen(t *testing.T, tr *transcript, s side, db *sql.DB) {
	l := pq.NewListener(s.dsn("app"), time.Second, time.Minute, nil)
	defer l.Close()
	if err := l.Listen("pq_news"); err != nil {
		t.Fatalf("%s: LISTEN: %v", s.name, err)
	}
	if _, err := db.Exec("SELECT pg_notify('pq_news', 'hello')"); err != nil {
		t.Fatalf("%s: NOTIFY: %v", s.name, err)
	}
	select {
	case n := <-l.Notify:
		fmt.Fprintln(tr, n.Channel, n.Extra)
	case <-time.After(30 * time.Second):
		t.Errorf("%s: no notification", s.name)
	}
}
