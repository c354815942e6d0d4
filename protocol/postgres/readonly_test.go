package postgres

import (
	"strings"
	"testing"

	"sluice/access"
)

func TestReadersAreReadOnlyInTheServerToo(t *testing.T) {
	w := newRelayWorld(t)
	execSQL(w.connect(), `create table t(i int);
		create function sneak() returns int language sql as 'insert into t values (1) returning i'`)
	w.posture.ReadOnly = true
	w.decide = func(r access.Request) access.Decision {
		if c := r.Action.Verb.Class(); c == access.ClassAdmin && r.Action.Verb == access.VerbConfigure {
			return access.Decision{Message: "no", Reasons: []access.Reason{{Policy: "p", Rule: "r"}}}
		}
		return access.Decision{Effect: access.Allow}
	}
	const no, fails = "42501 sluice: denied by p/r: no", "25006 cannot execute INSERT in a read-only transaction"
	c := w.connect("options='-c default_transaction_read_only=off'")
	for _, tt := range []struct{ sql, want string }{
		{"show default_transaction_read_only", "on"},
		{"select sneak()", fails},
		{"begin; select sneak()", "BEGIN; " + fails},
		{"rollback", "ROLLBACK"},
		{"begin read write", no},
		{"start transaction isolation level serializable, read write", no},
		{"set transaction read write", no},
		{"set session characteristics as transaction read write", no},
		{"set default_transaction_read_only = off", no},
		{"set transaction_read_only = 'f'", no},
		{"reset transaction_read_only", no},
		{"select set_config('transaction_read_only', 'off', true)", no},
		{"begin read only; select 1; commit", "BEGIN; 1; COMMIT"},
		{"begin isolation level repeatable read, read only; rollback", "BEGIN; ROLLBACK"},
		{"reset all", "RESET"},
		{"discard all", "DISCARD ALL"},
		{"reset default_transaction_read_only", no},
		{"select sneak()", fails},
	} {
		if got := execSQL(c, tt.sql); got != tt.want {
			t.Errorf("%s\n  got  %s\n  want %s", tt.sql, got, tt.want)
		}
	}
	// A policy that lets them write is followed, behind a transaction that is open.
	execSQL(c, "begin")
	w.mu.Lock()
	w.posture.ReadOnly = false
	w.version++
	w.mu.Unlock()
	if got := execSQL(c, "select sneak()"); got != fails {
		t.Error(got)
	}
	execSQL(c, "rollback")
	if got := execSQL(c, "select sneak()"); got != "1" {
		t.Error(got)
	}
	if got := execSQL(c, "begin read write; select sneak(); commit"); !strings.HasPrefix(got, "BEGIN; 1") {
		t.Error(got)
	}
	w.mu.Lock()
	w.posture.ReadOnly = true
	w.version++
	w.mu.Unlock()
	if got := execSQL(c, "select sneak()"); got != fails {
		t.Error(got)
	}
}
