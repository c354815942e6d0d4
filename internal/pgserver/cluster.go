package pgserver

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A cluster is a data folder on its way to becoming a [Server].
type cluster struct {
	Options
	account *syscall.Credential // nil: run as ourselves
	dir     string
}

// serverAccount is who runs the server: ourselves, or "postgres" if we are root.
func serverAccount() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL is not installed (make install-deps): %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// create makes the folder and the empty cluster.
func (c *cluster) create() (err error) {
	if c.dir, err = os.MkdirTemp("", "sluice-pg-"); err != nil {
		return err
	}
	if err := c.give(c.dir); err != nil {
		return err
	}
	// The certificate in it is for clients under any account. The socket is not: it
	// asks nobody for a password, and a superuser runs programs as the server does.
	if err := os.Chmod(c.dir, 0o755); err != nil {
		return err
	}
	if c.Password == "" {
		c.Password = randomPassword()
	}
	if err := c.adopt(); err != nil {
		return err
	}
	if err := c.initdb(); err != nil {
		return err
	}
	if c.TLS {
		if err := c.certificates(); err != nil {
			return err
		}
	}
	return c.configure()
}

// give makes the server's account the owner of path.
func (c *cluster) give(path string) error {
	if c.account == nil {
		return nil
	}
	return os.Chown(path, int(c.account.Uid), int(c.account.Gid))
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }

func (c *cluster) initdb() error {
	pw := filepath.Join(c.dir, "pw")
	if err := c.write(pw, c.Password+"\n"); err != nil {
		return err
	}
	defer os.Remove(pw)
	out, err := c.command("initdb", "-D", c.data(), "-U", "postgres", "-A", "scram-sha-256", "--pwfile", pw, "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions").CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

func (c *cluster) configure() error {
	conf := []string{
		"listen_addresses = '127.0.0.1'",
		"unix_socket_directories = '" + c.dir + "'",
		"unix_socket_permissions = 0700",
		"max_connections = 200",
		"shared_buffers = 64MB",
	}
	if !c.Durable {
		conf = append(conf, "fsync = off", "full_page_writes = off", "synchronous_commit = off")
	}
	if c.TLS {
		conf = append(conf, "ssl = on", "ssl_cert_file = '"+c.dir+"/server.crt'", "ssl_key_file = '"+c.dir+"/server.key'", "ssl_ca_file = '"+c.dir+"/ca.crt'")
	}
	if err := c.append(filepath.Join(c.data(), "postgresql.conf"), append(conf, c.Config...)); err != nil {
		return err
	}
	hba := c.HBA
	if hba == nil {
		hba = []string{"local all all trust", "host all all 127.0.0.1/32 scram-sha-256", "host replication all 127.0.0.1/32 scram-sha-256"}
	}
	return c.write(filepath.Join(c.data(), "pg_hba.conf"), strings.Join(hba, "\n")+"\n")
}

// start launches the postmaster and the watcher. If somebody took the port
// between choosing and binding it, another is tried.
func (c *cluster) start() (s *Server, err error) {
	for range 5 {
		port := c.Port
		if port == 0 {
			if port, err = FreePort(); err != nil {
				return nil, err
			}
		}
		if s, err = c.startOn(port); err == nil || c.Port != 0 {
			break
		}
	}
	return s, err
}

func (c *cluster) startOn(port int) (*Server, error) {
	s := &Server{
		Host: "127.0.0.1", Port: port, Addr: fmt.Sprintf("127.0.0.1:%d", port), User: "postgres", Password: c.Password,
		Dir: c.dir, LogFile: filepath.Join(c.dir, "log"), exited: make(chan struct{}), removed: make(chan struct{}),
	}
	if c.TLS {
		s.CAFile = filepath.Join(c.dir, "ca.crt")
	}
	if err := c.postmaster(s); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startDeadline)
	defer cancel()
	err := waitReady(ctx, s)
	if err == nil {
		err = c.watch(s)
	}
	if err != nil {
		syscall.Kill(s.PID, syscall.SIGQUIT)
		<-s.exited
		return nil, err
	}
	return s, nil
}

func (c *cluster) postmaster(s *Server) error {
	log, err := os.Create(s.LogFile)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := c.command("postgres", "-D", c.data(), "-p", strconv.Itoa(s.Port))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.PID = cmd.Process.Pid
	go func() {
		cmd.Wait()
		close(s.exited)
	}()
	return nil
}

// watchScript waits for its standard input to close: that happens when Stop
// closes it and also when the launching process dies in whatever way. The pid
// is read from the data folder, so that a server long gone kills nobody else.
const watchScript = `
read _
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid"
while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null && [ -e "$1/data/postmaster.pid" ]; do sleep 0.05; done
rm -rf "$1"`

func (c *cluster) watch(s *Server) error {
	cmd := exec.Command("/bin/sh", "-c", watchScript, "watch", c.dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = c.attributes()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.watcher = io.Closer(stdin)
	go func() {
		cmd.Wait()
		close(s.removed)
	}()
	return nil
}

// command prepares one of the server's programs, run under its account.
func (c *cluster) command(name string, args ...string) *exec.Cmd {
	path := Program(name)
	if c.Programs != "" {
		path = filepath.Join(c.Programs, name)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = c.dir
	cmd.Env = append(CleanEnv(), "HOME="+c.dir, "LC_ALL=C", "TZ=UTC")
	cmd.SysProcAttr = c.attributes()
	return cmd
}

// attributes put a child in a process group of its own: Ctrl+C in the terminal
// must reach the launching process only, which then stops things in order.
func (c *cluster) attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: c.account}
}

func (c *cluster) write(path, content string) error {
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return err
	}
	return c.give(path)
}

func (c *cluster) append(path string, lines []string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return c.write(path, string(old)+strings.Join(lines, "\n")+"\n")
}
