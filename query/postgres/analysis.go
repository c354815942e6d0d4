package postgres

import (
	"slices"

	pgquery "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"sluice/access"
	"sluice/query/catalog"
)

// An analysis walks the tree of one statement once. Everything it cannot
// account for lowers the confidence; nothing raises it.
type analysis struct {
	env  *Env
	st   *Statement
	text string // of the batch: what the tree's locations are offsets into
	// shallow is set when a view's definition is traced: other views are then
	// taken as they are, not looked into.
	shallow bool
	shown   bool // what is walked is a target of the view

	rels     []*relUse
	relIndex map[catalog.Name]*relUse
	objects  []access.Object // everything but relations
	funcs    []string
	ops      []string // operators that users may have redefined
	types    []uint32 // types of users that casts name

	verb       access.Verb
	confidence access.Confidence
	why        string
	impurity   bool
	// maintenance writes a relation's storage, not what it is made from.
	maintenance bool
	writes      int  // statements that write rows, wherever they stand
	unscoped    bool // an UPDATE or DELETE somewhere has no limiting predicate
	set         bool // set_config is called
	limit       int64

	// literal is true if some conclusion depends on the value of a constant.
	literal bool

	sinks []*lineage
	at    spot // what is being walked, for messages
	depth int
	steps int // of judging predicates: see maxSteps
	// rounds counts how often recursive queries were walked again.
	rounds int
}

// maxSteps bounds how much looking at predicates one statement is worth: those
// of nested subqueries are looked at once for each table around them.
const maxSteps = 100_000

// tired counts a step and reports whether there were too many.
func (a *analysis) tired() bool {
	a.steps++
	return a.steps > maxSteps
}

// maxWalk bounds recursion. The caps on the text keep every honest tree far
// below it.
const maxWalk = 20_000

func newAnalysis(env *Env, text string, st *Statement) *analysis {
	return &analysis{env: env, text: text, st: st, confidence: access.Exact, limit: -1}
}

// enter guards recursion; every true needs a leave.
func (a *analysis) enter() bool {
	if a.depth >= maxWalk {
		a.opaque("the tree is too deep")
		return false
	}
	a.depth++
	return true
}

func (a *analysis) leave() { a.depth-- }

func (a *analysis) lower(to access.Confidence, why string) {
	if a.confidence > to {
		a.confidence = to
		a.why = why
	}
}

func (a *analysis) partial(why string) { a.lower(access.Partial, why) }

func (a *analysis) opaque(why string) { a.lower(access.Opaque, why) }

func (a *analysis) impure() { a.impurity = true }

// consequence orders verbs by what they can do: the last one that a statement
// has names it. What only reads comes first, then what writes data, then what
// changes structure and rights, then what runs other things.
var consequence = [...]access.Verb{
	access.VerbUnknown, access.VerbShow, access.VerbSet, access.VerbListen, access.VerbClose, access.VerbDiscard,
	access.VerbBegin, access.VerbSavepoint, access.VerbCommit, access.VerbRollback, access.VerbPrepare,
	access.VerbExplain, access.VerbSelect, access.VerbCopyOut, access.VerbFetch,
	access.VerbNotify, access.VerbLock, access.VerbNextval, access.VerbTemp, access.VerbInsert, access.VerbCopyIn,
	access.VerbUpdate, access.VerbMerge, access.VerbDelete,
	access.VerbVacuum, access.VerbCreate, access.VerbAlter, access.VerbGrant, access.VerbTruncate, access.VerbDrop,
	access.VerbConfigure, access.VerbSetRole, access.VerbReplication, access.VerbCopyFile,
	access.VerbFunctionCall, access.VerbCall, access.VerbDo, access.VerbExecute,
}

// effect records that the statement does what v says, and perhaps more.
func (a *analysis) effect(v access.Verb) {
	if slices.Index(consequence[:], v) > slices.Index(consequence[:], a.verb) {
		a.verb = v
	}
	if c := v.Class(); c != access.ClassRead && v != access.VerbShow {
		a.impure()
	}
}

// object records something other than a relation.
func (a *analysis) object(o access.Object) {
	if !slices.ContainsFunc(a.objects, func(p access.Object) bool {
		return p.Kind == o.Kind && p.Schema == o.Schema && p.Name == o.Name && p.Write == o.Write
	}) {
		a.objects = append(a.objects, o)
	}
}

// finish writes what was found into the statement.
func (a *analysis) finish() {
	tables := a.tableObjects()
	a.checkUserOperators()
	act := &a.st.Action
	act.Objects = append(tables, a.objects...)
	if a.verb == access.VerbSelect && a.set && len(tables) == 0 {
		a.verb = access.VerbSet
	}
	if !a.shallow {
		a.st.columns = originsOf(a.st.Outputs, a.env)
	}
	act.Verb = a.verb
	act.Confidence = a.confidence
	act.Pure = !a.impurity && a.confidence == access.Exact && pureVerb(a.verb)
	act.SQL.Scoped = !a.unscoped || a.verb == access.VerbPrepare
	act.SQL.Limit = a.limit
	act.SQL.Functions = a.funcs
	act.SQL.Why = a.why
	for _, s := range a.st.Settings {
		if !slices.Contains(act.SQL.Settings, s.Name) {
			act.SQL.Settings = append(act.SQL.Settings, s.Name)
		}
	}
}

func pureVerb(v access.Verb) bool {
	return v == access.VerbSelect || v == access.VerbShow || v == access.VerbExplain
}

// checkUserOperators lowers the confidence where an operator or cast that users
// defined may be called: one on the server's own types always, one on a user's
// type if the statement touches that type.
func (a *analysis) checkUserOperators() {
	if a.env.Catalog == nil {
		return
	}
	present := a.presentTypes()
	for _, name := range a.ops {
		for _, o := range a.env.Catalog.Operators(name) {
			if slices.Contains(a.env.path, o.Schema) && !trusted(o.Extension, o.Language, false) && applies(present, o.Left, o.Right) {
				a.partial("operator " + o.Schema + "." + name + " is a user's own")
			}
		}
	}
	for _, c := range a.env.Catalog.Casts() {
		// Internal functions are made by superusers, and by CREATE TYPE ... AS RANGE.
		if len(a.rels)+len(a.types) > 0 && c.Language != "internal" && !trusted(c.Extension, c.Language, false) && applies(present, c.Source, c.Target) {
			a.partial("a user's own cast may apply")
		}
	}
}

// firstUserOID is where the OIDs of objects begin that initdb did not make.
const firstUserOID = 16384

func applies(present map[uint32]bool, left, right uint32) bool {
	return left < firstUserOID && right < firstUserOID || present[left] || present[right]
}

// presentTypes are the users' types that a value in the statement can have.
func (a *analysis) presentTypes() map[uint32]bool {
	present := make(map[uint32]bool)
	add := func(oid uint32) {
		for t := a.env.Catalog.TypeByOID(oid); t != nil && !present[t.OID]; t = a.env.Catalog.TypeByOID(t.Base) {
			present[t.OID] = true
		}
	}
	for _, oid := range a.types {
		add(oid)
	}
	for _, r := range a.rels {
		if r.rel == nil {
			continue
		}
		for i := range r.rel.Columns {
			add(r.rel.Columns[i].Type)
		}
	}
	return present
}

// children calls visit for every node inside a message that has no case of its
// own, however deep below other messages.
func (a *analysis) children(m protoreflect.Message, visit func(protoreflect.Message)) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Message() == nil {
			return true
		}
		if fd.IsList() {
			for i := range v.List().Len() {
				visit(v.List().Get(i).Message())
			}
			return true
		}
		visit(v.Message())
		return true
	})
}

// generic walks a message that has no case of its own.
func (a *analysis) generic(sc *scope, m protoreflect.Message, use access.Use) {
	if !a.enter() {
		return
	}
	defer a.leave()
	switch v := m.Interface().(type) {
	case *pgquery.Node:
		a.expr(sc, v, use)
	case *pgquery.TypeName:
		a.typeName(v)
	case *pgquery.SelectStmt:
		a.nested(sc, v, use)
	case *pgquery.FuncCall:
		a.call(sc, v, use)
	case *pgquery.RangeVar:
		a.opaque("a relation stands where none is expected")
	default:
		a.children(m, func(c protoreflect.Message) { a.generic(sc, c, use) })
	}
}

type protoMessage = protoreflect.Message
