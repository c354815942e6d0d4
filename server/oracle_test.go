package server

import (
	"context"
	"errors"
	"strings"
	"testing"

	"sluice/access"
	"sluice/api"
	v1 "sluice/api/v1"
	"sluice/internal/strictyaml"
	"sluice/policy"
	"sluice/protocol"
	"sluice/query/catalog"
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

// Who may do nothing at a resource learns nothing of it by asking, and makes the
// gateway dial nothing; what keeps the gateway from a database is not everybody's
// to know.
func TestCanTellsStrangersNothing(t *testing.T) {
	g := start(t)
	o := g.oracle()
	dialled := 0
	o.snapshot = func(context.Context, protocol.Target) (*catalog.Snapshot, error) {
		dialled++
		return nil, errors.New("10.0.0.5:5432 refuses app")
	}
	for _, c := range []struct {
		who     string
		full    bool
		dialled int
		says    string
	}{{"erin", false, 0, "names were not looked up"}, {"alice", false, 1, "cannot be read"}, {"erin", true, 1, "10.0.0.5"}, {"alice", true, 1, "10.0.0.5"}} {
		dialled = 0
		list, err := o.Can(t.Context(), v1.Question{Subject: c.who, Resource: "shop", Command: "SELECT id FROM customers"}, &api.Caller{Auditor: c.full})
		if err != nil || len(list) != 1 || dialled != c.dialled || !strings.Contains(list[0].Incomplete, c.says) || strings.Contains(list[0].Incomplete, "10.0.0.5") != c.full {
			t.Errorf("%s, %v: dialled %d, %v %+v", c.who, c.full, dialled, err, list)
		}
	}
}

// Who asks about themselves is answered as they are: for whom they act, and
// whoever vouches for them.
func TestCanKnowsWhoAsks(t *testing.T) {
	o := start(t).oracle()
	bot := access.Subject{Issuer: "local", ID: "bot", Kind: access.Agent}
	alice := access.Subject{Issuer: "local", ID: "alice", Kind: access.Human, Groups: []string{"engineering"}}
	acted := alice
	acted.Actor = &bot
	elsewhere := access.Subject{Issuer: "https://id.example.test", ID: "zoe", Kind: access.Human, Groups: []string{"engineering"}}
	for _, c := range []struct {
		asker access.Subject
		want  string
	}{{alice, "allow"}, {acted, "deny"}, {elsewhere, "allow"}} {
		list, err := o.Can(t.Context(), v1.Question{Subject: c.asker.ID, Resource: "shop", Command: "SELECT id FROM customers"}, &api.Caller{Subject: c.asker})
		if err != nil || len(list) != 1 || list[0].Effect != c.want || list[0].Subject != api.Name(&c.asker) {
			t.Errorf("%s: %v %+v", api.Name(&c.asker), err, list)
		}
	}
	if _, err := o.Can(t.Context(), v1.Question{Resource: "shop", Command: "SELECT 1"}, &api.Caller{Admin: true}); err == nil {
		t.Error("nobody is somebody")
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
