package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"sluice/access"
)

// This file defines what an expression can see: typed views over a request.
// Fields are read when an expression asks for them, without reflection. A fact
// that the analysis could not find out reads as CEL's unknown value.

// uses says which circumstances an expression looks at.
type uses uint16

const (
	useTime     uses = 1 << iota // now
	useCounts                    // rate, count
	useSession                   // session.*
	useReason                    // context.*
	useArgs                      // bound values
	useSQL                       // the view sql
	useObjects                   // tables, columns, functions
	useAction                    // anything about the action
	useClient                    // client.*
	useEstimate                  // sql.estimate
	useCount                     // sql.count
)

// changing are the circumstances that may differ when the same action is asked
// again in the same session.
const changing = useTime | useCounts | useSession | useReason | useArgs | useFacts

// useFacts are what the target has to be asked for.
const useFacts = useEstimate | useCount

// maxText is how much of a command expressions see; what is longer reads as unknown.
const maxText = 64 << 10

// A question is a request while it is being decided, and the variables that
// expressions see.
type question struct {
	r    *access.Request
	addr netip.Addr // of the client, once parsed

	posture   bool // the action, time, client and session are not known
	anyColumn bool // what the action touches is being asked column by column

	subject, resource, action, sql, client, session, context, counts object
}

func newQuestion(r *access.Request) *question {
	q := &question{r: r}
	q.subject = object{subjectType, &r.Subject}
	q.resource = object{resourceType, q}
	q.action = object{actionType, q}
	q.sql = object{sqlType, q}
	q.client = object{clientType, q}
	q.session = object{sessionType, q}
	q.context = object{contextType, q}
	q.counts = object{countsType, q}
	return q
}

// ResolveName implements cel.Activation.
func (q *question) ResolveName(name string) (any, bool) {
	switch name {
	case "subject":
		return &q.subject, true
	case "resource":
		return &q.resource, true
	case "action":
		return &q.action, true
	case "sql":
		return &q.sql, true
	case "client":
		return &q.client, true
	case "session":
		return &q.session, true
	case "context":
		return &q.context, true
	case "now":
		return q.now(), true
	case countsVariable:
		return q.counted(), true
	}
	return nil, false
}

// Parent implements cel.Activation.
func (q *question) Parent() cel.Activation { return nil }

func (q *question) now() ref.Val {
	switch {
	case q.posture:
		return notKnown()
	case q.r.Context.Time.IsZero():
		return types.NewErr("the time is not known")
	}
	return types.Timestamp{Time: q.r.Context.Time}
}

func (q *question) counted() ref.Val {
	if q.posture {
		return notKnown()
	}
	return &q.counts
}

// notKnown is CEL's unknown value.
func notKnown() ref.Val { return types.NewUnknown(0, nil) }

// An object is a value of one of the types below.
type object struct {
	t *types.Type
	v any
}

func (o *object) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("no conversion of %s to %s", o.t, t)
}

func (o *object) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return o.t
	}
	return types.NewErr("no conversion of %s to %s", o.t, t.TypeName())
}

func (o *object) Equal(other ref.Val) ref.Val {
	p, ok := other.(*object)
	return types.Bool(ok && o.t == p.t && o.v == p.v)
}

func (o *object) Type() ref.Type { return o.t }
func (o *object) Value() any     { return o.v }

// The types of the views.
var (
	subjectType  = types.NewObjectType("sluice.Subject")
	resourceType = types.NewObjectType("sluice.Resource")
	actionType   = types.NewObjectType("sluice.Action")
	sqlType      = types.NewObjectType("sluice.SQL")
	tableType    = types.NewObjectType("sluice.Table")
	thingType    = types.NewObjectType("sluice.Object")
	clientType   = types.NewObjectType("sluice.Client")
	sessionType  = types.NewObjectType("sluice.Session")
	contextType  = types.NewObjectType("sluice.Context")
	countsType   = types.NewObjectType("sluice.Counts")
	estimateType = types.NewObjectType("sluice.Estimate")
	countType    = types.NewObjectType("sluice.Count")

	stringList = types.NewListType(types.StringType)
)

// A field is one field of a view.
type field struct {
	typ  *types.FieldType
	uses uses
}

// A view is the fields of one type.
type view map[string]field

// at makes a field that get reads from a T. get may return an error or an
// unknown value.
func at[T any](t *types.Type, u uses, get func(T) any) field {
	from := func(in any) (any, error) {
		v, ok := in.(T)
		if u, unknown := in.(*types.Unknown); unknown {
			return u, nil // of something that is not known
		}
		if !ok {
			return nil, fmt.Errorf("unexpected %T", in)
		}
		got := get(v)
		if err, ok := got.(error); ok {
			return nil, err
		}
		return got, nil
	}
	return field{&types.FieldType{Type: t, IsSet: func(any) bool { return true }, GetFrom: from}, u}
}

// maybe makes a field that has() can ask for.
func maybe[T any](f field, set func(T) bool) field {
	f.typ.IsSet = func(in any) bool {
		v, ok := in.(T)
		return ok && set(v)
	}
	return f
}

// analysed makes a field of the question that only an analysis knows: it is
// unknown where the confidence is below least.
func analysed(t *types.Type, u uses, least access.Confidence, get func(q *question) any) field {
	return at(t, u, func(q *question) any {
		if q.posture || q.r.Action.Confidence < least {
			return notKnown()
		}
		return get(q)
	})
}

// live makes a field of the question that is unknown before any action is.
func live(t *types.Type, u uses, get func(q *question) any) field {
	return at(t, u, func(q *question) any {
		if q.posture {
			return notKnown()
		}
		return get(q)
	})
}

// inSQL makes an analysed field that needs an SQL analysis.
func inSQL(t *types.Type, u uses, least access.Confidence, get func(s *access.SQL) any) field {
	return analysed(t, u|useSQL, least, func(q *question) any {
		if q.r.Action.SQL == nil {
			return notKnown()
		}
		return get(q.r.Action.SQL)
	})
}

// views lists what each type has. It is the reference that docs/policy.md explains.
func views() map[string]view {
	return map[string]view{
		subjectType.TypeName():  subjectView(),
		resourceType.TypeName(): resourceView(),
		actionType.TypeName():   actionView(),
		sqlType.TypeName():      sqlView(),
		estimateType.TypeName(): estimateView(),
		countType.TypeName():    countView(),
		tableType.TypeName():    tableView(),
		thingType.TypeName():    thingView(),
		clientType.TypeName():   clientView(),
		sessionType.TypeName():  sessionView(),
		contextType.TypeName():  contextView(),
		countsType.TypeName():   {},
	}
}

func subjectView() view {
	type s = *access.Subject
	return view{
		"id":        at(types.StringType, 0, func(s s) any { return s.ID }),
		"issuer":    at(types.StringType, 0, func(s s) any { return s.Issuer }),
		"email":     at(types.StringType, 0, func(s s) any { return s.Email }),
		"kind":      at(types.StringType, 0, func(s s) any { return string(s.Kind) }),
		"owner":     at(types.StringType, 0, func(s s) any { return s.Owner }),
		"groups":    at(stringList, 0, func(s s) any { return s.Groups }),
		"claims":    at(types.NewMapType(types.StringType, types.DynType), 0, func(s s) any { return claims(s) }),
		"delegated": at(types.BoolType, 0, func(s s) any { return s.Actor != nil }),
		"actor": maybe(at(subjectType, 0, func(s s) any { return actor(s) }),
			func(s s) bool { return s.Actor != nil }),
		"actors": at(types.NewListType(subjectType), 0, func(s s) any { return actors(s) }),
	}
}

func claims(s *access.Subject) any {
	if s.Claims == nil {
		return map[string]any{}
	}
	return s.Claims
}

func actor(s *access.Subject) any {
	if s.Actor == nil {
		return errors.New("the subject acts itself: it has no actor")
	}
	return &object{subjectType, s.Actor}
}

func actors(s *access.Subject) any {
	var all []ref.Val
	for a := s.Actor; a != nil && len(all) < maxChain; a = a.Actor {
		all = append(all, &object{subjectType, a})
	}
	return types.NewRefValList(types.DefaultTypeAdapter, all)
}

func resourceView() view {
	return view{
		"name":     at(types.StringType, 0, func(q *question) any { return q.r.Resource.Name }),
		"protocol": at(types.StringType, 0, func(q *question) any { return q.r.Resource.Protocol }),
		"database": at(types.StringType, 0, func(q *question) any { return q.r.Resource.Database }),
		"labels": at(types.NewMapType(types.StringType, types.StringType), 0, func(q *question) any {
			if q.r.Resource.Labels == nil {
				return map[string]string{}
			}
			return q.r.Resource.Labels
		}),
	}
}

func actionView() view {
	return view{
		"verb":       live(types.StringType, useAction, func(q *question) any { return verbKnown(q, q.r.Action.Verb.String()) }),
		"access":     live(types.StringType, useAction, func(q *question) any { return verbKnown(q, q.r.Action.Verb.Class().String()) }),
		"op":         live(types.StringType, useAction, func(q *question) any { return q.r.Action.Op }),
		"text":       live(types.StringType, useAction, func(q *question) any { return commandText(q) }),
		"confidence": live(types.StringType, useAction, func(q *question) any { return q.r.Action.Confidence.String() }),
		"pure":       live(types.BoolType, useAction, func(q *question) any { return q.r.Action.Pure }),
		"tables":     analysed(types.NewListType(tableType), useAction|useObjects, access.Exact, tables),
		"objects":    analysed(types.NewListType(thingType), useAction|useObjects, access.Exact, things),
	}
}

// verbKnown hides what follows from a verb that nobody knows.
func verbKnown(q *question, name string) any {
	if q.r.Action.Verb.Class() == access.ClassUnknown {
		return notKnown()
	}
	return name
}

func commandText(q *question) any {
	if len(q.r.Action.Text) > maxText {
		return notKnown()
	}
	return q.r.Action.Text
}

func tables(q *question) any {
	var all []ref.Val
	for i := range q.r.Action.Objects {
		if o := &q.r.Action.Objects[i]; o.Kind == access.KindTable {
			all = append(all, &object{tableType, o})
		}
	}
	return types.NewRefValList(types.DefaultTypeAdapter, all)
}

func things(q *question) any {
	var all []ref.Val
	for i := range q.r.Action.Objects {
		all = append(all, &object{thingType, &q.r.Action.Objects[i]})
	}
	return types.NewRefValList(types.DefaultTypeAdapter, all)
}

func sqlView() view {
	type s = *access.SQL
	v := view{
		"scoped":      inSQL(types.BoolType, 0, access.Partial, func(s s) any { return s.Scoped }),
		"limit":       inSQL(types.IntType, 0, access.Partial, func(s s) any { return s.Limit }),
		"statements":  inSQL(types.IntType, 0, access.Partial, func(s s) any { return int64(s.Statements) }),
		"index":       inSQL(types.IntType, 0, access.Partial, func(s s) any { return int64(s.Index) }),
		"database":    inSQL(types.StringType, 0, access.Opaque, func(s s) any { return s.Database }),
		"fingerprint": inSQL(types.StringType, 0, access.Opaque, func(s s) any { return s.Fingerprint }),
		"why":         inSQL(types.StringType, 0, access.Opaque, func(s s) any { return s.Why }),
		"functions":   inSQL(stringList, useObjects, access.Exact, func(s s) any { return orEmpty(s.Functions) }),
		"settings":    inSQL(stringList, 0, access.Exact, func(s s) any { return orEmpty(s.Settings) }),
		"tables":      analysed(types.NewListType(tableType), useSQL|useObjects, access.Exact, tables),
		"estimate":    live(estimateType, useSQL|useEstimate, estimate),
		"count":       live(countType, useSQL|useCount, count),
		"args":        live(types.IntType, useSQL|useArgs, func(q *question) any { return int64(len(q.r.Action.Args)) }),
	}
	return v
}

func orEmpty(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}

func tableView() view {
	type o = *access.Object
	v := thingView()
	v["columns"] = at(stringList, useObjects, func(o o) any {
		if !o.ColumnsKnown {
			return notKnown()
		}
		names := make([]string, len(o.Columns))
		for i, c := range o.Columns {
			names[i] = c.Name
		}
		return names
	})
	delete(v, "kind")
	return v
}

func thingView() view {
	type o = *access.Object
	return view{
		"kind": at(types.StringType, useObjects, func(o o) any { return string(o.Kind) }),
		"schema": at(types.StringType, useObjects, func(o o) any {
			if o.Schema == "" && o.Kind == access.KindTable {
				return notKnown() // not resolved
			}
			return o.Schema
		}),
		"name":   at(types.StringType, useObjects, func(o o) any { return o.Name }),
		"read":   at(types.BoolType, useObjects, func(o o) any { return o.Read }),
		"write":  at(types.BoolType, useObjects, func(o o) any { return o.Write }),
		"via":    at(types.StringType, useObjects, func(o o) any { return o.Via }),
		"system": at(types.BoolType, useObjects, func(o o) any { return o.System }),
	}
}

func clientView() view {
	return view{
		"address": live(types.StringType, useClient, func(q *question) any {
			ip, ok := q.address()
			if !ok {
				return errors.New("the client's address is not known")
			}
			return ip.String()
		}),
		"tls":     live(types.BoolType, useClient, func(q *question) any { return q.r.Context.Client.TLS }),
		"program": live(types.StringType, useClient, func(q *question) any { return q.r.Context.Client.Program }),
	}
}

func sessionView() view {
	type s = access.SessionInfo
	number := func(get func(s) int64) field {
		return live(types.IntType, useSession, func(q *question) any { return get(q.r.Context.Session) })
	}
	return view{
		"statements":     number(func(s s) int64 { return s.Statements }),
		"denied":         number(func(s s) int64 { return s.Denied }),
		"writes":         number(func(s s) int64 { return s.Writes }),
		"rows":           number(func(s s) int64 { return s.Rows }),
		"in_transaction": live(types.BoolType, useSession, func(q *question) any { return q.r.Context.Session.InTransaction }),
		"age":            live(types.DurationType, useSession|useTime, func(q *question) any { return sessionAge(q) }),
	}
}

func sessionAge(q *question) any {
	opened, now := q.r.Context.Session.Opened, q.r.Context.Time
	if opened.IsZero() || now.IsZero() {
		return errors.New("the session's age is not known")
	}
	return now.Sub(opened)
}

func contextView() view {
	given := func(get func(*question) string) field {
		return maybe(live(types.StringType, useReason, func(q *question) any { return get(q) }),
			func(q *question) bool { return !q.posture && get(q) != "" })
	}
	return view{
		"reason": given(func(q *question) string { return q.r.Context.Reason }),
		"ticket": given(func(q *question) string { return q.r.Context.Ticket }),
	}
}

// count answers rate and count.
func (q *question) count(kind string, window time.Duration) int64 {
	if q.r.Context.Counts == nil || !slices.Contains(counters, kind) {
		return 0
	}
	return q.r.Context.Counts.Count(kind, window)
}
