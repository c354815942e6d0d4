package server

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"sluice/access"
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
