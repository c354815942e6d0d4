package evasion

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// waits are attacks of two sessions: the second one's statement waits for a table
// that the first one changes, and is understood by the server only then.
var waits = map[string]struct{ setup, path, change, read string }{
	"a table that hid a view": {"CREATE SCHEMA near; CREATE TABLE near.v_same (id int, name text, email text)", "near, public",
		"DROP TABLE near.v_same", "SELECT upper(email) FROM v_same WHERE id = 1"},
	"a column that hid another": {"CREATE TABLE mine AS SELECT 1 AS id, ''::text AS email", "public",
		"ALTER TABLE mine DROP COLUMN email", "SELECT (SELECT upper(email) FROM mine) FROM customers WHERE id = 1"},
	"a table copied": {"CREATE SCHEMA near; CREATE TABLE near.v_same (id int, name text, email text); CREATE TABLE copies (x text)", "near, public",
		"DROP TABLE near.v_same", "INSERT INTO copies SELECT email FROM v_same WHERE id = 1 RETURNING upper(x)"},
}

func TestWaiting(t *testing.T) {
	h := houseOf(t, versions[0])
	for name, w := range waits {
		t.Run(name, func(t *testing.T) {
			for _, side := range []side{direct, through} {
				g, err := h.newGround(&attack{Setup: w.setup}, worlds[0])
				if err != nil {
					t.Fatal(err)
				}
				got := h.wait(t, g, side, w.path, w.change, w.read)
				if leak := found(worlds[0].needles(), []byte(got), nil); (leak != "") != (side == direct) {
					t.Errorf("%s: leaks %q: %s", side, leak, got)
				}
				g.drop()
			}
		})
	}
}

// wait changes in one session while another waits to read, and returns what that
// receives.
func (h *house) wait(t *testing.T, g *ground, s side, path, change, read string) string {
	t.Helper()
	first, second := h.pair(t, g, s, path)
	defer first.Close(context.Background())
	defer second.Close(context.Background())
	do(t, first, "BEGIN; LOCK TABLE notes IN EXCLUSIVE MODE")
	do(t, first, change)
	got := make(chan string, 1)
	go func() {
		rs, err := second.Exec(context.Background(), read).ReadAll()
		text := fmt.Sprint(err)
		for _, r := range rs {
			text += fmt.Sprintf(" %s", r.Rows)
		}
		got <- text
	}()
	// It waits for the lock, or has been refused.
	const waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = '%s')"
	for {
		select {
		case text := <-got:
			do(t, first, "ROLLBACK")
			return text
		default:
		}
		if n, err := h.value("postgres", fmt.Sprintf(waiting, g.database)); err != nil {
			t.Fatal(err)
		} else if n != "0" {
			break
		}
	}
	do(t, first, "COMMIT")
	return <-got
}

// pair are two sessions that know the same catalog.
func (h *house) pair(t *testing.T, g *ground, s side, path string) (first, second *pgconn.PgConn) {
	t.Helper()
	for _, c := range []**pgconn.PgConn{&first, &second} {
		conn, err := pgconn.Connect(context.Background(), h.dsn(s, g.database, "mallory"))
		if err != nil {
			t.Fatal(err)
		}
		do(t, conn, "SET search_path = "+path)
		*c = conn
	}
	return first, second
}

func do(t *testing.T, c *pgconn.PgConn, sql string) {
	t.Helper()
	if _, err := c.Exec(context.Background(), sql).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
