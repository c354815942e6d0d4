// Package pgtest gives tests a real PostgreSQL.
//
// Most tests want [Shared]: one server for the whole test binary, started on
// first use and gone when the binary ends, however it ends; each test then takes
// a database of its own with [Server.Database]. Tests that change the server
// itself (TLS, authentication, logging) call [Start]. A machine without
// PostgreSQL fails these tests; `make install-deps` installs it.
package pgtest

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sluice/internal/pgserver"
)

// Options are those of [pgserver.Launch].
type Options = pgserver.Options

// A Server is a running PostgreSQL with methods that fail the test on error.
type Server struct{ *pgserver.Server }

// Start launches a server that is stopped when the test ends.
func Start(tb testing.TB, o Options) *Server {
	tb.Helper()
	s, err := pgserver.Launch(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Stop)
	return &Server{s}
}

// shared is the one server of this test binary. Nobody stops it: pgserver's
// watcher does when the process ends.
var shared = sync.OnceValues(func() (*pgserver.Server, error) { return pgserver.Launch(Options{TLS: true}) })

// Shared returns the server that all tests of this binary use, with TLS on.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	s, err := shared()
	if err != nil {
		tb.Fatal(err)
	}
	return &Server{s}
}

// databases numbers the databases made, over all tests of the binary.
var databases atomic.Int64

// Database makes an empty database for this test, dropped when it ends.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("t%d", databases.Add(1))
	s.Exec(tb, "postgres", "CREATE DATABASE "+name)
	tb.Cleanup(func() { s.Exec(tb, "postgres", "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return name
}

// Exec runs statements as the superuser and returns what psql prints: rows
// without headers, columns separated by |.
func (s *Server) Exec(tb testing.TB, database string, statements ...string) string {
	tb.Helper()
	out, err := s.SQL(database, strings.Join(statements, ";\n"))
	if err != nil {
		tb.Fatal(err)
	}
	return out
}
