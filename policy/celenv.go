package policy

import (
	"slices"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"

	"sluice/internal/strictyaml"
)

// Limits on expressions. They bound what one rule can cost at load and at run time.
const (
	maxExpression  = 4 << 10   // bytes
	maxRegex       = 1000      // instructions of a compiled regular expression
	maxNesting     = 2         // comprehensions within comprehensions
	maxCost        = 5_000_000 // in CEL's cost units, estimated
	maxCostRunning = 1_000_000 // where no estimate is possible
	listSize       = 256       // elements assumed in a list of unknown length
	textSize       = 256       // bytes assumed in a text of unknown length
)

// countsVariable stands behind rate and count; expressions cannot spell it.
const countsVariable = "@counts"

// countWindow is the function that rate and count expand to.
const countWindow = "@within"

// newEnv builds the environment that every expression compiles in.
func newEnv(views map[string]view) (*cel.Env, error) {
	return cel.NewCustomEnv(
		cel.StdLib(),
		cel.OptionalTypes(),
		ext.Strings(ext.StringsVersion(3)),
		ext.Network(),
		ext.Sets(),
		withViews(views),
		cel.Variable("subject", subjectType),
		cel.Variable("resource", resourceType),
		cel.Variable("action", actionType),
		cel.Variable("sql", sqlType),
		cel.Variable("client", clientType),
		cel.Variable("session", sessionType),
		cel.Variable("context", contextType),
		cel.Variable("now", types.TimestampType),
		cel.Variable(countsVariable, countsType),
		cel.Function(countWindow, cel.MemberOverload("counts_within",
			[]*types.Type{countsType, types.StringType, types.IntType}, types.IntType,
			cel.FunctionBinding(countBinding))),
		cel.Macros(cel.GlobalMacro("rate", 2, countMacro), cel.GlobalMacro("count", 2, countMacro)),
		cel.EnableMacroCallTracking(),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.ParserRecursionLimit(50),
		cel.ASTValidators(
			cel.ValidateRegexLiterals(),
			cel.ValidateRegexProgramSizeLimit(maxRegex),
			cel.ValidateComprehensionNestingLimit(maxNesting),
			cel.ValidateDurationLiterals(),
			cel.ValidateTimestampLiterals(),
			cel.ValidateHomogeneousAggregateLiterals(),
		),
	)
}

// countBinding is rate and count at run time.
func countBinding(args ...ref.Val) ref.Val {
	if len(args) != 3 {
		return types.NoSuchOverloadErr()
	}
	q, ok1 := args[0].Value().(*question)
	kind, ok2 := args[1].Value().(string)
	window, ok3 := args[2].Value().(int64)
	if !ok1 || !ok2 || !ok3 {
		return types.NoSuchOverloadErr()
	}
	return types.Int(q.count(kind, time.Duration(window)))
}

// countMacro checks rate("statements", "1m") when it is loaded.
func countMacro(f cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
	kind, ok := literalText(args[0])
	if !ok {
		return nil, f.NewError(args[0].ID(), "want what to count as a literal text")
	}
	if !slices.Contains(counters, kind) {
		return nil, f.NewError(args[0].ID(), "nothing counts "+kind+strictyaml.Suggest(kind, counters))
	}
	window, ok := literalText(args[1])
	d, err := time.ParseDuration(window)
	if !ok || err != nil || d < time.Second || d > 24*time.Hour {
		return nil, f.NewError(args[1].ID(), `want a window between "1s" and "24h" as a literal text`)
	}
	return f.NewMemberCall(countWindow, f.NewIdent(countsVariable),
		f.NewLiteral(types.String(kind)), f.NewLiteral(types.Int(d))), nil
}

func literalText(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().Value().(string)
	return s, ok
}

// withViews teaches the environment the types of the views.
func withViews(views map[string]view) cel.EnvOption {
	return func(env *cel.Env) (*cel.Env, error) {
		return cel.CustomTypeProvider(&provider{env.CELTypeProvider(), views})(env)
	}
}

// A provider adds the views to CEL's own types.
type provider struct {
	types.Provider
	views map[string]view
}

// FindStructType implements types.Provider.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if _, ok := p.views[name]; ok {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Provider.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	if v, ok := p.views[name]; ok {
		return v.names(), true
	}
	return p.Provider.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider.
func (p *provider) FindStructFieldType(name, fieldName string) (*types.FieldType, bool) {
	if v, ok := p.views[name]; ok {
		f, ok := v[fieldName]
		return f.typ, ok
	}
	return p.Provider.FindStructFieldType(name, fieldName)
}

// NewValue implements types.Provider: expressions cannot build views.
func (p *provider) NewValue(name string, fields map[string]ref.Val) ref.Val {
	if _, ok := p.views[name]; ok {
		return types.NewErr("%s cannot be built in an expression", name)
	}
	return p.Provider.NewValue(name, fields)
}

func (v view) names() []string {
	var all []string
	for name := range v {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// sizes tells CEL's cost estimate how large the views can be.
type sizes struct{}

// EstimateSize implements cost.Estimator.
func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	path := n.Path()
	if len(path) == 0 {
		return nil
	}
	limit := uint64(listSize)
	if len(path) == 2 && path[0] == "action" && path[1] == "text" {
		limit = maxText
	} else if n.Type().Kind() == types.StringKind {
		limit = textSize
	}
	return &cost.SizeEstimate{Min: 0, Max: limit}
}

// EstimateCallCost implements cost.Estimator; nil takes CEL's own.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}
