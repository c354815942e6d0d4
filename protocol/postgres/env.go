package postgres

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"sluice/access"
	"sluice/query/catalog"
	query "sluice/query/postgres"
)

// An environment is what gives a session's texts their meaning: the catalog,
// the search_path, the role, temporary relations, and the settings that the
// upstream reports. readClient owns it but for what has a lock.
type environment struct {
	loader   *catalogLoader
	database string
	user     string   // current role upstream
	path     []string // search_path
	temp     map[string]*catalog.Relation
	// unsure is true if path and user may be out of date: something may have
	// changed them that the gateway could not follow.
	unsure bool

	snapshot *catalog.Snapshot
	env      *query.Env
	binding  []access.Setting
	bound    uint64 // version of reported that binding was made from

	// moved is true if path or role were set since the last time outside a
	// transaction: a rollback takes that back.
	moved bool

	// private is the catalog as the open transaction sees it, over the one that all
	// share; nil: as everybody does. Changed while nothing is in flight.
	private atomic.Pointer[catalog.Snapshot]
	// pending is true if the open transaction may have changed the catalog, changed
	// if it may have since private was read.
	pending, changed bool

	// drifted is true while the upstream reads texts differently from the
	// analysis: then nothing can be understood.
	drifted atomic.Bool

	mu       sync.Mutex // guards what follows
	reported map[string]string
	own      map[string]bool // temporary relations: true if never more than a table of that name was made
	version  uint64
}

// newEnvironment starts from what the session was opened with. The database or
// role may have defaults of its own, so the path is unsure until asked for.
func newEnvironment(l *catalogLoader, database, user string, params, reported map[string]string) *environment {
	e := &environment{loader: l, database: database, user: user, unsure: true, temp: map[string]*catalog.Relation{}, reported: map[string]string{}}
	e.path = []string{"$user", "public"}
	if p, ok := params["search_path"]; ok {
		e.path = splitPath(p)
	}
	for name, value := range reported {
		e.report(name, value)
	}
	return e
}

func (e *environment) release() {
	if e.loader != nil {
		e.loader.release()
	}
}

// report notes a ParameterStatus.
func (e *environment) report(name, value string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reported[name] = value
	e.version++
	known := encodingKnown(e.reported["client_encoding"], e.reported["server_encoding"])
	e.drifted.Store(e.reported["standard_conforming_strings"] == "off" || !known)
}

// current returns the environment to analyse in, made anew when the catalog or
// a setting changed.
func (e *environment) current() *query.Env {
	snap := e.catalog()
	if e.env == nil || snap != e.snapshot {
		e.snapshot = snap
		e.env = query.NewEnv(query.Env{Catalog: snap, SearchPath: e.path, Database: e.database, User: e.user, Temp: e.temp})
		e.binding = nil
	}
	return e.env
}

// catalog is the snapshot that holds now; nil: none was ever loaded.
func (e *environment) catalog() *catalog.Snapshot {
	if own := e.private.Load(); own != nil {
		return own
	}
	if e.loader == nil {
		return nil
	}
	return e.loader.Snapshot()
}

// set replaces path or role; current then makes a new environment.
func (e *environment) set(path []string, user string) {
	if slices.Equal(path, e.path) && user == e.user {
		return
	}
	e.path, e.user, e.env, e.binding = path, user, nil, nil
}

// bindings returns what belongs to an action's digest beside its text.
func (e *environment) bindings() []access.Setting {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.binding != nil && e.bound == e.version {
		return e.binding
	}
	e.bound = e.version
	e.binding = []access.Setting{
		{Name: "datestyle", Value: e.reported["DateStyle"]},
		{Name: "intervalstyle", Value: e.reported["IntervalStyle"]},
		{Name: "role", Value: e.user},
		{Name: "search_path", Value: strings.Join(e.path, ", ")},
		{Name: "session_authorization", Value: e.reported["session_authorization"]},
		{Name: "timezone", Value: e.reported["TimeZone"]},
	}
	return e.binding
}

// follow takes up what a forwarded statement does to the environment, before
// it is known whether it succeeds. Where that matters the session asks the
// upstream: see [session.settle].
func (e *environment) follow(st *query.Statement) {
	for _, c := range st.Settings {
		e.followSetting(c)
	}
	e.moved = e.moved || moves(st)
	e.followCatalog(st)
	if st.MayChangeSettings || st.DiscardAll || st.Tx == query.TxRollback || st.Tx == query.TxRollbackTo ||
		st.Tx == query.TxCommit || st.Action.Confidence != access.Exact {
		e.unsure = true
	}
	if len(st.Temp)+len(st.TempDropped) > 0 || st.DiscardAll || st.DiscardTmp {
		e.followTemp(st)
	}
}

// moves reports whether a statement may change what names mean to those behind
// it.
func moves(st *query.Statement) bool {
	for _, c := range st.Settings {
		switch c.Name {
		case "search_path", "role", "session_authorization", "all":
			return true
		}
	}
	return st.MayChangeSettings || st.DiscardAll
}

func (e *environment) followSetting(c query.SettingChange) {
	switch c.Name {
	case "search_path":
		e.unsure = true
		if c.Known && !c.Reset {
			e.set(splitPath(c.Value), e.user)
		}
	case "role", "session_authorization", "all":
		e.unsure = true
	}
}

func (e *environment) followTemp(st *query.Statement) {
	temp := map[string]*catalog.Relation{}
	if !st.DiscardAll && !st.DiscardTmp {
		for name, r := range e.temp {
			temp[name] = r
		}
	}
	for _, name := range st.Temp {
		if len(temp) < maxTemp {
			temp[name] = nil
			e.owns(name, !slices.Contains(st.TempViews, name))
		}
	}
	// A dropped name stays: the drop may fail or be rolled back, and a name
	// that is taken for temporary resolves to something unknown at worst.
	e.temp, e.env, e.binding = temp, nil, nil
}

// owns notes a temporary relation. What was ever a view stays one: which of
// several statements took effect is not known.
func (e *environment) owns(name string, table bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.own == nil {
		e.own = map[string]bool{}
	}
	was, seen := e.own[name]
	e.own[name] = table && (was || !seen)
}

// ownTable reports whether a name of pg_temp can only be a table that the session
// filled itself. No masked value was written to it: that is refused.
func (e *environment) ownTable(name string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.own[name]
}

// maxTemp bounds the temporary relations that a session is known to have; what
// is beyond is not found, and so not understood.
const maxTemp = 1000

// splitPath reads a search_path as the server shows it (SplitIdentifierString).
func splitPath(s string) []string {
	var path []string
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		var name string
		name, s = pathName(s)
		if name != "" {
			path = append(path, name)
		}
		s = strings.TrimPrefix(strings.TrimSpace(s), ",")
	}
	return path
}

func pathName(s string) (name, rest string) {
	if s[0] != '"' {
		end := strings.IndexByte(s, ',')
		if end < 0 {
			end = len(s)
		}
		return strings.ToLower(strings.TrimSpace(s[:end])), s[end:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '"' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '"' {
			b.WriteByte('"')
			i++
			continue
		}
		return b.String(), s[i+1:]
	}
	return b.String(), ""
}
