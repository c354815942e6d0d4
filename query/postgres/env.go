package postgres

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sluice/access"
	"sluice/query/catalog"
)

// An Env is what gives names their meaning for a session at one moment. Make
// one with [NewEnv] whenever any part changes; it is immutable and may be shared.
type Env struct {
	// Catalog is the database's snapshot; nil resolves nothing, and everything
	// that names a relation is then at most partial.
	Catalog *catalog.Snapshot
	// SearchPath is the setting split at commas, as shown by the server; "$user"
	// is replaced by User where such a schema exists.
	SearchPath []string
	Database   string
	User       string // the current role upstream
	// Temp are the session's temporary relations by name; a nil value is one
	// whose columns are not known.
	Temp map[string]*catalog.Relation

	path    []string // effective: pg_catalog where the server looks, $user replaced
	creates string   // the schema in which unqualified objects are made; empty: not known
	key     EnvKey
}

// An EnvKey identifies an [Env]: equal keys give every text the same meaning.
// The zero key identifies none.
type EnvKey [16]byte

// NewEnv completes e.
func NewEnv(e Env) *Env {
	e.SearchPath = slices.Clone(e.SearchPath)
	e.Temp = maps.Clone(e.Temp)
	e.path = e.effectivePath()
	e.creates = e.creationSchema()
	e.key = e.hash()
	return &e
}

// Key identifies the environment.
func (e *Env) Key() EnvKey { return e.key }

// Path is the effective search_path: pg_catalog stands in it where the server
// looks for it, pg_temp does not.
func (e *Env) Path() []string { return e.path }

func (e *Env) effectivePath() []string {
	var path []string
	if !slices.Contains(e.SearchPath, "pg_catalog") {
		path = append(path, "pg_catalog")
	}
	for _, s := range e.SearchPath {
		if s == "$user" {
			s = e.User
		}
		missing := e.Catalog != nil && !e.Catalog.HasSchema(s)
		if s != "" && !temporarySchema(s) && !missing {
			path = append(path, s)
		}
	}
	return path
}

// creationSchema is the first schema of the search_path that exists.
func (e *Env) creationSchema() string {
	for _, s := range e.SearchPath {
		if s == "$user" {
			s = e.User
		}
		switch {
		case temporarySchema(s):
			return tempSchema
		case s != "" && (e.Catalog == nil || e.Catalog.HasSchema(s)):
			return s
		}
	}
	return ""
}

// tempSchema is what the session calls its own schema of temporary objects.
const tempSchema = "pg_temp"

// temporarySchema reports whether a schema is one: the server calls it pg_temp_3.
func temporarySchema(name string) bool { return strings.HasPrefix(name, tempSchema) }

func (e *Env) hash() EnvKey {
	h := sha256.New()
	version := ""
	if e.Catalog != nil {
		version = e.Catalog.Version()
	}
	fmt.Fprintf(h, "%q %q %q %q %q", version, e.path, e.creates, e.Database, e.User)
	for _, name := range slices.Sorted(maps.Keys(e.Temp)) {
		fmt.Fprintf(h, " %q", name)
		if r := e.Temp[name]; r != nil {
			fmt.Fprintf(h, "=%#v", r.Columns)
		}
	}
	return EnvKey(h.Sum(nil)[:16])
}

// origins expands a source; a session's temporary relation is its own origin.
func (e *Env) origins(src catalog.Source) ([]access.ColumnID, bool) {
	if e.Catalog == nil {
		return nil, false
	}
	return e.Catalog.Origins(src.Relation, src.Num)
}
