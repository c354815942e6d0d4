package postgres

import (
	"strings"
	"testing"
)

var everyMode = []mode{simple, extended, extendedBin, undescribed, undescribedB}

func (h mode) binary() bool { return h == extendedBin || h == undescribedB }

// A masked column keeps its type and its NULLs, under whatever name it comes.
func TestMaskedValues(t *testing.T) {
	m := newMaskedWorld(t)
	u := m.user(t)
	for _, c := range maskedCases {
		for _, how := range everyMode {
			got := u.run(how, c.sql)
			if how.binary() && len(got) < 6 || !how.binary() && got != c.want || strings.Contains(got, "sluice") {
				t.Errorf("%s: %s\n  got  %s\n  want %s", how, c.sql, got, c.want)
			}
			m.clean(t, u.ear.Take())
		}
	}
}

// Refused is what would show or use a masked value in another way than as a
// plain column of the result, what reaches the hidden schema, and what cannot be
// looked into.
func TestMaskedRefusals(t *testing.T) {
	m := newMaskedWorld(t)
	u := m.user(t)
	for _, sql := range refusedCases {
		for _, how := range everyMode {
			if how != simple && strings.Contains(sql, ";") && !strings.HasPrefix(sql, "do ") {
				continue
			}
			if got := u.run(how, sql); !isRefusal(got) {
				t.Errorf("%s: %s\n  got %.200s", how, sql, got)
			}
			m.clean(t, u.ear.Take())
			u.run(simple, "rollback")
		}
	}
	if got := m.direct(t).run(simple, "select count(*), count(email) from customers"); got != "3|2" {
		t.Errorf("something was changed: %s", got)
	}
}

// Where more than one answer would be right, none may tell a secret, and none may
// end the session.
func TestMaskedHush(t *testing.T) {
	m := newMaskedWorld(t)
	u := m.user(t)
	for _, sql := range hushedCases {
		for _, how := range everyMode {
			u.run(simple, "begin")
			got := u.run(how, sql)
			if u.conn.IsClosed() {
				t.Errorf("%s: %s\n  the session ended: %.200s", how, sql, got)
				u.open()
			}
			m.clean(t, u.ear.Take())
			u.run(simple, "rollback")
		}
	}
}
