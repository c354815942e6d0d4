// Package e2e holds the end-to-end tests: the real binary between real clients
// and a real PostgreSQL, on the demo's stage (demo/stage).
//
//   - testdata/scripts: what a user could type, as testscript files: denied,
//     waiting, masked and monitored statements, and how each is found again
//   - readme_test.go: the console sessions of README.md, typed and compared
//   - programs_test.go: psql, pg_dump, pg_restore, pgbench; direct and through
//   - drivers_test.go: pgx, lib/pq, node-postgres and psycopg2 run the same
//     program direct and through, and must print the same
//   - demo_test.go: make demo itself, twice
//   - install_test.go: what scripts/install-deps says of Go
//   - crash: kill -9 under load
//   - evasion: attacks on masks and hidden tables, undefended and through Sluice
//
// To look around while a test runs, give it -v: the gateway's log goes to
// standard error.
package e2e
