package postgres

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/access"
)

func denyVerbs(verbs ...access.Verb) func(access.Request) access.Decision {
	return func(r access.Request) access.Decision {
		for _, v := range verbs {
			if r.Action.Verb == v {
				return access.Decision{Message: "not here", Reasons: []access.Reason{{Policy: "p", Rule: "r"}}}
			}
		}
		return access.Decision{Effect: access.Allow}
	}
}

const denied = "42501 sluice: denied by p/r: not here"

func TestSimpleQueries(t *testing.T) { eitherWay(t, testSimpleQueries) }

func testSimpleQueries(t *testing.T, w *relayWorld) {
	c := w.connect()
	w.decide = denyVerbs(access.VerbDelete, access.VerbDrop)
	for _, tt := range []struct{ sql, want string }{
		{"select 1 as a, 'x' as b", "1|x"},
		{"create table t(id int primary key, v text)", "CREATE TABLE"},
		{"insert into t values (1,'a'),(2,'b')", "INSERT 0 2"},
		{"select * from t order by id", "1|a; 2|b"},
		{"delete from t", denied},
		{"select count(*) from t", "2"},
		{"select 1; delete from t; select 2", denied}, // none runs
		{"insert into t values (3,'c'); drop table t", denied},
		{"select count(*) from t", "2"},
		{"", ""},
		{"-- nothing", ""},
		{"select 1; select 2", "1; 2"},
		{"insert into t values (9,'z'); select 1/0", "INSERT 0 1; 22012 division by zero"},
		{"select count(*) from t", "2"}, // one implicit transaction
		{"selec 1", `42601 syntax error at or near "selec"`},
		{"begin; insert into t values (4,'d')", "BEGIN; INSERT 0 1"},
		{"delete from t", denied},
		{"select 1", "25P02 current transaction is aborted, commands ignored until end of transaction block"},
		{"rollback", "ROLLBACK"},
		{"select count(*) from t", "2"},
		{"begin; savepoint s", "BEGIN; SAVEPOINT"},
		{"delete from t", denied},
		{"rollback to s", "ROLLBACK"},
		{"insert into t values (5,'e'); commit", "INSERT 0 1; COMMIT"},
		{"select count(*) from t", "3"},
		{"prepare p as select $1::int + 1", "PREPARE"},
		{"execute p(41)", "42"},
		{"deallocate p", "DEALLOCATE"},
		{"prepare d as delete from t; execute d", denied},
		{"prepare d as delete from t", "PREPARE"}, // the fake policy looks at verbs only
		{"execute d", denied},
		{"select count(*) from t", "3"},
		{"begin; declare cu cursor for select id from t order by id; fetch 2 from cu; close cu; commit", "BEGIN; DECLARE CURSOR; 1; 2; CLOSE CURSOR; COMMIT"},
		{"explain (costs off) select 1", "Result"},
		{"explain analyze delete from t", denied},
		{"with x as (delete from t returning *) select * from x", denied},
	} {
		got := execSQL(c, tt.sql)
		if got != tt.want {
			t.Errorf("%s\n  got  %s\n  want %s", tt.sql, got, tt.want)
		}
	}
}

func TestPipelines(t *testing.T) { eitherWay(t, testPipelines) }

func testPipelines(t *testing.T, w *relayWorld) {
	execSQL(w.connect(), "create table t(id int primary key)")
	w.decide = denyVerbs(access.VerbDelete)
	parse := func(name, sql string) *pgproto3.Parse { return &pgproto3.Parse{Name: name, Query: sql} }
	bind := func(portal, name string) *pgproto3.Bind {
		return &pgproto3.Bind{DestinationPortal: portal, PreparedStatement: name}
	}
	run := &pgproto3.Execute{}
	sync := &pgproto3.Sync{}
	ms := func(m ...pgproto3.FrontendMessage) []pgproto3.FrontendMessage { return m }
	for _, tt := range []struct {
		name string
		send []pgproto3.FrontendMessage
		n    int
		want string
	}{
		{"one", ms(parse("", "select 1"), bind("", ""), &pgproto3.Describe{ObjectType: 'P'}, run, sync), 1, "1 2 T D(1) C(SELECT 1) ZI"},
		{"denied at Parse", ms(parse("", "delete from t"), bind("", ""), run, sync), 1, "E42501 ZI"},
		{"what came before is rolled back", ms(parse("", "insert into t values (1)"), bind("", ""), run, parse("", "delete from t"), bind("", ""), run, sync), 1,
			"1 2 C(INSERT 0 1) E42501 ZI"},
		{"and was", ms(parse("", "select count(*) from t"), bind("", ""), run, sync), 1, "1 2 D(0) C(SELECT 1) ZI"},
		{"the next segment goes on", ms(parse("", "delete from t"), sync, parse("", "select 2"), bind("", ""), run, sync), 2, "E42501 ZI 1 2 D(2) C(SELECT 1) ZI"},
		{"named", ms(parse("s", "select 3"), sync, bind("", "s"), run, sync, bind("", "s"), run, sync), 3, "1 ZI 2 D(3) C(SELECT 1) ZI 2 D(3) C(SELECT 1) ZI"},
		{"closed", ms(&pgproto3.Close{ObjectType: 'S', Name: "s"}, bind("", "s"), sync), 1, "3 E26000 ZI"},
		{"no such portal", ms(&pgproto3.Execute{Portal: "nope"}, sync), 1, "E34000 ZI"},
		{"partial", ms(parse("", "select generate_series(1,3)"), bind("", ""), &pgproto3.Execute{MaxRows: 2}, &pgproto3.Execute{MaxRows: 2}, sync), 1,
			"1 2 D(1) D(2) s D(3) C(SELECT 1) ZI"},
		{"empty", ms(parse("", ""), bind("", ""), run, sync), 1, "1 2 I ZI"},
		{"skipped behind an error", ms(parse("", "select 1/0"), bind("", ""), run, parse("x", "select 1"), sync, bind("", "x"), run, sync), 2, "1 E22012 ZI E26000 ZI"},
		{"query in the middle", ms(parse("", "select 4"), bind("", ""), run, &pgproto3.Query{String: "select 5"}, sync), 2, "1 2 D(4) C(SELECT 1) T D(5) C(SELECT 1) ZI ZI"},
		{"a long one", many(parse("", "select 7"), bind("", ""), run, sync, 300), 300, strings.TrimSpace(strings.Repeat("1 2 D(7) C(SELECT 1) ZI ", 300))},
		{"function call", ms(&pgproto3.FunctionCall{Function: 1598}), 1, "V ZI"}, // random()
		{"two statements in a Parse", ms(parse("", "select 1; select 2"), sync), 1, "E42601 ZI"},
		{"transaction", ms(parse("", "begin"), bind("", ""), run, sync, parse("", "delete from t"), sync, parse("", "select 1"), sync, parse("", "rollback"), bind("", ""), run, sync), 4,
			"1 2 C(BEGIN) ZT E42501 ZE E25P02 ZE 1 2 C(ROLLBACK) ZI"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := w.talk()
			if tt.name == "closed" {
				k.send(parse("s", "select 3"), sync)
				k.until(1)
			}
			k.send(tt.send...)
			if got := k.until(tt.n); got != tt.want {
				t.Errorf("\n got  %s\n want %s", got, tt.want)
			}
		})
	}
}

func many(a, b, c, d pgproto3.FrontendMessage, n int) (ms []pgproto3.FrontendMessage) {
	for range n {
		ms = append(ms, a, b, c, d)
	}
	return ms
}

// A stale name is the classic bypass: the statement that the gateway believes
// in was never parsed, and the old one still stands.
func TestAStaleNameIsNotJudgedByItsNewText(t *testing.T) {
	eitherWay(t, testAStaleNameIsNotJudgedByItsNewText)
}

func testAStaleNameIsNotJudgedByItsNewText(t *testing.T, w *relayWorld) {
	execSQL(w.connect(), "create table t(id int primary key); insert into t values (1)")
	judged := []string{}
	w.decide = func(r access.Request) access.Decision {
		if r.Action.Verb != access.VerbPrepare && r.Context.Session.Statements > 0 {
			judged = append(judged, r.Action.Text)
		}
		return access.Decision{Effect: access.Allow}
	}
	k := w.talk()
	k.send(&pgproto3.Parse{Query: "delete from t"}, &pgproto3.Sync{})
	k.until(1)
	// The Parse is behind an error and skipped; the unnamed statement stays.
	k.send(&pgproto3.Bind{PreparedStatement: "no such"}, &pgproto3.Parse{Query: "select 1"}, &pgproto3.Sync{},
		&pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{})
	if got := k.until(2); got != "E26000 ZI 2 C(DELETE 1) ZI" {
		t.Fatal(got)
	}
	if got := judged[len(judged)-1]; got != "delete from t" {
		t.Errorf("what ran was judged as %q", got)
	}
}

func TestCopy(t *testing.T) { eitherWay(t, testCopy) }

func testCopy(t *testing.T, w *relayWorld) {
	c := w.connect()
	execSQL(c, "create table t(id int, v text)")
	ctx := context.Background()
	tag, err := c.CopyFrom(ctx, strings.NewReader("1\ta\n2\tb\n"), "copy t from stdin")
	if err != nil || tag.String() != "COPY 2" {
		t.Fatal(tag, err)
	}
	var out bytes.Buffer
	if _, err := c.CopyTo(ctx, &out, "copy t to stdout"); err != nil || out.String() != "1\ta\n2\tb\n" {
		t.Fatalf("%q, %v", out.String(), err)
	}
	if _, err := c.CopyFrom(ctx, strings.NewReader("x\ty\n"), "copy t from stdin"); err == nil || !strings.Contains(err.Error(), "22P02") {
		t.Fatal(err)
	}
	big := strings.Repeat("3\t"+strings.Repeat("y", 1000)+"\n", 5000)
	if tag, err := c.CopyFrom(ctx, strings.NewReader(big), "copy t from stdin"); err != nil || tag.String() != "COPY 5000" {
		t.Fatal(tag, err)
	}
	out.Reset()
	if tag, err := c.CopyTo(ctx, &out, "copy t to stdout"); err != nil || tag.String() != "COPY 5002" || out.Len() != len(big)+8 {
		t.Fatal(tag, out.Len(), err)
	}
	w.decide = denyVerbs(access.VerbCopyIn)
	if _, err := c.CopyFrom(ctx, strings.NewReader("1\ta\n"), "copy t from stdin"); err == nil || !strings.Contains(err.Error(), "not here") {
		t.Fatal(err)
	}
	if got := execSQL(c, "select count(*) from t"); got != "5002" {
		t.Error(got)
	}
}

// libpq sends Sync right behind Execute, and once more behind the data.
func TestCopyInExtended(t *testing.T) { eitherWay(t, testCopyInExtended) }

func testCopyInExtended(t *testing.T, w *relayWorld) {
	execSQL(w.connect(), "create table t(id int)")
	k := w.talk()
	k.send(&pgproto3.Parse{Query: "copy t from stdin"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{})
	k.send(&pgproto3.CopyData{Data: []byte("1\n2\n")}, &pgproto3.CopyDone{}, &pgproto3.Sync{})
	if got := k.until(1); got != "1 2 G C(COPY 2) ZI" {
		t.Fatal(got)
	}
	// It fails before any data is read: both Syncs are answered by the server.
	k.send(&pgproto3.Parse{Query: "copy nope from stdin"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{})
	if got := k.until(1); got != "E42P01 ZI" && got != "1 2 E42P01 ZI" {
		t.Fatal(got)
	}
	k.send(&pgproto3.Parse{Query: "copy t from stdin"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{},
		&pgproto3.CopyData{Data: []byte("bad\n")}, &pgproto3.CopyDone{}, &pgproto3.Sync{})
	if got := k.until(1); got != "1 2 G E22P02 ZI" {
		t.Fatal(got)
	}
	k.send(&pgproto3.Query{String: "select count(*) from t"})
	if got := k.until(1); got != "T D(2) C(SELECT 1) ZI" {
		t.Fatal(got)
	}
}

// A COPY that fails at once leaves its client sending data to nobody.
func TestCopyDataBehindAnError(t *testing.T) { eitherWay(t, testCopyDataBehindAnError) }

func testCopyDataBehindAnError(t *testing.T, w *relayWorld) {
	k := w.talk()
	k.send(&pgproto3.Query{String: "copyy t from stdin"}, &pgproto3.CopyData{Data: []byte("1\n")}, &pgproto3.CopyDone{})
	if got := k.until(1); got != "E42601 ZI" {
		t.Fatal(got)
	}
	k.send(&pgproto3.Query{String: "select 1"})
	if got := k.until(1); got != "T D(1) C(SELECT 1) ZI" {
		t.Fatal(got)
	}
}

func TestCancelReachesTheUpstream(t *testing.T) { eitherWay(t, testCancelReachesTheUpstream) }

func testCancelReachesTheUpstream(t *testing.T, w *relayWorld) {
	c := w.connect()
	done := make(chan string, 1)
	go func() { done <- execSQL(c, "select pg_sleep(60)") }()
	time.Sleep(200 * time.Millisecond)
	if err := c.CancelRequest(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := <-done; !strings.HasPrefix(got, "57014") {
		t.Error(got)
	}
	if got := execSQL(c, "select 1"); got != "1" {
		t.Error(got)
	}
}

func TestWaitingForApproval(t *testing.T) { eitherWay(t, testWaitingForApproval) }

func testWaitingForApproval(t *testing.T, w *relayWorld) {
	execSQL(w.connect(), "create table t(id int); insert into t values (1)")
	asks := func(r access.Request) access.Decision {
		if r.Action.Verb == access.VerbDelete && r.Context.Approved == nil {
			return access.Decision{Effect: access.RequireApproval, Reasons: []access.Reason{{Policy: "p", Rule: "ask"}}}
		}
		return access.Decision{Effect: access.Allow}
	}
	w.decide = asks
	w.approve = func(ctx context.Context, r access.Request, tell func(access.Pending)) (access.Approval, error) {
		tell(access.Pending{ID: "req-1", From: []access.Approvers{{Group: "dba", Count: 1}}})
		return access.Approval{ID: "req-1", Digest: r.Digest(), Approved: true, Expires: time.Now().Add(time.Hour)}, nil
	}
	c := w.connect()
	if got := execSQL(c, "delete from t"); got != "DELETE 1" {
		t.Fatal(got)
	}
	withdrawn := make(chan error, 2)
	waits := make(chan bool, 2)
	w.approve = func(ctx context.Context, r access.Request, tell func(access.Pending)) (access.Approval, error) {
		tell(access.Pending{ID: "req-2"})
		waits <- true
		<-ctx.Done()
		withdrawn <- ctx.Err()
		return access.Approval{}, ctx.Err()
	}
	done := make(chan string, 1)
	go func() { done <- execSQL(c, "delete from t") }()
	<-waits
	if err := c.CancelRequest(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := <-done; !strings.HasPrefix(got, "57014") {
		t.Error(got)
	}
	<-withdrawn
	if got := execSQL(c, "select 1"); got != "1" {
		t.Errorf("after the withdrawal: %s", got)
	}
	// A client that leaves withdraws too.
	k := w.talk()
	k.send(&pgproto3.Query{String: "delete from t"})
	<-waits
	k.c.Close()
	select {
	case <-withdrawn:
	case <-time.After(10 * time.Second):
		t.Error("the request of a client that left is still pending")
	}
}

func TestNothingRunsUnrecorded(t *testing.T) { eitherWay(t, testNothingRunsUnrecorded) }

func testNothingRunsUnrecorded(t *testing.T, w *relayWorld) {
	c := w.connect()
	execSQL(c, "create table t(id int)")
	w.mu.Lock()
	w.durable = func(access.Mark) error { return errors.New("EIO") }
	w.mu.Unlock()
	if got := execSQL(c, "insert into t values (1)"); !strings.HasPrefix(got, "58030") {
		t.Error(got)
	}
	w.mu.Lock()
	w.durable = nil
	w.mu.Unlock()
	if got := execSQL(w.connect(), "select count(*) from t"); got != "0" {
		t.Errorf("rows: %s", got)
	}
}

// A pure read is forwarded at once, but its answer waits for the record.
func TestAnswersWaitForTheRecord(t *testing.T) { eitherWay(t, testAnswersWaitForTheRecord) }

func testAnswersWaitForTheRecord(t *testing.T, w *relayWorld) {
	c := w.connect()
	execSQL(c, "create table t(id int)")
	execSQL(c, "select 1")
	gate := make(chan struct{})
	w.mu.Lock()
	w.durable = func(access.Mark) error { <-gate; return nil }
	w.mu.Unlock()
	done := make(chan string, 1)
	go func() { done <- execSQL(c, "select 42") }()
	select {
	case got := <-done:
		t.Fatalf("answered before the record was durable: %s", got)
	case <-time.After(300 * time.Millisecond):
	}
	close(gate)
	if got := <-done; got != "42" {
		t.Error(got)
	}
}

func TestOutcomes(t *testing.T) { eitherWay(t, testOutcomes) }

func testOutcomes(t *testing.T, w *relayWorld) {
	c := w.connect()
	execSQL(c, "create table t(id int primary key)")
	execSQL(c, "insert into t values (1); insert into t values (1)")
	execSQL(c, "select * from generate_series(1,5)")
	c.Close(context.Background())
	var first, second, series *relayEvent
	eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		byID := map[string]string{}
		for i := range w.events {
			e := &w.events[i]
			byID[e.ID] = e.Text
			if e.Type != access.ActionCompleted {
				continue
			}
			switch {
			case strings.HasPrefix(byID[e.Ref], "insert") && first == nil:
				first = e
			case strings.HasPrefix(byID[e.Ref], "insert"):
				second = e
			case strings.Contains(byID[e.Ref], "series"):
				series = e
			}
		}
		return first != nil && second != nil && series != nil
	})
	if first.Outcome.Error == "" && !first.Outcome.Undone {
		first, second = second, first
	}
	if series.Outcome.Rows != 5 || series.Outcome.Bytes == 0 {
		t.Errorf("series: %+v", series.Outcome)
	}
	undone, failed := first, second
	if failed.Outcome.Error == "" {
		undone, failed = failed, undone
	}
	if !undone.Outcome.Undone || !strings.HasPrefix(failed.Outcome.Error, "23505") {
		t.Errorf("first %+v, second %+v", undone.Outcome, failed.Outcome)
	}
}

func TestUnknownResourceAndEmptyPosture(t *testing.T) {
	w := newRelayWorld(t)
	out, err := exec.Command("psql", strings.Replace(w.dsn(), "dbname=shop", "dbname=nope", 1), "-c", "select 1").CombinedOutput()
	if err == nil || !strings.Contains(string(out), `there is no resource "nope"`) {
		t.Errorf("%s", out)
	}
	w.mu.Lock()
	w.posture = access.Posture{}
	w.mu.Unlock()
	out, err = exec.Command("psql", w.dsn(), "-c", "select 1").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "no rule allows") {
		t.Errorf("%s", out)
	}
}

// Whatever a session waits for, it ends when its upstream does, when it is
// killed and when the gateway stops.
func TestWaitingSessionsEnd(t *testing.T) {
	for name, end := range map[string]func(*relayWorld){
		"upstream": func(w *relayWorld) {
			w.pg.Exec(t, w.db, "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()")
		},
		"killed": func(w *relayWorld) {
			for _, s := range w.srv.Sessions() {
				w.srv.Kill(s.ID)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRelayWorld(t)
			k := w.talk()
			// The second query waits for the first: it may be read differently then.
			k.send(&pgproto3.Query{String: "set client_encoding = 'UTF8'; select pg_sleep(600)"}, &pgproto3.Query{String: "select 1"})
			eventually(t, func() bool {
				return strings.Contains(w.pg.Exec(t, w.db, "select count(*) from pg_stat_activity where query like '%pg_sleep(600)%' and state = 'active' and pid <> pg_backend_pid()"), "1")
			})
			end(w)
			eventually(t, func() bool { return len(w.srv.Sessions()) == 0 })
		})
	}
}
