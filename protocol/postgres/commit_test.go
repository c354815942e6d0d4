package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/access"
)

// askAtCommit asks about every write, at commit where it can be.
func askAtCommit(preview bool) func(access.Request) access.Decision {
	return func(r access.Request) access.Decision {
		if c := r.Action.Verb.Class(); c != access.ClassWrite && c != access.ClassAdmin {
			return access.Decision{Effect: access.Allow}
		}
		if a := r.Context.Approved; a != nil && a.Approved && a.Digest == r.Digest() {
			return access.Decision{Effect: access.Allow}
		}
		return access.Decision{Effect: access.RequireApproval, Reasons: []access.Reason{{Policy: "p", Rule: "late"}},
			Approval: access.Quorum{From: []access.Approvers{{Group: "dba", Count: 1}}, At: access.AtCommit, Preview: preview}}
	}
}

// A panel answers requests and remembers what it was asked.
type panel struct {
	w     *relayWorld
	asked []string
	no    bool
}

func newPanel(w *relayWorld) *panel {
	p := &panel{w: w}
	w.approve = func(_ context.Context, r access.Request, _ func(access.Pending)) (access.Approval, error) {
		p.asked = append(p.asked, inShort(&r.Action))
		if p.no {
			return access.Approval{ID: "req-1", Digest: r.Digest(), State: "rejected", By: []access.Subject{{ID: "bob"}}, Reason: "no"}, nil
		}
		return access.Approval{ID: "req-1", Digest: r.Digest(), Approved: true, Expires: w.srv.Now().Add(time.Minute)}, nil
	}
	return p
}

// inShort is what an approver was asked, in short.
func inShort(a *access.Action) string {
	if len(a.Parts) == 0 {
		return a.Text
	}
	var parts []string
	for _, p := range a.Parts {
		text := p.Text
		for i, v := range p.Args {
			text = strings.ReplaceAll(text, fmt.Sprintf("$%d", i+1), string(v.Value))
		}
		parts = append(parts, fmt.Sprintf("%s [%d]", text, p.Rows))
	}
	return strings.Join(parts, " + ")
}

// asked checks what people were asked since the last time.
func (p *panel) expect(t *testing.T, want ...string) {
	t.Helper()
	got := strings.Join(p.asked, "\n")
	if got != strings.Join(want, "\n") {
		t.Errorf("people were asked\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	p.asked = nil
}

func newCommitWorld(t *testing.T, preview bool) (*relayWorld, *panel) {
	w := newRelayWorld(t)
	commitTables(w)
	p := newPanel(w)
	w.decide = askAtCommit(preview)
	return w, p
}

func commitTables(w *relayWorld) {
	execSQL(w.connect(), `create table t(id int primary key, v text); insert into t select i, 'v' from generate_series(1,5) i; create sequence q;
		create procedure p() language plpgsql as $$ begin update t set v = 'p'; commit; end $$`)
	w.posture.Restricted = true
}

// sees is what another session sees: what is final.
func (p *panel) sees(t *testing.T, what, want string) {
	t.Helper()
	decide := p.w.decide
	p.w.decide = allowAll
	if got := execSQL(p.w.connect(), "select count(*) from t where "+what); got != want {
		t.Errorf("%s: %s rows, want %s", what, got, want)
	}
	p.w.decide = decide
}

const refusedCommit = "42501 sluice: denied by p/late: request req-1 was rejected by bob: no"

func TestCommitIsAskedAbout(t *testing.T) { eitherWay(t, testCommitIsAskedAbout) }

func testCommitIsAskedAbout(t *testing.T, w *relayWorld) {
	commitTables(w)
	p := newPanel(w)
	w.decide = askAtCommit(false)
	c := w.connect()
	run := func(sql, want string) {
		t.Helper()
		if got := execSQL(c, sql); got != want {
			t.Errorf("%s\n got  %s\n want %s", sql, got, want)
		}
	}
	run("begin", "BEGIN")
	run("update t set v = 'a' where id <= 3", "UPDATE 3")
	run("delete from t where id = 5", "DELETE 1")
	run("select count(*) from t where v = 'a'", "3")
	p.expect(t)
	p.sees(t, "v = 'a'", "0")
	run("commit", "COMMIT")
	p.expect(t, "update t set v = 'a' where id <= 3 [3] + delete from t where id = 5 [1]")
	p.sees(t, "v = 'a'", "3")
	run("begin", "BEGIN")
	run("commit", "COMMIT")
	p.expect(t)

	p.no = true
	run("begin", "BEGIN")
	run("update t set v = 'b'", "UPDATE 4")
	run("end", refusedCommit)
	p.expect(t, "update t set v = 'b' [4]")
	run("select 1", "25P02 current transaction is aborted, commands ignored until end of transaction block")
	run("commit", "ROLLBACK")
	p.sees(t, "v = 'b'", "0")
	p.expect(t)
	run("update t set v = 'c'", refusedCommit) // outside of a transaction it asks before
	p.expect(t, "update t set v = 'c'")
	p.sees(t, "v = 'c'", "0")
}

// Each of these would get something committed without an answer, or with one for
// something else. People always say no; nothing may ever be seen.
func TestCommitIsNotGoneAround(t *testing.T) {
	const late = "update t set v = 'x' where id = 1"
	for name, c := range map[string]struct {
		say   []string
		asked string
	}{
		"chain":                          {[]string{"begin", late, "commit and chain", "commit"}, late + " [1]"},
		"end":                            {[]string{"begin", late, "end transaction"}, late + " [1]"},
		"prepare transaction":            {[]string{"begin", late, "prepare transaction 'g'", "commit prepared 'g'"}, late + " [1]"},
		"begin in the same Query":        {[]string{"begin; " + late, "commit"}, late},
		"commit in the same Query":       {[]string{"begin", late + "; commit"}, late},
		"everything in one Query":        {[]string{"begin; " + late + "; commit"}, late},
		"commit beside something else":   {[]string{"begin", late, "select 1; commit"}, ""},
		"rollback to beside commit":      {[]string{"begin", late, "savepoint s", "update t set v = 'y'", "rollback to s; commit"}, ""},
		"commit, then begin again":       {[]string{"begin", late, "commit; begin", "rollback"}, ""},
		"savepoint, refused, back":       {[]string{"begin", late, "savepoint s", "commit", "rollback to s", "commit", "rollback"}, late + " [1]"},
		"savepoint, refused, and more":   {[]string{"begin", late, "savepoint s", "commit", "rollback to s", "select 1", "commit and chain", "commit"}, late + " [1]"},
		"released savepoint of one name": {[]string{"begin", "savepoint a", late, "savepoint a", "select 1", "rollback to a", "commit"}, late + " [1]"},
		"failed release": {[]string{"begin", "savepoint a", late, "savepoint a", "select 1/0", "release a", "rollback to a", "commit"},
			late + " [1]"},
		"failed rollback to":       {[]string{"begin", "savepoint a", late, "release a", "savepoint b", "rollback to a", "rollback to b", "commit"}, late + " [1]"},
		"procedure that commits":   {[]string{"call p()"}, "call p()"},
		"procedure in transaction": {[]string{"begin", "call p()", "commit"}, "call p()"},
		"do":                       {[]string{"begin", "do $$ begin update t set v = 'x'; end $$", "commit"}, "do $$ begin update t set v = 'x'; end $$"},
		"sequence":                 {[]string{"begin", "insert into t values (nextval('q') + 100, 'x')", "commit"}, "insert into t values (nextval('q') + 100, 'x')"},
		"truncate":                 {[]string{"begin", "truncate t", "commit"}, "truncate t"},
		"drop":                     {[]string{"begin", "drop table t", "commit"}, "drop table t"},
		"copy to program":          {[]string{"begin", "copy t to program 'true'", "commit"}, "copy t to program 'true'"},
		"with":                     {[]string{"begin", "with d as (delete from t returning id) select 1", "commit"}, "with d as (delete from t returning id) select 1"},
		"notify":                   {[]string{"begin", "update t set v = pg_notify('c', 'x')::text", "commit"}, "update t set v = pg_notify('c', 'x')::text"},
		"lock that outlives it":    {[]string{"begin", "update t set v = pg_advisory_lock(1)::text", "commit"}, "update t set v = pg_advisory_lock(1)::text"},
		"prepared statement":       {[]string{"prepare u as " + late, "begin", "execute u", "commit"}, "execute u"},
		"what nobody understands":  {[]string{"begin", late, "committ"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := newCommitWorld(t, true)
			p.no = true
			conn := w.connect()
			for _, sql := range c.say {
				t.Log(sql, "=>", execSQL(conn, sql))
			}
			if c.asked == "" {
				p.expect(t)
			} else {
				p.expect(t, c.asked)
			}
			conn.Close(context.Background())
			p.sees(t, "v = 'v'", "5")
			p.sees(t, "true", "5")
		})
	}
}

// What was taken back to a savepoint is not asked about.
func TestSavepointsAreFollowed(t *testing.T) {
	w, p := newCommitWorld(t, false)
	c := w.connect()
	for _, sql := range []string{"begin", "update t set v = 'a' where id = 1", "savepoint s", "update t set v = 'b' where id = 2", "savepoint s2",
		"update t set v = 'c' where id = 3", "rollback to s", "update t set v = 'd' where id = 4", "release s"} {
		if got := execSQL(c, sql); strings.Contains(got, "sluice") {
			t.Fatal(sql, got)
		}
	}
	if got := execSQL(c, "commit and chain"); got != "COMMIT" {
		t.Error(got)
	}
	p.expect(t, "update t set v = 'a' where id = 1 [1] + update t set v = 'd' where id = 4 [1]")
	execSQL(c, "update t set v = 'e' where id = 5")
	execSQL(c, "commit")
	p.expect(t, "update t set v = 'e' where id = 5 [1]")
	p.sees(t, "v in ('a', 'd', 'e')", "3")
}

func TestCommitInPipelines(t *testing.T) { eitherWay(t, testCommitInPipelines) }

func testCommitInPipelines(t *testing.T, w *relayWorld) {
	commitTables(w)
	p := newPanel(w)
	p.no = true
	w.decide = askAtCommit(false)
	parse := func(name, sql string) pgproto3.FrontendMessage { return &pgproto3.Parse{Name: name, Query: sql} }
	bind := func(portal, name string, args ...string) pgproto3.FrontendMessage {
		b := &pgproto3.Bind{DestinationPortal: portal, PreparedStatement: name}
		for _, a := range args {
			b.Parameters = append(b.Parameters, []byte(a))
		}
		return b
	}
	exec := func(portal string) pgproto3.FrontendMessage { return &pgproto3.Execute{Portal: portal} }
	query := func(sql string) pgproto3.FrontendMessage { return &pgproto3.Query{String: sql} }
	sync := &pgproto3.Sync{}
	prepare := []pgproto3.FrontendMessage{parse("b", "begin"), parse("u", "update t set v = $1 where id = 1"), parse("c", "commit"), parse("s", "savepoint x"),
		parse("r", "rollback to x"), sync}
	ms := func(m ...pgproto3.FrontendMessage) []pgproto3.FrontendMessage { return m }
	const before, late = "update t set v = $1 where id = 1", "update t set v = x where id = 1 [1]"
	for _, tt := range []struct {
		name  string
		send  []pgproto3.FrontendMessage
		n     int
		want  string
		asked string
	}{
		{"plain", ms(query("begin"), bind("", "u", "x"), exec(""), sync, bind("", "c"), exec(""), sync, query("rollback")), 4,
			"C(BEGIN) ZT 2 C(UPDATE 1) ZT E42501 ZE C(ROLLBACK) ZI", late},
		{"in one pipeline", ms(query("begin"), bind("", "u", "x"), exec(""), bind("", "c"), exec(""), sync, query("rollback")), 3,
			"C(BEGIN) ZT 2 C(UPDATE 1) E42501 ZE C(ROLLBACK) ZI", late},
		{"begin in the pipeline", ms(bind("", "b"), exec(""), bind("", "u", "x"), exec(""), bind("", "c"), exec(""), sync, query("rollback")), 2,
			"2 C(BEGIN) E42501 ZE C(ROLLBACK) ZI", before},
		{"commit before the update", ms(query("begin"), bind("", "c"), exec(""), bind("", "u", "x"), exec(""), sync), 2,
			"C(BEGIN) ZT 2 C(COMMIT) E42501 ZI", before},
		{"commit bound first", ms(query("begin"), bind("c", "c"), bind("u", "u", "x"), exec("u"), exec("c"), sync, query("rollback")), 3,
			"C(BEGIN) ZT 2 2 C(UPDATE 1) E42501 ZE C(ROLLBACK) ZI", ""},
		{"commit bound long before", ms(query("begin"), bind("c", "c"), sync, bind("u", "u", "x"), exec("u"), sync, exec("c"), sync, query("rollback")), 5,
			"C(BEGIN) ZT 2 ZT 2 C(UPDATE 1) ZT E42501 ZE C(ROLLBACK) ZI", ""},
		{"update bound, commit bound, update runs", ms(query("begin"), bind("u", "u", "x"), bind("c", "c"), exec("u"), exec("c"), sync, query("rollback")), 3,
			"C(BEGIN) ZT 2 2 C(UPDATE 1) E42501 ZE C(ROLLBACK) ZI", ""},
		{"commit skipped behind an error, and again", ms(query("begin"), bind("", "u", "x"), exec(""), bind("", "s"), exec(""), sync, exec("none"), bind("", "c"), exec(""), sync,
			bind("", "r"), exec(""), bind("", "c"), exec(""), sync, query("rollback")), 5,
			"C(BEGIN) ZT 2 C(UPDATE 1) 2 C(SAVEPOINT) ZT E34000 ZE 2 C(ROLLBACK) E42501 ZE C(ROLLBACK) ZI", late},
		{"savepoints of two protocols", ms(query("begin"), query("savepoint x"), bind("", "u", "x"), exec(""), sync, bind("", "s"), exec(""), sync, query("rollback to x"),
			query("commit"), query("rollback")), 7,
			"C(BEGIN) ZT C(SAVEPOINT) ZT 2 C(UPDATE 1) ZT 2 C(SAVEPOINT) ZT C(ROLLBACK) ZT E42501 ZE C(ROLLBACK) ZI", late},
		{"an old portal in the next transaction", ms(query("begin"), bind("u", "u", "x"), query("commit"), query("begin"), exec("u"), sync, query("rollback")), 5,
			"C(BEGIN) ZT 2 C(COMMIT) ZI C(BEGIN) ZT E34000 ZE C(ROLLBACK) ZI", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := w.talk()
			k.send(prepare...)
			k.until(1)
			k.send(tt.send...)
			if got := k.until(tt.n); got != tt.want {
				t.Errorf("\n got  %s\n want %s", got, tt.want)
			}
			if tt.asked == "" {
				p.expect(t)
			} else {
				p.expect(t, tt.asked)
			}
			p.sees(t, "v = 'x'", "0")
		})
	}
}

// Outside of a transaction a statement runs in one of its own, and stays if people
// agree.
func TestPreviewRunsFirst(t *testing.T) { eitherWay(t, testPreviewRunsFirst) }

func testPreviewRunsFirst(t *testing.T, w *relayWorld) {
	commitTables(w)
	p := newPanel(w)
	w.decide = askAtCommit(true)
	c := w.connect()
	run := func(sql, want string, asked ...string) {
		t.Helper()
		if got := execSQL(c, sql); got != want {
			t.Errorf("%s\n got  %s\n want %s", sql, got, want)
		}
		p.expect(t, asked...)
	}
	run("update t set v = 'a' where id <= 2", "UPDATE 2", "update t set v = 'a' where id <= 2 [2]")
	run("update t set v = 'a' where id = 3 returning v", "a", "update t set v = 'a' where id = 3 returning v")
	run("update t set v = 1/0", "22012 division by zero")
	run("update t set v = 'b'; select 1", "UPDATE 5; 1", "update t set v = 'b'")
	run("select now() = statement_timestamp()", "t")
	p.no = true
	run("update t set v = 'c'", refusedCommit, "update t set v = 'c' [5]")
	run("select count(*) from t where v = 'c'", "0")
	run("select now() = statement_timestamp()", "t")

	parse, sync := &pgproto3.Parse{Name: "", Query: "update t set v = 'd' where id < 4"}, &pgproto3.Sync{}
	k := w.talk()
	k.send(parse, &pgproto3.Bind{}, &pgproto3.Execute{}, sync)
	if got := k.until(1); got != "1 2 C(UPDATE 3) E42501 ZI" {
		t.Error(got)
	}
	p.expect(t, "update t set v = 'd' where id < 4 [3]")
	p.sees(t, "v = 'd'", "0")
	p.no = false
	k.send(parse, &pgproto3.Bind{}, &pgproto3.Execute{}, sync)
	if got := k.until(1); got != "1 2 C(UPDATE 3) ZI" {
		t.Error(got)
	}
	p.expect(t, "update t set v = 'd' where id < 4 [3]")
	p.sees(t, "v = 'd'", "3")
}

// The wait for a commit ends when the client cancels, and when locks were held for
// too long; either way everything is rolled back.
func TestCommitWaitEnds(t *testing.T) {
	w, _ := newCommitWorld(t, false)
	w.srv.Gate.MaxHold = 200 * time.Millisecond
	w.approve = func(ctx context.Context, _ access.Request, tell func(access.Pending)) (access.Approval, error) {
		tell(access.Pending{ID: "req-1"})
		<-ctx.Done()
		return access.Approval{}, errors.Join(errors.New("withdrawn"), context.Cause(ctx))
	}
	c := w.connect()
	execSQL(c, "begin")
	execSQL(c, "update t set v = 'x'")
	if got := execSQL(c, "commit"); !strings.Contains(got, "waited longer than approval.max_hold") {
		t.Error(got)
	}
	if got := execSQL(c, "rollback"); got != "ROLLBACK" {
		t.Error(got)
	}
	(&panel{w: w}).sees(t, "v = 'x'", "0")
}
