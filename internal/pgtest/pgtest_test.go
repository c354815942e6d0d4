package pgtest_test

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/lib/pq"

	"sluice/internal/pgserver"
	"sluice/internal/pgtest"
)

func TestDatabasesAreSeparate(t *testing.T) {
	s := pgtest.Shared(t)
	a, b := s.Database(t), s.Database(t)
	s.Exec(t, a, "CREATE TABLE only_here (n int)", "INSERT INTO only_here VALUES (1), (2)")
	if got := s.Exec(t, a, "SELECT n FROM only_here ORDER BY n"); got != "1\n2" {
		t.Errorf("rows = %q", got)
	}
	if _, err := s.SQL(b, "SELECT * FROM only_here"); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("a table leaked into another database: %v", err)
	}
}

func TestDSN(t *testing.T) {
	s := pgtest.Shared(t)
	s.Exec(t, "postgres", `CREATE ROLE "o'hara" LOGIN PASSWORD 'it''s\'`)
	t.Cleanup(func() { s.Exec(t, "postgres", `DROP ROLE "o'hara"`) })
	for name, test := range map[string]struct{ dsn, user, ssl string }{
		"superuser": {s.DSN("postgres"), "postgres", "f"},
		"quoted":    {s.DSNFor("o'hara", `it's\`, "postgres", "sslmode=disable"), "o'hara", "f"},
		"tls":       {s.DSNFor("postgres", s.Password, "postgres", "sslmode=verify-full", "sslrootcert="+s.CAFile), "postgres", "t"},
	} {
		t.Run(name, func(t *testing.T) {
			out := psql(t, test.dsn, "SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
			if want := test.user + "|" + test.ssl; out != want {
				t.Errorf("got %q, want %q", out, want)
			}
		})
	}
}

func TestWrongPasswordIsRefused(t *testing.T) {
	s := pgtest.Shared(t)
	db, err := sql.Open("postgres", s.DSNFor("postgres", "wrong", "postgres", "sslmode=disable"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Ping(); err == nil || !strings.Contains(err.Error(), "password authentication failed") {
		t.Errorf("got %v", err)
	}
}

func TestClientCertificate(t *testing.T) {
	s := pgtest.Start(t, pgtest.Options{TLS: true, HBA: []string{"local all all trust", "hostssl all all 127.0.0.1/32 cert"}})
	cert, key, err := s.ClientCertificate(t.TempDir(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	dsn := s.DSNFor("postgres", "", "postgres", "sslmode=verify-full", "sslrootcert="+s.CAFile, "sslcert="+cert, "sslkey="+key)
	if got := psql(t, dsn, "SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"); got != "/CN=postgres" {
		t.Errorf("client_dn = %q", got)
	}
}

func TestStopRemovesEverything(t *testing.T) {
	s, err := pgserver.Launch(pgserver.Options{Config: []string{"work_mem = 3MB"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.SQL("postgres", "SHOW work_mem"); err != nil || got != "3MB" {
		t.Errorf("work_mem = %q, %v", got, err)
	}
	socket, err := os.Stat(filepath.Join(s.Dir, fmt.Sprintf(".s.PGSQL.%d", s.Port)))
	if err != nil || socket.Mode().Perm()&0o077 != 0 {
		t.Errorf("everybody on this machine is its superuser: %v %v", socket.Mode(), err)
	}
	s.Stop()
	s.Stop()
	if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
		t.Errorf("folder is still there: %v", err)
	}
	if c, err := net.Dial("tcp", s.Addr); err == nil {
		c.Close()
		t.Error("still listening")
	}
}

// Programs that were brought along go with the rest.
func TestStopRemovesPrograms(t *testing.T) {
	s, err := pgserver.Launch(pgserver.Options{Programs: pgserver.Eighteen("../..")})
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
		t.Errorf("folder is still there: %v", err)
	}
}

// TestKilledOwner runs this test binary as a child that launches a server and
// is killed: the server must end with it.
func TestKilledOwner(t *testing.T) {
	if os.Getenv("PGTEST_OWNER") != "" {
		s, err := pgserver.Launch(pgserver.Options{})
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString(s.Dir + "\n")
		select {} // until killed
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledOwner$")
	cmd.Env = append(os.Environ(), "PGTEST_OWNER=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 200)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	dir := strings.TrimSpace(string(buf[:n]))
	cmd.Process.Kill()
	cmd.Wait()
	for range 600 {
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("%s outlived its owner", dir)
}

func TestLaunchErrorSaysWhy(t *testing.T) {
	_, err := pgserver.Launch(pgserver.Options{Port: pgtest.Shared(t).Port})
	if err == nil || !strings.Contains(err.Error(), "Address already in use") {
		t.Errorf("got %v", err)
	}
}

func psql(t *testing.T, dsn, query string) string {
	t.Helper()
	cmd := exec.Command(pgserver.Program("psql"), "-XAtc", query, dsn)
	cmd.Env = append(pgserver.CleanEnv(), "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("psql: %v: %s", err, out)
	}
	return strings.TrimSuffix(string(out), "\n")
}
