package postgres

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestEncodingKnown(t *testing.T) {
	for _, test := range []struct {
		client, database string
		want             bool
	}{
		{"UTF8", "UTF8", true},
		{"UTF8", "LATIN1", true},
		{"unicode", "SQL_ASCII", true},
		{"SQL_ASCII", "UTF8", true},
		{"SQL_ASCII", "SQL_ASCII", true},
		{"SQL_ASCII", "LATIN1", false},
		{"SQL_ASCII", "EUC_JP", false},
		{"SQL_ASCII", "", false},
		{"LATIN1", "LATIN1", false},
		{"LATIN1", "UTF8", false},
		{"SJIS", "UTF8", false},
	} {
		if got := encodingKnown(test.client, test.database); got != test.want {
			t.Errorf("client %s, database %s: %v", test.client, test.database, got)
		}
	}
}

// psql in the locale C asks for SQL_ASCII: the database's own encoding.
func TestMaskedInSQLASCII(t *testing.T) {
	m := newMaskedWorld(t)
	m.pg.Exec(t, m.db, `CREATE TABLE "müller" (email text)`)
	u := (&user{t: t, dsn: m.dsn("client_encoding=SQL_ASCII")}).open()
	for sql, want := range map[string]string{
		"SHOW client_encoding":                       "SQL_ASCII",
		"SELECT email FROM customers WHERE id = 1":   "n***@secret.example",
		`SELECT count(*), 'schön' FROM "müller"`:     "0|schön",
		"SELECT iban FROM finance.invoices":          "not for you",
		"SELECT upper(email) FROM customers LIMIT 1": "sluice",
	} {
		if got := execSQL(u.conn, sql); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
	m.clean(t, u.ear.Take())
}

// In a LATIN1 database the bytes of "é" in UTF-8 are another table's name, if
// the client says that they need no conversion.
func TestSQLASCIIWhereItMeansLATIN1(t *testing.T) {
	m := maskedWorldOf(t, "SELECT 1", strings.ReplaceAll(maskedPolicy, `"*.people.secret"`, `"*.\"Ã©\".secret"`))
	latin := m.db + "_latin1"
	m.pg.Exec(t, "postgres", "CREATE DATABASE "+latin+" ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
	t.Cleanup(func() { m.pg.Exec(t, "postgres", "DROP DATABASE "+latin+" WITH (FORCE)") })
	m.pg.Exec(t, latin, "SET client_encoding = 'UTF8'", `CREATE TABLE "Ã©" (secret text)`, `INSERT INTO "Ã©" VALUES ('needle')`,
		`CREATE TABLE "é" (secret text)`, `INSERT INTO "é" VALUES ('nothing')`)
	m.db = latin

	known := (&user{t: t, dsn: m.dsn("client_encoding=UTF8")}).open()
	if got := execSQL(known.conn, `SELECT secret FROM "é"`); !strings.Contains(got, "nothing") {
		t.Errorf("in UTF8: %s", got)
	}
	m.clean(t, known.ear.Take())
	c, err := pgconn.Connect(context.Background(), m.dsn("client_encoding=SQL_ASCII"))
	if err != nil {
		return // also safe
	}
	defer c.Close(context.Background())
	if got := execSQL(c, `SELECT secret FROM "é"`); !strings.Contains(got, "42501") {
		t.Errorf("LEAK: in SQL_ASCII: %s", got)
	}
}
