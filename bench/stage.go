package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"sluice/internal/pgserver"
)

// database is where everything is: pgbench's tables and the large one.
const database = "bench"

// A login is what a client says to a peer.
type login struct{ user, password, dbname string }

// A peer is one way to the server.
type peer struct {
	name  string
	port  int
	login login
	proxy *child // nil: direct

	// masked are logins with that many masked columns; nil: cannot mask.
	masked map[int]login
	// pprof is where profiles can be had; empty: nowhere.
	pprof string
}

func (p *peer) pid() int {
	if p.proxy == nil {
		return 0
	}
	return p.proxy.pid()
}

// A stage is the server and its peers.
type stage struct {
	options
	dir       string // of configuration, logs and journal
	server    *pgserver.Server
	account   *syscall.Credential // the server's; nil: ours
	cert, key string              // the server's, used by every peer; PEM
	peers     []*peer
	absent    []string // peers that could not be started, with the reason
	sync      time.Duration
	huge      bool // the server's memory is in huge pages
	restore   func()
}

// setStage starts the server, fills it and starts the peers.
func setStage(o options) (s *stage, err error) {
	s = &stage{options: o}
	defer func() {
		if err != nil {
			s.strike()
		}
	}()
	if s.dir, err = dataFolder(o.data); err != nil {
		return s, err
	}
	if err := s.startServer(); err != nil {
		return s, err
	}
	if s.sync, err = journalSync(s.dir); err != nil {
		return s, err
	}
	if err := s.fill(); err != nil {
		return s, err
	}
	return s, s.startPeers()
}

// dataFolder is on disk, not in a temporary file system in memory: a journal
// there would be durable for nothing.
func dataFolder(name string) (string, error) {
	if name != "" {
		return filepath.Abs(name)
	}
	under, err := filepath.Abs("bench")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(under); err != nil {
		return "", fmt.Errorf("bench: run it in the project's folder, or with -data: %w", err)
	}
	return os.MkdirTemp(under, "data-")
}

func (s *stage) startServer() (err error) {
	progress("starting PostgreSQL")
	s.huge, s.restore = reserveHugePages(hugePagesFile, hugePages)
	s.server, err = pgserver.Launch(pgserver.Options{TLS: true, Config: []string{
		"shared_buffers = 512MB", "max_wal_size = 4GB", "checkpoint_timeout = 1h", "autovacuum = off", "jit = off",
	}})
	if err != nil {
		return err
	}
	s.cert, s.key = filepath.Join(s.server.Dir, "server.crt"), filepath.Join(s.server.Dir, "server.key")
	s.account, err = owner(s.key)
	return err
}

// ownerName is who owns the tables and who every peer is at the server: no
// superuser, as in earnest.
const ownerName = "app"

func (s *stage) direct() login { return login{ownerName, s.server.Password, database} }

// fill makes pgbench's tables and the large one, whose masked columns all hold
// the word that the reader looks for.
func (s *stage) fill() error {
	progress("filling: scale %d, %d rows", s.scale, s.rows)
	create := fmt.Sprintf("CREATE ROLE %[1]s LOGIN PASSWORD '%[2]s';\nCREATE DATABASE %[3]s OWNER %[1]s", ownerName, s.server.Password, database)
	if _, err := s.server.SQL("postgres", create); err != nil {
		return err
	}
	if s.scale > 0 {
		cmd := pgbenchCommand(s.server.Port, s.direct(), false, "-i", "-q", "-s", fmt.Sprint(s.scale))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("pgbench -i: %w: %s", err, out)
		}
	}
	if s.rows == 0 {
		return nil
	}
	_, err := s.server.SQL(database, fmt.Sprintf(`
		SET ROLE %[3]s;
		CREATE TABLE people (id int, name text, v float8, email text, phone text, card text, note text);
		INSERT INTO people SELECT i, '%[2]s name ' || i, i * 0.5, '%[2]s' || i || '@example.com', '%[2]s +4930' || i, '%[2]s 4111' || i, '%[2]s note ' || i
			FROM generate_series(1, %[1]d) i;
		VACUUM ANALYZE people`, s.rows, telltale, ownerName))
	return err
}

// maskedColumns are the columns of people that hold the telltale, in the order
// in which they are masked.
var maskedColumns = []string{"email", "name", "phone", "card", "note"}

func (s *stage) startPeers() error {
	s.peers = []*peer{{name: "direct", port: s.server.Port, login: s.direct()}}
	for _, p := range []struct {
		name  string
		start func(*stage) (*peer, error)
	}{{"relay", startRelay}, {"pgbouncer", startPgBouncer}, {"sluice", startSluice}} {
		if !s.wants(p.name) {
			continue
		}
		progress("starting %s", p.name)
		started, err := p.start(s)
		if err == nil {
			s.peers = append(s.peers, started)
			err = try(started)
		}
		if err != nil {
			s.absent = append(s.absent, fmt.Sprintf("%s: %v", p.name, err))
			s.drop(p.name)
			progress("%s is left out: %v", p.name, err)
		}
	}
	if s.strict && len(s.absent) > 0 {
		return fmt.Errorf("bench: %s", s.absent[0])
	}
	return nil
}

func (s *stage) drop(name string) {
	for i, p := range s.peers {
		if p.name == name {
			p.proxy.stop()
			s.peers = append(s.peers[:i], s.peers[i+1:]...)
			return
		}
	}
}

func startRelay(s *stage) (*peer, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	c, err := startChild(s.dir, "relay", addr, nil, nil, self, "relay", "-listen", addr, "-upstream", s.server.Addr, "-cert", s.cert, "-key", s.key)
	if err != nil {
		return nil, err
	}
	return &peer{name: "relay", port: port, login: s.direct(), proxy: c}, nil
}

// try runs one statement with and without TLS.
func try(p *peer) error {
	for _, tls := range []bool{false, true} {
		if _, err := fetch(fetchJob{Port: p.port, login: p.login, TLS: tls, SQL: "select 1"}); err != nil {
			return err
		}
	}
	return nil
}

// strike ends everything.
func (s *stage) strike() {
	for _, p := range s.peers {
		if p.proxy != nil {
			p.proxy.stop()
		}
	}
	if s.server != nil {
		s.server.Stop()
	}
	if s.restore != nil {
		s.restore()
	}
	if s.dir == "" || s.keep || s.data != "" {
		return
	}
	if err := os.RemoveAll(s.dir); err != nil {
		progress("%v", err)
	}
}

func freePort() (int, error) { return pgserver.FreePort() }

// syncs is how often journalSync writes.
const syncs = 200

// journalSync measures what a durable record costs at least on this disk: the
// median of small appends with fsync.
func journalSync(dir string) (_ time.Duration, err error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if _, err := f.Write(make([]byte, syncs*512)); err != nil {
		return 0, err
	}
	var took []float64
	for i := range syncs {
		start := time.Now()
		if _, err := f.WriteAt(make([]byte, 512), int64(i)*512); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took = append(took, float64(time.Since(start)))
	}
	return time.Duration(median(took)), nil
}
