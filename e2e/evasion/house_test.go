package evasion

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"sluice/demo/stage"
	"sluice/internal/pgserver"
)

// The servers that everything runs on.
var versions = []int{15, 18}

// houses are the stages by version, each set on first use.
var houses sync.Map

var program string

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
	bin, err := os.MkdirTemp("", "sluice-evasion-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(bin)
	program = filepath.Join(bin, "sluice")
	if err := stage.Build(root, bin, "./cmd/sluice"); err != nil {
		return 1, err
	}
	defer houses.Range(func(_, h any) bool {
		h.(*house).strike()
		return true
	})
	return m.Run(), nil
}

const root = "../.."

// A house is one server with the worlds in it, and a gateway in front of it.
type house struct {
	once  sync.Once
	err   error
	stage *stage.Stage

	clones  atomic.Int64
	scratch sync.Mutex // one attack at a time in the scratch databases

	mu    sync.Mutex
	free  map[string][]*ground // by world: own grounds that nobody changed
	state map[string]string    // of the worlds that all share
}

func houseOf(t testing.TB, version int) *house {
	t.Helper()
	v, _ := houses.LoadOrStore(version, new(house))
	h := v.(*house)
	h.once.Do(func() { h.err = h.set(t, version) })
	if h.err != nil {
		t.Fatal(h.err)
	}
	return h
}

func (h *house) set(t testing.TB, version int) error {
	o := stage.Options{Binary: program, Config: "testdata/config", Copy: true, Log: io.Discard}
	// Nothing may change behind the tests: statistics, for one.
	o.Postgres.HBA = []string{"local all all trust", "host all all 127.0.0.1/32 trust"}
	o.Postgres.Config = []string{"autovacuum = off", "jit = off", "track_activities = on", "max_prepared_transactions = 5"}
	if version == 18 {
		o.Postgres.Programs = pgserver.Eighteen(root)
	}
	h.free, h.state = map[string][]*ground{}, map[string]string{}
	var err error
	if h.stage, err = stage.Set(o); err != nil {
		return err
	}
	got, err := h.stage.Server.SQL("postgres", "ALTER ROLE shop_gateway SUPERUSER; SELECT current_setting('server_version_num')::int / 10000")
	if err != nil {
		return err
	}
	if got != fmt.Sprint(version) {
		return fmt.Errorf("this is PostgreSQL %s, not %d", got, version)
	}
	for _, w := range worlds {
		if err := h.make(t, w); err != nil {
			return err
		}
	}
	return nil
}

// make makes a world: a template to copy, and the copy that all attacks share that
// change nothing, with what they need.
func (h *house) make(t testing.TB, w world) error {
	name := w["world"]
	if err := h.exec("postgres", "CREATE DATABASE template_"+name+" TEMPLATE shop"); err != nil {
		return err
	}
	if _, err := h.stage.Server.SQL("template_"+name, w.script(t)); err != nil {
		return err
	}
	if err := h.exec("postgres", "CREATE DATABASE world_"+name+" TEMPLATE template_"+name); err != nil {
		return err
	}
	if err := h.exec("postgres", "CREATE DATABASE scratch_"+name+" TEMPLATE template_"+name); err != nil {
		return err
	}
	for _, a := range loadAttacks(t) {
		if a.Setup == "" || a.Writes {
			continue
		}
		if err := h.exec("world_"+name, a.Setup); err != nil {
			return fmt.Errorf("%s: setup: %w", a.ID, err)
		}
	}
	var err error
	h.state[name], err = h.value("world_"+name, worldState)
	return err
}

func (h *house) strike() {
	if h.stage != nil {
		h.stage.Strike()
	}
}

// A ground is a database to run an attack in.
type ground struct {
	h        *house
	w        world
	database string
	own      bool   // no world that all share
	special  bool   // made for one attack
	state    string // of an own one, when it was made
}

// ground is the world that all share, or, for an attack that changes something, a
// copy of it: one that others have left unchanged, or a new one.
func (h *house) ground(a *attack, w world) (*ground, error) {
	if !a.Writes {
		return &ground{h: h, w: w, database: "world_" + w["world"]}, nil
	}
	if a.Setup == "" {
		h.mu.Lock()
		defer h.mu.Unlock()
		if list := h.free[w["world"]]; len(list) > 0 {
			h.free[w["world"]] = list[1:]
			return list[0], nil
		}
	}
	return h.newGround(a, w)
}

func (h *house) newGround(a *attack, w world) (*ground, error) {
	g := &ground{h: h, w: w, own: true, special: a.Setup != "", database: fmt.Sprintf("clone_%d", h.clones.Add(1))}
	if err := h.exec("postgres", "CREATE DATABASE "+g.database+" TEMPLATE template_"+w["world"]); err != nil {
		return nil, err
	}
	if g.special {
		if err := h.exec(g.database, a.Setup); err != nil {
			g.drop()
			return nil, fmt.Errorf("setup: %w", err)
		}
	}
	var err error
	g.state, err = g.writes()
	return g, err
}

// changed reports whether anything was written since the ground was made.
func (g *ground) changed() (bool, error) {
	if !g.own {
		return false, nil
	}
	now, err := g.writes()
	return now != g.state, err
}

// writes counts what sessions wrote, once all of them have ended and reported.
func (g *ground) writes() (string, error) {
	const sessions = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> 'sluice' AND datname = '%s'"
	for {
		n, err := g.h.value("postgres", fmt.Sprintf(sessions, g.database))
		if err != nil {
			return "", err
		}
		if n == "0" {
			break
		}
	}
	return g.h.value("postgres", "SELECT tup_inserted + tup_updated + tup_deleted FROM pg_stat_database WHERE datname = '"+g.database+"'")
}

// renew makes the ground a new one if it was changed.
func (g *ground) renew(a *attack) error {
	changed, err := g.changed()
	if err != nil || !changed {
		return err
	}
	fresh, err := g.h.newGround(a, g.w)
	if err != nil {
		return err
	}
	g.drop()
	*g = *fresh
	return nil
}

// leave gives the ground to whoever needs the next one, or drops it.
func (g *ground) leave() {
	if g == nil || !g.own {
		return
	}
	changed, err := g.changed()
	if g.special || changed || err != nil {
		g.drop()
		return
	}
	g.h.mu.Lock()
	defer g.h.mu.Unlock()
	g.h.free[g.w["world"]] = append(g.h.free[g.w["world"]], g)
}

func (g *ground) drop() { g.h.exec("postgres", "DROP DATABASE IF EXISTS "+g.database+" WITH (FORCE)") }

// exec runs statements directly, as the server's administrator.
func (h *house) exec(database, sql string) error {
	conn, err := pgconn.Connect(context.Background(), h.stage.Server.DSN(database))
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	_, err = conn.Exec(context.Background(), sql).ReadAll()
	return err
}

// value is exec for one value.
func (h *house) value(database, sql string) (string, error) {
	conn, err := pgconn.Connect(context.Background(), h.stage.Server.DSN(database))
	if err != nil {
		return "", err
	}
	defer conn.Close(context.Background())
	rs, err := conn.Exec(context.Background(), sql).ReadAll()
	if err != nil {
		return "", err
	}
	return string(rs[0].Rows[0][0]), nil
}

// A side is a way to the databases.
type side string

const (
	direct  side = "direct"
	through side = "through"
)

// dsn connects the attacker: directly with the account that the gateway uses.
func (h *house) dsn(s side, database, user string) string {
	if s == direct {
		return h.stage.Server.DSNFor("shop_gateway", "only-the-gateway-knows", database, "sslmode=disable")
	}
	return fmt.Sprintf("postgres://%s:demo@%s/shop%%2F%s?sslmode=disable", user, h.stage.Gateway, database)
}
