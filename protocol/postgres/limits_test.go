package postgres

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/access"
)

// limitAll puts every action under a limit.
func limitAll(l access.Limit) func(access.Request) access.Decision {
	l.Rule = "p/l"
	return func(access.Request) access.Decision {
		return access.Decision{Effect: access.Allow, Obligations: []access.Obligation{l}}
	}
}

func TestRowLimits(t *testing.T) {
	w := newRelayWorld(t)
	execSQL(w.connect(), "create table t as select i, repeat('x', 100) as pad from generate_series(1,10) i")
	w.decide = limitAll(access.Limit{Rows: 3})
	ms := func(m ...pgproto3.FrontendMessage) []pgproto3.FrontendMessage { return m }
	query := func(sql string) []pgproto3.FrontendMessage { return ms(&pgproto3.Query{String: sql}) }
	parse := &pgproto3.Parse{Query: "select i from t order by i"}
	bind, run, sync := &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{}
	some := &pgproto3.Execute{MaxRows: 2}
	for _, tt := range []struct {
		name string
		send []pgproto3.FrontendMessage
		want string
	}{
		{"under", query("select i from t where i < 3 order by i"), "T D(1) D(2) C(SELECT 2) ZI"},
		{"exactly", query("select i from t where i < 4 order by i"), "T D(1) D(2) D(3) C(SELECT 3) ZI"},
		{"over", query("select i from t order by i"), "T D(1) D(2) D(3) W C(SELECT 3) ZI"},
		{"each of several", query("select i from t order by i; select 7"), "T D(1) D(2) D(3) W C(SELECT 3) T D(7) C(SELECT 1) ZI"},
		{"returning", query("begin; delete from t returning i; rollback"), "C(BEGIN) T D(1) D(2) D(3) W C(DELETE 10) C(ROLLBACK) ZI"},
		{"extended", ms(parse, bind, run, sync), "1 2 D(1) D(2) D(3) W C(SELECT 3) ZI"},
		{"bit by bit", ms(parse, bind, some, some, some, sync), "1 2 D(1) D(2) s D(3) W C(SELECT 1) W C(SELECT 0) ZI"},
		{"a cursor is one result", query("begin; declare c cursor for select i from t order by i; fetch 2 from c; fetch 2 from c; fetch 2 from c; commit"),
			"C(BEGIN) C(DECLARE CURSOR) T D(1) D(2) C(FETCH 2) T D(3) W C(FETCH 1) T W C(FETCH 0) C(COMMIT) ZI"},
		{"copy", query("copy (select i from t order by i) to stdout"), "H d(1) d(2) d(3) c W C(COPY 3) ZI"},
		{"copy with names", query("copy (select i from t order by i) to stdout with (format csv, header)"), "H d(i) d(1) d(2) d(3) c W C(COPY 3) ZI"},
		{"copy of as many", query("copy (select i from t order by i limit 3) to stdout with (format csv, header)"), "H d(i) d(1) d(2) d(3) c C(COPY 3) ZI"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := w.talk()
			k.warnings = true
			k.send(tt.send...)
			if got := k.until(1); got != tt.want {
				t.Errorf("\n got  %s\n want %s", got, tt.want)
			}
		})
	}
}

func TestByteLimits(t *testing.T) {
	w := newRelayWorld(t)
	w.decide = limitAll(access.Limit{Bytes: 250})
	c := w.connect()
	got := execSQL(c, "select repeat('x', 100) from generate_series(1,10)")
	if n := strings.Count(got, "x"); n != 200 {
		t.Errorf("%d bytes: %s", n, got)
	}
	// A row behind one that was too large does not come, however small.
	const uneven = "select i, repeat('x', n) from (values (1, 50), (2, 200000), (3, 1)) v(i, n) order by i"
	if got := execSQL(c, uneven); got != "1|"+strings.Repeat("x", 50) {
		t.Errorf("uneven: %s", got)
	}
	got = execSQL(c, "begin; declare c cursor for "+uneven+"; fetch 1 from c; fetch 1 from c; fetch 1 from c; commit")
	if want := "BEGIN; DECLARE CURSOR; 1|" + strings.Repeat("x", 50) + "; FETCH 0; FETCH 0; COMMIT"; got != want {
		t.Errorf("a cursor: %s", got)
	}
}

// Rows that fit no buffer pass, and are dropped, piece by piece.
func TestLongRowsUnderLimits(t *testing.T) {
	w := newRelayWorld(t)
	c := w.connect()
	const long = "select i, repeat('x', 3000000) from generate_series(1, 4) i"
	for _, tt := range []struct {
		limit access.Limit
		sql   string
		want  int
	}{
		{access.Limit{Rows: 2}, long, 2}, {access.Limit{Bytes: 10_000_000}, long, 3}, {access.Limit{Bytes: 100}, long, 0}, {access.Limit{AffectedRows: 9}, long, 4},
		{access.Limit{Rows: 2}, "begin; " + long + "; commit", 2}, {access.Limit{Rows: 3}, "copy (" + long + ") to stdout", 3},
	} {
		w.decide = limitAll(tt.limit)
		got := execSQL(c, tt.sql)
		if strings.HasPrefix(tt.sql, "copy") {
			var out bytes.Buffer
			if _, err := c.CopyTo(context.Background(), &out, tt.sql); err != nil {
				t.Fatal(err)
			}
			got = out.String()
		}
		if n := strings.Count(got, "x"); n != tt.want*3000000 {
			t.Errorf("%+v: %s: %d bytes", tt.limit, tt.sql, n)
		}
		w.decide = allowAll
		if got := execSQL(c, "select 1"); got != "1" {
			t.Fatalf("afterwards: %s", got)
		}
	}
}

// A limited binary COPY is still one: header, whole rows, trailer.
func TestALimitedBinaryCopyEndsWell(t *testing.T) {
	for name, l := range map[string]access.Limit{"rows": {Rows: 2}, "bytes": {Bytes: 8}, "many": {Rows: 2000}} {
		t.Run(name, func(t *testing.T) {
			w := newRelayWorld(t)
			w.decide = limitAll(l)
			var out bytes.Buffer
			tag, err := w.connect().CopyTo(context.Background(), &out, "copy (select i, repeat('x', 3000) from generate_series(1,3000) i) to stdout (format binary)")
			if err != nil {
				t.Fatal(err)
			}
			rows := int64(0)
			for b := out.Bytes()[19:]; ; rows++ {
				if len(b) == 2 && bytes.Equal(b, copyTrailer) {
					break
				}
				b = b[2+4+4+4+3000:]
			}
			if want := l.Rows; rows != want || tag.RowsAffected() != want {
				t.Errorf("%d rows, tag %s", rows, tag)
			}
		})
	}
}

// Where nothing is undone by it, the upstream is stopped: these results have no end.
func TestAnEndlessResultEnds(t *testing.T) {
	w := newRelayWorld(t)
	w.decide = limitAll(access.Limit{Rows: 3})
	const endless = "select generate_series(1, 1000000000000)"
	k := w.talk()
	k.warnings = true
	sync := &pgproto3.Sync{}
	for _, tt := range []struct {
		send []pgproto3.FrontendMessage
		n    int
		want string
	}{
		{[]pgproto3.FrontendMessage{&pgproto3.Query{String: endless}}, 1, "T D(1) D(2) D(3) W C(SELECT 3) ZI"},
		{[]pgproto3.FrontendMessage{&pgproto3.Query{String: "copy (" + endless + ") to stdout"}}, 1, "H d(1) d(2) d(3) c W C(COPY 3) ZI"},
		{[]pgproto3.FrontendMessage{&pgproto3.Parse{Query: endless}, &pgproto3.Bind{}, &pgproto3.Execute{}, sync}, 1, "1 2 D(1) D(2) D(3) W C(SELECT 3) ZI"},
		{[]pgproto3.FrontendMessage{&pgproto3.Parse{Name: "s", Query: endless}, sync}, 1, "1 ZI"},
		{[]pgproto3.FrontendMessage{&pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}, sync}, 1, "2 D(1) D(2) D(3) W C(SELECT 3) ZI"},
		{[]pgproto3.FrontendMessage{&pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}, sync}, 1, "2 D(1) D(2) D(3) W C(SELECT 3) ZI"},
	} {
		k.send(tt.send...)
		if got := k.until(tt.n); got != tt.want {
			t.Errorf("\n got  %s\n want %s", got, tt.want)
		}
	}
}

// Whatever the client sends meanwhile is not hit by the cancel, and waits for it.
func TestAStopHitsNothingElse(t *testing.T) {
	w := newRelayWorld(t)
	w.decide = limitAll(access.Limit{Rows: 3})
	k := w.talk()
	k.warnings = true
	for i := range 40 {
		k.send(&pgproto3.Query{String: "select i from (select generate_series(1, 300000)) s(i)"})
		time.Sleep(time.Duration(i) * time.Millisecond)
		k.send(&pgproto3.Query{String: "select pg_sleep(0.01), 1"})
		if got := k.until(2); got != "T D(1) D(2) D(3) W C(SELECT 3) ZI T D(|1) C(SELECT 1) ZI" {
			t.Fatal(got)
		}
	}
}

// In a transaction, or where something was written, a cancel would undo what the
// client did: the rest is read and dropped.
func TestAStopUndoesNothing(t *testing.T) {
	w := newRelayWorld(t)
	c := w.connect()
	execSQL(c, "create table t(i int)")
	w.decide = limitAll(access.Limit{Rows: 3})
	const long = "select i, repeat('x', 100) from generate_series(1, 50000) i"
	execSQL(c, "begin; insert into t values (1)")
	execSQL(c, long)
	execSQL(c, "commit")
	execSQL(c, "insert into t values (2); "+long)
	execSQL(c, "insert into t select i from generate_series(1, 50000) i returning i, repeat('x', 100)")
	k := w.talk()
	k.send(&pgproto3.Parse{Query: "insert into t values (3)"}, &pgproto3.Bind{}, &pgproto3.Execute{},
		&pgproto3.Parse{Query: long}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{})
	k.until(1)
	k.send(&pgproto3.Parse{Query: "insert into t values (4), (4) returning i"}, &pgproto3.Bind{DestinationPortal: "p"}, &pgproto3.Execute{Portal: "p", MaxRows: 1},
		&pgproto3.Parse{Query: long}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{})
	k.until(1)
	if got := execSQL(c, "select count(*) from t"); got != "50005" {
		t.Errorf("%s rows", got)
	}
}

func TestTimeouts(t *testing.T) {
	w := newRelayWorld(t)
	c := w.connect()
	execSQL(c, "create table t(i int)")
	w.decide = func(r access.Request) access.Decision {
		d := access.Decision{Effect: access.Allow}
		if !strings.Contains(r.Action.Text, "patient") {
			d.Obligations = []access.Obligation{access.Limit{Timeout: 300 * time.Millisecond, Rule: "p/quick"}}
		}
		return d
	}
	const late = "57014 sluice: cancelled by p/quick: it ran longer than 300ms"
	for _, tt := range []struct{ sql, want string }{
		{"select 1", "1"},
		{"select pg_sleep(60)", late},
		{"select 1", "1"},
		{"insert into t values (1); select pg_sleep(60)", "INSERT 0 1; " + late},
		{"select count(*) from t", "0"},
		{"begin; insert into t values (2)", "BEGIN; INSERT 0 1"},
		{"savepoint s", "SAVEPOINT"},
		{"select pg_sleep(60)", late},
		{"rollback to s", "ROLLBACK"},
		{"commit", "COMMIT"},
		{"select count(*) from t", "1"},
		{"select /* patient */ pg_sleep(0.5)", ""},
		// It catches the cancel, once.
		{"do $$ begin perform pg_sleep(60); exception when query_canceled then perform pg_sleep(60); end $$", late},
		{"select 1; select 2", "1; 2"},
	} {
		if got := execSQL(c, tt.sql); got != tt.want {
			t.Errorf("%s\n  got  %s\n  want %s", tt.sql, got, tt.want)
		}
	}
	r := c.ExecParams(context.Background(), "select pg_sleep($1)", [][]byte{[]byte("8")}, nil, nil, nil).Read()
	if r.Err == nil || sqlError(r.Err) != late {
		t.Errorf("extended: %v", r.Err)
	}
	slow := &slowReader{}
	if _, err := c.CopyFrom(context.Background(), slow, "copy t from stdin"); sqlError(err) != late {
		t.Errorf("copy: %v", err)
	}
	if got := execSQL(c, "select count(*) from t"); got != "1" {
		t.Errorf("%s rows", got)
	}
}

// A slowReader gives rows for as long as it is asked.
type slowReader struct{}

func (*slowReader) Read(p []byte) (int, error) {
	time.Sleep(10 * time.Millisecond)
	return copy(p, "1\n"), nil
}

// A row that must be looked into is collected, up to a bound; one that need not be
// is not.
func TestLongMaskedRows(t *testing.T) {
	w := newRelayWorld(t, func(srv *Server) { srv.Limits.Message = 4 << 20 })
	w.posture = access.Posture{May: true, Masked: true, Restricted: true}
	w.masks = func(c access.Column) string {
		if c.Name == "secret" {
			return "redact"
		}
		return ""
	}
	execSQL(w.connect(), "select 1")
	for _, tt := range []struct {
		n    int
		name string
		want string
	}{
		{3 << 20, "secret", "[redacted]|7"}, {3 << 20, "open", strings.Repeat("x", 3<<20) + "|7"}, {5 << 20, "open", strings.Repeat("x", 5<<20) + "|7"},
		{5 << 20, "secret", `54000 sluice: the upstream sent 'D' of 5,242,896 bytes, and the limit is 4,194,304 where it must be looked into`},
	} {
		if got := execSQL(w.connect(), fmt.Sprintf("select repeat('x', %d) as %s, 7", tt.n, tt.name)); got != tt.want {
			t.Errorf("%d, %s: %.200s", tt.n, tt.name, got)
		}
	}
}

// A write that shows fewer rows than it changed is recorded with those it changed.
func TestALimitedWriteCountsWhatItChanged(t *testing.T) {
	w := newRelayWorld(t)
	c := w.connect()
	execSQL(c, "create table t as select generate_series(1, 10) as i")
	w.decide = limitAll(access.Limit{Rows: 3})
	if got := execSQL(c, "delete from t returning 'x'"); got != "x; x; x" {
		t.Error(got)
	}
	execSQL(c, "select i from generate_series(1, 10) i")
	w.outcomes(t, map[string]int64{"delete from t returning 'x'": 10, "select i from generate_series(1, 10) i": 3})
}

// outcomes waits for the outcomes of statements and compares their numbers of rows.
func (w *relayWorld) outcomes(t *testing.T, want map[string]int64) {
	t.Helper()
	for sql, rows := range want {
		eventually(t, func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			id := ""
			for _, e := range w.events {
				if e.Text == sql {
					id = e.ID
				}
				if id != "" && e.Ref == id && e.Type == access.ActionCompleted {
					return e.Outcome.Rows == rows
				}
			}
			return false
		})
	}
}
