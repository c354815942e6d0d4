package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"sluice/access"
	"sluice/internal/strictyaml"
)

// TestKind is the kind of document that [RunTests] runs.
const TestKind = "PolicyTest"

// A Command is a raw command in a test, for a parser to describe.
type Command struct {
	Protocol string // postgres, ...
	Text     string
	Resource access.Resource
	// Tables are the tables that exist and their columns, by schema.table. Nil:
	// the test does not say.
	Tables map[string][]string
}

// A Describe turns a command into what it means, as the gateway would.
type Describe func(Command) ([]access.Action, error)

// A Report is what the tests showed.
type Report struct {
	Cases    []CaseResult `json:"cases"`
	Passed   int          `json:"passed"`
	Failed   int          `json:"failed"`
	Coverage []Coverage   `json:"coverage"` // every rule, in order
}

// A CaseResult is the outcome of one case.
type CaseResult struct {
	Test     string          `json:"test"`
	Name     string          `json:"name"`
	File     string          `json:"file"`
	Line     int             `json:"line"`
	Failures []string        `json:"failures,omitempty"` // empty: passed
	Decision access.Decision `json:"-"`
}

// A Coverage counts the cases in which a rule held and those in which it did not.
type Coverage struct {
	Rule   string `json:"rule"`
	File   string `json:"file"`
	Line   int    `json:"line"`
	Fired  int    `json:"fired"`
	Silent int    `json:"silent"`
}

type testSpec struct {
	Given  givenSpec           `yaml:"given"` // for every case that does not say otherwise
	Tables map[string][]string `yaml:"tables"`
	Cases  []caseSpec          `yaml:"cases,required"`
}

type givenSpec struct {
	Subject    *subjectSpec      `yaml:"subject"`
	Resource   *testResourceSpec `yaml:"resource"`
	Time       *time.Time        `yaml:"time"`
	Client     *testClientSpec   `yaml:"client"`
	Session    *sessionSpec      `yaml:"session"`
	Counts     map[string]int64  `yaml:"counts"`
	Reason     *string           `yaml:"reason"`
	Ticket     *string           `yaml:"ticket"`
	ApprovedBy []subjectSpec     `yaml:"approvedBy"`
}

type caseSpec struct {
	Pos       strictyaml.Pos
	Name      string `yaml:"name,required"`
	givenSpec `yaml:",inline"`
	Postgres  text          `yaml:"postgres"`
	Action    *actionSpec   `yaml:"action"`
	Args      []any         `yaml:"args"`
	Estimate  *estimateSpec `yaml:"estimate"`
	Count     *countSpec    `yaml:"count"`
	Result    texts         `yaml:"result"`
	Expect    expectSpec    `yaml:"expect,required"`
}

// An estimateSpec is what the planner would say; a countSpec, how many rows an
// UPDATE or DELETE would change.
type (
	estimateSpec struct {
		Rows int64 `yaml:"rows"`
		Cost int64 `yaml:"cost"`
	}
	countSpec struct {
		Rows int64 `yaml:"rows"`
	}
)

type subjectSpec struct {
	ID     string         `yaml:"id,required"`
	Issuer string         `yaml:"issuer"`
	Kind   text           `yaml:"kind"`
	Email  string         `yaml:"email"`
	Groups []string       `yaml:"groups"`
	Owner  string         `yaml:"owner"`
	Claims map[string]any `yaml:"claims"`
	// Authenticated is how long ago; not given: just now.
	Authenticated time.Duration `yaml:"authenticated"`
	Actor         *subjectSpec  `yaml:"actor"`
}

type testResourceSpec struct {
	Name     string            `yaml:"name,required"`
	Protocol string            `yaml:"protocol"`
	Database string            `yaml:"database"`
	Labels   map[string]string `yaml:"labels"`
}

type testClientSpec struct {
	Address string `yaml:"address"`
	TLS     bool   `yaml:"tls"`
	Program string `yaml:"program"`
}

type sessionSpec struct {
	Statements    int64         `yaml:"statements"`
	Denied        int64         `yaml:"denied"`
	Writes        int64         `yaml:"writes"`
	Rows          int64         `yaml:"rows"`
	Age           time.Duration `yaml:"age"`
	InTransaction bool          `yaml:"in_transaction"`
}

// An actionSpec is an action without a parser.
type actionSpec struct {
	Verb       access.Verb         `yaml:"verb,required"`
	Op         string              `yaml:"op"`
	Text       string              `yaml:"text"`
	Confidence text                `yaml:"confidence"` // exact unless given
	Reads      map[string][]string `yaml:"reads"`      // schema.table: columns
	Writes     map[string][]string `yaml:"writes"`
	Functions  []string            `yaml:"functions"`
	Settings   []string            `yaml:"settings"`
	Scoped     *bool               `yaml:"scoped"` // true unless given
	Limit      *int64              `yaml:"limit"`  // none unless given
}

type expectSpec struct {
	Pos       strictyaml.Pos
	Effect    text              `yaml:"effect,required"`
	Rule      text              `yaml:"rule"`
	Rules     texts             `yaml:"rules"`
	Would     texts             `yaml:"would"`
	Masks     map[string]string `yaml:"masks"`
	Columns   []string          `yaml:"columns"`
	Limit     *limitSpec        `yaml:"limit"`
	Approvers map[string]int    `yaml:"approvers"`
	Message   string            `yaml:"message"`
	Hint      string            `yaml:"hint"`
}

// UnmarshalStrict implements [strictyaml.Unmarshaler]: expect: deny is short
// for expect: {effect: deny}.
func (e *expectSpec) UnmarshalStrict(d *strictyaml.Decoder, n *yaml.Node) {
	e.Pos = d.At(n)
	if n.Kind == yaml.ScalarNode {
		d.Decode(n, &e.Effect)
		return
	}
	type plain expectSpec
	d.Decode(n, (*plain)(e))
}

// RunTests runs the documents of kind PolicyTest against a set. describe parses
// raw commands; nil if there is no parser, then cases with such are problems.
// Failing cases are in the report; problems are tests that could not run.
func RunTests(s *Set, docs []strictyaml.Document, describe Describe) (Report, []strictyaml.Problem) {
	t := tester{set: s, describe: describe, fired: map[*rule]int{}}
	for _, d := range docs {
		if d.Kind != TestKind {
			continue
		}
		var spec testSpec
		if ps := d.Decode(&spec); len(ps) > 0 {
			t.problems = append(t.problems, ps...)
			continue
		}
		for i := range spec.Cases {
			t.run(d, &spec, &spec.Cases[i])
		}
	}
	t.report.Coverage = t.coverage()
	return t.report, strictyaml.Sort(t.problems)
}

type tester struct {
	set      *Set
	describe Describe
	problems []strictyaml.Problem
	report   Report
	fired    map[*rule]int
	asked    int
}

func (t *tester) run(d strictyaml.Document, spec *testSpec, c *caseSpec) {
	c.inherit(&spec.Given)
	requests, problems := t.requests(spec, c)
	problems = append(problems, t.unknownRules(c)...)
	if len(problems) > 0 {
		t.problems = append(t.problems, problems...)
		return
	}
	result := CaseResult{Test: d.Name, Name: c.Name, File: d.File, Line: c.Pos.Line}
	var masks []access.Mask
	for i, r := range requests {
		decision := t.set.Decide(r)
		t.note(&r)
		if i == 0 || severity(decision.Effect) > severity(result.Decision.Effect) {
			result.Decision = decision
			masks, _ = t.set.Result(r, decision, columns(c.Result))
		}
	}
	result.Failures = c.Expect.check(&result.Decision, masks)
	if len(result.Failures) == 0 {
		t.report.Passed++
	} else {
		t.report.Failed++
	}
	t.report.Cases = append(t.report.Cases, result)
}

// severity orders effects: of several statements, the worst answer is the case's.
func severity(e access.Effect) int {
	switch e {
	case access.Allow:
		return 0
	case access.RequireApproval:
		return 1
	case access.Deny:
	}
	return 2
}

// note counts which rules held.
func (t *tester) note(r *access.Request) {
	t.asked++
	if t.set == nil {
		return
	}
	j, err := t.set.judge(newQuestion(r))
	if err != nil {
		return
	}
	for i := range j.findings {
		if j.findings[i].holds() {
			t.fired[j.findings[i].rule]++
		}
	}
}

func (t *tester) coverage() []Coverage {
	if t.set == nil {
		return nil
	}
	var all []Coverage
	for _, r := range t.set.rules {
		n := t.fired[r]
		all = append(all, Coverage{Rule: r.name, File: r.pos.File, Line: r.pos.Line, Fired: n, Silent: t.asked - n})
	}
	return all
}

// unknownRules reports rules that a case expects and nobody has: a typo there
// would make the case useless.
func (t *tester) unknownRules(c *caseSpec) []strictyaml.Problem {
	names := []string{"default"}
	if t.set != nil {
		for _, r := range t.set.rules {
			names = append(names, r.name, r.id)
		}
	}
	var problems []strictyaml.Problem
	for _, want := range append(append(texts{c.Expect.Rule}, c.Expect.Rules...), c.Expect.Would...) {
		if want.Given() && !slices.Contains(names, want.Value) {
			problems = append(problems, want.Pos.Problemf("unknown rule %q%s", want.Value, strictyaml.Suggest(want.Value, names)))
		}
	}
	return problems
}

// check compares a decision with what was expected.
func (e *expectSpec) check(d *access.Decision, masks []access.Mask) []string {
	var fails []string
	fail := func(format string, args ...any) { fails = append(fails, fmt.Sprintf(format, args...)) }
	if got := d.Effect.String(); got != e.Effect.Value {
		fail("effect %s by %s (%s), want %s", got, d.By(), d.Message, e.Effect.Value)
	}
	if e.Rule.Given() && !sameRule(d.By(), e.Rule.Value) {
		fail("decided by %s, want %s", d.By(), e.Rule.Value)
	}
	for _, want := range e.Rules {
		if !slices.ContainsFunc(d.Reasons, func(r access.Reason) bool { return sameRule(r.Name(), want.Value) }) {
			fail("rule %s did not hold", want.Value)
		}
	}
	for _, want := range e.Would {
		if !slices.ContainsFunc(d.Would, func(r access.Reason) bool { return sameRule(r.Name(), want.Value) }) {
			fail("rule %s would not have held", want.Value)
		}
	}
	if !strings.Contains(d.Message, e.Message) {
		fail("message %q, want one with %q", d.Message, e.Message)
	}
	if !strings.Contains(d.Hint, e.Hint) {
		fail("hint %q, want one with %q", d.Hint, e.Hint)
	}
	fails = append(fails, e.checkObligations(d)...)
	return append(fails, e.checkColumns(masks)...)
}

// sameRule lets tests leave the policy's name out.
func sameRule(name, want string) bool { return name == want || strings.HasSuffix(name, "/"+want) }

func (e *expectSpec) checkObligations(d *access.Decision) []string {
	var fails []string
	got, limit := map[string]string{}, access.Limit{}
	for _, o := range d.Obligations {
		switch o := o.(type) {
		case access.Mask:
			got[maskName(o)] = o.With
		case access.Limit:
			limit.Rows, limit.Bytes = max(limit.Rows, o.Rows), max(limit.Bytes, o.Bytes)
			limit.AffectedRows, limit.Timeout = max(limit.AffectedRows, o.AffectedRows), max(limit.Timeout, o.Timeout)
		case access.Record, access.Notify:
		}
	}
	if _, wanted := e.Masks[detected]; !wanted {
		delete(got, detected) // looks at every result: only tests about it name it
	}
	if e.Masks != nil && fmt.Sprint(got) != fmt.Sprint(e.Masks) {
		fails = append(fails, fmt.Sprintf("masks %v, want %v", got, e.Masks))
	}
	if l := e.Limit; l != nil && (number(l.Rows) != limit.Rows || number(l.Bytes) != limit.Bytes || number(l.AffectedRows) != limit.AffectedRows || l.Timeout.Value != limit.Timeout) {
		fails = append(fails, fmt.Sprintf("limit %+v is not the one expected", limit))
	}
	if e.Approvers != nil {
		who := map[string]int{}
		for _, f := range d.Approval.From {
			who[f.Group] = f.Count
		}
		if fmt.Sprint(who) != fmt.Sprint(e.Approvers) {
			fails = append(fails, fmt.Sprintf("approvers %v, want %v", who, e.Approvers))
		}
	}
	return fails
}

func number(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// detected is how tests name masks of what detectors find.
const detected = "detect"

// maskName is how tests name a mask: the column, "detect" or "unknown".
func maskName(m access.Mask) string {
	switch {
	case len(m.Detect) > 0:
		return detected
	case m.Column == access.ColumnID{}:
		return "unknown"
	}
	return m.Column.String()
}

func (e *expectSpec) checkColumns(masks []access.Mask) []string {
	if e.Columns == nil {
		return nil
	}
	var got []string
	for _, m := range masks {
		with := m.With
		if with == "" {
			with = "clear"
		}
		got = append(got, with)
	}
	if !slices.Equal(got, e.Columns) {
		return []string{fmt.Sprintf("result columns %v, want %v", got, e.Columns)}
	}
	return nil
}
