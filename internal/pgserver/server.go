package pgserver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Options say what a server is like. The zero value is right for most tests.
type Options struct {
	// Port to listen on; 0 picks a free one.
	Port int
	// TLS gives the server a certificate for localhost and 127.0.0.1, signed by
	// [Server.CAFile]. Clients may still connect without TLS.
	TLS bool
	// Config are lines for postgresql.conf, after the defaults and so winning
	// over them.
	Config []string
	// HBA replaces the lines of pg_hba.conf. The default: anyone by password
	// (SCRAM) over TCP, unasked on the socket in Dir, which only the server's own
	// account and root can open.
	HBA []string
	// Password of the superuser; empty makes a random one.
	Password string
	// Durable keeps fsync on. Off by default: nobody misses the data.
	Durable bool
	// Programs is the folder of the initdb and postgres to run; empty: the newest
	// installed. [Eighteen] is one. Clients are always the installed ones.
	Programs string
}

// A Server is a running PostgreSQL. Its fields do not change after Launch.
type Server struct {
	Host     string // 127.0.0.1
	Port     int
	Addr     string // Host:Port
	User     string // the bootstrap superuser, "postgres"
	Password string
	Dir      string // holds the data folder, the log and the Unix socket
	CAFile   string // PEM; empty without Options.TLS
	LogFile  string
	PID      int // of the postmaster

	watcher io.Closer
	exited  chan struct{}
	removed chan struct{}
}

// startDeadline bounds the wait for a server's first answer. Generous: machines
// that run tests are busy, and a server that cannot start exits long before.
const startDeadline = 90 * time.Second

// Launch makes and starts a server. The error tells what the server's log said.
func Launch(o Options) (*Server, error) {
	account, err := serverAccount()
	if err != nil {
		return nil, fmt.Errorf("pgserver: %w", err)
	}
	c := &cluster{Options: o, account: account}
	if err := c.create(); err != nil {
		return nil, errors.Join(fmt.Errorf("pgserver: %w", err), os.RemoveAll(c.dir))
	}
	s, err := c.start()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pgserver: %w", err), os.RemoveAll(c.dir))
	}
	return s, nil
}

// Stop ends the server at once and removes its folder. Safe to call twice.
func (s *Server) Stop() {
	s.watcher.Close() // the watcher does the work, as it does if we die
	<-s.removed
	<-s.exited
}

// Exited is closed when the server process has ended, for whatever reason.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// DSN is the superuser's connection string for database, as libpq, pgx and
// lib/pq read it. TLS is off; use [Server.DSNFor] with more settings otherwise.
func (s *Server) DSN(database string) string {
	return s.DSNFor(s.User, s.Password, database, "sslmode=disable")
}

// DSNFor is a connection string for any user, with further keyword=value
// settings appended.
func (s *Server) DSNFor(user, password, database string, more ...string) string {
	dsn := fmt.Sprintf("host=%s port=%d user=%s password=%s dbname=%s", s.Host, s.Port, quote(user), quote(password), quote(database))
	return strings.Join(append([]string{dsn}, more...), " ")
}

// quote makes v one value of a keyword=value connection string.
func quote(v string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
}

// SQL runs statements as the superuser over the Unix socket and returns what
// psql prints, unaligned and without headers.
func (s *Server) SQL(database, sql string) (string, error) {
	cmd := exec.Command(Program("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", s.Dir, "-p", strconv.Itoa(s.Port), "-U", s.User, "-d", database, "-f", "-")
	cmd.Stdin = strings.NewReader(sql)
	cmd.Env = append(CleanEnv(), "PGOPTIONS=-c client_min_messages=warning")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("pgserver: psql: %w: %s", err, out)
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

// Log returns the server's log so far.
func (s *Server) Log() (string, error) {
	b, err := os.ReadFile(s.LogFile)
	return string(b), err
}

// CleanEnv is this process's environment without libpq's variables, which would
// silently change where a client connects.
func CleanEnv() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "PG") {
			env = append(env, e)
		}
	}
	return env
}

// Program is the path of one of PostgreSQL's programs: the newest installed
// version's at or above 15, else whatever PATH finds.
func Program(name string) string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	best, version := name, 14
	for _, p := range found {
		v, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(p))))
		if err == nil && v > version {
			best, version = p, v
		}
	}
	return best
}

// FreePort is a loopback port that nobody used a moment ago.
func FreePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// waitReady polls until the server answers on its own socket (the TCP port may be
// a stranger's), exits or the deadline passes.
func waitReady(ctx context.Context, s *Server) error {
	for {
		cmd := exec.CommandContext(ctx, Program("pg_isready"), "-q", "-h", s.Dir, "-p", strconv.Itoa(s.Port))
		cmd.Env = CleanEnv()
		if cmd.Run() == nil {
			return nil
		}
		select {
		case <-s.exited:
			log, _ := s.Log()
			return fmt.Errorf("server exited: %s", lastLines(log, 5))
		case <-ctx.Done():
			return fmt.Errorf("server did not answer in %v", startDeadline)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func randomPassword() string {
	b := make([]byte, 12)
	rand.Read(b) // never fails: crypto/rand, Go 1.24
	return hex.EncodeToString(b)
}
