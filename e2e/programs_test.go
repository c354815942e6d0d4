package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sluice/internal/pgserver"
)

func splitAddr(addr string) (host, port string, err error) { return net.SplitHostPort(addr) }

// program runs one of PostgreSQL's programs as app and returns what it printed,
// both outputs together.
func program(t *testing.T, s side, database, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(pgserver.Program(name), args...)
	cmd.Env = s.env(t, database)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustProgram(t *testing.T, s side, database, name string, args ...string) string {
	t.Helper()
	out, err := program(t, s, database, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", s.name, name, err, out)
	}
	return out
}

// same fails with the first line in which two outputs differ.
func same(t *testing.T, direct, through string) {
	t.Helper()
	if direct == through {
		return
	}
	a, b := strings.Split(direct, "\n"), strings.Split(through, "\n")
	for i := range max(len(a), len(b)) {
		var x, y string
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			t.Fatalf("line %d differs\ndirect:  %q\nthrough: %q", i+1, x, y)
		}
	}
}

// reset empties app's database.
func reset(t *testing.T) {
	t.Helper()
	if _, err := onStage(t).Server.SQL("app", "DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION app; DROP SCHEMA IF EXISTS other CASCADE;"); err != nil {
		t.Fatal(err)
	}
}

// TestPsql runs SQL files through psql on both sides. Each file starts on an
// empty database; outputs must be the same to the byte.
func TestPsql(t *testing.T) {
	s := onStage(t)
	files, err := filepath.Glob("testdata/psql/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			var out [2]string
			for i, side := range sides(s) {
				reset(t)
				out[i], _ = program(t, side, "app", "psql", "-X", "-a", "-f", file)
				if strings.Contains(out[i], "FATAL") || len(out[i]) < 200 {
					t.Fatalf("%s:\n%s", side.name, out[i])
				}
			}
			same(t, normal(out[0]), normal(out[1]))
		})
	}
}

// normal removes what differs from one run to the next on one and the same
// server: times, process ids, and the keys that pg_dump makes up.
func normal(out string) string {
	for pattern, with := range map[string]string{
		`(?m)^[A-Z][a-z]{2} [A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d \d{4}`: "WATCH-TIME",
		`server process with PID \d+`:                                "server process with PID N",
		`process \d+`:                                                "process N",
		`(?m)^\\(un)?restrict \w+`:                                   "RESTRICT",
		`pg_temp_\d+`:                                                "pg_temp_N",
		`Time: [\d.]+ ms`:                                            "Time: N ms",
		`actual time=[\d.]+`:                                         "actual time=N",
	} {
		out = regexp.MustCompile(pattern).ReplaceAllString(out, with)
	}
	return out
}

// TestDumpRestore dumps the same database from both sides, restores the dump
// through the gateway, and dumps the copy.
func TestDumpRestore(t *testing.T) {
	s := onStage(t)
	reset(t)
	both := sides(s)
	mustProgram(t, both[0], "app", "pgbench", "-i", "-q", "-s", "1")
	mustProgram(t, both[0], "app", "psql", "-Xq", "-f", "testdata/psql/objects.sql")
	direct := mustProgram(t, both[0], "app", "pg_dump")
	through := mustProgram(t, both[1], "app", "pg_dump")
	same(t, normal(direct), normal(through))

	archive := filepath.Join(t.TempDir(), "app.dump")
	mustProgram(t, both[1], "app", "pg_dump", "-Fc", "-f", archive)
	if _, err := s.Server.SQL("app_copy", "DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION app;"); err != nil {
		t.Fatal(err)
	}
	mustProgram(t, both[1], "app_copy", "pg_restore", "--no-comments", "--clean", "--if-exists", "-d", "app_copy", archive)
	direct = mustProgram(t, both[0], "app", "pg_dump", "--no-comments")
	copied := mustProgram(t, both[0], "app_copy", "pg_dump", "--no-comments")
	same(t, normal(direct), normal(copied))
}

// TestPgbench runs every protocol mode. Aborted transactions make it fail.
func TestPgbench(t *testing.T) {
	s := onStage(t)
	reset(t)
	through := sides(s)[1]
	mustProgram(t, through, "app", "pgbench", "-i", "-q", "-s", "1")
	for _, mode := range []string{"simple", "extended", "prepared"} {
		t.Run(mode, func(t *testing.T) {
			out := mustProgram(t, through, "app", "pgbench", "-n", "-M", mode, "-c", "4", "-j", "2", "-t", "50")
			if !strings.Contains(out, "transactions actually processed: 200/200") {
				t.Error(out)
			}
			out = mustProgram(t, through, "app", "pgbench", "-n", "-S", "-C", "-M", mode, "-t", "5")
			if !strings.Contains(out, "transactions actually processed: 5/5") {
				t.Error(out)
			}
		})
	}
	pipeline := filepath.Join(t.TempDir(), "pipeline.sql")
	script := "\\startpipeline\nSELECT 1;\nUPDATE pgbench_tellers SET tbalance = tbalance + 1 WHERE tid = 1;\nSELECT tbalance FROM pgbench_tellers WHERE tid = 1;\n\\endpipeline\n"
	if err := os.WriteFile(pipeline, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	out := mustProgram(t, through, "app", "pgbench", "-n", "-M", "extended", "-f", pipeline, "-t", "20")
	if !strings.Contains(out, "transactions actually processed: 20/20") {
		t.Error(out)
	}
}
