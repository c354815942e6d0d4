package postgres

import (
	"context"
	"errors"
	"fmt"

	pgquery "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"sluice/access"
)

// Options are an [Analyzer]'s limits. Zero fields take the defaults.
type Options struct {
	MaxText    int // bytes of a text; longer ones are opaque. Default 1 MiB
	MaxDepth   int // operators, joins, set operations and brackets that nest. Default 5,000
	MaxItems   int // commas, AND, OR. Default 100,000
	CacheBytes int // of each cache. Default 64 MiB
}

func (o Options) withDefaults() Options {
	or := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	or(&o.MaxText, 1<<20)
	or(&o.MaxDepth, 5_000)
	or(&o.MaxItems, 100_000)
	or(&o.CacheBytes, 64<<20)
	return o
}

// An Analyzer says what SQL texts mean. Safe for concurrent use.
type Analyzer struct {
	parser Parser
	opts   Options

	batches *cache[*Batch]  // by text and environment
	parses  *cache[*parsed] // by text
	shapes  *cache[*Batch]  // by literal-stripped text and environment
	// templates of canonical texts, by literal-stripped text
	templates *cache[*template]
}

// New returns an analyzer that reads texts with parser.
func New(parser Parser, opts Options) *Analyzer {
	opts = opts.withDefaults()
	return &Analyzer{
		parser:  parser,
		opts:    opts,
		batches: newCache[*Batch](opts.CacheBytes),
		parses:  newCache[*parsed](opts.CacheBytes),
		shapes:  newCache[*Batch](opts.CacheBytes),

		templates: newCache[*template](opts.CacheBytes / 4),
	}
}

// A parsed text is what holds in every environment.
type parsed struct {
	text  string
	shape shape
	tree  []byte       // libpg_query's protobuf; nil if why is set
	why   string       // why there is no tree
	bad   *SyntaxError // the grammar rejects the text
}

// Analyze says what text means in env. It returns an error only if the parser
// could not be asked (ctx ended, the pool is closed); a text that cannot be
// understood is an opaque statement. subject shares the parser fairly.
func (a *Analyzer) Analyze(ctx context.Context, subject, text string, env *Env) (*Batch, error) {
	if env == nil || env.key == (EnvKey{}) {
		return nil, errors.New("analyze: the environment was not made with NewEnv")
	}
	if b, ok := a.batches.get(text, env.key); ok {
		return b, nil
	}
	p, known := a.parses.get(text, EnvKey{})
	if !known {
		s := shapeOf(text, &a.opts)
		if b, ok := a.fromShape(text, &s, env); ok {
			return b, nil
		}
		var err error
		if p, err = a.parseShape(ctx, subject, text, s); err != nil {
			return nil, err
		}
	}
	b := a.batch(p, env)
	a.batches.put(text, env.key, b, b.size())
	return b, nil
}

// parse is the part that needs no environment, cached.
func (a *Analyzer) parse(ctx context.Context, subject, text string) (*parsed, error) {
	if p, ok := a.parses.get(text, EnvKey{}); ok {
		return p, nil
	}
	return a.parseShape(ctx, subject, text, shapeOf(text, &a.opts))
}

func (a *Analyzer) parseShape(ctx context.Context, subject, text string, s shape) (*parsed, error) {
	p := &parsed{text: text, shape: s, why: s.over}
	if p.why == "" && len(s.spans) > 0 {
		var err error
		slow(ctx)
		p.tree, err = a.parser.Parse(ctx, subject, text)
		var syntax *SyntaxError
		switch {
		case errors.As(err, &syntax):
			p.bad, p.why = syntax, "the grammar rejects the text"
		case errors.Is(err, ErrHostile):
			p.why = ErrHostile.Error()
		case err != nil:
			return nil, fmt.Errorf("analyze: %w", err)
		}
	}
	a.parses.put(text, EnvKey{}, p, len(p.tree)+len(s.key))
	return p, nil
}

type slowKey struct{}

// WithSlow returns a context under which f is called before [Analyzer.Analyze]
// asks the parser: whoever must not be kept can make room for others.
func WithSlow(ctx context.Context, f func()) context.Context {
	return context.WithValue(ctx, slowKey{}, f)
}

func slow(ctx context.Context) {
	if f, ok := ctx.Value(slowKey{}).(func()); ok {
		f()
	}
}

// batch resolves a parsed text.
func (a *Analyzer) batch(p *parsed, env *Env) *Batch {
	b := &Batch{Text: p.text, Statements: p.statements(env, false)}
	b.Empty = len(b.Statements) == 0
	for i, st := range b.Statements {
		st.Action.SQL.Statements, st.Action.SQL.Index = len(b.Statements), i
	}
	if reusable(b) {
		a.shapes.put(p.shape.key, env.key, b, b.size())
	}
	return b
}

// statements analyzes each statement of a parsed text. A panic of the analysis
// is a text that was not understood, not the end of the gateway.
func (p *parsed) statements(env *Env, shallow bool) (list []*Statement) {
	defer func() {
		if r := recover(); r != nil {
			list = []*Statement{opaqueStatement(p.text, env, fmt.Sprintf("the analysis failed: %v", r))}
		}
	}()
	return p.analyze(env, shallow)
}

func (p *parsed) analyze(env *Env, shallow bool) []*Statement {
	if p.why != "" {
		st := opaqueStatement(p.text, env, p.why)
		st.Syntax = p.bad
		return []*Statement{st}
	}
	var tree pgquery.ParseResult
	if err := proto.Unmarshal(p.tree, &tree); err != nil {
		return []*Statement{opaqueStatement(p.text, env, "the tree is too deep")}
	}
	runs, ok := p.shape.align(len(p.text), tree.Stmts)
	if !ok {
		return []*Statement{opaqueStatement(p.text, env, "two readings of the text disagree on where statements end")}
	}
	list := make([]*Statement, 0, len(tree.Stmts))
	for i, raw := range tree.Stmts {
		list = append(list, p.one(raw.Stmt, runs[i], env, shallow))
	}
	return list
}

// one analyzes one statement.
func (p *parsed) one(n *pgquery.Node, r run, env *Env, shallow bool) *Statement {
	text := p.text[r.span.Start:r.span.End]
	st := newStatement(text, env)
	st.Start, st.End = r.span.Start, r.span.End
	a := newAnalysis(env, p.text, st)
	a.shallow = shallow
	a.statement(n)
	st.literal = a.literal
	st.tree = new(treeRef)
	st.Action.Op = opOf(n)
	st.Action.Shown = redact(n, text, st.Settings)
	st.Action.SQL.Fingerprint = fingerprint(r.key)
	st.Action.Origin = new(access.Origin)
	if !a.literal {
		st.Action.Shape = new(access.Origin)
	}
	return st
}

// A run is the part of a text that one statement takes.
type run struct {
	span Span
	key  string
}

// align matches the statements of the tree with those that the lexer found:
// each takes one or more (a semicolon inside BEGIN ATOMIC ends nothing), in
// order, and none is left over. Two lexers that disagree are a danger.
func (s *shape) align(size int, stmts []*pgquery.RawStmt) ([]run, bool) {
	runs := make([]run, 0, len(stmts))
	next := 0
	for _, raw := range stmts {
		start, end := int(raw.StmtLocation), int(raw.StmtLocation+raw.StmtLen)
		if raw.StmtLen == 0 {
			end = size
		}
		first := next
		key := ""
		for next < len(s.spans) && s.spans[next].Start >= start && s.spans[next].End <= end {
			key += s.keys[next]
			next++
		}
		if first == next {
			return nil, false
		}
		runs = append(runs, run{Span{s.spans[first].Start, s.spans[next-1].End}, key})
	}
	return runs, next == len(s.spans)
}

// reusable reports whether a batch holds for every text of its shape.
func reusable(b *Batch) bool {
	for _, st := range b.Statements {
		if st.literal || st.tree == nil || st.Action.Shown != "" {
			return false
		}
	}
	return !b.Empty
}

// fromShape answers from a text that differs in literals alone.
func (a *Analyzer) fromShape(text string, s *shape, env *Env) (*Batch, bool) {
	if s.over != "" {
		return nil, false
	}
	like, ok := a.shapes.get(s.key, env.key)
	if !ok || len(like.Statements) != len(s.spans) {
		return nil, false
	}
	b := &Batch{Text: text, Statements: make([]*Statement, len(s.spans))}
	for i, st := range like.Statements {
		b.Statements[i] = st.with(text, s.spans[i])
	}
	return b, true
}

// with is the statement at another place of another text of the same shape.
func (s *Statement) with(text string, at Span) *Statement {
	c := *s
	c.Start, c.End = at.Start, at.End
	c.Action.Text = text[at.Start:at.End]
	c.Action.Shown = hide(c.Action.Text, secretLiteral, false)
	c.Action.Origin = nil
	c.tree = new(treeRef)
	return &c
}
