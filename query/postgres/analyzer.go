package postgres

import "context"

// Options are an [Analyzer]'s limits. Zero fields take the defaults.
type Options struct {
	MaxText    int // bytes of a text; longer ones are opaque. Default 1 MiB
	MaxDepth   int // operators, joins, set operations and brackets that nest. Default 5,000
	MaxItems   int // commas, AND, OR. Default 100,000
	CacheBytes int // of each cache level. Default 64 MiB
}

// An Analyzer says what SQL texts mean. Safe for concurrent use.
type Analyzer struct {
	parser Parser
	opts   Options
}

// New returns an analyzer that reads texts with parser.
func New(parser Parser, opts Options) *Analyzer {
	return &Analyzer{parser: parser, opts: opts}
}

// Analyze says what text means in env. It returns an error only if the parser
// could not be asked (ctx ended, the pool is closed); a text that cannot be
// understood is an opaque statement. subject shares the parser fairly.
func (a *Analyzer) Analyze(ctx context.Context, subject, text string, env *Env) (*Batch, error) {
	panic("being written")
}

// Canonical returns the text to run where what was judged must be what runs:
// the deparse of the statement's tree, proven to parse to that same tree.
func (a *Analyzer) Canonical(ctx context.Context, subject string, s *Statement) (string, error) {
	panic("being written")
}
