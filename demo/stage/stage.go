// Package stage sets up what the demo shows: a throw-away PostgreSQL with the
// shop database, and the sluice binary in front of it with the configuration of
// demo/config. The end-to-end tests stand on the same stage.
//
// [Set] returns when the gateway answers; [Stage.Strike] takes everything down
// again. If the process dies instead, the gateway and the server end with it.
package stage

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sluice/internal/pgserver"
)

//go:embed shop.sql
var shop string

// Account and password of the gateway at the server, as demo/config has them.
const (
	upstreamUser     = "shop_gateway"
	upstreamPassword = "only-the-gateway-knows"
)

// The ports that demo/config names.
const (
	WebPort      = 8080
	PostgresPort = 15432
	ServerPort   = 15433
)

// Options say where the stage stands.
type Options struct {
	Binary string // the sluice to run
	Config string // the folder demo/config

	// Copy puts the stage into a temporary folder on free ports, so that it
	// meets no other. Otherwise Config is used in place, which lets people edit
	// it and watch the reload, and the ports are those it names.
	Copy bool

	// Extra, with Copy, is one more YAML file; its ports are replaced as well.
	Extra string

	Postgres pgserver.Options // of the server; its Port is set here
	Log      io.Writer        // of the gateway; nil: discard
}

// A Stage is a running gateway and server. Fields do not change after Set.
type Stage struct {
	Web, Gateway string           // addresses, host:port
	Server       *pgserver.Server // behind the gateway
	Config       string           // the configuration in use
	Data         string           // the gateway's data folder

	options Options
	temp    string // folder to remove; empty: none
	run     *process
}

// Set starts everything and returns when clients are served.
func Set(o Options) (*Stage, error) {
	s := &Stage{options: o, Config: o.Config}
	if err := s.set(); err != nil {
		s.Strike()
		return nil, err
	}
	return s, nil
}

func (s *Stage) set() error {
	ports, err := s.ports()
	if err != nil {
		return err
	}
	s.Web, s.Gateway = loopback(ports.web), loopback(ports.gateway)
	s.Data = filepath.Join(s.Config, "..", "..", "demo-data")
	if s.options.Copy {
		if err := s.copyConfig(ports); err != nil {
			return err
		}
	}
	s.options.Postgres.Port = ports.server
	if s.Server, err = pgserver.Launch(s.options.Postgres); err != nil {
		return err
	}
	if err := load(s.Server); err != nil {
		return err
	}
	return s.Start()
}

type ports struct{ web, gateway, server int }

// ports picks free ports, or checks that the configured ones are.
func (s *Stage) ports() (p ports, err error) {
	if s.options.Copy {
		for _, port := range []*int{&p.web, &p.gateway, &p.server} {
			if *port, err = pgserver.FreePort(); err != nil {
				return p, err
			}
		}
		return p, nil
	}
	p = ports{WebPort, PostgresPort, ServerPort}
	var taken []error
	for _, port := range []int{p.web, p.gateway, p.server} {
		ln, err := net.Listen("tcp", loopback(port))
		if err != nil {
			taken = append(taken, fmt.Errorf("port %d is in use", port))
			continue
		}
		ln.Close()
	}
	if len(taken) > 0 {
		return p, fmt.Errorf("%w\nEnd what listens there (ss -ltnp shows it; perhaps another demo), or take free ports: make demo ARGS=-anywhere", errors.Join(taken...))
	}
	return p, nil
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// copyConfig copies the configuration to a folder of its own, with its ports.
func (s *Stage) copyConfig(p ports) (err error) {
	if s.temp, err = os.MkdirTemp("", "sluice-stage-"); err != nil {
		return err
	}
	config := filepath.Join(s.temp, "demo", "config")
	if err := os.MkdirAll(config, 0o700); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(s.options.Config, "*.yaml"))
	if err != nil {
		return err
	}
	replace := strings.NewReplacer(loopback(WebPort), loopback(p.web), loopback(PostgresPort), loopback(p.gateway), loopback(ServerPort), loopback(p.server))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(config, filepath.Base(f)), []byte(replace.Replace(string(b))), 0o600); err != nil {
			return err
		}
	}
	s.Config, s.Data = config, filepath.Join(s.temp, "demo-data")
	if s.options.Extra == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(config, "extra.yaml"), []byte(replace.Replace(s.options.Extra)), 0o600)
}

// load makes the shop.
func load(server *pgserver.Server) error {
	account := fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s';\nCREATE DATABASE shop;", upstreamUser, upstreamPassword)
	if _, err := server.SQL("postgres", account); err != nil {
		return err
	}
	_, err := server.SQL("shop", "SET TIME ZONE 'UTC';\n"+shop)
	return err
}

// Start runs the gateway; Set has done so already. It is for those who ended it
// with [Stage.Kill].
func (s *Stage) Start() error {
	p, err := start(s.options.Binary, s.Config, s.options.Log)
	if err != nil {
		return err
	}
	s.run = p
	return p.ready(s.Web)
}

// Kill ends the gateway as kill -9 does, and waits until it is gone.
func (s *Stage) Kill() { s.run.end(syscall.SIGKILL) }

// Ended is closed when the gateway's process has ended.
func (s *Stage) Ended() <-chan struct{} { return s.run.ended }

// Strike ends the gateway in order, then the server, and removes what Copy made.
func (s *Stage) Strike() {
	if s.run != nil {
		s.run.end(syscall.SIGTERM)
	}
	if s.Server != nil {
		s.Server.Stop()
	}
	if s.temp != "" {
		os.RemoveAll(s.temp)
	}
}

// A process is a running gateway.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	tail  *tail
}

func start(binary, config string, log io.Writer) (*process, error) {
	p := &process{cmd: exec.Command(binary, "serve", "-c", config), ended: make(chan struct{}), tail: &tail{to: log}}
	p.cmd.Stdout, p.cmd.Stderr = p.tail, p.tail
	p.cmd.Env = pgserver.CleanEnv()
	p.cmd.SysProcAttr = attributes()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w (make build)", binary, err)
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// readyDeadline is generous: the parser's first start compiles nothing, but a
// busy machine may be slow to run it.
const readyDeadline = 60 * time.Second

// ready waits until the gateway says that it serves.
func (p *process) ready(web string) error {
	client := http.Client{Timeout: time.Second}
	for deadline := time.Now().Add(readyDeadline); time.Now().Before(deadline); {
		if r, err := client.Get("http://" + web + "/readyz"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-p.ended:
			return fmt.Errorf("sluice serve ended:\n%s", p.tail)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("sluice serve is not ready after %v:\n%s", readyDeadline, p.tail)
}

func (p *process) end(sig syscall.Signal) {
	p.cmd.Process.Signal(sig)
	<-p.ended
}
