package server

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/classify"
	"sluice/config"
	"sluice/internal/pgtest"
)

// scanHouse is the configuration of a database made by statements.
func scanHouse(t *testing.T, statements ...string) (folder string) {
	t.Helper()
	return scanHouseAt(t, pgtest.Shared(t), statements...)
}

func scanHouseAt(t *testing.T, pg *pgtest.Server, statements ...string) (folder string) {
	t.Helper()
	db := pg.Database(t)
	pg.Exec(t, db, statements...)
	return folderOf(t, map[string]string{"rules.yaml": rules, "house.yaml": strings.NewReplacer("%s\", database: %s, credential: {user: %s, password: {value: \"%s\"}}",
		pg.Addr+"\", database: "+db+", credential: {user: "+pg.User+", password: {value: \""+pg.Password+"\"}}").Replace(house)})
}

const scanTables = `CREATE DOMAIN mail AS text; CREATE EXTENSION citext;
CREATE TABLE "Odd ""Name" (id bigint, "E mail" text, "a*b" text);
CREATE TABLE people (id int, contact mail, other citext, born date, notes text[], doc jsonb, secret_note bytea, nothing text);
INSERT INTO people SELECT i, 'person' || i || '@example.com', 'other' || i || '@example.com', now(), ARRAY['call +1-202-555-01' || (i % 90 + 10)], '{"mail": "x@example.com"}' FROM generate_series(1, 30) i;
INSERT INTO "Odd ""Name" SELECT i, 'p' || i || '@example.com', 'x' FROM generate_series(1, 30) i;
CREATE TABLE big (id int, phone_or_so text); INSERT INTO big SELECT i, '+1-202-555-' || lpad((i % 100)::text, 4, '01') FROM generate_series(1, 50000) i; ANALYZE big;
CREATE VIEW v AS SELECT contact FROM people; CREATE TABLE part (id int, email text) PARTITION BY RANGE (id); CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (1) TO (9)`

func TestScanProposesWhatLoads(t *testing.T) {
	folder := scanHouse(t, scanTables)
	var progress bytes.Buffer
	r, err := Scan(t.Context(), folder, "shop", ScanOptions{Rows: 100, Progress: &progress})
	if err != nil || len(r.Unread) != 0 {
		t.Fatal(err, r.Unread)
	}
	got := map[string]string{}
	for _, p := range r.Columns {
		got[p.Table+"."+p.Column] = strings.Join(p.Tags, " ")
		if p.Table == "big" && p.Looked < 20 || p.Looked > 100 {
			t.Errorf("%s: %d values", p.Column, p.Looked)
		}
	}
	for column, want := range map[string]string{
		"people.contact": "email pii", "people.other": "email pii", "people.born": "birth-date pii", "people.notes": "free-text", "people.doc": "free-text", "people.id": "",
		"people.secret_note": "credential secret", "people.nothing": "", "part.email": "email pii", `Odd "Name.E mail`: "email pii", "big.phone_or_so": "phone pii",
	} {
		if tags, ok := got[column]; !ok || tags != want {
			t.Errorf("%s: %q %v, want %q", column, tags, ok, want)
		}
	}
	if _, ok := got["v.contact"]; ok || got["part1.email"] != "" {
		t.Error("a view or partition was looked at")
	}
	if !strings.Contains(progress.String(), "public.people: 30 rows\n") || strings.Contains(progress.String(), "example.com") {
		t.Errorf("%s", progress.String())
	}
	var b bytes.Buffer
	if err := classify.Document(&b, "shop", "shop", true, r.Columns); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "@example.com") || strings.Contains(b.String(), "202-555") {
		t.Errorf("the proposal holds values:\n%s", b.String())
	}
	if err := os.WriteFile(filepath.Join(folder, "proposal.yaml"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if c := Check(t.Context(), folder); len(c.Errors) > 0 {
		t.Fatalf("%q in\n%s", c.Errors, b.String())
	}
	again, err := Scan(t.Context(), folder, "shop", ScanOptions{New: true})
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, p := range again.Columns {
		left = append(left, p.Table+"."+p.Column)
	}
	if strings.Join(left, " ") != `Odd "Name.id Odd "Name.a*b part.id people.nothing` {
		t.Errorf("new: %q", left)
	}
}

// Foreign tables may be anywhere, and so may what shows their rows as its own.
// No text that code in the database made comes out.
func TestScanStaysAtHome(t *testing.T) {
	var wide []string
	for i := range 230 {
		wide = append(wide, fmt.Sprintf("c%d text DEFAULT 'w%d@example.com'", i, i))
	}
	folder := scanHouse(t, "CREATE EXTENSION file_fdw", "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw",
		"CREATE TABLE whole (id int, mail text) PARTITION BY RANGE (id)", "CREATE TABLE near PARTITION OF whole FOR VALUES FROM (1) TO (9)",
		"CREATE FOREIGN TABLE far PARTITION OF whole FOR VALUES FROM (10) TO (19) SERVER files OPTIONS (program 'touch /tmp/never; false', format 'csv')",
		"CREATE TABLE parent (mail text)", "CREATE FOREIGN TABLE child () INHERITS (parent) SERVER files OPTIONS (program 'false', format 'csv')",
		"INSERT INTO near SELECT i, 'n' || i || '@example.com' FROM generate_series(1, 8) i",
		"CREATE TABLE loud (mail text)", "INSERT INTO loud VALUES ('needle@example.com')", "CREATE FUNCTION shout(v text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'it is %', v; END $$",
		"ALTER TABLE loud ENABLE ROW LEVEL SECURITY", "CREATE POLICY p ON loud USING (shout(mail))", "DROP ROLE IF EXISTS home_reader", "CREATE ROLE home_reader LOGIN PASSWORD 'x'",
		"CREATE TABLE wide ("+strings.Join(wide, ", ")+")", "INSERT INTO wide SELECT FROM generate_series(1, 8)",
		"GRANT SELECT ON ALL TABLES IN SCHEMA public TO home_reader")
	scanAs(t, folder, "home_reader")
	var progress bytes.Buffer
	r, err := Scan(t.Context(), folder, "shop", ScanOptions{Progress: &progress})
	if err != nil || len(r.Unread) != 1 || !strings.Contains(r.Unread[0], "public.loud: ") {
		t.Fatal(err, r.Unread)
	}
	if all := progress.String() + fmt.Sprint(r); strings.Contains(all, "needle") || strings.Contains(all, "it is") {
		t.Errorf("a value came out: %s", all)
	}
	looked := map[string]int{}
	for _, p := range r.Columns {
		looked[p.Table+"."+p.Column] = p.Looked
	}
	if looked["whole.mail"] != 0 || looked["parent.mail"] != 0 || looked["wide.c0"] != 8 || looked["wide.c229"] != 8 {
		t.Errorf("%v", looked)
	}
}

func TestScanWithoutRights(t *testing.T) {
	folder := scanHouse(t, "CREATE TABLE open (email text)", "CREATE TABLE shut (email text)", "GRANT SELECT ON open TO PUBLIC",
		"DROP ROLE IF EXISTS scan_reader", "CREATE ROLE scan_reader LOGIN PASSWORD 'x'")
	scanAs(t, folder, "scan_reader")
	r, err := Scan(t.Context(), folder, "shop", ScanOptions{})
	if err != nil || len(r.Unread) != 1 || !strings.Contains(r.Unread[0], "public.shut: ") || len(r.Columns) != 2 {
		t.Errorf("%v %+v", err, r)
	}
	if _, err := Scan(t.Context(), folder, "nowhere", ScanOptions{}); err == nil || !strings.Contains(err.Error(), `no resource "nowhere"`) {
		t.Errorf("%v", err)
	}
}

// scanAs makes another account, with the password x, the resource's credential.
func scanAs(t *testing.T, folder, user string) {
	t.Helper()
	cfg, problems := config.Load(folder)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	old := cfg.Resources[0].Credential
	data, err := os.ReadFile(filepath.Join(folder, "house.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), "user: "+old.User+", password: {value: \""+old.Password.Value.Reveal()+"\"}", "user: "+user+", password: {value: x}", 1)
	writeFile(t, folder, "house.yaml", text)
}

func TestCheckOnline(t *testing.T) {
	folder := scanHouse(t, "CREATE TABLE customers (id int, email text)", "CREATE TABLE whole (id int, mail text) PARTITION BY RANGE (id)", "CREATE TABLE part PARTITION OF whole FOR VALUES FROM (1) TO (9)")
	all := strings.Join(CheckOnline(t.Context(), folder), "\n")
	if !strings.Contains(all, `house.yaml:14:18: resource "shop": postgres is a superuser`) || strings.Contains(all, "Classification") {
		t.Errorf("%s", all)
	}
	if err := os.WriteFile(filepath.Join(folder, "tags.yaml"), []byte(strings.Replace(tags, "public.customers.email: [pii]", "public.customers.email: [pii], public.customers.mail: [pii], part.mail: [pii]", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	all = strings.Join(CheckOnline(t.Context(), folder), "\n")
	for _, want := range []string{"3 columns stand in no Classification: public.customers.id, public.whole.id, public.whole.mail (sluice scan --new shop)", "public.part.mail has the tag pii and public.whole.mail has not", "names public.customers.mail, and there is no such column in database t"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in\n%s", want, all)
		}
	}
	if got := CheckOnline(t.Context(), folderOf(t, map[string]string{"house.yaml": plain, "rules.yaml": rules})); len(got) != 1 || !strings.Contains(got[0], "cannot be looked at") {
		t.Errorf("%q", got)
	}
}
