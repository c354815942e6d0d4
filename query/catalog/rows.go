package catalog

// Rows is everything a [Snapshot] is built from, one slice for each of the
// [Queries]. The order of rows does not matter.
type Rows struct {
	Schemas   []SchemaRow
	Relations []RelationRow
	Columns   []ColumnRow
	Generated []GeneratedRow
	Inherits  []InheritRow
	Views     []ViewRow
	Functions []FunctionRow
	Operators []OperatorRow
	Types     []TypeRow
	Labels    []LabelRow
	Parts     []PartRow
	Casts     []CastRow

	texts map[string]string // shared by many rows, while they are scanned
}

// A SchemaRow is one row of pg_namespace.
type SchemaRow struct {
	OID  uint32
	Name string
}

// A RelationRow is one row of pg_class: a table (r), view (v), materialised
// view (m), partitioned table (p), foreign table (f) or sequence (S).
type RelationRow struct {
	OID         uint32
	Schema      string
	Name        string
	Kind        byte
	Rules       bool // has rewrite rules other than a view's own
	RowSecurity bool // row security policies filter it
}

// A ColumnRow is one live user column of a relation (attnum > 0).
type ColumnRow struct {
	Relation uint32
	Num      int16
	Name     string
	Type     uint32 // type OID
	NotNull  bool
	Computed bool // GENERATED ALWAYS AS (...)
	// Mod is the type's modifier (pg_attribute.atttypmod): the length of a
	// varchar(n), the digits of a numeric(p, s); -1: none.
	Mod int32
}

// A GeneratedRow says that the expression of a generated column names another column
// of its relation.
type GeneratedRow struct {
	Relation  uint32
	Num, From int16
}

// An InheritRow says that Child inherits from, or is a partition of, Parent.
type InheritRow struct {
	Child, Parent uint32
}

// A ViewRow is the definition of a view or materialised view, with every name
// qualified: it must be read with a search_path of pg_catalog alone.
type ViewRow struct {
	Relation   uint32
	Definition string
}

// A FunctionRow is a function, procedure or aggregate outside pg_catalog and
// information_schema.
type FunctionRow struct {
	OID       uint32
	Schema    string
	Name      string
	Args      int  // declared input arguments
	Defaults  int  // how many of them may be left out
	Variadic  bool // takes any number beyond Args-1
	Kind      byte // f, p, a, w as in pg_proc.prokind
	Volatile  byte // i, s, v as in pg_proc.provolatile
	Definer   bool // SECURITY DEFINER
	Language  string
	Extension string // the extension that owns it; empty: none
}

// An OperatorRow is an operator outside pg_catalog.
type OperatorRow struct {
	Schema      string
	Name        string
	Left, Right uint32 // type OIDs; 0 for the missing side of a prefix operator
	Language    string // of the function behind it
	Extension   string
}

// A TypeRow is a type outside pg_catalog that is not a table's row type.
type TypeRow struct {
	OID       uint32
	Schema    string
	Name      string
	Kind      byte   // b, c, d, e, r, m as in pg_type.typtype
	Base      uint32 // a domain's base type or an array's element type; else 0
	Extension string
	Mod       int32 // a domain's modifier of its base type; -1: none
}

// A LabelRow is one label of an enum.
type LabelRow struct {
	Type  uint32
	Order int // its place, from 1
	Label string
}

// A PartRow is one attribute of a composite type that is not a table's row type.
type PartRow struct {
	Type uint32 // of the composite
	Num  int16
	Name string
	Of   uint32 // type OID of the attribute
	Mod  int32  // the attribute's modifier; -1: none
}

// A CastRow is a cast that calls a function and that initdb did not make.
type CastRow struct {
	Source, Target uint32
	Language       string
	Extension      string
}
