package catalog

import "sluice/access"

// A Tracer explains a view. It is given one relation with a Definition and
// looks at that definition alone, not into the views it reads. It is called at
// most once for each view of a snapshot at a time, must be safe for concurrent
// use, and must not call back into the snapshot's tracing methods.
type Tracer interface {
	TraceView(s *Snapshot, view *Relation) Trace
}

// A Trace is what a view's definition says.
type Trace struct {
	// Columns holds one entry for each column of the view, in order. Shorter
	// than the view's columns: the rest is unknown.
	Columns []Lineage
	// Reads are the relations the definition names, by OID.
	Reads []uint32
	// Known is true if Reads is complete and everything the definition calls is
	// known only to read.
	Known bool
	// Why says what kept Known from being true.
	Why string
	// Decides are the columns that decide which rows the view has, and in which
	// order: in its WHERE, joins, groups.
	Decides []Influence
}

// An Influence is a column that a view's rows depend on.
type Influence struct {
	Source Source
	Use    access.Use
	Text   string // the expression, for messages
}

// A Lineage says where one column of a query comes from.
type Lineage struct {
	Sources  []Source
	Complete bool // Sources is the whole truth
	Copy     bool // the one source's values, unchanged
}

// A Source is one column of one relation.
type Source struct {
	Relation uint32
	Num      int16
}

// Trace returns what is known about a view's definition, without what lies
// below the views that it reads. Never nil.
func (s *Snapshot) Trace(view *Relation) *Trace {
	if s.base != nil && s.byOID[view.OID] == nil {
		return s.base.Trace(view) // by number: other names for what it reads change nothing
	}
	s.mu.Lock()
	t := s.traces[view.OID]
	s.mu.Unlock()
	if t != nil {
		return t
	}
	t = s.trace(view)
	s.mu.Lock()
	s.traces[view.OID] = t
	s.mu.Unlock()
	return t
}

// trace runs outside the lock: a definition may take a parser seconds, and two
// callers that trace the same view at the same time come to the same result.
func (s *Snapshot) trace(view *Relation) *Trace {
	if s.tracer == nil || view.Definition == "" {
		return &Trace{Why: "no definition to trace"}
	}
	t := s.tracer.TraceView(s, view)
	if len(t.Columns) > len(view.Columns) {
		t.Columns = nil
	}
	return &t
}

// Sources returns the column itself and, transitively, every column whose value
// it shows: what it is generated from, of parents that it was inherited from and of
// relations below a view. It reports false if the column is unknown or something could not be
// traced; what was found so far is still returned.
func (s *Snapshot) Sources(relation uint32, num int16) ([]Source, bool) {
	w := sourceWalk{snapshot: s, seen: make(map[Source]bool), complete: true}
	w.visit(Source{relation, num})
	for i := 0; i < len(w.found); i++ { // breadth first; found grows while it is read
		w.expand(w.found[i])
	}
	return w.found, w.complete
}

// maxViews bounds the views that [Snapshot.Copied] follows.
const maxViews = 100

// Copied reports whether a column shows values as a table holds them: it is a
// table's own and not generated from others, or in every view on the way down no more than a column's name.
func (s *Snapshot) Copied(relation uint32, num int16) bool {
	for range maxViews {
		r := s.Relation(relation)
		if r == nil || r.ByNum(num) == nil {
			return false
		}
		if !r.IsView() || r.System {
			return len(r.ByNum(num).From) == 0
		}
		t, i := s.Trace(r), position(r, num)
		if i >= len(t.Columns) || !t.Columns[i].Copy || len(t.Columns[i].Sources) != 1 {
			return false
		}
		src := t.Columns[i].Sources[0]
		relation, num = src.Relation, src.Num
	}
	return false
}

// Origins is [Snapshot.Sources] by name.
func (s *Snapshot) Origins(relation uint32, num int16) ([]access.ColumnID, bool) {
	sources, complete := s.Sources(relation, num)
	ids := make([]access.ColumnID, 0, len(sources))
	for _, src := range sources {
		if id, ok := s.ColumnID(src); ok {
			ids = append(ids, id)
		}
	}
	return ids, complete
}

// ColumnID names a source.
func (s *Snapshot) ColumnID(src Source) (access.ColumnID, bool) {
	r := s.Relation(src.Relation)
	if r == nil {
		return access.ColumnID{}, false
	}
	c := r.ByNum(src.Num)
	if c == nil {
		return access.ColumnID{}, false
	}
	return access.ColumnID{Schema: r.Schema, Table: r.Name, Column: c.Name}, true
}

// maxSources bounds one column's walk; a catalog whose links form a larger
// graph is answered with "not traced".
const maxSources = 10_000

type sourceWalk struct {
	snapshot *Snapshot
	seen     map[Source]bool // a view may be defined over itself: CREATE OR REPLACE allows it
	found    []Source
	complete bool
}

func (w *sourceWalk) visit(src Source) {
	if w.seen[src] {
		return
	}
	r := w.snapshot.Relation(src.Relation)
	if r == nil || r.ByNum(src.Num) == nil || len(w.found) >= maxSources {
		w.complete = false
		return
	}
	w.seen[src] = true
	w.found = append(w.found, src)
}

func (w *sourceWalk) expand(src Source) {
	r := w.snapshot.Relation(src.Relation)
	for _, from := range r.ByNum(src.Num).From {
		w.visit(Source{src.Relation, from})
	}
	for _, parent := range r.Parents {
		w.inherit(parent, r.ByNum(src.Num).Name)
	}
	if r.IsView() && !r.System {
		w.below(r, src.Num)
	}
}

func (w *sourceWalk) inherit(parent uint32, name string) {
	p := w.snapshot.Relation(parent)
	if p == nil {
		w.complete = false
		return
	}
	if c := p.Column(name); c != nil { // otherwise the child added the column
		w.visit(Source{parent, c.Num})
	}
}

func (w *sourceWalk) below(view *Relation, num int16) {
	t := w.snapshot.Trace(view)
	i := position(view, num)
	if i >= len(t.Columns) {
		w.complete = false
		return
	}
	w.complete = w.complete && t.Columns[i].Complete
	for _, src := range t.Columns[i].Sources {
		w.visit(src)
	}
}

// position is the column's place among the view's columns, from 0.
func position(r *Relation, num int16) int {
	for i := range r.Columns {
		if r.Columns[i].Num == num {
			return i
		}
	}
	return len(r.Columns)
}

// Reaches returns every other relation that a rule on it must see when this one
// is used: what its definition reads if it is a view, and what it inherits from
// or is a partition of, transitively, nearest first. The reason is empty if
// every view on the way is known only to read.
func (s *Snapshot) Reaches(r *Relation) (reached []*Relation, why string) {
	seen := map[uint32]bool{r.OID: true}
	todo := []*Relation{r}
	for ; len(todo) > 0; todo = todo[1:] {
		next, reason := s.next(todo[0])
		if why == "" {
			why = reason
		}
		for _, oid := range next {
			n := s.Relation(oid)
			if n == nil || seen[oid] {
				continue
			}
			seen[oid] = true
			reached = append(reached, n)
			todo = append(todo, n)
		}
	}
	return reached, why
}

// next is one step of Reaches.
func (s *Snapshot) next(r *Relation) (next []uint32, why string) {
	if !r.IsView() || r.System {
		return r.Parents, ""
	}
	t := s.Trace(r)
	if !t.Known {
		why = "view " + r.Schema + "." + r.Name + ": " + t.Why
	}
	return append(t.Reads[:len(t.Reads):len(t.Reads)], r.Parents...), why
}
