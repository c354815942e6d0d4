package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"sluice/internal/pgserver"
)

// A backend is the PostgreSQL that all paths lead to.
type backend struct{ *pgserver.Server }

func startBackend() (*backend, error) {
	s, err := pgserver.Launch(pgserver.Options{
		TLS: true,
		Config: []string{
			"max_prepared_transactions = 10", "wal_level = logical", "max_locks_per_transaction = 256",
			// The suites compare plans, which must not change under their feet.
			"autovacuum = off",
		},
		// Roles that the suites make have no password.
		HBA: []string{
			"local all all trust",
			"host all postgres 127.0.0.1/32 scram-sha-256",
			"host replication postgres 127.0.0.1/32 scram-sha-256",
			"host all all 127.0.0.1/32 trust",
		},
	})
	if err != nil {
		return nil, err
	}
	return &backend{s}, nil
}

func (b *backend) target() target {
	return target{host: b.Host, port: strconv.Itoa(b.Port), user: b.User, password: b.Password}
}

// env is what libpq's programs need to reach the target.
func (t target) env(more ...string) []string {
	return append(append(pgserver.CleanEnv(), "PGHOST="+t.host, "PGPORT="+t.port, "PGUSER="+t.user, "PGPASSWORD="+t.password), more...)
}

// sql runs statements at the target, as any client would.
func (t target) sql(database, statements string) error {
	cmd := exec.Command(pgserver.Program("psql"), "-Xq", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-")
	cmd.Env, cmd.Stdin = t.env("PGOPTIONS=-c client_min_messages=warning"), strings.NewReader(statements)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("psql: %w: %s", err, out)
	}
	return nil
}

// copyTree copies the content of from into the folder to, where the server's
// account may read everything and, if it must, write.
func copyTree(from, to string, writable bool) error {
	if out, err := exec.Command("cp", "-rL", from+"/.", to).CombinedOutput(); err != nil {
		return fmt.Errorf("cp: %w: %s", err, out)
	}
	mode := "a+rX,u+w"
	if writable {
		mode = "a+rwX" // a throw-away folder, so that it need not know whose server it is
	}
	if out, err := exec.Command("chmod", "-R", mode, to).CombinedOutput(); err != nil {
		return fmt.Errorf("chmod: %w: %s", err, out)
	}
	return worldWritable(to)
}

// worldWritable makes a folder that every account may write to.
func worldWritable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o777) // past the umask
}
