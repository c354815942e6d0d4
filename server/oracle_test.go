package server

import (
	"strings"
	"testing"

	"sluice/access"
	v1 "sluice/api/v1"
	"sluice/internal/strictyaml"
	"sluice/policy"
)

func TestCanAgreesWithTheGateway(t *testing.T) {
	g := start(t)
	for command, want := range map[string]string{
		"SELECT id FROM customers":           "allow access/engineers",
		"DELETE FROM customers":              "deny access/no-unscoped-writes",
		"DELETE FROM customers WHERE id = 1": "require_approval access/prod-deletes",
		"TRUNCATE customers":                 "deny default",
		"SELECT 1; DROP TABLE customers":     "deny default",
	} {
		q := v1.Question{Subject: "alice", Resource: "shop", Command: command}
		live, err := g.client(t, "bob").Can(t.Context(), q)
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		alone, err := Can(t.Context(), g.folder, q)
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		for how, list := range map[string][]v1.Verdict{"gateway": live, "alone": alone} {
			last := list[len(list)-1]
			if got := last.Effect + " " + last.Rule; got != want || last.Confidence != "exact" {
				t.Errorf("%s, %s: %s (%s %s), want %s", how, command, got, last.Confidence, last.Incomplete, want)
			}
			if last.Effect == "require_approval" && strings.Join(last.Approvers, " ") != "bob" {
				t.Errorf("%s: approvers %v", how, last.Approvers)
			}
		}
	}
}

// What a session refuses because it cannot mask it, a question refuses too.
func TestCanRefusesWhatCannotBeMasked(t *testing.T) {
	docs, problems := strictyaml.Parse("p.yaml", []byte(`
apiVersion: sluice/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
  - {id: all, effect: allow}
  - {id: m, match: {columns: [customers.email]}, effect: mask, mask: {with: hash}}
`))
	set, more := policy.Load(docs)
	if len(problems)+len(more) > 0 {
		t.Fatal(problems, more)
	}
	o := oracle{set: func() *policy.Set { return set }}
	r := access.Request{Subject: access.Subject{Issuer: "local", ID: "alice"}, Resource: access.Resource{Name: "shop", Protocol: "postgres"},
		Action: access.Action{Verb: access.VerbSelect, Confidence: access.Partial, SQL: &access.SQL{Why: "function f may do anything"}}}
	if v := o.verdict(r); v.Effect != "deny" || v.Rule != "p/m" || !strings.Contains(v.Message, "function f") {
		t.Errorf("%+v", v)
	}
	r.Action.Confidence, r.Action.SQL = access.Exact, nil
	r.Action.Objects = []access.Object{{Kind: access.KindTable, Schema: "public", Name: "customers", Read: true, ColumnsKnown: true,
		Columns: []access.ColumnUse{{Name: "email", Use: access.UseEqual, Exprs: []access.UseExpr{{Use: access.UseEqual, Text: "email = ..."}}}}}}
	if v := o.verdict(r); v.Effect != "deny" || v.Rule != "p/m" || !strings.Contains(v.Message, "`email = ...` compares") || v.Hint == "" {
		t.Errorf("%+v", v)
	}
	r.Action.Objects[0].Columns[0].Use = access.UseOutput
	if v := o.verdict(r); v.Effect != "allow" {
		t.Errorf("%+v", v)
	}
}
