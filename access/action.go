package access

import "fmt"

// Confidence says how much of a command the gateway understood.
type Confidence uint8

// The confidences, weakest first: the zero value claims nothing.
const (
	Opaque  Confidence = iota // nothing but the text is known
	Partial                   // Objects may be incomplete: a function or dynamic SQL can reach more
	Exact                     // Objects and Verb are the whole truth
)

var confidences = [...]string{"opaque", "partial", "exact"}

// String returns the name as rules and events spell it.
func (c Confidence) String() string {
	if int(c) < len(confidences) {
		return confidences[c]
	}
	return fmt.Sprintf("confidence(%d)", uint8(c))
}

// ParseConfidence is the inverse of String.
func ParseConfidence(name string) (Confidence, bool) {
	for c, n := range confidences {
		if n == name {
			return Confidence(c), true
		}
	}
	return Opaque, false
}

// MarshalText writes the name.
func (c Confidence) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads a name; an unknown name is an error.
func (c *Confidence) UnmarshalText(b []byte) error {
	got, ok := ParseConfidence(string(b))
	if !ok {
		return fmt.Errorf("access: unknown confidence %q", b)
	}
	*c = got
	return nil
}

// An Action is one command that a client asks for: one SQL statement, one
// exec, one tool call.
type Action struct {
	Verb       Verb       `json:"verb"`
	Op         string     `json:"op"`                // the protocol's own name: UPDATE, pods/exec, tools/call
	Objects    []Object   `json:"objects,omitempty"` // everything it touches, as far as Confidence says
	Confidence Confidence `json:"confidence"`

	// Text is the command as it will run. It may hold secrets: show it to
	// nobody but the policy and the approver.
	Text string `json:"-"`

	// Shown is Text with secrets redacted, for journal, index, logs and
	// recordings. Empty means that Text holds no secret.
	Shown string `json:"text,omitempty"`

	Args []Arg `json:"args,omitempty"` // bound values, in order

	// Pure is true if the analysis proved that the action only reads: it may be
	// forwarded while its record is still being written.
	Pure bool `json:"pure,omitempty"`

	// Parts are what a commit makes final, where people are asked about that.
	Parts []Part `json:"-"`

	SQL *SQL `json:"sql,omitempty"` // what the SQL analysis found; nil for other protocols

	// Binding is what else gives Text its meaning and so belongs to the digest:
	// database user, role, search_path, TimeZone, OIDs of relations. Sorted by Name.
	Binding []Setting `json:"-"`

	// Origin identifies the analysis this action came from. Actions with the
	// same non-nil Origin differ in nothing but Args and Binding; caches may
	// key on the pointer. Nil: do not cache.
	Origin *Origin `json:"-"`

	// Shape is like Origin, for actions that may also differ in the values of
	// constants, and so in Text and Shown: nothing else about them differs. A
	// cache may key on it for decisions that looked at neither. Nil: do not.
	Shape *Origin `json:"-"`
}

// Visible returns the text that may be stored and shown.
func (a *Action) Visible() string {
	if a.Shown != "" {
		return a.Shown
	}
	return a.Text
}

// A Part is one action that has run, and is not final yet.
type Part struct {
	Op      string
	Text    string // as it ran; may hold secrets
	Shown   string // Text with secrets redacted; empty: it holds none
	Args    []Arg
	Binding []Setting
	Rows    int64 // changed, by the target's own count; -1: not known
}

// An Origin has an identity and no content; see [Action.Origin].
type Origin struct{ _ byte }

// A Setting is a named value.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// An Arg is one bound value.
type Arg struct {
	Value  []byte `json:"-"`                // as sent; nil together with Null
	Null   bool   `json:"null,omitempty"`   // SQL NULL
	Binary bool   `json:"binary,omitempty"` // Value is in the type's binary format
	Type   uint32 `json:"type,omitempty"`   // type OID if known; 0: unknown
	Secret bool   `json:"secret,omitempty"` // never store or show Value
}

// Changes says what the target's answer tells of the rows that an action changes:
// whether a limit on affected rows can be kept. What triggers, foreign keys,
// rules and functions change besides is counted by nobody.
type Changes uint8

// What is told of the rows changed.
const (
	ChangesUnknown Changes = iota // it may change rows that the answer does not count
	ChangesNone                   // it changes no rows of tables
	ChangesCounted                // the answer says how many
)

// SQL is what an SQL analysis found beyond verb and objects.
type SQL struct {
	// Scoped is false for an UPDATE or DELETE whose predicate is missing or
	// holds for every row, and where that is unknown. True for other verbs.
	Scoped bool `json:"scoped"`
	// Limit is the constant row limit of the outermost query; -1: none or not constant.
	Limit int64 `json:"limit"`
	// Statements is how many statements the client's message held; Index is
	// this one's place among them, from 0.
	Statements int `json:"statements,omitempty"`
	Index      int `json:"index,omitempty"`
	// Functions are the functions called, schema-qualified where known ("pg_catalog.lower").
	Functions []string `json:"functions,omitempty"`
	// Settings are the settings changed, lower case, without their values.
	Settings []string `json:"settings,omitempty"`
	// Database is the database the session is connected to.
	Database string `json:"database,omitempty"`
	// Fingerprint is the text with literals stripped, hashed: equal for
	// statements that differ only in constants. Empty: not computed.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Facts are what only the target knows; asked for where a decision needs them.
	Facts Facts `json:"-"`
	// Changes says what the answer will tell of how many rows it changes.
	Changes Changes `json:"-"`
	// Why says what kept Confidence from being exact. Empty if it is.
	Why string `json:"why,omitempty"`
}

// An ObjectKind says what sort of thing an [Object] is.
type ObjectKind string

// The kinds of object.
const (
	KindTable    ObjectKind = "table" // also views, materialised views, sequences, foreign tables
	KindFunction ObjectKind = "function"
	KindSchema   ObjectKind = "schema"
	KindDatabase ObjectKind = "database"
	KindRole     ObjectKind = "role"
	KindType     ObjectKind = "type"
	KindSetting  ObjectKind = "setting"
	KindFile     ObjectKind = "file"
	KindProgram  ObjectKind = "program"
	KindChannel  ObjectKind = "channel"
	KindOther    ObjectKind = "other" // extension, publication, server, ...
)

// An Object is one thing that an action touches.
type Object struct {
	Kind   ObjectKind `json:"kind"`
	Schema string     `json:"schema,omitempty"` // empty: not resolved, or the kind has none
	Name   string     `json:"name"`
	OID    uint32     `json:"oid,omitempty"` // 0: not resolved
	Read   bool       `json:"read,omitempty"`
	Write  bool       `json:"write,omitempty"`

	// Columns are the columns used. Meaningful only if ColumnsKnown; otherwise
	// any column may be.
	Columns      []ColumnUse `json:"columns,omitempty"`
	ColumnsKnown bool        `json:"columns_known,omitempty"`

	// Via names the view or child through which the action reaches this object;
	// empty if it is named in the text. Rules on the object apply all the same.
	Via string `json:"via,omitempty"`

	// Derived is true if the object has no columns of its own to speak of: a view
	// or partition, whose columns stand for those of further objects listed with
	// it, or a sequence.
	Derived bool `json:"derived,omitempty"`

	// System is true for the server's own catalog (pg_catalog, information_schema).
	System bool `json:"system,omitempty"`
}

// Qualified returns Schema.Name, or Name alone if there is no schema.
func (o Object) Qualified() string {
	if o.Schema == "" {
		return o.Name
	}
	return o.Schema + "." + o.Name
}

// Use says how an action uses a column; uses are combined with or. The first
// four are coarse: UseFlow and UseFilter stand for every way that no finer bit
// names, so that what nobody classified is what no permission covers.
type Use uint16

// The uses of a column.
const (
	// UseOutput: a bare output column of the result, its values unchanged on any
	// number of layers.
	UseOutput Use = 1 << iota
	// UseFlow: its value reaches a result or an error by another way: an
	// expression, a function.
	UseFlow
	// UseFilter: it decides which rows or in which order, by an expression.
	UseFilter
	// UseAssign: it is written.
	UseAssign
	// UseEqual: it is compared for equality with constants or bound values (=,
	// <>, IN, = ANY, IS [NOT] DISTINCT FROM; a boolean column as a condition).
	UseEqual
	// UseRange: it is compared with constants or bound values by order or pattern
	// (<, BETWEEN, LIKE, ~).
	UseRange
	// UseNull: it is asked whether it is null.
	UseNull
	// UseJoin: it is compared for equality with another column (ON, USING, IN
	// (SELECT ...), INTERSECT).
	UseJoin
	// UseGroup: its equal values are put together (GROUP BY, DISTINCT, UNION,
	// PARTITION BY).
	UseGroup
	// UseOrder: rows are sorted by it.
	UseOrder
	// UseAggregate: it is the argument of aggregate functions, which
	// ColumnUse.Aggregates names.
	UseAggregate
	// UseRow: it is part of a whole row that is used as one value.
	UseRow
	// UseStore: its value is written somewhere else: a table, a file, a setting.
	UseStore
	// UseCarry: it passes unchanged through a part of the statement (a subquery,
	// WITH). What becomes of it there is in the other bits.
	UseCarry
)

// A ColumnUse is one column and how it is used.
type ColumnUse struct {
	Name string `json:"name"`
	Use  Use    `json:"use"`

	// Aggregates are the functions of UseAggregate: count, sum, ... Sorted.
	Aggregates []string `json:"-"`
	// MinGroup is how many rows every one of these aggregates is taken over at
	// least, by the statement's own HAVING count(*) >= n; 0: not known.
	MinGroup int64 `json:"-"`
	// Exprs are the expressions behind the uses, for messages: at most one a bit.
	Exprs []UseExpr `json:"-"`
}

// A UseExpr is a short form of an expression that puts a column to a use,
// without the values of constants.
type UseExpr struct {
	Use  Use
	Text string
}

// Expr returns the expression behind a use; empty: none is kept.
func (c *ColumnUse) Expr(use Use) string {
	for _, e := range c.Exprs {
		if e.Use&use != 0 {
			return e.Text
		}
	}
	return ""
}

// A Column describes one column of a result, as far as it can be traced.
type Column struct {
	Name string // as the client sees it
	Type uint32 // type OID
	// Origins are the table columns whose values this column shows: the column
	// itself first, then what it inherits from (parents, the tables below a
	// view). Empty and !Traced: unknown, may hold anything.
	Origins []ColumnID
	// Traced is true if Origins is complete. A constant or an expression over
	// no column is Traced with no Origins.
	Traced bool
	// Parts are set if a value is that of one column or of another, as of UNION or
	// COALESCE: the origins of each.
	Parts [][]ColumnID
	// Mixed is true if a value may also be one that the statement itself gives.
	Mixed bool
}

// A ColumnID names a column of a table.
type ColumnID struct {
	Schema string `json:"schema"`
	Table  string `json:"table"`
	Column string `json:"column"`
}

// String returns schema.table.column.
func (c ColumnID) String() string { return c.Schema + "." + c.Table + "." + c.Column }

// An Outcome says how an allowed action ended.
type Outcome struct {
	Rows     int64  `json:"rows"`
	Bytes    int64  `json:"bytes"`              // of result, as sent to the client
	Masked   int64  `json:"masked,omitempty"`   // values replaced
	Duration int64  `json:"duration_us"`        // microseconds from forward to the end of the answer
	Error    string `json:"error,omitempty"`    // SQLSTATE and message, redacted where a mask applied
	Undone   bool   `json:"undone,omitempty"`   // it ran, and a later error rolled it back
	NotRun   bool   `json:"not_run,omitempty"`  // allowed, but never forwarded or skipped by the upstream
	Unknown  bool   `json:"unknown,omitempty"`  // the connection ended before an answer
	Truncate bool   `json:"truncate,omitempty"` // a limit ended the result early
}
