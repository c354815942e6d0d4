// Package sqlgen makes random SQL for PostgreSQL: statements that are valid, or
// nearly so, over a schema that the caller describes, of a grammar that is fond of
// passing columns on. It is for tests that must hold whatever a statement is.
//
// [New] is given a [Schema] and a seed; the same seed makes the same statements.
// [Generator.Query] is one SELECT (query.go, from.go, expr.go);
// [Generator.Script] is anything that a client may do in a transaction
// (script.go, write.go). Nothing in them is a value of the database: what comes
// back and was not in the statement came from there.
package sqlgen

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// A Column is a column's name and its type, as SQL names it. Columns are compared
// and united with those of the same type.
type Column struct{ Name, Type string }

// Columns reads columns as CREATE TABLE has them: `id int, name text`.
func Columns(spelled string) (all []Column) {
	for _, c := range strings.Split(spelled, ", ") {
		name, typ, _ := strings.Cut(c, " ")
		all = append(all, Column{Name: name, Type: typ})
	}
	return all
}

// A Relation is a table or view that statements may name.
type Relation struct {
	Name    string // as it is written in SQL
	Columns []Column
	Weight  int  // how often it is picked, relative to others; 0 is 1
	Table   bool // may be written to
}

// A Schema is what statements may use.
type Schema struct {
	Relations []Relation

	// Modern: the server knows MERGE ... RETURNING and RETURNING old (18).
	Modern bool
}

// A Generator makes statements. It is for one goroutine.
type Generator struct {
	schema Schema
	r      *rand.Rand
	named  int // names given
	size   int // nodes left
	ctes   []source
	rich   bool // beyond what Query of text and int needs
}

// New returns a generator of statements of about size nodes.
func New(s Schema, seed uint64, size int) *Generator {
	return &Generator{schema: s, r: rand.New(rand.NewPCG(seed, 1)), size: size}
}

// A source is something in FROM: its alias and its columns.
type source struct {
	alias string
	cols  []Column
}

func (g *Generator) name(prefix string) string {
	g.named++
	return fmt.Sprint(prefix, g.named)
}

// alias is a name for something in the statement, now and then one that means
// something else already: a column, a table.
func (g *Generator) alias(prefix string) string {
	if !g.rich || !g.chance(8) {
		return g.name(prefix)
	}
	r := g.relation(anyRelation)
	if g.chance(30) && !strings.Contains(r.Name, ".") {
		return r.Name
	}
	return pick(g, r.Columns...).Name
}

func pick[T any](g *Generator, of ...T) T { return of[g.r.IntN(len(of))] }

func (g *Generator) chance(percent int) bool { return g.r.IntN(100) < percent }

// relation picks one of the schema's.
func (g *Generator) relation(fits func(Relation) bool) Relation {
	total := 0
	for _, r := range g.schema.Relations {
		if fits(r) {
			total += max(r.Weight, 1)
		}
	}
	n := g.r.IntN(total)
	for _, r := range g.schema.Relations {
		if !fits(r) {
			continue
		}
		if n -= max(r.Weight, 1); n < 0 {
			return r
		}
	}
	panic("sqlgen: no relation fits")
}

func anyRelation(Relation) bool { return true }

func writable(r Relation) bool { return r.Table }
