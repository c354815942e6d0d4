package policy

import (
	"strings"
	"testing"
	"time"

	"sluice/access"
	"sluice/internal/strictyaml"
)

// bundle is a policy named p with the given rules, indented or not.
func bundle(rules string) string {
	return "apiVersion: sluice/v1\nkind: Policy\nmetadata: {name: p}\nspec:\n  rules:\n" + rules
}

func parse(t testing.TB, text string) []strictyaml.Document {
	t.Helper()
	docs, ps := strictyaml.Parse("p.yaml", []byte(text))
	if len(ps) > 0 {
		t.Fatalf("parse: %v", ps)
	}
	return docs
}

func load(t testing.TB, text string) *Set {
	t.Helper()
	s, ps := Load(parse(t, text))
	if len(ps) > 0 {
		for _, p := range ps {
			t.Error(p)
		}
		t.FailNow()
	}
	return s
}

func loadRules(t testing.TB, rules string) *Set { t.Helper(); return load(t, bundle(rules)) }

// evening is outside working hours in Berlin: a Friday, 21:30 UTC.
var evening = time.Date(2026, 11, 20, 21, 30, 0, 0, time.UTC)

// counts is a fixed access.Counts.
type counts map[string]int64

func (c counts) Count(kind string, _ time.Duration) int64 { return c[kind] }

// A change edits a request.
type change func(*access.Request)

// ask builds a request by alice of engineering at the database shop in prod.
func ask(verb access.Verb, changes ...change) access.Request {
	r := access.Request{
		Subject:  access.Subject{Issuer: "local", ID: "alice", Kind: access.Human, Groups: []string{"engineering"}},
		Resource: access.Resource{Name: "shop", Protocol: "postgres", Database: "shop", Labels: map[string]string{"env": "prod", "team": "shop"}},
		Action: access.Action{Verb: verb, Op: strings.ToUpper(verb.String()), Confidence: access.Exact, Text: verb.String() + " ...",
			SQL: &access.SQL{Scoped: true, Limit: -1, Statements: 1}},
		Context: access.Context{Time: evening, Client: access.Client{Address: "10.1.2.3:5000"}, Counts: counts{}},
	}
	for _, c := range changes {
		c(&r)
	}
	return r
}

func groups(gs ...string) change { return func(r *access.Request) { r.Subject.Groups = gs } }

func confidence(c access.Confidence) change {
	return func(r *access.Request) { r.Action.Confidence = c }
}

func unscoped(r *access.Request) { r.Action.SQL.Scoped = false }

func label(key, value string) change {
	return func(r *access.Request) {
		labels := map[string]string{}
		for k, v := range r.Resource.Labels {
			labels[k] = v
		}
		labels[key] = value
		r.Resource.Labels = labels
	}
}

// reads adds a table that is read, with the columns used.
func reads(qualified string, columns ...string) change {
	return touches(qualified, func(o *access.Object) {
		o.Read, o.ColumnsKnown = true, true
		for _, c := range columns {
			o.Columns = append(o.Columns, access.ColumnUse{Name: c, Use: access.UseOutput})
		}
	})
}

func writes(qualified string) change {
	return touches(qualified, func(o *access.Object) { o.Write, o.ColumnsKnown = true, true })
}

func touches(qualified string, edit func(*access.Object)) change {
	return func(r *access.Request) {
		schema, name := splitQualified(qualified)
		o := access.Object{Kind: access.KindTable, Schema: schema, Name: name}
		edit(&o)
		r.Action.Objects = append(r.Action.Objects, o)
	}
}

func calls(functions ...string) change {
	return func(r *access.Request) { r.Action.SQL.Functions = functions }
}
