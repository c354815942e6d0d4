package postgres

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/access"
)

// TestRefusedActionsAreUnseenUpstream: whatever the protocol path, the server's
// own log, with every statement in it, holds nothing of a refused action. Each
// of them carries a word that no other text has.
func TestRefusedActionsAreUnseenUpstream(t *testing.T) {
	const word = "needle_4711"
	refuse := func(r access.Request) access.Decision {
		seen := strings.Contains(r.Action.Text, word) || r.Action.Verb == access.VerbFunctionCall
		for _, a := range r.Action.Args {
			seen = seen || strings.Contains(string(a.Value), word)
		}
		if seen {
			return access.Decision{Message: "refused", Reasons: []access.Reason{{Rule: "r"}}}
		}
		return access.Decision{Effect: access.Allow}
	}
	query := func(sql string) []pgproto3.FrontendMessage {
		return []pgproto3.FrontendMessage{&pgproto3.Query{String: sql}}
	}
	run := []pgproto3.FrontendMessage{&pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{}}
	parse := func(sql string) []pgproto3.FrontendMessage {
		return append([]pgproto3.FrontendMessage{&pgproto3.Parse{Query: sql}}, run...)
	}
	for name, send := range map[string][]pgproto3.FrontendMessage{
		"query":             query("select '" + word + "'"),
		"second of several": query("select 1; select '" + word + "'; select 2"),
		"parse":             parse("select '" + word + "'"),
		"value": {&pgproto3.Parse{Query: "select $1::text"}, &pgproto3.Bind{Parameters: [][]byte{[]byte(word)}},
			&pgproto3.Execute{}, &pgproto3.Sync{}},
		"prepare":       query("prepare p as select '" + word + "'"),
		"execute":       query("prepare q(text) as select $1; execute q('" + word + "')"),
		"copy":          query("copy (select '" + word + "') to stdout"),
		"do":            query("do $$ begin raise notice '" + word + "'; end $$"),
		"explain":       query("explain analyze select '" + word + "'"),
		"declare":       query("begin; declare c cursor for select '" + word + "'"),
		"syntax error":  query("selec '" + word + "'"),
		"function call": {&pgproto3.FunctionCall{Function: 871, ArgFormatCodes: []uint16{0}, Arguments: [][]byte{[]byte(word)}}}, // upper(text)
		"in a block":    query("begin; select 1; update pg_class set relname = '" + word + "'"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newRelayWorld(t)
			w.pg.Exec(t, w.db, "ALTER DATABASE "+w.db+" SET log_statement = 'all'")
			w.decide = refuse
			k := w.talk()
			k.send(send...)
			if got := k.until(1); !strings.Contains(got, "E42501") && !strings.Contains(got, "E42601") {
				t.Errorf("not refused: %s", got)
			}
			k.send(&pgproto3.Query{String: "select 'the session goes on'"})
			if got := k.until(1); !strings.Contains(got, "ZI") && !strings.Contains(got, "ZE") {
				t.Errorf("afterwards: %s", got)
			}
			log, err := w.pg.Log()
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(log, "the session goes on") && name != "in a block" && name != "declare" {
				t.Error("the server's log does not hold statements: the test proves nothing")
			}
			if i := strings.Index(log, word); i >= 0 {
				t.Errorf("the server saw it: %s", log[max(0, i-200):min(len(log), i+100)])
			}
		})
	}
}

// A Parse that is sent before its Bind is judged has a record of its own; one
// that goes out together with its Bind shares the Bind's.
func TestAParseIsNeverSentUnrecorded(t *testing.T) {
	w := newRelayWorld(t)
	prepares := func() (n int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, e := range w.events {
			if e.Type == access.ActionDecided && e.Verb == access.VerbPrepare {
				n++
			}
		}
		return n
	}
	k := w.talk()
	run := []pgproto3.FrontendMessage{&pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{}}
	k.send(append([]pgproto3.FrontendMessage{&pgproto3.Parse{Query: "select 1"}}, run...)...)
	if got := k.until(1); got != "1 2 D(1) C(SELECT 1) ZI" || prepares() != 0 {
		t.Errorf("%s, %d prepares", got, prepares())
	}
	// The client's buffer must hold the Bind before the long Parse is handled.
	long := "select 2 -- " + strings.Repeat("x", 2*flushAt)
	k.send(&pgproto3.Parse{Name: "warm", Query: long}, &pgproto3.Sync{})
	k.until(1)
	before := prepares()
	k.send(append([]pgproto3.FrontendMessage{&pgproto3.Parse{Query: long}}, run...)...)
	if got := k.until(1); got != "1 2 D(2) C(SELECT 1) ZI" || prepares() != before+1 {
		t.Errorf("%s, %d prepares more", got, prepares()-before)
	}
}
