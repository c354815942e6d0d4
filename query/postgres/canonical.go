package postgres

import (
	"context"
	"errors"
	"fmt"

	pgquery "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// errDiffers: what the deparser wrote is not what was judged.
var errDiffers = errors.New("the canonical text does not mean the same")

// Canonical returns the text to run where what was judged must be what runs:
// the deparse of the statement's tree, proven to parse to that same tree.
// Comments are gone. Statements that differ in constants alone share one proof (see template). It fails for statements that were not understood and where
// the proof fails; then nothing must run. The answer is kept with the statement.
func (a *Analyzer) Canonical(ctx context.Context, subject string, s *Statement) (string, error) {
	if s.Syntax != nil || s.tree == nil {
		return "", errors.New("canonical: the statement was not understood")
	}
	if text := s.tree.canonical.Load(); text != nil {
		return *text, nil
	}
	write := a.likeOthers
	if s.literal {
		write = a.canonical
	}
	text, err := write(ctx, subject, s.Action.Text)
	if err != nil {
		return "", fmt.Errorf("canonical: %w", err)
	}
	s.tree.canonical.Store(&text)
	return text, nil
}

func (a *Analyzer) canonical(ctx context.Context, subject, text string) (string, error) {
	slow(ctx)
	raw, err := a.parser.Parse(ctx, subject, text)
	if err != nil {
		return "", err
	}
	canonical, err := a.parser.Deparse(ctx, subject, raw)
	if err != nil {
		return "", err
	}
	again, err := a.parser.Parse(ctx, subject, canonical)
	if err != nil {
		return "", err
	}
	same, err := sameTrees(raw, again)
	if err != nil {
		return "", err
	}
	if !same {
		return "", errDiffers
	}
	return canonical, nil
}

// sameTrees compares two trees without the places of their tokens.
func sameTrees(x, y []byte) (bool, error) {
	var a, b pgquery.ParseResult
	if err := errors.Join(proto.Unmarshal(x, &a), proto.Unmarshal(y, &b)); err != nil {
		return false, err
	}
	stripLocations(a.ProtoReflect())
	stripLocations(b.ProtoReflect())
	return len(a.Stmts) == 1 && proto.Equal(&a, &b), nil
}

// locationFields say where a node stood in the text.
var locationFields = map[protoreflect.Name]bool{
	"location": true, "stmt_location": true, "stmt_len": true, "arg_location": true,
	"conninfo_location": true, "payload_location": true, "name_location": true,
}

// stripLocations clears them below m. Protobuf's own limit bounds the depth.
func stripLocations(m protoreflect.Message) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case locationFields[fd.Name()]:
			m.Clear(fd)
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				stripLocations(v.List().Get(i).Message())
			}
		default:
			stripLocations(v.Message())
		}
		return true
	})
}
