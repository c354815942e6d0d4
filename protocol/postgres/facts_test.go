package postgres

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/access"
	"sluice/internal/strictyaml"
	"sluice/policy"
)

const factsPolicy = `
apiVersion: sluice/v1
kind: Policy
metadata: {name: p}
spec:
  protocols: [postgres]
  rules:
  - {id: all, effect: allow}
  - {id: big-reads, match: {access: [read]}, when: sql.estimate.rows > 5000, effect: deny, message: too much}
  - {id: dear, match: {access: [read, write]}, when: sql.estimate.cost > 1000000, effect: deny, message: too dear}
  - {id: planned-writes, match: {verbs: [insert, merge]}, when: sql.estimate.rows > 100, effect: deny, message: too many planned}
  - {id: many, match: {verbs: [update, delete]}, when: sql.count.rows > 10, effect: deny, message: too many}
  - {id: logged, mode: monitor, match: {verbs: [delete]}, when: sql.count.rows > 5, effect: deny}
`

func newFactsWorld(t *testing.T) *relayWorld {
	w := newRelayWorld(t)
	docs, problems := strictyaml.Parse("p.yaml", []byte(factsPolicy))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	set, problems := policy.Load(docs)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	c := w.connect()
	execSQL(c, `create table t(id int primary key, grp int, v text);
		insert into t select i, i % 100, 'v' from generate_series(1, 10000) i; analyze t;
		create function f(int) returns int language sql volatile as 'select 1'`)
	w.decide = set.Decide
	w.posture.Restricted = set.Posture(access.Subject{Issuer: "local", ID: "alice"}, access.Resource{Name: "shop", Protocol: "postgres"}).Restricted
	return w
}

const (
	tooMany1 = "42501 sluice: denied by p/many: too many"
	tooMuch  = "42501 sluice: denied by p/big-reads: too much"
)

func TestFactsInSimpleQueries(t *testing.T) {
	w := newFactsWorld(t)
	c := w.connect()
	notKnown := func(rule, message, why string) string {
		return "42501 sluice: denied by p/" + rule + ": " + message + ": how much this touches is not known (" + why + "), and the rule may apply to it"
	}
	for _, tt := range []struct{ sql, want string }{
		{"select v from t where id = 7", "v"},
		{"select * from t", tooMuch},
		{"select count(*) from t", "10000"},
		{"select count(*) from t a, t b, t c", "42501 sluice: denied by p/dear: too dear"},
		{"update t set v = 'x' where id <= 10", "UPDATE 10"},
		{"update t set v = 'x' where id <= 11", tooMany1},
		{"delete from t where grp = 5", tooMany1},
		{"delete from t where id = 5 returning id", "5"},
		{"insert into t select i from generate_series(20001, 21000) i", "42501 sluice: denied by p/planned-writes: too many planned"},
		{"insert into t values (20001, 1, 'x')", "INSERT 0 1"},
		{"select txid_current_if_assigned() is null", "t"}, // nothing is left open
		{"show statement_timeout", "0"},
		// What the server's error would be shows in the reason.
		{"update t set id = 'x' where id = 1", notKnown("dear", "too dear", `the server says 22P02 invalid input syntax for type integer: "x"`)},
		{"update t set v = 'x' from t u where u.id = t.id and t.id = 1", notKnown("many", "too many", "only an UPDATE or DELETE of one table, by a condition that always answers the same, can be counted")},
		{"delete from t where random() < 2", notKnown("many", "too many", "only an UPDATE or DELETE of one table, by a condition that always answers the same, can be counted")},
		{"copy t to stdout", notKnown("big-reads", "too much", "the server estimates no COPY")},
		{"select 1; select * from t", tooMuch},
		// In the client's transaction the question leaves no trace.
		{"begin; insert into t values (30001, 1, 'mine')", "BEGIN; INSERT 0 1"},
		{"select v from t where id = 30001", "mine"},
		{"savepoint s; select v from t where id = 30001", "SAVEPOINT; mine"},
		{"update t set v = 'x' where id < 100", tooMany1},
		{"select 1", notKnown("big-reads", "too much", "it cannot be asked for in a failed transaction")},
		{"rollback to s", "ROLLBACK"},
		{"update t set v = 'yours' where id = 30001", "UPDATE 1"},
		{"show transaction_read_only", "off"},
		{"commit", "COMMIT"},
		{"select v from t where id = 30001", "yours"},
		{"begin; declare c cursor for select v from t where id = 7; fetch 1 from c; commit", "BEGIN; DECLARE CURSOR; x; COMMIT"},
		{"begin; declare c cursor for select * from t", tooMuch},
		{"rollback", "ROLLBACK"},
		{"prepare p(int) as select v from t where id = $1", "PREPARE"},
		{"execute p(7)", "x"},
		{"prepare q as select * from t", "PREPARE"},
		{"execute q", tooMuch},
		{"explain (costs off) select * from t", "Seq Scan on t"},
	} {
		if got := execSQL(c, tt.sql); got != tt.want {
			t.Errorf("%s\n  got  %s\n  want %s", tt.sql, got, tt.want)
		}
	}
}

func TestFactsWithValues(t *testing.T) {
	w := newFactsWorld(t)
	k := w.talk()
	parse := func(sql string) *pgproto3.Parse { return &pgproto3.Parse{Query: sql} }
	bind := func(vs ...string) *pgproto3.Bind {
		b := &pgproto3.Bind{}
		for _, v := range vs {
			b.Parameters = append(b.Parameters, []byte(v))
		}
		return b
	}
	run, sync := &pgproto3.Execute{}, &pgproto3.Sync{}
	for _, tt := range []struct {
		name string
		send []pgproto3.FrontendMessage
		want string
	}{
		{"few", []pgproto3.FrontendMessage{parse("update t set v = $1 where id <= $2"), bind("a", "3"), run, sync}, "1 2 C(UPDATE 3) ZI"},
		{"many", []pgproto3.FrontendMessage{parse("update t set v = $1 where id <= $2"), bind("b", "30"), run, sync}, "1 E42501 ZI"},
		{"few to read", []pgproto3.FrontendMessage{parse("select id from t where id <= $1"), bind("1"), run, sync}, "1 2 D(1) C(SELECT 1) ZI"},
		{"many to read", []pgproto3.FrontendMessage{parse("select id from t where id <= $1"), bind("9000"), run, sync}, "1 E42501 ZI"},
		{"behind another", []pgproto3.FrontendMessage{parse("select 1"), bind(), run, parse("select id from t where id <= $1"), bind("2"), run, sync}, "1 2 D(1) C(SELECT 1) 1 2 D(1) D(2) C(SELECT 2) ZI"},
		{"too much behind another", []pgproto3.FrontendMessage{parse("insert into t values (40001)"), bind(), run, parse("select * from t"), bind(), run, sync}, "1 2 C(INSERT 0 1) 1 E42501 ZI"},
		{"and that one is undone", []pgproto3.FrontendMessage{parse("select count(*) from t where id = 40001"), bind(), run, sync}, "1 2 D(0) C(SELECT 1) ZI"},
		{"no count in the middle", []pgproto3.FrontendMessage{parse("select 1"), bind(), run, parse("delete from t where id = 1"), bind(), run, sync}, "1 2 D(1) C(SELECT 1) 1 E42501 ZI"},
		{"behind an error", []pgproto3.FrontendMessage{parse("select nothing"), bind(), run, sync}, "E42703 ZI"},
		{"no such parameter", []pgproto3.FrontendMessage{parse("select id from t where id = $1"), bind("x"), run, sync}, "1 E42501 ZI"},
		{"in a transaction", []pgproto3.FrontendMessage{parse("begin"), bind(), run, sync}, "1 2 C(BEGIN) ZT"},
		{"there", []pgproto3.FrontendMessage{parse("update t set v = $1 where id <= $2"), bind("c", "3"), run, sync}, "1 2 C(UPDATE 3) ZT"},
		{"too many there", []pgproto3.FrontendMessage{parse("update t set v = $1 where id <= $2"), bind("c", "30"), run, sync}, "1 E42501 ZE"},
		{"the end", []pgproto3.FrontendMessage{parse("rollback"), bind(), run, sync}, "1 2 C(ROLLBACK) ZI"},
	} {
		k.send(tt.send...)
		if got := k.until(1); got != tt.want {
			t.Errorf("%s\n got  %s\n want %s", tt.name, got, tt.want)
		}
	}
	r := w.connect().ExecParams(context.Background(), "delete from t where id = $1", [][]byte{{0, 0, 0, 9}}, []uint32{23}, []int16{1}, nil).Read()
	if r.Err != nil || r.CommandTag.RowsAffected() != 1 {
		t.Errorf("binary: %v %s", r.Err, r.CommandTag)
	}
}

// A question is asked only where a rule needs the answer, and is on record.
func TestFactsAreAskedForWhenNeeded(t *testing.T) {
	w := newFactsWorld(t)
	c := w.connect()
	execSQL(c, "begin; select 1; commit")
	execSQL(c, "create table u(i int)")
	own := func() (n int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, e := range w.events {
			if e.Type == access.ActionDecided && strings.HasPrefix(e.Text, "EXPLAIN (FORMAT JSON)") || strings.Contains(e.Text, "pg_catalog.count(*)") {
				n++
			}
		}
		return n
	}
	if n := own(); n != 1 {
		t.Errorf("asked %d times about one SELECT", n)
	}
	execSQL(c, "delete from t where id = 77")
	if n := own(); n != 3 {
		t.Errorf("asked %d times in all, want an estimate and a count more", n)
	}
}

func TestReadPlan(t *testing.T) {
	for _, tt := range []struct {
		plan       string
		rows, cost int64
	}{
		{`[{"Plan": {"Node Type": "Seq Scan", "Plan Rows": 10, "Total Cost": 1.5}}]`, 10, 2},
		{`[{"Plan": {"Node Type": "ModifyTable", "Plan Rows": 0, "Total Cost": 7, "Plans": [{"Parent Relationship": "Outer", "Plan Rows": 12}, {"Parent Relationship": "InitPlan", "Plan Rows": 900}]}}]`, 12, 7},
		{`[{"Plan": {"Node Type": "CTE Scan", "Plan Rows": 1, "Total Cost": 7, "Plans": [{"Node Type": "ModifyTable", "Parent Relationship": "InitPlan", "Plans": [{"Plan Rows": 50}]}]}}]`, 50, 7},
		{`[{"Plan": {"Plan Rows": 1e300, "Total Cost": -1}}]`, 1 << 62, 0},
	} {
		e, err := readPlan(tt.plan)
		if err != nil || e.Rows != tt.rows || e.Cost != tt.cost {
			t.Errorf("%s: %+v %v", tt.plan, e, err)
		}
	}
	for _, bad := range []string{"", "[]", "{}", "[{}]", "[1]", `[{"Plan": {"Plan Rows": "x"}}]`, strings.Repeat(" ", maxPlanText+1)} {
		if e, err := readPlan(bad); err == nil {
			t.Errorf("%.50s: %+v", bad, e)
		}
	}
}

func FuzzReadPlan(f *testing.F) {
	f.Add(`[{"Plan": {"Node Type": "ModifyTable", "Plans": [{"Plan Rows": 12}]}}]`)
	f.Fuzz(func(t *testing.T, text string) {
		if e, err := readPlan(text); err == nil && (e.Rows < 0 || e.Cost < 0) {
			t.Errorf("%+v", e)
		}
	})
}
