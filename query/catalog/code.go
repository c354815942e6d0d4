package catalog

// Functions, operators, types and casts: what users added to the server's own.

import "slices"

// Functions returns the functions called name, in every schema but the
// server's own. The slice is shared: do not change it.
func (s *Snapshot) Functions(name string) []FunctionRow {
	if rows, ok := s.functions[name]; ok || s.base == nil {
		return rows
	}
	return s.base.functions[name]
}

// EachFunction calls yield for every function outside the server's own schemas,
// in no particular order, until it returns false.
func (s *Snapshot) EachFunction(yield func(FunctionRow) bool) {
	for _, named := range s.functions {
		for _, f := range named {
			if !yield(f) {
				return
			}
		}
	}
	if s.base == nil {
		return
	}
	for name, named := range s.base.functions {
		if _, ok := s.functions[name]; ok {
			continue
		}
		for _, f := range named {
			if !yield(f) {
				return
			}
		}
	}
}

// HasCode reports whether a schema holds users' functions or operators, or domains
// or types with code of their own: with its name theirs change.
func (s *Snapshot) HasCode(schema string) bool {
	for _, named := range s.functions {
		if slices.ContainsFunc(named, func(f FunctionRow) bool { return f.Schema == schema }) {
			return true
		}
	}
	for _, named := range s.operators {
		if slices.ContainsFunc(named, func(o OperatorRow) bool { return o.Schema == schema }) {
			return true
		}
	}
	for name, t := range s.types {
		if name.Schema == schema && (t.Kind == 'd' || t.Kind == 'b' && t.Base == 0) {
			return true
		}
	}
	return s.base != nil && s.base.HasCode(schema)
}

// Operators returns the operators called name that are not the server's own.
// The slice is shared: do not change it.
func (s *Snapshot) Operators(name string) []OperatorRow {
	if rows, ok := s.operators[name]; ok || s.base == nil {
		return rows
	}
	return s.base.operators[name]
}

// Type returns a type that is not the server's own, or nil.
func (s *Snapshot) Type(schema, name string) *TypeRow {
	if t := s.types[Name{schema, name}]; t != nil || s.base == nil {
		return t
	}
	return s.base.types[Name{schema, name}]
}

// TypeByOID returns a type that is not the server's own, or nil.
func (s *Snapshot) TypeByOID(oid uint32) *TypeRow {
	if t := s.typeByOID[oid]; t != nil || s.base == nil {
		return t
	}
	return s.base.typeByOID[oid]
}

// Labels returns the labels of an enum in their order. The slice is shared: do
// not change it.
func (s *Snapshot) Labels(enum uint32) []string {
	if l := s.labels[enum]; l != nil || s.base == nil {
		return l
	}
	return s.base.labels[enum]
}

// Parts returns the attributes of a composite type in their order; nothing for
// a table's row type. The slice is shared: do not change it.
func (s *Snapshot) Parts(composite uint32) []PartRow {
	if p := s.parts[composite]; p != nil || s.base == nil {
		return p
	}
	return s.base.parts[composite]
}

// Casts returns the casts that call functions and are not the server's own.
// The slice is shared: do not change it.
func (s *Snapshot) Casts() []CastRow { return s.casts }
