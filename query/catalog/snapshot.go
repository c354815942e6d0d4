package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
)

// A Snapshot is what a database looked like at one moment. It is immutable and
// safe for concurrent use.
type Snapshot struct {
	version   string
	tracer    Tracer
	schemas   map[string]uint32
	byOID     map[uint32]*Relation
	byName    map[Name]*Relation
	functions map[string][]FunctionRow
	operators map[string][]OperatorRow
	types     map[Name]*TypeRow
	typeByOID map[uint32]*TypeRow
	labels    map[uint32][]string
	parts     map[uint32][]PartRow
	casts     []CastRow
	base      *Snapshot // what is not found here is as there; see [Snapshot.With]

	mu     sync.Mutex // guards traces
	traces map[uint32]*Trace
}

// A Name is a schema-qualified name.
type Name struct{ Schema, Name string }

// A Relation is a table, view, materialised view, partitioned table, foreign
// table or sequence.
type Relation struct {
	RelationRow
	Columns    []Column // by Num
	Parents    []uint32 // what it inherits from or is a partition of
	Definition string   // of a view, every name qualified; empty for the server's own views
	System     bool     // in pg_catalog or information_schema
	Partition  bool     // every column is its parent's
}

// A Column is one column of a [Relation].
type Column struct {
	Num     int16
	Name    string
	Type    uint32
	NotNull bool
	// Computed columns are GENERATED ALWAYS AS (...): COPY leaves them out.
	Computed bool
	Mod      int32   // the type's modifier; -1: none
	From     []int16 // what a computed column is computed from
}

// IsView reports whether the relation shows others through a query.
func (r *Relation) IsView() bool { return r.Kind == 'v' || r.Kind == 'm' }

// Derived reports whether the columns hold nothing of their own: those of a view
// or partition stand for those of what [Snapshot.Reaches], those of a sequence
// are the server's.
func (r *Relation) Derived() bool { return r.IsView() || r.Partition || r.Kind == 'S' }

// Column returns the column called name, or nil.
func (r *Relation) Column(name string) *Column {
	for i := range r.Columns {
		if r.Columns[i].Name == name {
			return &r.Columns[i]
		}
	}
	return nil
}

// ByNum returns the column with attribute number num, or nil.
func (r *Relation) ByNum(num int16) *Column {
	i, ok := slices.BinarySearchFunc(r.Columns, num, func(c Column, n int16) int { return cmp.Compare(c.Num, n) })
	if !ok {
		return nil
	}
	return &r.Columns[i]
}

// Build makes a snapshot. tracer explains view definitions; nil leaves every
// view untraced. It keeps and reorders the slices of rows. A row that refers to
// a relation that is not there is ignored (the server's catalog can change
// while it is read), a name that stands twice is an error.
func Build(rows Rows, tracer Tracer) (*Snapshot, error) { return buildOver(rows, tracer, nil) }

func buildOver(rows Rows, tracer Tracer, base *Snapshot) (*Snapshot, error) {
	s := &Snapshot{
		base:      base,
		tracer:    tracer,
		schemas:   make(map[string]uint32, len(rows.Schemas)),
		byOID:     make(map[uint32]*Relation, len(rows.Relations)),
		byName:    make(map[Name]*Relation, len(rows.Relations)),
		functions: make(map[string][]FunctionRow),
		operators: make(map[string][]OperatorRow),
		types:     make(map[Name]*TypeRow, len(rows.Types)),
		typeByOID: make(map[uint32]*TypeRow, len(rows.Types)),
		labels:    make(map[uint32][]string),
		parts:     make(map[uint32][]PartRow),
		casts:     rows.Casts,
		traces:    make(map[uint32]*Trace),
	}
	rows.sort()
	s.version = rows.hash()
	if err := s.addRelations(rows.Relations); err != nil {
		return nil, err
	}
	s.addColumns(rows.Columns)
	s.addLinks(&rows)
	s.addCode(&rows)
	return s, nil
}

func (s *Snapshot) addRelations(rows []RelationRow) error {
	all := make([]Relation, len(rows))
	for i, row := range rows {
		r := &all[i]
		r.RelationRow = row
		r.System = SystemSchema(row.Schema)
		name := Name{row.Schema, row.Name}
		if s.byOID[row.OID] != nil || s.byName[name] != nil {
			return fmt.Errorf("catalog: build: %s.%s (%d) stands twice", row.Schema, row.Name, row.OID)
		}
		s.byOID[row.OID], s.byName[name] = r, r
	}
	return nil
}

func (s *Snapshot) addColumns(rows []ColumnRow) {
	all := make([]Column, 0, len(rows)) // one allocation; relations share it
	for start := 0; start < len(rows); {
		end := start
		for end < len(rows) && rows[end].Relation == rows[start].Relation {
			end++
		}
		if r := s.byOID[rows[start].Relation]; r != nil {
			first := len(all)
			for _, c := range rows[start:end] {
				all = append(all, Column{c.Num, c.Name, c.Type, c.NotNull, c.Computed, c.Mod, nil})
			}
			r.Columns = all[first:len(all):len(all)]
		}
		start = end
	}
}

func (s *Snapshot) addLinks(rows *Rows) {
	for _, row := range rows.Schemas {
		s.schemas[row.Name] = row.OID
	}
	for _, row := range rows.Generated {
		if r := s.byOID[row.Relation]; r != nil {
			if c := r.ByNum(row.Num); c != nil {
				c.From = append(c.From, row.From)
			}
		}
	}
	for _, row := range rows.Inherits {
		if r := s.byOID[row.Child]; r != nil {
			r.Parents = append(r.Parents, row.Parent)
			p := s.Relation(row.Parent)
			r.Partition = p != nil && p.Kind == 'p'
		}
	}
	for _, row := range rows.Views {
		if r := s.byOID[row.Relation]; r != nil {
			r.Definition = row.Definition
		}
	}
}

func (s *Snapshot) addCode(rows *Rows) {
	for _, row := range rows.Functions {
		s.functions[row.Name] = append(s.functions[row.Name], row)
	}
	for _, row := range rows.Operators {
		s.operators[row.Name] = append(s.operators[row.Name], row)
	}
	for i := range rows.Types {
		t := &rows.Types[i]
		s.types[Name{t.Schema, t.Name}] = t
		s.typeByOID[t.OID] = t
	}
	for _, row := range rows.Labels {
		s.labels[row.Type] = append(s.labels[row.Type], row.Label)
	}
	for _, row := range rows.Parts {
		s.parts[row.Type] = append(s.parts[row.Type], row)
	}
}

// SystemSchema reports whether a schema is the server's own.
func SystemSchema(name string) bool { return name == "pg_catalog" || name == "information_schema" }

// Version identifies the content: equal for snapshots without a difference.
func (s *Snapshot) Version() string { return s.version }

// Relation returns the relation with this OID, or nil.
func (s *Snapshot) Relation(oid uint32) *Relation {
	if r := s.byOID[oid]; r != nil || s.base == nil {
		return r
	}
	return s.base.byOID[oid]
}

// Lookup returns the relation with this qualified name, or nil.
func (s *Snapshot) Lookup(schema, name string) *Relation {
	if r := s.byName[Name{schema, name}]; r != nil || s.base == nil {
		return r
	}
	r := s.base.byName[Name{schema, name}]
	if r != nil && s.byOID[r.OID] != nil {
		return nil // it is called otherwise here
	}
	return r
}

// Resolve finds an unqualified name as the server does: along path, with
// pg_catalog before everything else unless path names it. Temporary relations
// are the caller's to look up first.
func (s *Snapshot) Resolve(path []string, name string) *Relation {
	if !slices.Contains(path, "pg_catalog") {
		if r := s.Lookup("pg_catalog", name); r != nil {
			return r
		}
	}
	for _, schema := range path {
		if r := s.Lookup(schema, name); r != nil {
			return r
		}
	}
	return nil
}

// HasSchema reports whether the schema exists.
func (s *Snapshot) HasSchema(name string) bool {
	_, ok := s.schemas[name]
	return ok || s.base != nil && s.base.HasSchema(name)
}

// Relations calls yield for every relation, in no particular order, until it
// returns false.
func (s *Snapshot) Relations(yield func(*Relation) bool) {
	for _, r := range s.byOID {
		if !yield(r) {
			return
		}
	}
	if s.base == nil {
		return
	}
	for oid, r := range s.base.byOID {
		if s.byOID[oid] == nil && !yield(r) {
			return
		}
	}
}
