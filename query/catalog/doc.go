// Package catalog holds a snapshot of one database's names: its relations with
// their columns, what inherits from what, which views show which tables, and
// which functions, operators, types and casts its users added.
//
// # Tour
//
// [Queries] are the SELECTs that fill a [Rows]; whoever has a connection runs
// them and hands every result row to [Query.Scan]. [Build] turns the Rows into
// a [Snapshot], which never changes: a newer one replaces it as a whole, and
// its [Snapshot.Version] says whether anything differs. Before reading everything
// again, [StateSQL] and [ChangesSQL] tell whether there can be something new.
// Statements are resolved against a snapshot by [Snapshot.Resolve] (a name and a search_path, the way
// the server does it) and [Snapshot.Lookup].
//
// # Origins
//
// [Snapshot.Origins] answers what a column of a relation shows: itself, the
// column of the parent it was inherited from, and the columns of the tables
// below a view. A rule about customers.email so holds for the view and the
// partition that carry the same value. View definitions are SQL, and this
// package has no grammar: a [Tracer] is injected, and asked once for each view,
// when it is first needed. What it cannot trace is reported as incomplete, never
// as empty.
//
// # Open transactions
//
// What a transaction changed nobody else sees before it commits. [OwnSQL], asked
// inside it, finds just that, and [Snapshot.With] lays it over the snapshot that all
// share.
//
// # Limits
//
// Objects of pg_temp schemas belong to a session and are not part of a
// snapshot. A snapshot of 10,000 tables with ten columns each takes some 8 MB and
// 10 ms to build, and the server 200 ms to send (BenchmarkCatalog in
// protocol/postgres); lookups are map accesses.
//
// The package is pure: no I/O, no clock, no goroutine.
package catalog
