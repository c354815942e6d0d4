package server

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sluice/access"
	"sluice/config"
	"sluice/internal/pgtest"
	"sluice/internal/strictyaml"
	"sluice/policy"
	"sluice/protocol/postgres"
	"sluice/query/catalog"
)

func setOf(t *testing.T, text string) *policy.Set {
	t.Helper()
	docs, ps := strictyaml.Parse("p.yaml", []byte(text))
	set, more := policy.Load(docs)
	if len(ps)+len(more) > 0 {
		t.Fatal(ps, more)
	}
	return set
}

// shopCatalog is a table, its partition, a view and a sequence.
func shopCatalog(t *testing.T, columns ...string) *catalog.Snapshot {
	t.Helper()
	rows := tables(map[string][]string{"public.customers": columns, "public.orders": {"id"}})
	rows.Relations = append(rows.Relations,
		catalog.RelationRow{OID: 1, Schema: "public", Name: "v", Kind: 'v'}, catalog.RelationRow{OID: 2, Schema: "public", Name: "s", Kind: 'S'},
		catalog.RelationRow{OID: 3, Schema: "public", Name: "whole", Kind: 'p'}, catalog.RelationRow{OID: 4, Schema: "public", Name: "part", Kind: 'r'},
		catalog.RelationRow{OID: 5, Schema: "pg_catalog", Name: "pg_class", Kind: 'r'})
	for oid := range uint32(5) {
		rows.Columns = append(rows.Columns, catalog.ColumnRow{Relation: oid + 1, Num: 1, Name: "x"})
	}
	rows.Inherits = append(rows.Inherits, catalog.InheritRow{Child: 4, Parent: 3})
	snap, err := catalog.Build(rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func TestLookoutReportsNewColumnsOnce(t *testing.T) {
	var out bytes.Buffer
	set := setOf(t, strings.Replace(tags, "public.customers.email: [pii]}", `public.customers.email: [pii]}, reviewed: ["public.orders.*"]`, 1))
	l := lookout{log: slog.New(slog.NewTextHandler(&out, nil)), set: func() *policy.Set { return set }}
	look := func(columns ...string) string {
		out.Reset()
		l.seen(postgres.Seen{Resource: access.Resource{Name: "shop", Database: "shop"}, Snapshot: shopCatalog(t, columns...)})
		return out.String()
	}
	if got := look("email", "phone"); !strings.Contains(got, `new="public.customers.phone, public.whole.x"`) || l.open() != 2 {
		t.Errorf("%s %v", got, l.open())
	}
	if got := look("email", "phone"); got != "" {
		t.Errorf("said twice: %s", got)
	}
	if got := look("email", "phone", "iban"); !strings.Contains(got, "new=public.customers.iban") || !strings.Contains(got, "columns=3") || l.open() != 3 {
		t.Errorf("%s %v", got, l.open())
	}
	if look("email"); l.open() != 1 {
		t.Errorf("%v are open", l.open())
	}
	set = setOf(t, tags) // reviewed no more
	if got := look("email"); !strings.Contains(got, "new=public.orders.id") || l.open() != 2 {
		t.Errorf("%s %v", got, l.open())
	}
	out.Reset()
	l.seen(postgres.Seen{Resource: access.Resource{Name: "crm", Database: "crm"}, Snapshot: shopCatalog(t, "email")})
	if out.String() != "" || l.open() != 2 {
		t.Errorf("a resource without Classification: %s %v", out.String(), l.open())
	}
}

func TestLookoutJudgesAccountsOnce(t *testing.T) {
	var out bytes.Buffer
	l := lookout{log: slog.New(slog.NewTextHandler(&out, nil)), set: func() *policy.Set { return nil }}
	x := postgres.Seen{Resource: access.Resource{Name: "shop"}, Account: &postgres.Account{User: "root", Superuser: true}}
	l.seen(x)
	l.seen(x)
	if strings.Count(out.String(), "superuser") != 1 {
		t.Errorf("%s", out.String())
	}
}

// A column that comes later is masked until somebody has looked at it, and a
// change of the Classification is in force without a restart.
func TestMaskedUntilClassified(t *testing.T) {
	const more = `
  - {id: fresh, match: {tags: [unclassified], groups: [engineering]}, effect: mask, mask: {with: "null"}}
  - {id: tagged, match: {tags: [pii], groups: [engineering]}, effect: mask, mask: {with: partial}}
`
	folder := writeHouse(t, strings.TrimRight(rules, "\n")+more)
	classify := func(reviewed string) {
		writeFile(t, folder, "tags.yaml", "apiVersion: sluice/v1\nkind: Classification\nmetadata: {name: shop}\nspec: {resource: shop, reviewed: ["+reviewed+"]}\n")
	}
	classify("customers.id")
	cfg, problems := config.Load(folder)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	pgtest.Shared(t).Exec(t, cfg.Resources[0].Database, "ALTER TABLE customers ADD COLUMN nick text DEFAULT 'needle-nick'", "CREATE VIEW v AS SELECT id, nick FROM customers",
		"CREATE TABLE later AS SELECT 7 AS secret")
	g := open(t, folder)
	out, errs := g.psql(t, "alice", "pw", "SELECT id, nick FROM customers WHERE id = 1", "SELECT nick FROM v WHERE id = 1", "SELECT secret FROM later", "SELECT id FROM v WHERE id = 1")
	if out != "1|\n\n\n1\n" || errs != "" {
		t.Errorf("%q %s", out, errs)
	}
	out, _ = g.psql(t, "alice", "pw", "SELECT upper(nick) FROM customers", "SELECT c FROM customers c", "SELECT secret + 1 FROM later", "COPY customers TO STDOUT")
	if strings.Contains(strings.ToLower(out), "needle") || strings.Contains(out, "8") {
		t.Errorf("%q", out)
	}
	if out, _ := g.psql(t, "bob", "pw", "SELECT nick FROM customers WHERE id = 1"); out != "needle-nick\n" {
		t.Errorf("who is under no mask: %q", out)
	}
	for end := time.Now().Add(time.Minute); !strings.Contains(g.get(t, "/metrics"), "sluice_columns_unclassified 3"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the open columns are not counted")
		}
	}
	classify("customers.id, customers.nick")
	if err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, errs := g.psql(t, "alice", "pw", "SELECT nick FROM customers WHERE id = 1", "SELECT nick FROM v WHERE id = 1"); out != "needle-nick\nneedle-nick\n" {
		t.Errorf("after somebody has looked: %q %s", out, errs)
	}
}
