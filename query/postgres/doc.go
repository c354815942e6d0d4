// Package postgres says what a PostgreSQL text means: which verb, which
// relations with which columns and for what, which functions, settings, files
// and roles, how sure that is, and everything that a protocol has to keep track
// of (transactions, prepared statements, cursors, COPY, temporary relations).
//
// # Tour
//
//	lexer.go, shape.go     one pass over the text, in this process, before anything can crash:
//	                       caps, the statements' boundaries, the literal-stripped key
//	parser.go              the grammar, handed in: libpg_query in another process (package worker)
//	analyzer.go, cache.go  text -> Batch, through three caches
//	build.go, analysis.go  one statement's walk; what is collected and how it is judged
//	select.go, with.go, from.go, join.go, scope.go, figure.go   queries: names and scopes
//	lineage.go, value.go, compare.go, aggregate.go   what becomes of a column: see Columns
//	usage.go, describe.go   the same in the words of access, and of messages
//	dml.go, scoped.go, predicate.go, subquery.go   INSERT, UPDATE, DELETE, MERGE; whether a predicate limits rows
//	expr.go, function.go, classes.go, builtins.go   expressions and what functions can do
//	session.go, settings.go, copy.go          what concerns the session
//	utility.go, ddl.go, rights.go, op.go      structure, roles, maintenance
//	relation.go, view.go   relations, what lies below views and above partitions
//	redact.go, canonical.go, template.go      what is shown, and what runs
//
// # How sure
//
// Everything begins exact, and whatever the walk cannot account for lowers it:
// a relation or column that the catalog does not know, a function that is not on
// a list, a user's operator, cast, domain or rule, a system relation that shows
// what is not its own ([access.Partial]); a text that the grammar rejects, that
// exceeds a cap or crashed the parser, a node of an unknown kind, a DO block
// ([access.Opaque]). Nothing raises it. What a table does by itself (triggers,
// defaults, checks, row security) belongs to the table, not to the statement.
//
// # Columns
//
// A query yields columns that carry marks: the columns of relations whose values
// they hold unchanged. Whoever consumes the query notes the use of the marks, so
// that a column that passes through any number of layers to the result is
// [access.UseOutput], and one that is compared on the outermost is compared. What
// goes through an expression is noted where the expression stands.
//
// A comparison of a column as it is, with what the statement gives or with
// another column, is noted as such ([access.UseEqual], [access.UseJoin], ...), and
// its answer does not flow on: it tells what was compared, wherever it goes. So do
// aggregates over a column. In the definition of a view both count as the value.
// Everything that is none of this is [access.UseFlow] in what is shown and
// [access.UseFilter] in what decides about rows; no rule permits these.
//
// A name that several items may have is noted for all of them. [Statement.Outputs]
// traces the result's columns; what is below views is expanded by
// [Statement.Columns], and a comparison of what a view computes is none of what it
// is computed from.
//
// A view lists the tables below it, a partition or child its parents, with Via.
// The other way round nothing is listed, as in the server's own privileges: who
// may read a parent reads its partitions.
//
// # Verbs
//
// The most consequential effect names the verb (consequence, in analysis.go):
// WITH d AS (DELETE ...) SELECT is a delete, EXPLAIN ANALYZE takes the inner
// verb, ON CONFLICT DO UPDATE is an update, a MERGE that can delete is a delete,
// SELECT FOR UPDATE is a lock, SELECT INTO a create. SET of what is not on the
// list of harmless settings is configure. EXECUTE alone is execute: the session
// knows what was prepared and puts [Prepare.Inner] in its place.
//
// # Caches
//
// A hit by text and environment costs some 30 ns, one by the text's shape some
// 2 us, a parse 20 us and up. A shape answers only for statements in which no
// conclusion looked at a constant's value (analysis.literal). The canonical text of
// such statements is filled in from that of their shape (template.go), in some 5 us.
//
// The package is pure: no I/O, no clock, no goroutine.
package postgres
