package postgres

import (
	"slices"
	"strings"
	"testing"

	"sluice/internal/pgserver"
	"sluice/internal/pgtest"
)

// TestSetReturning: every function of the server and of trusted extensions that
// returns rows and only computes is known to return rows.
func TestSetReturning(t *testing.T) {
	for _, s := range []*pgtest.Server{pgtest.Shared(t), pgtest.Start(t, pgtest.Options{Programs: pgserver.Eighteen("../..")})} {
		db := s.Database(t)
		for e := range strings.FieldsSeq(s.Exec(t, db, `SELECT name FROM pg_available_extensions`)) {
			if isTrusted()[e] {
				s.Exec(t, db, `CREATE EXTENSION "`+e+`" CASCADE`)
			}
		}
		const returning = `SELECT DISTINCT proname FROM pg_proc WHERE proretset AND pronamespace `
		for name := range strings.FieldsSeq(s.Exec(t, db, returning+`= 'pg_catalog'::regnamespace`)) {
			if functionClasses()[name] == fnPure && !setReturning()[name] {
				t.Errorf("%s is not known to return rows", name)
			}
		}
		added := strings.Fields(s.Exec(t, db, returning+`= 'public'::regnamespace`))
		for _, name := range added {
			if !setReturning()[name] {
				t.Errorf("%s is not known to return rows", name)
			}
		}
		if !slices.Contains(added, "skeys") {
			t.Error("hstore is missing")
		}
	}
}
