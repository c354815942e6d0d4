package postgres

import (
	"fmt"
	"testing"

	"sluice/internal/pgtest"
)

// TestCatalogTypes: masks must know what enums, composites and domains are made of.
func TestCatalogTypes(t *testing.T) {
	s := pgtest.Shared(t)
	db := s.Database(t)
	s.Exec(t, db, "CREATE TYPE mood AS ENUM ('sad', 'ok')", "ALTER TYPE mood ADD VALUE 'meh' BEFORE 'ok'",
		"CREATE DOMAIN plate AS varchar(7)", "CREATE TYPE car AS (plate plate, price numeric(10,2), gone int)",
		"ALTER TYPE car DROP ATTRIBUTE gone", "CREATE TABLE t (name varchar(20), price numeric(10,2), n int)")
	l := newTestCatalogs(t).acquire(upstreamTarget(s, db))
	defer l.release()
	snap := catalogFresh(t, l)
	mood, plate, car := snap.Type("public", "mood"), snap.Type("public", "plate"), snap.Type("public", "car")
	if mood == nil || plate == nil || car == nil {
		t.Fatal("a type is missing")
	}
	if got := fmt.Sprint(snap.Labels(mood.OID)); got != "[sad meh ok]" {
		t.Errorf("labels %s", got)
	}
	if plate.Kind != 'd' || plate.Base != 1043 || plate.Mod != 7+4 {
		t.Errorf("domain %+v", plate)
	}
	parts := snap.Parts(car.OID)
	if len(parts) != 2 || parts[0].Name != "plate" || parts[0].Of != plate.OID || parts[1].Of != 1700 || parts[1].Mod != 10<<16|2+4 {
		t.Errorf("parts %+v", parts)
	}
	for i, want := range []int32{20 + 4, 10<<16 | 2 + 4, -1} {
		if got := snap.Lookup("public", "t").Columns[i].Mod; got != want {
			t.Errorf("column %d has modifier %d, want %d", i, got, want)
		}
	}
}
