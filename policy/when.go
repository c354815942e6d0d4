package policy

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"

	"sluice/internal/strictyaml"
)

// A condition is a compiled expression.
type condition struct {
	ast     *cel.Ast
	program cel.Program
	uses    uses
	regexes []string // literal patterns without a filter, for the linter
	// tracking builds a second program that keeps the value of every
	// subexpression. Only explanations pay for it.
	tracking func() (cel.Program, error)
}

// eval evaluates the condition. An error means that it could not be.
func (c *condition) eval(q *question) (tri, error) {
	v, _, err := c.program.Eval(q)
	if err != nil {
		return no, err
	}
	if types.IsUnknown(v) {
		return unknown, nil
	}
	b, ok := v.Value().(bool)
	if !ok {
		return no, fmt.Errorf("want true or false, got %v", v.Type().TypeName())
	}
	return truth(b), nil
}

// because names the comparisons that decided, with their values.
func (c *condition) because(q *question) string {
	p, err := c.tracking()
	if err != nil {
		return ""
	}
	_, details, _ := p.Eval(q) // an error shows in the values
	if details == nil || details.State() == nil {
		return ""
	}
	var parts []string
	c.leaves(c.ast.NativeRep().Expr(), details.State(), &parts)
	return strings.Join(parts, "; ")
}

// maxBecause bounds how many comparisons an explanation names.
const maxBecause = 12

func (c *condition) leaves(e ast.Expr, state interpreter.EvalState, parts *[]string) {
	if e.Kind() == ast.CallKind {
		switch call := e.AsCall(); call.FunctionName() {
		case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional:
			for _, a := range call.Args() {
				c.leaves(a, state, parts)
			}
			return
		}
	}
	v, ok := state.Value(e.ID())
	src, err := cel.ExprToString(e, c.ast.NativeRep().SourceInfo())
	if !ok || err != nil || len(*parts) >= maxBecause {
		return
	}
	value := "unknown"
	if !types.IsUnknown(v) {
		value = fmt.Sprint(v.Value())
	}
	*parts = append(*parts, strings.Join(strings.Fields(src), " ")+" => "+value)
}

// An expressions compiles the expressions of one policy.
type expressions struct {
	env      *cel.Env
	views    map[string]view
	inline   []*cel.InlineVariable
	defs     map[string]uses
	problems *[]strictyaml.Problem
}

func (x *expressions) problem(e expressionSpec, line, col int, format string, args ...any) {
	*x.problems = append(*x.problems, e.place(line, col).Problemf(format, args...))
}

// check parses and types an expression; nil if it has problems.
func (x *expressions) check(who string, e expressionSpec) *cel.Ast {
	a, iss := x.env.Compile(e.Text)
	if iss.Err() == nil {
		return a
	}
	for _, err := range iss.Errors() {
		x.problem(e, err.Location.Line(), err.Location.Column(), "%s: %s", who, x.better(err.Message))
	}
	return nil
}

var (
	undefinedField = regexp.MustCompile(`undefined field '([^']*)'`)
	undeclared     = regexp.MustCompile(`undeclared reference to '([^']*)'`)
	overload       = regexp.MustCompile(`found no matching overload for '([^']*)'`)
)

// laterViews belong to protocols that are not decided yet.
var laterViews = []string{"shell", "ssh", "k8s", "http", "mcp", "plan"}

// better adds a suggestion to CEL's message.
func (x *expressions) better(msg string) string {
	if m := undefinedField.FindStringSubmatch(msg); m != nil {
		return msg + strictyaml.Suggest(m[1], x.fieldNames())
	}
	if m := undeclared.FindStringSubmatch(msg); m != nil {
		if slices.Contains(laterViews, m[1]) {
			return fmt.Sprintf("the view %q is not supported yet", m[1])
		}
		return fmt.Sprintf("undeclared reference to '%s'%s", m[1], strictyaml.Suggest(m[1], x.variables()))
	}
	if m := overload.FindStringSubmatch(msg); m != nil && (m[1] == "rate" || m[1] == "count") {
		return msg + `: want, for example, rate("statements", "1m")`
	}
	return msg
}

func (x *expressions) fieldNames() []string {
	var all []string
	for _, v := range x.views {
		all = append(all, v.names()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (x *expressions) variables() []string {
	all := []string{"subject", "resource", "action", "sql", "client", "session", "context", "now", "rate", "count"}
	for name := range x.defs {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// define adds a definition that later expressions may use by name.
func (x *expressions) define(d defSpec) {
	who := fmt.Sprintf("definition %q", d.name.Value)
	if !defName.MatchString(d.name.Value) || slices.Contains(x.variables(), d.name.Value) || slices.Contains(laterViews, d.name.Value) {
		*x.problems = append(*x.problems, d.name.Pos.Problemf("%s: want a new name of letters, digits and _", who))
		return
	}
	a := x.check(who, d.expr)
	if a == nil {
		return
	}
	u := x.usesOf(a)
	a, err := x.inlined(a)
	if err != nil {
		x.problem(d.expr, 1, 0, "%s: %v", who, err)
		return
	}
	env, err := x.env.Extend(cel.Variable(d.name.Value, a.OutputType()))
	if err != nil {
		x.problem(d.expr, 1, 0, "%s: %v", who, err)
		return
	}
	x.env = env
	x.defs[d.name.Value] = u
	x.inline = append(x.inline, cel.NewInlineVariable(d.name.Value, a))
}

var defName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)

// inlined replaces the names of definitions by what they stand for.
func (x *expressions) inlined(a *cel.Ast) (*cel.Ast, error) {
	if len(x.inline) == 0 {
		return a, nil
	}
	opt, err := cel.NewStaticOptimizer(cel.NewInliningOptimizer(x.inline...))
	if err != nil {
		return nil, err
	}
	out, iss := opt.Optimize(x.env, a)
	return out, iss.Err()
}

// compile builds a condition; nil if the expression has problems.
func (x *expressions) compile(who string, e expressionSpec) *condition {
	a := x.check(who, e)
	if a == nil {
		return nil
	}
	if !a.OutputType().IsExactType(types.BoolType) {
		x.problem(e, 1, 0, "%s: when must be true or false, this is %s", who, a.OutputType())
		return nil
	}
	c := &condition{uses: x.usesOf(a)}
	var err error
	if c.ast, err = x.inlined(a); err == nil {
		err = x.plan(c)
	}
	if err != nil {
		x.problem(e, 1, 0, "%s: %v", who, err)
		return nil
	}
	c.regexes = unfiltered(c.ast)
	return c
}

// plan bounds the cost of a condition and makes it runnable.
func (x *expressions) plan(c *condition) error {
	est, err := x.env.EstimateCost(c.ast, sizes{})
	if err != nil {
		return err
	}
	opts := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize), cel.OptimizeRegex(append(filtered(), zoned()...)...)}
	switch {
	case est.Max == math.MaxUint64:
		opts = append(opts, cel.CostLimit(maxCostRunning))
	case est.Max > maxCost:
		return fmt.Errorf("the expression may cost %d units, more than %d: it compares too much with too much", est.Max, uint64(maxCost))
	}
	if c.program, err = x.env.Program(c.ast, opts...); err != nil {
		return err
	}
	env := x.env
	c.tracking = sync.OnceValues(func() (cel.Program, error) {
		return env.Program(c.ast, cel.EvalOptions(cel.OptExhaustiveEval, cel.OptTrackState), cel.CostLimit(maxCost))
	})
	return nil
}

// usesOf finds out which circumstances an expression looks at.
func (x *expressions) usesOf(a *cel.Ast) uses {
	var u uses
	native := a.NativeRep()
	fieldUse := func(operand ast.Expr, name string) {
		if v, ok := x.views[native.GetType(operand.ID()).TypeName()]; ok {
			u |= v[name].uses
		}
	}
	ast.PreOrderVisit(native.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.IdentKind:
			u |= x.identUses(e.AsIdent())
		case ast.SelectKind:
			fieldUse(e.AsSelect().Operand(), e.AsSelect().FieldName())
		case ast.CallKind:
			if c := e.AsCall(); c.FunctionName() == operators.OptSelect && len(c.Args()) == 2 {
				name, _ := literalText(c.Args()[1])
				fieldUse(c.Args()[0], name)
			}
		}
	}))
	return u
}

func (x *expressions) identUses(name string) uses {
	switch name {
	case "now":
		return useTime
	case countsVariable:
		return useCounts
	case "sql":
		return useSQL
	}
	return x.defs[name]
}

// unfiltered lists the literal regular expressions that have no filter.
func unfiltered(a *cel.Ast) []string {
	var all []string
	ast.PreOrderVisit(a.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != "matches" {
			return
		}
		args := e.AsCall().Args()
		pattern, ok := literalText(args[len(args)-1])
		if !ok {
			all = append(all, "(computed)")
		} else if len(newFilter(pattern).needles) == 0 {
			all = append(all, pattern)
		}
	}))
	return all
}
