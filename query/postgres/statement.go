package postgres

import (
	"sluice/access"
	"sluice/query/catalog"
)

// A Batch is one text that a client sent: its statements in order. It is
// immutable and shared; never change what it points to.
type Batch struct {
	Text       string
	Statements []*Statement
	// Empty is true for a text without any statement (only blanks, comments and
	// semicolons); Statements is empty then.
	Empty bool
}

// A Statement is one SQL statement and what it means. It is immutable and
// shared between sessions: copy Action before changing it.
//
// A text that could not be understood is a Statement too, spanning the whole
// text, with [access.VerbUnknown] and [access.Opaque].
type Statement struct {
	// Action is complete but for Args and Binding. Its SQL is shared.
	Action access.Action

	// Start and End are the byte offsets of the statement in the batch's text,
	// without surrounding blanks, comments and semicolons.
	Start, End int

	// Syntax is set if the grammar rejects the text: nothing would run, unless
	// the server's grammar is newer. Nil otherwise.
	Syntax *SyntaxError

	Tx TxKind // a transaction command, or TxNone
	// ReadWrite is true if it asks for transactions that may write: BEGIN READ
	// WRITE, SET transaction_read_only = off.
	ReadWrite bool
	Chain     bool   // COMMIT AND CHAIN, ROLLBACK AND CHAIN
	TxName    string // savepoint or prepared transaction

	Prepare    *Prepare
	Execute    *Execute // also inside EXPLAIN and CREATE TABLE AS
	Deallocate *Deallocate
	Cursor     *Cursor
	Copy       *Copy

	Settings   []SettingChange
	DiscardAll bool   // DISCARD ALL: statements, cursors, settings, temporary objects are gone
	DiscardTmp bool   // DISCARD TEMP
	Channel    string // of LISTEN, UNLISTEN, NOTIFY; "*" for UNLISTEN *

	// Temp are the temporary relations that it creates, TempDropped those (or the
	// names that may be those) that it drops.
	Temp, TempDropped []string
	// TempViews are those of Temp that are views: what they show can change.
	TempViews []string

	// DDL is true if the catalog may differ afterwards.
	DDL bool
	// MayChangeSettings is true if settings can change without a name in
	// Settings: set_config with computed arguments, code that cannot be looked into.
	MayChangeSettings bool

	ReturnsRows bool
	NumParams   int // the highest $n

	// Outputs are the result's columns by lineage, if OutputsKnown. A star over a
	// relation that the catalog does not know leaves them unknown.
	Outputs      []Output
	OutputsKnown bool

	columns []access.Column // Outputs with their origins
	tree    *treeRef        // nil: there is no tree
	literal bool            // some conclusion depends on a constant's value
}

// An Output is one result column, traced through the text.
type Output struct {
	Name string
	// Sources are the columns whose values can reach it through the text alone;
	// what lies below views and above children is not expanded (see
	// [catalog.Snapshot.Origins]).
	Sources []catalog.Source
	// Traced is true if Sources is complete.
	Traced bool
	// Bare is true if it is one column, unchanged: the server's own description
	// must then name the same one.
	Bare bool
	// Either is true if it is one column of Sources, unchanged, and only the server
	// can tell which: a relation's name hides another of that name. Then its
	// description must name one of them.
	Either bool
	// Copied is true if it shows nothing but unchanged values of Sources, which
	// the server's own description need not tell (UNION, a scalar subquery).
	Copied bool
	// Merged is true if a value is that of one or another of Sources; Mixed if it
	// may also be one that the statement gives.
	Merged, Mixed bool
}

// TxKind is a transaction command.
type TxKind uint8

// The transaction commands.
const (
	TxNone TxKind = iota
	TxBegin
	TxCommit
	TxRollback
	TxSavepoint
	TxRelease
	TxRollbackTo
	TxPrepare // PREPARE TRANSACTION
	TxCommitPrepared
	TxRollbackPrepared
)

// Prepare is PREPARE name AS inner.
type Prepare struct {
	Name  string
	Inner *Statement // Start and End are offsets into the batch's text
}

// Execute is EXECUTE name (args).
type Execute struct {
	Name string
	Args []ConstArg
	Into bool // CREATE TABLE ... AS EXECUTE: the result fills a table
}

// A ConstArg is one argument of EXECUTE.
type ConstArg struct {
	Text  string // of a constant, as the server would read it
	Null  bool
	Known bool // false: an expression, its value is computed by the server
}

// Deallocate is DEALLOCATE name, or ALL.
type Deallocate struct {
	Name string
	All  bool
}

// CursorOp is what a statement does with a cursor.
type CursorOp uint8

// The cursor operations.
const (
	CursorDeclare CursorOp = iota + 1
	CursorFetch
	CursorMove
	CursorClose
)

// Cursor is DECLARE, FETCH, MOVE or CLOSE.
type Cursor struct {
	Op    CursorOp
	Name  string
	All   bool       // CLOSE ALL
	Hold  bool       // DECLARE ... WITH HOLD
	Inner *Statement // the query of a DECLARE
}

// Copy describes a COPY.
type Copy struct {
	From     bool // into the relation; otherwise out of it
	Stdio    bool // FROM STDIN or TO STDOUT: the data passes through the gateway
	File     string
	Program  string
	Query    *Statement // COPY (query) TO; nil: a relation
	Schema   string     // of the relation as resolved
	Relation string
	Columns  []string // as listed; empty: all
	Format   string   // text, csv, binary
	// Delimiter, Null, Quote, Escape and Header are the format's options as
	// given; empty: the format's default.
	Delimiter, Null, Quote, Escape string
	Header                         bool
	// OtherOptions is true if there are options that change the data's form and
	// are not listed here (ENCODING, FORCE_QUOTE, ...).
	OtherOptions bool
}

// A SettingChange is one SET, RESET or set_config.
type SettingChange struct {
	Name  string // lower case; "all" for RESET ALL
	Value string // empty if Reset or not Known
	Known bool   // Value is what will be set
	Local bool   // until the end of the transaction
	Reset bool   // to the session's default
}

// A Span is a range of bytes.
type Span struct{ Start, End int }

// LiteralSpans returns where Action.Text holds literals that may be compared
// with or assigned to one of the columns. It is conservative: all literals of
// the statement.
func (s *Statement) LiteralSpans(columns []access.ColumnID) []Span {
	if len(columns) == 0 {
		return nil
	}
	return literalSpans(s.Action.Text)
}

// Use returns how the statement uses a column of any relation called
// schema.table, its own or one below a view. All uses at once if unknown.
func (s *Statement) Use(column access.ColumnID) access.Use {
	var use access.Use
	for i := range s.Action.Objects {
		o := &s.Action.Objects[i]
		if o.Kind != access.KindTable || o.Schema != column.Schema || o.Name != column.Table {
			continue
		}
		if !o.ColumnsKnown {
			return ^access.Use(0)
		}
		for _, c := range o.Columns {
			if c.Name == column.Column {
				use |= c.Use
			}
		}
	}
	return use
}

// Columns describes the result, for the second point of evaluation, from the text's
// lineage: nil, false if the outputs are not known. It is shared: do not change it.
func (s *Statement) Columns() ([]access.Column, bool) {
	if !s.OutputsKnown {
		return nil, false
	}
	return s.columns, true
}

// originsOf expands what the outputs' sources stand for: it is done once, so
// that a cached statement does not keep a whole catalog alive.
func originsOf(outputs []Output, env *Env) []access.Column {
	cols := make([]access.Column, len(outputs))
	for i, o := range outputs {
		cols[i] = access.Column{Name: o.Name, Traced: o.Traced, Mixed: o.Mixed}
		for _, src := range o.Sources {
			origins, complete := env.origins(src)
			cols[i].Origins = append(cols[i].Origins, origins...)
			cols[i].Traced = cols[i].Traced && complete
			if o.Merged {
				cols[i].Parts = append(cols[i].Parts, origins)
			}
		}
	}
	return cols
}
