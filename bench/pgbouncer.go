package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// startPgBouncer runs PgBouncer in session mode, which changes nothing of what
// a client can do, as Sluice does not.
func startPgBouncer(s *stage) (*peer, error) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		return nil, fmt.Errorf("not installed (make bench installs it)")
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(s.server.Dir, "pgbouncer.ini") // a folder that the account can reach
	users := filepath.Join(s.server.Dir, "pgbouncer.users")
	if err := s.give(map[string]string{
		config: bouncerConfig(s, port, users),
		users:  fmt.Sprintf("%q %q\n", s.direct().user, s.direct().password),
	}); err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	c, err := startChild(s.dir, "pgbouncer", addr, s.account, nil, program, "-q", config)
	if err != nil {
		return nil, err
	}
	return &peer{name: "pgbouncer", port: port, login: s.direct(), proxy: c}, nil
}

func bouncerConfig(s *stage, port int, users string) string {
	lines := []string{
		"[databases]",
		fmt.Sprintf("%s = host=127.0.0.1 port=%d dbname=%s", database, s.server.Port, database),
		"[pgbouncer]",
		"listen_addr = 127.0.0.1",
		fmt.Sprintf("listen_port = %d", port),
		"unix_socket_dir =",
		"pool_mode = session",
		"auth_type = scram-sha-256",
		"auth_file = " + users,
		"max_client_conn = 500",
		"default_pool_size = 150",
		"log_connections = 0",
		"log_disconnections = 0",
		"ignore_startup_parameters = extra_float_digits,options",
		"client_tls_sslmode = allow", // plain clients and TLS clients at one port
		"client_tls_cert_file = " + s.cert,
		"client_tls_key_file = " + s.key,
		"server_tls_sslmode = disable",
	}
	return strings.Join(lines, "\n") + "\n"
}

// give writes files and makes the server's account their owner: PgBouncer, like
// PostgreSQL, refuses to run as root.
func (s *stage) give(files map[string]string) error {
	for name, content := range files {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			return err
		}
	}
	for name := range files {
		if s.account == nil {
			break
		}
		if err := os.Chown(name, int(s.account.Uid), int(s.account.Gid)); err != nil {
			return err
		}
	}
	return nil
}

// owner is the account that owns path; nil if it is ours.
func owner(path string) (*syscall.Credential, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() {
		return nil, nil
	}
	return &syscall.Credential{Uid: st.Uid, Gid: st.Gid}, nil
}
