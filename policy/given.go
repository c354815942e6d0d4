package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/access"
	"sluice/internal/strictyaml"
)

// This file builds the requests of a test case.

// inherit takes from the test what the case does not say.
func (c *caseSpec) inherit(g *givenSpec) {
	c.Subject, c.Resource, c.Time = or(c.Subject, g.Subject), or(c.Resource, g.Resource), or(c.Time, g.Time)
	c.Client, c.Session = or(c.Client, g.Client), or(c.Session, g.Session)
	c.Reason, c.Ticket = or(c.Reason, g.Reason), or(c.Ticket, g.Ticket)
	if c.Counts == nil {
		c.Counts = g.Counts
	}
	if c.ApprovedBy == nil {
		c.ApprovedBy = g.ApprovedBy
	}
}

func or[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}

func value[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

func (t *tester) requests(spec *testSpec, c *caseSpec) ([]access.Request, []strictyaml.Problem) {
	base, problems := c.base()
	actions, more := t.actions(spec, c, base.Resource)
	if problems = append(problems, more...); len(problems) > 0 {
		return nil, problems
	}
	var all []access.Request
	for _, a := range actions {
		r := base
		r.Action = a
		r.Action.Args = arguments(c.Args)
		c.facts(&r.Action)
		if c.ApprovedBy != nil {
			r.Context.Approved = c.approval(&r)
		}
		all = append(all, r)
	}
	return all, nil
}

// facts gives an action what the target would say of it.
func (c *caseSpec) facts(a *access.Action) {
	if a.SQL == nil {
		return
	}
	sql := *a.SQL
	sql.Facts = access.Facts{Asked: access.FactEstimate | access.FactCount, Why: "the test does not say"}
	if c.Estimate != nil {
		sql.Facts.Estimate = &access.Estimate{Rows: c.Estimate.Rows, Cost: c.Estimate.Cost}
	}
	if c.Count != nil {
		sql.Facts.Count = &c.Count.Rows
	}
	a.SQL = &sql
}

// base is the request without its action.
func (c *caseSpec) base() (access.Request, []strictyaml.Problem) {
	var problems []strictyaml.Problem
	if c.Subject == nil || c.Resource == nil {
		return access.Request{}, append(problems, c.Pos.Problemf("case %q: want a subject and a resource, here or under given", c.Name))
	}
	r := access.Request{
		Subject: *c.Subject.subject(&problems),
		Resource: access.Resource{
			Name: c.Resource.Name, Protocol: c.Resource.Protocol, Database: c.Resource.Database, Labels: c.Resource.Labels,
		},
		Context: access.Context{Reason: value(c.Reason), Ticket: value(c.Ticket), Counts: fixedCounts(c.Counts), Time: value(c.Time)},
	}
	// A nanosecond after, since the zero time would say that nobody knows when.
	r.Subject.AuthTime = r.Context.Time.Add(time.Nanosecond - c.Subject.Authenticated)
	if r.Resource.Protocol == "" {
		r.Resource.Protocol = "postgres"
	}
	if c.Client != nil {
		r.Context.Client = access.Client(*c.Client)
	}
	if s := c.Session; s != nil {
		r.Context.Session = access.SessionInfo{
			Statements: s.Statements, Denied: s.Denied, Writes: s.Writes, Rows: s.Rows,
			Opened: r.Context.Time.Add(-s.Age), InTransaction: s.InTransaction,
		}
	}
	for kind := range c.Counts {
		if !slices.Contains(counters, kind) {
			problems = append(problems, c.Pos.Problemf("case %q: nothing counts %q%s", c.Name, kind, strictyaml.Suggest(kind, counters)))
		}
	}
	return r, problems
}

func (s *subjectSpec) subject(problems *[]strictyaml.Problem) *access.Subject {
	if s == nil {
		return nil
	}
	out := &access.Subject{
		Issuer: s.Issuer, ID: s.ID, Kind: access.Kind(s.Kind.Value), Email: s.Email,
		Groups: s.Groups, Owner: s.Owner, Claims: s.Claims, Actor: s.Actor.subject(problems),
	}
	if out.Issuer == "" {
		out.Issuer = "local"
	}
	switch out.Kind {
	case "":
		out.Kind = access.Human
	case access.Human, access.Agent, access.Workload:
	default:
		*problems = append(*problems, s.Kind.Pos.Problemf("unknown kind %q", s.Kind.Value))
	}
	return out
}

// fixedCounts answers every window with the same numbers.
type fixedCounts map[string]int64

// Count implements access.Counts.
func (f fixedCounts) Count(kind string, _ time.Duration) int64 { return f[kind] }

// approval is an approval of exactly this request by the people named.
func (c *caseSpec) approval(r *access.Request) *access.Approval {
	a := &access.Approval{ID: "test", Digest: r.Digest(), Approved: true, State: "approved", Expires: r.Context.Time.Add(time.Minute)}
	for i := range c.ApprovedBy {
		var ignored []strictyaml.Problem
		a.By = append(a.By, *c.ApprovedBy[i].subject(&ignored))
	}
	return a
}

func (t *tester) actions(spec *testSpec, c *caseSpec, res access.Resource) ([]access.Action, []strictyaml.Problem) {
	switch {
	case c.Postgres.Given() == (c.Action != nil):
		return nil, []strictyaml.Problem{c.Pos.Problemf("case %q: want either a command (postgres: TEXT) or an action", c.Name)}
	case c.Action != nil:
		a, ps := c.Action.action()
		for i := range ps {
			ps[i] = fmt.Sprintf("case %q: %s", c.Name, ps[i])
		}
		return []access.Action{a}, problemsAt(c.Pos, ps)
	case t.describe == nil:
		return nil, []strictyaml.Problem{c.Postgres.Pos.Problemf("case %q: there is no parser here for commands", c.Name)}
	}
	actions, err := t.describe(Command{Protocol: "postgres", Text: c.Postgres.Value, Resource: res, Tables: spec.Tables})
	if err != nil || len(actions) == 0 {
		return nil, []strictyaml.Problem{c.Postgres.Pos.Problemf("case %q: the command could not be described: %v", c.Name, err)}
	}
	return actions, nil
}

func problemsAt(pos strictyaml.Pos, messages []string) []strictyaml.Problem {
	var ps []strictyaml.Problem
	for _, m := range messages {
		ps = append(ps, pos.Problemf("%s", m))
	}
	return ps
}

func (s *actionSpec) action() (a access.Action, problems []string) {
	a = access.Action{
		Verb: s.Verb, Op: s.Op, Text: s.Text, Confidence: access.Exact,
		SQL: &access.SQL{Scoped: s.Scoped == nil || *s.Scoped, Limit: -1, Statements: 1, Functions: s.Functions, Settings: s.Settings},
	}
	if a.Op == "" {
		a.Op = strings.ToUpper(s.Verb.String())
	}
	if s.Limit != nil {
		a.SQL.Limit = *s.Limit
	}
	if s.Confidence.Given() {
		c, ok := access.ParseConfidence(s.Confidence.Value)
		if !ok {
			problems = append(problems, fmt.Sprintf("unknown confidence %q", s.Confidence.Value))
		}
		a.Confidence = c
	}
	a.Objects = append(tableObjects(s.Reads, false), tableObjects(s.Writes, true)...)
	return a, problems
}

func tableObjects(tables map[string][]string, write bool) []access.Object {
	var all []access.Object
	for _, qualified := range sortedKeys(tables) {
		schema, name := splitQualified(qualified)
		o := access.Object{Kind: access.KindTable, Schema: schema, Name: name, Read: !write, Write: write, ColumnsKnown: true}
		for _, c := range tables[qualified] {
			use := access.UseOutput
			if write {
				use = access.UseAssign
			}
			o.Columns = append(o.Columns, access.ColumnUse{Name: c, Use: use})
		}
		all = append(all, o)
	}
	return all
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// arguments are bound values in text format; null is NULL.
func arguments(vs []any) []access.Arg {
	var all []access.Arg
	for _, v := range vs {
		if v == nil {
			all = append(all, access.Arg{Null: true})
			continue
		}
		all = append(all, access.Arg{Value: []byte(fmt.Sprint(v))})
	}
	return all
}

// columns are result columns by origin: schema.table.column, "?" for one that
// cannot be traced, anything else for a value without origin.
func columns(ts texts) []access.Column {
	var all []access.Column
	for _, t := range ts {
		parts := strings.Split(t.Value, ".")
		c := access.Column{Name: parts[len(parts)-1], Traced: t.Value != "?"}
		if len(parts) == 3 {
			c.Origins = []access.ColumnID{{Schema: parts[0], Table: parts[1], Column: parts[2]}}
		}
		all = append(all, c)
	}
	return all
}
