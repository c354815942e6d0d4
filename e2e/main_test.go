package e2e

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"sluice/demo/stage"
	"sluice/internal/pgserver"
)

// house is what all tests here share: the binary, built once, and one stage.
var house struct {
	root, bin string

	once  sync.Once
	stage *stage.Stage
	err   error
}

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	root, err := filepath.Abs("..")
	if err != nil {
		return 1, err
	}
	bin, err := os.MkdirTemp("", "sluice-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(bin)
	house.root, house.bin = root, bin
	if err := stage.Build(root, bin, "./cmd/sluice", "./demo"); err != nil {
		return 1, err
	}
	defer func() {
		if house.stage != nil {
			house.stage.Strike()
		}
	}()
	return m.Run(), nil
}

// extra adds to the demo's configuration a subject without restrictive rules,
// with databases of its own whose owner is the upstream account of that name:
// direct and through, a client has the same rights.
const extra = `apiVersion: sluice/v1
kind: User
metadata: {name: app}
spec: {groups: [applications], password: {value: demo}}
---
apiVersion: sluice/v1
kind: User
metadata: {name: rita} # for reload.txt: no rule knows her
spec: {groups: [reload], password: {value: demo}}
---
apiVersion: sluice/v1
kind: Policy
metadata: {name: applications}
spec:
  rules:
  - {id: everything, match: {groups: [applications], resource: {labels: {team: applications}}}, effect: allow}
---
apiVersion: sluice/v1
kind: Resource
metadata: {name: app, labels: {env: test, team: applications}}
spec: {protocol: postgres, address: "127.0.0.1:15433", database: app, credential: {user: app, password: {value: demo}}}
---
apiVersion: sluice/v1
kind: Resource
metadata: {name: app_copy, labels: {env: test, team: applications}}
spec: {protocol: postgres, address: "127.0.0.1:15433", database: app_copy, credential: {user: app, password: {value: demo}}}
`

// onStage returns the stage, setting it on first use.
func onStage(t *testing.T) *stage.Stage {
	t.Helper()
	house.once.Do(func() { house.stage, house.err = setStage() })
	if house.err != nil {
		t.Fatal(house.err)
	}
	return house.stage
}

func setStage() (*stage.Stage, error) {
	var log io.Writer
	if testing.Verbose() {
		log = os.Stderr
	}
	s, err := stage.Set(stage.Options{
		Binary: filepath.Join(house.bin, "sluice"),
		Config: filepath.Join(house.root, "demo", "config"),
		Copy:   true,
		Extra:  extra,
		Log:    log,
	})
	if err != nil {
		return nil, err
	}
	_, err = s.Server.SQL("postgres", "CREATE ROLE app LOGIN PASSWORD 'demo';\nCREATE DATABASE app OWNER app;\nCREATE DATABASE app_copy OWNER app;")
	return s, err
}

// A side is one of the two ways to the same database.
type side struct{ name, host, port string }

func sides(s *stage.Stage) [2]side {
	direct := side{"direct", s.Server.Host, fmt.Sprint(s.Server.Port)}
	through := side{name: "through"}
	through.host, through.port, _ = splitAddr(s.Gateway)
	return [2]side{direct, through}
}

// env is what libpq's programs need to connect as app.
func (s side) env(t *testing.T, database string) []string {
	return append(pgserver.CleanEnv(), "PGHOST="+s.host, "PGPORT="+s.port, "PGUSER=app", "PGPASSWORD=demo", "PGDATABASE="+database,
		"PGTZ=UTC", "HOME="+t.TempDir(), "PSQLRC="+os.DevNull, "LC_ALL=C", "PAGER=cat")
}

// dsn is the connection string of app.
func (s side) dsn(database string) string {
	return fmt.Sprintf("host=%s port=%s user=app password=demo dbname=%s sslmode=disable", s.host, s.port, database)
}
