package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"sluice/internal/pgserver"
)

// TestScripts runs testdata/scripts: what people type at the demo. Each script
// starts as alice, in an empty home, with sluice and psql in PATH.
//
// Beside testscript's own commands there is
//
//	until 'REGEXP' PROGRAM ARGS...   runs the program again and again until its
//	                                 standard output matches
//	capture VAR 'REGEXP'             sets VAR to the regexp's first group in the
//	                                 last command's output or error
func TestScripts(t *testing.T) {
	s := onStage(t)
	host, port, err := splitAddr(s.Gateway)
	if err != nil {
		t.Fatal(err)
	}
	// One script changes the configuration that is in force, LIVE; the others, which run
	// beside it, look at this copy. It names the same data folder.
	copied := filepath.Join(filepath.Dir(s.Config), "as-it-was")
	if err := os.CopyFS(copied, os.DirFS(s.Config)); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/scripts",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			for name, value := range map[string]string{
				"PATH": path(), "HOME": env.WorkDir, "LC_ALL": "C", "PGTZ": "UTC", "PSQLRC": os.DevNull, "PAGER": "cat",
				"PGHOST": host, "PGPORT": port, "PGUSER": "alice", "PGPASSWORD": "demo", "PGDATABASE": "shop",
				"SLUICE_GATEWAY": "http://" + s.Web, "SLUICE_HOME": env.WorkDir, "SLUICE_USER": "alice", "SLUICE_PASSWORD": "demo",
				"CONFIG": copied, "LIVE": s.Config, "DATA": s.Data, "DIRECT": s.Server.DSN("shop"),
			} {
				env.Setenv(name, value)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"until": until, "capture": capture},
	})
}

// path finds our sluice and PostgreSQL's real programs before anything else.
func path() string {
	return house.bin + ":" + filepath.Dir(pgserver.Program("psql")) + ":" + os.Getenv("PATH")
}

// patience ends a wait for something that will not happen.
const patience = time.Minute

func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until REGEXP PROGRAM ARGS...")
	}
	want := regexp.MustCompile("(?m)" + args[0]) // as testscript's own stdout does
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if ts.Exec(args[1], args[2:]...) == nil && want.MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
	ts.Fatalf("%s never printed %q, last:\n%s%s", strings.Join(args[1:], " "), args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
}

func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture VAR REGEXP")
	}
	m := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout") + ts.ReadFile("stderr"))
	if m == nil {
		ts.Fatalf("%q is not in the output", args[1])
	}
	ts.Setenv(args[0], m[1])
}
