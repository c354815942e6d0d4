package crash

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/lib/pq"

	"sluice/demo/stage"
	"sluice/internal/pgserver"
)

// defaultKills is how often the gateway dies in `make test`.
const defaultKills = 5

const extra = `apiVersion: sluice/v1
kind: User
metadata: {name: app}
spec: {groups: [applications], password: {value: demo}}
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
metadata: {name: app, labels: {team: applications}}
spec: {protocol: postgres, address: "127.0.0.1:15433", database: app, credential: {user: app, password: {value: demo}}}
`

func TestKill(t *testing.T) {
	kills := defaultKills
	if v := os.Getenv("SLUICE_KILLS"); v != "" {
		var err error
		if kills, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	bin := build(t)
	s := set(t, bin)
	l := newLoad(s)
	for range kills {
		stop := l.start()
		l.flows(t)
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond) // any moment is a good one to die
		s.Kill()
		stop()
		if err := s.Start(); err != nil {
			t.Fatalf("it did not come back: %v", err)
		}
	}
	quiesce(t, s)
	verify(t, bin, s)
	recorded := journal(t, bin, s)
	log, err := s.Server.Log()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range compare(ran(log), l.seen(), recorded) {
		t.Error(problem)
	}
	reads, writes := count(l.seen())
	t.Logf("%d kills; clients saw answers of %d reads and %d writes; the server ran %d tagged statements; %d are recorded", kills, reads, writes, len(ran(log)), len(recorded))
	if reads < kills || writes < kills {
		t.Errorf("only %d reads and %d writes were answered: this showed little", reads, writes)
	}
}

func build(t *testing.T) string {
	bin := t.TempDir()
	if err := stage.Build("../..", bin, "./cmd/sluice"); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(bin, "sluice")
}

func set(t *testing.T, bin string) *stage.Stage {
	config, err := filepath.Abs("../../demo/config")
	if err != nil {
		t.Fatal(err)
	}
	s, err := stage.Set(stage.Options{Binary: bin, Config: config, Copy: true, Extra: extra, Postgres: pgserver.Options{
		Config: []string{"log_statement = all", "log_line_prefix = '%m [%p] app=%a '", "log_min_messages = info"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Strike)
	if _, err := s.Server.SQL("postgres", "CREATE ROLE app LOGIN PASSWORD 'demo';\nCREATE DATABASE app OWNER app;"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Server.SQL("app", "CREATE TABLE marks (tag text PRIMARY KEY); GRANT ALL ON marks TO app;"); err != nil {
		t.Fatal(err)
	}
	return s
}

// A load is clients that read and write. Every statement carries a tag of its
// own: r-N if it is a pure read, w-N if not.
type load struct {
	dsn  string
	next atomic.Int64

	mu       sync.Mutex
	answered map[string]bool
}

const clients = 6

func newLoad(s *stage.Stage) *load {
	host, port, _ := strings.Cut(s.Gateway, ":")
	return &load{
		dsn:      fmt.Sprintf("host=%s port=%s user=app password=demo dbname=app sslmode=disable connect_timeout=10", host, port),
		answered: map[string]bool{},
	}
}

// start runs clients until the function it returns is called, which waits for them.
func (l *load) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() { l.client(ctx, i) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// flows waits until reads and writes are answered again, however busy the machine.
func (l *load) flows(t *testing.T) {
	reads, writes := count(l.seen())
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if r, w := count(l.seen()); r > reads && w > writes {
			return
		}
	}
	t.Fatal("nothing is answered")
}

func (l *load) client(ctx context.Context, i int) {
	db, err := sql.Open("postgres", l.dsn)
	if err != nil {
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for n := 0; ctx.Err() == nil; n++ {
		id := l.next.Add(1)
		switch (n + i) % 4 {
		case 0:
			l.read(ctx, db, id, fmt.Sprintf("SELECT 'r-%d', count(*) FROM marks", id))
		case 1:
			l.read(ctx, db, id, "SELECT $1::text, count(*) FROM marks", fmt.Sprintf("r-%d", id))
		case 2:
			l.write(ctx, db, id, fmt.Sprintf("INSERT INTO marks VALUES ('w-%d')", id))
		default:
			l.write(ctx, db, id, "INSERT INTO marks VALUES ($1)", fmt.Sprintf("w-%d", id))
		}
	}
}

func (l *load) read(ctx context.Context, db *sql.DB, id int64, query string, args ...any) {
	var tag string
	var n int
	if db.QueryRowContext(ctx, query, args...).Scan(&tag, &n) == nil {
		l.saw(tag)
	}
}

func (l *load) write(ctx context.Context, db *sql.DB, id int64, query string, args ...any) {
	if _, err := db.ExecContext(ctx, query, args...); err == nil {
		l.saw(fmt.Sprintf("w-%d", id))
	}
}

func (l *load) saw(tag string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answered[tag] = true
}

// seen is what clients had answers of.
func (l *load) seen() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.answered)
}

var tags = regexp.MustCompile(`\b[rw]-\d+\b`)

// ran finds the tags in PostgreSQL's log, in statements and in their parameters.
func ran(log string) map[string]bool {
	found := map[string]bool{}
	for _, line := range strings.Split(log, "\n") {
		if strings.Contains(line, "app=sluice ") {
			continue // the gateway's own
		}
		for _, tag := range tags.FindAllString(line, -1) {
			found[tag] = true
		}
	}
	return found
}

// compare names every statement that has no record and should.
func compare(ran, seen, recorded map[string]bool) (problems []string) {
	for tag := range ran {
		if strings.HasPrefix(tag, "w") && !recorded[tag] {
			problems = append(problems, tag+" ran on the server and has no record")
		}
	}
	for tag := range seen {
		if !recorded[tag] {
			problems = append(problems, tag+" was answered to a client and has no record")
		}
		if !ran[tag] {
			problems = append(problems, tag+" was answered, but the server's log does not have it: this test is blind")
		}
	}
	return problems
}

func count(seen map[string]bool) (reads, writes int) {
	for tag := range seen {
		if tag[0] == 'r' {
			reads++
		} else {
			writes++
		}
	}
	return reads, writes
}

// quiesce waits until the server has no client of ours left, so that its log is
// complete.
func quiesce(t *testing.T, s *stage.Stage) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		out, err := s.Server.SQL("postgres", "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND application_name <> 'sluice'")
		if err != nil {
			t.Fatal(err)
		}
		if out == "0" {
			return
		}
	}
	t.Fatal("sessions of killed gateways are still at the server")
}

// verify checks the journal's chain, and that it is complete.
func verify(t *testing.T, bin string, s *stage.Stage) {
	if out, err := exec.Command(bin, "audit", "verify", "-c", s.Config).CombinedOutput(); err != nil {
		t.Errorf("audit verify: %v\n%s", err, out)
	}
}

// journal exports the decisions and finds the tags in them.
func journal(t *testing.T, bin string, s *stage.Stage) map[string]bool {
	cmd := exec.Command(bin, "audit", "export", "--format", "jsonl", "--type", "action.decided")
	cmd.Env = append(pgserver.CleanEnv(), "SLUICE_GATEWAY=http://"+s.Web, "SLUICE_USER=erin", "SLUICE_PASSWORD=demo", "SLUICE_HOME="+t.TempDir())
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("audit export: %v\n%s", err, out)
	}
	recorded := map[string]bool{}
	for _, tag := range tags.FindAllString(string(out), -1) {
		recorded[tag] = true
	}
	return recorded
}

// TestCompare makes sure that the comparison can fail.
func TestCompare(t *testing.T) {
	log := `2026-01-01 00:00:00 UTC [1] app=psql LOG:  statement: INSERT INTO marks VALUES ('w-1')
2026-01-01 00:00:00 UTC [1] app= LOG:  execute <unnamed>: INSERT INTO marks VALUES ($1)
2026-01-01 00:00:00 UTC [1] app= DETAIL:  parameters: $1 = 'w-2'
2026-01-01 00:00:00 UTC [1] app= LOG:  statement: SELECT 'r-3', count(*) FROM marks
2026-01-01 00:00:00 UTC [2] app=sluice LOG:  statement: SELECT 'w-99'
`
	set := func(tags ...string) map[string]bool {
		m := map[string]bool{}
		for _, tag := range tags {
			m[tag] = true
		}
		return m
	}
	for name, test := range map[string]struct {
		seen, recorded map[string]bool
		problems       int
	}{
		"all recorded":                 {set("w-1", "r-3"), set("w-1", "w-2", "r-3"), 0},
		"pure read, nobody saw it":     {set("w-1"), set("w-1", "w-2"), 0},
		"write without record":         {set(), set("w-1"), 1},
		"answer without record":        {set("r-3"), set("w-1", "w-2"), 1},
		"recorded and never forwarded": {set(), set("w-1", "w-2", "w-7"), 0},
		"blind":                        {set("r-8"), set("w-1", "w-2", "r-8"), 1},
	} {
		if got := compare(ran(log), test.seen, test.recorded); len(got) != test.problems {
			t.Errorf("%s: %q, want %d problems", name, got, test.problems)
		}
	}
}
