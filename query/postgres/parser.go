package postgres

import (
	"context"
	"errors"
	"fmt"
)

// A Parser holds PostgreSQL's grammar, kept away from this process: libpg_query
// can be made to overflow its stack. Safe for concurrent use.
type Parser interface {
	// Parse returns text's tree as libpg_query's protobuf. A [*SyntaxError] means
	// that the grammar rejects the text, [ErrHostile] that it crashed or stalled
	// the parser: both hold for this text for ever. Any other error is about this
	// call alone. subject shares the parser fairly; it does not change the answer.
	Parse(ctx context.Context, subject, text string) ([]byte, error)
	// Deparse turns a tree back into text.
	Deparse(ctx context.Context, subject string, tree []byte) (string, error)
}

// ErrHostile is wrapped by a [Parser] that lost its grammar to a text: it
// crashed, or took longer than it may.
var ErrHostile = errors.New("text exhausts the parser")

// A SyntaxError says why the grammar rejects a text.
type SyntaxError struct {
	Message  string // the server's own words; may quote the text
	Position int    // in characters from 1; 0: unknown
}

// Error returns the message with its position.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s at character %d", e.Message, e.Position)
}
