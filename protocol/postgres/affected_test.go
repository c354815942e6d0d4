package postgres

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/access"
)

// limitWrites lets every write change n rows.
func limitWrites(n int64) func(access.Request) access.Decision {
	return func(r access.Request) access.Decision {
		d := access.Decision{Effect: access.Allow}
		if c := r.Action.Verb.Class(); c == access.ClassWrite || c == access.ClassAdmin {
			d.Obligations = []access.Obligation{access.Limit{AffectedRows: n, Rule: "p/small"}}
		}
		return d
	}
}

const over3 = "42501 sluice: denied by p/small: this would change 3 rows, the limit is 2"

func newLimitWorld(t *testing.T) *relayWorld {
	w := newRelayWorld(t)
	c := w.connect()
	execSQL(c, `create table t(id int primary key, v text); insert into t select i, 'v'||i from generate_series(1,5) i;
		create table d(id int unique deferrable initially deferred)`)
	w.decide = limitWrites(2)
	return w
}

func TestAffectedRowsInSimpleQueries(t *testing.T) {
	w := newLimitWorld(t)
	c := w.connect()
	const unknown = "42501 sluice: denied by p/small: at most 2 rows may be changed, and the server does not tell how many this changes"
	for _, tt := range []struct{ sql, want string }{
		{"update t set v = 'x' where id <= 2", "UPDATE 2"},
		{"select count(*) from t where v = 'x'", "2"},
		{"update t set v = 'y' where id <= 3", over3},
		{"select count(*) from t where v = 'y'", "0"},
		{"select txid_current_if_assigned() is null, now() = statement_timestamp()", "t|t"}, // no transaction is left open
		{"delete from t where id <= 3 returning id", over3},
		{"delete from t where id = 5 returning id, v", "5|v5"},
		{"insert into t values (5, 'v5')", "INSERT 0 1"},
		{"insert into t select i from generate_series(10,12) i", over3},
		{"insert into t select i from generate_series(10,11) i returning id", "10; 11"},
		{"delete from t where id > 9;", "DELETE 2"},
		{"delete from t where false", "DELETE 0"},
		{"merge into t using (values (1),(2),(3)) s(i) on t.id = s.i when matched then update set v = 'm'", over3},
		{"merge into t using (values (1),(2)) s(i) on t.id = s.i when matched then update set v = 'm'", "MERGE 2"},
		{"with x as (select 1 as id union select 2 union select 3) update t set v = 'cte' from x where x.id = t.id", over3},
		// What the tag does not count is not allowed to run.
		{"with x as (delete from t returning id) select count(*) from x", unknown},
		{"with x as (delete from t returning id) insert into t select 9", unknown},
		{"explain analyze delete from t", unknown},
		{"truncate t", unknown},
		{"do $$ begin delete from t; end $$", unknown},
		{"drop table t", unknown},
		{"create table u(i int)", "CREATE TABLE"},
		// Errors are the server's own, and leave nothing behind.
		{"update t set v = 1/0 where id = 1", "22012 division by zero"},
		{"update nowhere set v = 1", `42P01 relation "nowhere" does not exist`},
		{"insert into d values (1)", "INSERT 0 1"},
		{"insert into d values (1)", `23505 duplicate key value violates unique constraint "d_id_key"`}, // at commit
		{"insert into d values (1) returning id", `1; 23505 duplicate key value violates unique constraint "d_id_key"`},
		{"select count(*) from d", "1"},
		// Several statements are one implicit transaction.
		{"update t set v = 'a' where id = 1; update t set v = 'a'; select 1", "UPDATE 1; 42501 sluice: denied by p/small: this would change 5 rows, the limit is 2"},
		{"select count(*) from t where v = 'a'", "0"},
		{"update t set v = 'a' where id = 1; select count(*) from t where v = 'a'; update t set v = 'b' where id = 1", "UPDATE 1; 1; UPDATE 1"},
		{"update t set v = 'a' where id = 1; select 1/0", "UPDATE 1; 22012 division by zero"},
		{"select v from t where id = 1", "b"},
		// In the client's own transaction it fails like any other.
		{"begin; update t set v = 'tx' where id = 1", "BEGIN; UPDATE 1"},
		{"savepoint s", "SAVEPOINT"},
		{"update t set v = 'tx' where id <= 3", over3},
		{"select 1", "25P02 current transaction is aborted, commands ignored until end of transaction block"},
		{"update t set v = 'tx' where id <= 1", "25P02 current transaction is aborted, commands ignored until end of transaction block"},
		{"rollback to s", "ROLLBACK"},
		{"update t set v = 'tx2' where id = 2", "UPDATE 1"},
		{"commit", "COMMIT"},
		{"select count(*) from t where v like 'tx%'", "2"},
		{"begin; update t set v = 'gone'", "BEGIN; 42501 sluice: denied by p/small: this would change 5 rows, the limit is 2"},
		{"commit", "ROLLBACK"},
		// Behind names.
		{"prepare p(int) as update t set v = 'p' where id <= $1", "PREPARE"},
		{"execute p(2)", "UPDATE 2"},
		{"execute p(3)", over3},
		{"explain analyze execute p(1)", unknown},
		{"begin; declare c cursor for select * from t order by id for update; fetch 1 from c; update t set v = 'cur' where current of c; commit",
			"BEGIN; DECLARE CURSOR; 1|p; UPDATE 1; COMMIT"},
		{"select count(*) from t where v = 'gone'", "0"},
	} {
		if got := execSQL(c, tt.sql); got != tt.want {
			t.Errorf("%s\n  got  %s\n  want %s", tt.sql, got, tt.want)
		}
	}
}

func TestAffectedRowsInPipelines(t *testing.T) {
	w := newLimitWorld(t)
	parse := func(sql string) *pgproto3.Parse { return &pgproto3.Parse{Query: sql} }
	bind, run, sync := &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{}
	ms := func(m ...pgproto3.FrontendMessage) []pgproto3.FrontendMessage { return m }
	write := func(sql string) []pgproto3.FrontendMessage { return ms(parse(sql), bind, run) }
	cat := func(lists ...[]pgproto3.FrontendMessage) (all []pgproto3.FrontendMessage) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	state := func(want string) []pgproto3.FrontendMessage {
		return write("select string_agg(v, ',' order by id) || '" + want + "' from t")
	}
	for _, tt := range []struct {
		name string
		send []pgproto3.FrontendMessage
		n    int
		want string
	}{
		{"within", cat(write("update t set v = 'a' where id <= 2"), ms(sync)), 1, "1 2 C(UPDATE 2) ZI"},
		{"over", cat(write("update t set v = 'b' where id <= 3"), ms(sync)), 1, "1 2 E42501 ZI"},
		{"what came before goes with it", cat(write("update t set v = 'c' where id = 5"), write("update t set v = 'c' where id <= 3"), write("select 1"), ms(sync)), 1, "1 2 C(UPDATE 1) 1 2 E42501 ZI"},
		{"the next segment goes on", cat(write("update t set v = 'd'"), ms(sync), write("select 7"), ms(sync)), 2, "1 2 E42501 ZI 1 2 D(7) C(SELECT 1) ZI"},
		{"nothing but the first stands", cat(state(""), ms(sync)), 1, "1 2 D(a,a,v3,v4,v5) C(SELECT 1) ZI"},
		{"returning", cat(ms(parse("update t set v = v where id <= 2 returning id"), bind, &pgproto3.Describe{ObjectType: 'P'}, run, sync)), 1, "1 2 T D(1) D(2) C(UPDATE 2) ZI"},
		{"returning, over", cat(ms(parse("update t set v = v where id <= 3 returning id"), bind, &pgproto3.Describe{ObjectType: 'P'}, run, sync)), 1, "1 2 T E42501 ZI"},
		{"bit by bit", cat(ms(parse("update t set v = 'e' returning id"), bind, &pgproto3.Execute{MaxRows: 1}, sync)), 1, "1 2 E42501 ZI"},
		{"bit by bit, nothing returned", cat(ms(parse("update t set v = v where id = 1"), bind, &pgproto3.Execute{MaxRows: 1}, sync)), 1, "1 2 C(UPDATE 1) ZI"},
		{"behind an error", cat(write("select 1/0"), write("update t set v = 'f'"), ms(sync), write("select 8"), ms(sync)), 2, "1 E22012 ZI 1 2 D(8) C(SELECT 1) ZI"},
		{"flush", cat(write("update t set v = v where id = 1"), ms(&pgproto3.Flush{}), ms(sync)), 1, "1 2 C(UPDATE 1) ZI"},
		{"in a transaction", cat(write("begin"), write("update t set v = 'g' where id = 1"), ms(sync), write("update t set v = 'g'"), ms(sync), write("rollback"), ms(sync)), 3,
			"1 2 C(BEGIN) 1 2 C(UPDATE 1) ZT 1 2 E42501 ZE 1 2 C(ROLLBACK) ZI"},
		{"a commit behind it", cat(write("begin"), write("update t set v = 'h'"), write("commit"), ms(sync), write("rollback"), ms(sync)), 2,
			"1 2 C(BEGIN) 1 2 E42501 ZE 1 2 C(ROLLBACK) ZI"},
		{"a query in a pipeline", cat(write("update t set v = 'i' where id = 5"), ms(&pgproto3.Query{String: "update t set v = 'i'"}), ms(sync)), 2, "1 2 C(UPDATE 1) E42501 ZI ZI"},
		{"a query behind an error", cat(write("select 1/0"), ms(&pgproto3.Query{String: "update t set v = 'i' where id = 1"}), ms(sync)), 1, "1 E22012 ZI"},
		{"the unnamed statement is gone", ms(parse("select 1"), &pgproto3.Query{String: "update t set v = v where id = 1"}, bind, sync), 2, "1 C(UPDATE 1) ZI E26000 ZI"},
		{"deferred", cat(write("insert into d values (1)"), ms(sync), write("insert into d values (1)"), ms(sync)), 2, "1 2 C(INSERT 0 1) ZI 1 2 C(INSERT 0 1) E23505 ZI"},
		{"function call", ms(&pgproto3.FunctionCall{Function: 1598}), 1, "E42501 ZI"},
		{"still nothing but the first", cat(state("!"), ms(sync)), 1, "1 2 D(a,a,v3,v4,v5!) C(SELECT 1) ZI"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := w.talk()
			k.send(tt.send...)
			if got := k.until(tt.n); got != tt.want {
				t.Errorf("\n got  %s\n want %s", got, tt.want)
			}
		})
	}
}

func TestAffectedRowsOfCopy(t *testing.T) {
	w := newLimitWorld(t)
	data := func(lines ...string) []pgproto3.FrontendMessage {
		var ms []pgproto3.FrontendMessage
		for _, l := range lines {
			ms = append(ms, &pgproto3.CopyData{Data: []byte(l + "\n")})
		}
		return ms
	}
	done, sync := &pgproto3.CopyDone{}, &pgproto3.Sync{}
	query := func(sql string) []pgproto3.FrontendMessage {
		return []pgproto3.FrontendMessage{&pgproto3.Query{String: sql}}
	}
	execute := []pgproto3.FrontendMessage{&pgproto3.Parse{Query: "copy t from stdin"}, &pgproto3.Bind{}, &pgproto3.Execute{}}
	for _, tt := range []struct {
		name string
		send [][]pgproto3.FrontendMessage
		want string
	}{
		{"within", [][]pgproto3.FrontendMessage{query("copy t from stdin"), data("20\ta", "21\tb"), {done}}, "G C(COPY 2) ZI"},
		{"over", [][]pgproto3.FrontendMessage{query("copy t from stdin"), data("30\ta", "31\tb", "32\tc"), {done}}, "G E42501 ZI"},
		{"given up", [][]pgproto3.FrontendMessage{query("copy t from stdin"), data("30\ta"), {&pgproto3.CopyFail{Message: "enough"}}}, "G E57014 ZI"},
		{"bad data, and a client that waits", [][]pgproto3.FrontendMessage{query("copy t from stdin"), data("x\ta")}, "G E22P02 ZI"},
		{"no such table", [][]pgproto3.FrontendMessage{query("copy nowhere from stdin")}, "E42P01 ZI"},
		{"among others", [][]pgproto3.FrontendMessage{query("update t set v = 'c' where id = 1; copy t from stdin; select count(*) from t; update t set v = 'c'"), data("40\ta"), {done}}, "C(UPDATE 1) G C(COPY 1) T D(8) C(SELECT 1) E42501 ZI"},
		{"and of them nothing stands", [][]pgproto3.FrontendMessage{query("select count(*) from t where v = 'c'")}, "T D(0) C(SELECT 1) ZI"},
		{"extended, within", [][]pgproto3.FrontendMessage{execute, data("50\ta", "51\tb"), {done, sync}}, "1 2 G C(COPY 2) ZI"},
		{"extended, over", [][]pgproto3.FrontendMessage{execute, data("60\ta", "61\tb", "62\tc"), {done, sync}}, "1 2 G E42501 ZI"},
		{"extended, bad data", [][]pgproto3.FrontendMessage{execute, data("x"), {done, sync}}, "1 2 G E22P02 ZI"},
		{"what stands", [][]pgproto3.FrontendMessage{query("select string_agg(id::text, ',' order by id) from t")}, "T D(1,2,3,4,5,20,21,50,51) C(SELECT 1) ZI"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := w.talk()
			for _, ms := range tt.send {
				k.send(ms...)
			}
			if got := k.until(1); got != tt.want {
				t.Errorf("\n got  %s\n want %s", got, tt.want)
			}
			k.send(&pgproto3.Query{String: "select 'alive'"})
			if got := k.until(1); got != "T D(alive) C(SELECT 1) ZI" {
				t.Errorf("afterwards: %s", got)
			}
		})
	}
}

func TestAnOvershootIsExplainedAndRecorded(t *testing.T) {
	w := newLimitWorld(t)
	k := w.talk()
	k.send(&pgproto3.Query{String: "delete from t"})
	var e *pgproto3.ErrorResponse
	for {
		m, err := k.f.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := m.(*pgproto3.ErrorResponse); ok {
			c := *r
			e = &c
		}
		if _, ok := m.(*pgproto3.ReadyForQuery); ok {
			break
		}
	}
	if e == nil || !strings.HasPrefix(e.Detail, "decision ") || e.Hint == "" || e.Severity != "ERROR" {
		t.Fatalf("%+v", e)
	}
	id := strings.TrimPrefix(e.Detail, "decision ")
	w.outcome(t, id, func(o access.Outcome) bool {
		return o.Undone && o.Rows == 5 && strings.Contains(o.Error, "the limit is 2")
	})
}

// outcome waits for the outcome of a decision.
func (w *relayWorld) outcome(t *testing.T, id string, ok func(access.Outcome) bool) {
	t.Helper()
	for range 100 {
		w.mu.Lock()
		for _, e := range w.events {
			if e.Type == access.ActionCompleted && e.Ref == id {
				w.mu.Unlock()
				if !ok(e.Outcome) {
					t.Errorf("outcome %+v", e.Outcome)
				}
				return
			}
		}
		w.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("no outcome")
}

func TestHeldRowsAreBounded(t *testing.T) {
	w := newLimitWorld(t)
	w.decide = limitWrites(1000)
	c := w.connect()
	if got := execSQL(c, "insert into t select i, 'x' from generate_series(100,105) i returning repeat('x', 3000000)"); !strings.Contains(got, "returns more than 16,777,216 bytes") {
		t.Errorf("%.200s", got)
	}
	if got := execSQL(c, "insert into t values (200) returning length(repeat('x', 3000000)), repeat('x', 3000000)"); !strings.HasPrefix(got, "3000000|xxx") {
		t.Errorf("%.200s", got)
	}
	if got := execSQL(c, "select count(*) from t"); got != "6" {
		t.Errorf("%s rows", got)
	}
}

func TestReturningIsMaskedWhileHeld(t *testing.T) {
	w := newLimitWorld(t)
	w.posture.Masked, w.posture.Restricted = true, true
	w.masks = func(c access.Column) string {
		if len(c.Origins) > 0 && c.Origins[0].Column == "v" {
			return "redact"
		}
		return ""
	}
	c := w.connect()
	if got := execSQL(c, "delete from t where id <= 2 returning id, v"); !strings.HasPrefix(got, "1|") || !strings.Contains(got, "; 2|") || strings.Contains(got, "v1") {
		t.Error(got)
	}
	r := c.ExecParams(context.Background(), "update t set v = v where id >= $1 returning id, v", [][]byte{[]byte("4")}, nil, nil, []int16{1}).Read()
	if r.Err != nil || len(r.Rows) != 2 || string(r.Rows[0][0]) != "\x00\x00\x00\x04" || strings.HasPrefix(string(r.Rows[0][1]), "v") {
		t.Errorf("%v %q", r.Err, r.Rows)
	}
	r = c.ExecParams(context.Background(), "update t set v = v where id >= $1 returning id, v", [][]byte{[]byte("3")}, nil, nil, []int16{1}).Read()
	if sqlError(r.Err) != over3 || len(r.Rows) != 0 {
		t.Errorf("%v %q", r.Err, r.Rows)
	}
}
