package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"
)

// Whatever is sent, in whatever way: under the limit the database is what it
// would have been without a gateway, over it as if the statement had failed.
func TestUnderTheLimitNothingDiffers(t *testing.T) {
	w := newLimitWorld(t)
	w.pg.Exec(t, "postgres", "create database "+w.db+"_direct")
	t.Cleanup(func() { w.pg.Exec(t, "postgres", "drop database "+w.db+"_direct with (force)") })
	direct, err := pgconn.Connect(context.Background(), w.pg.DSN(w.db+"_direct"))
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close(context.Background())
	execSQL(direct, "create table t(id int primary key, v text)")
	gated := w.connect()
	rapid.Check(t, func(rt *rapid.T) {
		execSQL(direct, "rollback; truncate t; insert into t select i, 'v' from generate_series(1,5) i")
		execSQL(gated, "rollback")
		w.pg.Exec(t, w.db, "truncate t; insert into t select i, 'v' from generate_series(1,5) i")
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			sql := drawChange(rt)
			want := asLimited(direct, sql)
			got := sent(gated, sql, rapid.Bool().Draw(rt, "extended")).text
			if want != got {
				rt.Fatalf("%s\n directly %s\n through  %s", sql, want, got)
			}
			if a, b := direct.TxStatus(), gated.TxStatus(); a != b {
				rt.Fatalf("%s: status %c directly, %c through", sql, a, b)
			}
		}
		const all = "commit; select string_agg(id || ' ' || v, ', ' order by id) from t"
		if a, b := execSQL(direct, all), execSQL(gated, all); a != b {
			rt.Fatalf("directly %s\n through %s", a, b)
		}
	})
}

// drawChange draws a statement.
func drawChange(t *rapid.T) string {
	id := func() int { return rapid.IntRange(1, 6).Draw(t, "id") }
	switch rapid.IntRange(0, 8).Draw(t, "kind") {
	case 0:
		return "begin"
	case 1:
		return rapid.SampledFrom([]string{"commit", "rollback"}).Draw(t, "end")
	case 2:
		return rapid.SampledFrom([]string{"savepoint s", "rollback to s", "release s"}).Draw(t, "savepoint")
	case 3:
		return fmt.Sprintf("delete from t where id <= %d", id())
	case 4:
		return fmt.Sprintf("update t set v = v || '%d' where id >= %d", id(), id())
	case 5:
		return fmt.Sprintf("update t set id = id + %d where id = %d returning id, v", id(), id())
	}
	a, b := id(), id()
	return fmt.Sprintf("insert into t select i, 'n' from generate_series(%d, %d) i returning id", min(a, b), max(a, b))
}

// An answer is what came of one statement.
type answer struct {
	text    string
	changed int64
}

// sent runs one statement by the simple or the extended protocol.
func sent(c *pgconn.PgConn, sql string, extended bool) answer {
	var r *pgconn.Result
	if extended {
		r = c.ExecParams(context.Background(), sql, nil, nil, nil, nil).Read()
	} else {
		results, err := c.Exec(context.Background(), sql).ReadAll()
		r = &pgconn.Result{Err: err}
		if len(results) > 0 && err == nil {
			r = results[0]
		}
	}
	switch {
	case r.Err != nil && strings.Contains(r.Err.Error(), "the limit is 2"):
		return answer{text: "over"}
	case r.Err != nil:
		return answer{text: sqlError(r.Err)}
	}
	a := answer{text: r.CommandTag.String(), changed: r.CommandTag.RowsAffected()}
	for _, row := range r.Rows {
		for _, v := range row {
			a.text += " " + string(v)
		}
	}
	return a
}

// asLimited runs one statement directly and does what a limit of two rows asks for.
func asLimited(c *pgconn.PgConn, sql string) string {
	word, _, _ := strings.Cut(sql, " ")
	own := c.TxStatus() == 'I' && strings.Contains("delete update insert", word)
	if own {
		execSQL(c, "begin")
	}
	a := sent(c, sql, false)
	over := a.changed > 2
	switch {
	case over && own:
		execSQL(c, "rollback")
	case over:
		execSQL(c, "select 1/0")
	case own:
		execSQL(c, "commit")
	}
	if over {
		return "over"
	}
	return a.text
}
