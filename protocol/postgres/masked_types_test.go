package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"sluice/mask"
)

const typedSchema = `
CREATE EXTENSION IF NOT EXISTS citext;
CREATE TYPE mood AS ENUM ('none', 'sad', 'happy');
CREATE DOMAIN plate AS varchar(7);
CREATE TYPE car AS (plate plate, price numeric(10,2), tags text[]);
CREATE TABLE typed (id int, profile jsonb, raw json, docs jsonb[], loose text, plates plate[], car car, cars car[], mood mood,
	key int, ref text, refc citext, refv varchar(40), refp char(40), old text);
INSERT INTO typed VALUES (1,
 '{"name": "Ann", "email": "needle.ann@secret.example", "contacts": [{"phone": "needle-0123456789"}, {"phone": 918273645}], "deep": {"a": [{"ssn": "needle-ssn"}]}}',
 '{"email" : {"work":"needle"}, "email":"needle", "name":"Ann"}', ARRAY['{"email": "needle"}'::jsonb, '7'],
 '{"email": "needle"}', '{NEEDLE1,NULL}', '(NEEDLE2,73519.42,"{needle-tag}")', ARRAY['(NEEDLE3,,)'::car, NULL], 'sad',
 918273645, 'needle-ref', 'needle-ref', 'needle-ref', 'needle-ref', 'needle-ref');
CREATE TYPE person AS (name text, mail citext);
CREATE TABLE found (texts citext[], person person, odd jsonb);
INSERT INTO found VALUES ('{x,needle@secret.example}', '(x,needle@secret.example)',
 '{"email": "needle@secret.example", "note": "by needle@secret.example himself"}');
CREATE VIEW typed_view AS SELECT id, profile AS p, jsonb_build_object('x', profile) AS q FROM typed;
`

const typedPolicy = `
apiVersion: sluice/v1
kind: Policy
metadata: {name: data}
spec:
  rules:
  - {id: all, effect: allow}
  - {id: paths, match: {columns: ["*.typed.profile", "*.typed.raw", "*.typed.docs", "*.typed.loose"]}, effect: mask, mask: {with: partial, paths: ["$.email", "$.contacts[*].phone"]}}
  - {id: odd, match: {columns: ["*.found.odd"]}, effect: mask, mask: {with: partial, paths: ["$.email"]}}
  - {id: more, match: {columns: ["*.typed.profile"]}, effect: mask, mask: {with: first_letter, paths: ["$..ssn"]}}
  - {id: parts, match: {columns: ["*.typed.plates", "*.typed.car", "*.typed.cars"]}, effect: mask, mask: {with: first_letter}}
  - {id: moods, match: {columns: ["*.typed.mood"]}, effect: mask, mask: {with: zero}}
  - {id: refs, match: {columns: ["*.typed.key", "*.typed.ref*"]}, effect: mask, mask: {with: hash}}
  - {id: finds, effect: mask, mask: {detect: [email], with: redact}}
  - {id: older, match: {columns: ["*.typed.old"]}, effect: mask, mask: {with: hash, key: old}}
`

// typedCases are read in every way that shows rows; the text is what each way
// gives.
var typedCases = [][2]string{
	{"select profile from typed", `{"deep": {"a": [{"ssn": "****-ssn"}]}, "name": "Ann", "email": "****mple", "contacts": [{"phone": "****6789"}, {"phone": 3645}]}`},
	{"select raw, loose from typed", `{"email" : null, "email":"****le", "name":"Ann"}|****le"}`},
	{"select docs from typed", `{"{\"email\": \"****le\"}",7}`},
	{"select plates, car, cars from typed", `{N****,NULL}|(N****,,{n****})|{"(N****,,)",NULL}`},
	{"select mood from typed", "none"},
	{"select texts, person from found", "NULL|NULL"},
	{"select odd from found", `{"note": "by [redacted] himself", "email": "****mple"}`},
	{"select p from typed_view", `{"deep": {"a": [{"ssn": "****-ssn"}]}, "name": "Ann", "email": "****mple", "contacts": [{"phone": "****6789"}, {"phone": 3645}]}`},
}

func TestTypedMasks(t *testing.T) {
	m := maskedWorldOf(t, typedSchema, typedPolicy)
	m.srv.Masks = func() *mask.Keys { return testMaskKeys(t) }
	u := m.user(t)
	for _, c := range typedCases {
		for way, run := range map[string]func() *pgconn.Result{
			"simple": func() *pgconn.Result {
				r, err := u.conn.Exec(context.Background(), c[0]).ReadAll()
				if err != nil {
					return &pgconn.Result{Err: err}
				}
				return r[len(r)-1]
			},
			"extended": func() *pgconn.Result { return u.conn.ExecParams(context.Background(), c[0], nil, nil, nil, nil).Read() },
		} {
			r := run()
			if r.Err != nil || len(r.Rows) != 1 {
				t.Fatal(c[0], r.Err, len(r.Rows))
			}
			if got := joined(r.Rows[0]); got != c[1] {
				t.Errorf("%s: %s\ngot  %s\nwant %s", way, c[0], got, c[1])
			}
		}
		if r := u.conn.ExecParams(context.Background(), c[0], nil, nil, nil, []int16{1}).Read(); r.Err != nil {
			t.Errorf("binary: %s: %v", c[0], r.Err)
		}
		var copied strings.Builder
		if _, err := u.conn.CopyTo(context.Background(), &copied, "copy ("+c[0]+") to stdout"); err != nil {
			t.Errorf("copy: %s: %v", c[0], err)
		} else if got, want := copied.String(), strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(c[1], `\`, `\\`), "|", "\t"), "NULL\tNULL", "\\N\t\\N")+"\n"; got != want {
			t.Errorf("copy: %s\ngot  %s\nwant %s", c[0], got, want)
		}
		m.clean(t, u.ear.Take())
	}
}

// TestPathsOfExpressions: parts are masked where a column is shown; what is
// computed from it is masked whole or refused.
func TestPathsOfExpressions(t *testing.T) {
	m := maskedWorldOf(t, typedSchema, typedPolicy)
	u := m.user(t)
	for _, sql := range []string{
		"select profile->>'email' from typed", "select profile->'name' from typed", "select profile::text from typed", "select jsonb_pretty(profile) from typed",
		"select * from typed, jsonb_each(profile)", "select jsonb_each_text(profile) from typed", "select jsonb_path_query(profile, '$.contacts[*]') from typed",
		"select q from typed_view", "select p->'contacts' from typed_view", "select to_jsonb(t) from typed t", "select t from typed t", "select array_agg(profile) from typed",
		"select profile - 'name' from typed", "select (car).plate from typed", "select plates[1] from typed", "select unnest(plates) from typed", "select docs[1] from typed",
		"copy (select profile->>'email' from typed) to stdout", "select id from typed where profile->>'email' like 'n%'", "select raw from typed union all select raw from typed",
	} {
		u.conn.Exec(context.Background(), sql).ReadAll()
		u.conn.ExecParams(context.Background(), sql, nil, nil, nil, []int16{1}).Read()
		m.clean(t, u.ear.Take())
	}
}

// TestHashesJoin: one value has one hash in every type of text and in both
// formats; another key gives another.
func TestHashesJoin(t *testing.T) {
	m := maskedWorldOf(t, typedSchema, typedPolicy)
	m.srv.Masks = func() *mask.Keys { return testMaskKeys(t) }
	u := m.user(t)
	seen := map[string]bool{}
	for format := range int16(2) {
		r := u.conn.ExecParams(context.Background(), "select ref, refc, refv, refp from typed", nil, nil, nil, []int16{format}).Read()
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		for _, v := range r.Rows[0] {
			seen[strings.TrimRight(string(v), " ")] = true
		}
	}
	r := u.conn.ExecParams(context.Background(), "select ref, old, key from typed", nil, nil, nil, nil).Read()
	if r.Err != nil || len(seen) != 1 || !seen[string(r.Rows[0][0])] || seen[string(r.Rows[0][1])] || len(r.Rows[0][1]) != 32 {
		t.Errorf("%v %v %s", r.Err, seen, r.Rows)
	}
	bin := u.conn.ExecParams(context.Background(), "select key from typed", nil, nil, nil, []int16{1}).Read()
	if b := bin.Rows[0][0]; fmt.Sprint(int32(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3]))) != string(r.Rows[0][2]) {
		t.Errorf("binary %x, text %s", b, r.Rows[0][2])
	}
	m.clean(t, u.ear.Take())
	m.srv.Masks = nil // what was keyed once is NULL where keys are gone
	if r := u.conn.ExecParams(context.Background(), "select ref, old from typed", nil, nil, nil, nil).Read(); r.Err != nil || r.Rows[0][0] != nil || r.Rows[0][1] != nil {
		t.Errorf("%v %s", r.Err, r.Rows)
	}
	m.clean(t, u.ear.Take())
}

func joined(row [][]byte) string {
	out := make([]string, len(row))
	for i, v := range row {
		if out[i] = string(v); v == nil {
			out[i] = "NULL"
		}
	}
	return strings.Join(out, "|")
}
