package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sluice/internal/pgserver"
	"sluice/suites/relay"
)

// cutAt is the longest write of the relays on the path "cut": short enough to
// split the five-byte header of a message from its body.
const cutAt = 7

// A gateway is what stands on a path before the server: a running sluice, relays
// around it, both or neither.
type gateway struct {
	target target
	cmd    *exec.Cmd // nil: no sluice
	exited chan error
	relays []*relay.Relay
}

// gatewayConfig lets one subject do everything, as the bootstrap superuser. A
// database is a resource, so each that the suites connect to is one.
const gatewayConfig = `apiVersion: sluice/v1
kind: Gateway
metadata: {name: suites}
spec:
  data: ./data
  listen: {web: "127.0.0.1:%d", postgres: "127.0.0.1:%d"}
  tls: auto
---
apiVersion: sluice/v1
kind: User
metadata: {name: %s}
spec: {groups: [suites], password: {env: SUITES_PASSWORD}}
---
apiVersion: sluice/v1
kind: Policy
metadata: {name: suites}
spec:
  rules:
  - {id: everything, match: {groups: [suites]}, effect: allow}
`

const gatewayResource = `---
apiVersion: sluice/v1
kind: Resource
metadata: {name: %s}
spec:
  protocol: postgres
  address: %q
  database: %[1]s
  tls: {mode: verify-full, ca: %[4]s}
  credential: {user: %[3]s, password: {env: SUITES_UPSTREAM}}
`

// databases are those that the suites connect to.
var databases = []string{"postgres", "regression", "isolation_regression", "pgx_test"}

// open sets up the path of that name to the server.
func (r *runner) open(path string) (g *gateway, err error) {
	g = &gateway{exited: make(chan error, 1)}
	defer func() {
		if err != nil {
			g.stop()
		}
	}()
	cut, sluice := path == "cut" || path == "relay", path == "sluice" || path == "cut"
	addr := r.server.Addr
	if cut {
		if addr, err = g.relay(addr); err != nil {
			return nil, err
		}
	}
	if sluice {
		if addr, err = g.sluice(r, addr); err != nil {
			return nil, err
		}
	}
	if cut {
		if addr, err = g.relay(addr); err != nil {
			return nil, err
		}
	}
	g.target = r.server.target()
	g.target.slow = cut
	g.target.host, g.target.port, err = net.SplitHostPort(addr)
	return g, err
}

// sluice builds the gateway and starts it before upstream.
func (g *gateway) sluice(r *runner, upstream string) (addr string, err error) {
	bin := filepath.Join(r.work, "sluice")
	build := exec.Command("go", "build", "-o", bin, "./cmd/sluice")
	build.Dir, build.Stderr = r.root, os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("go build: %w", err)
	}
	return g.serve(r, bin, upstream)
}

func (g *gateway) relay(to string) (addr string, err error) {
	rel, err := relay.Start(to, cutAt)
	if err != nil {
		return "", err
	}
	g.relays = append(g.relays, rel)
	return rel.Addr, nil
}

// serve starts the binary on free ports and waits until it listens.
func (g *gateway) serve(r *runner, bin, upstream string) (addr string, err error) {
	dir, err := os.MkdirTemp(r.work, "gateway-")
	if err != nil {
		return "", err
	}
	web, err := pgserver.FreePort()
	if err != nil {
		return "", err
	}
	port, err := pgserver.FreePort()
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf(gatewayConfig, web, port, r.server.User)
	for _, d := range databases {
		text += fmt.Sprintf(gatewayResource, d, upstream, r.server.User, r.server.CAFile)
	}
	config := filepath.Join(dir, "sluice.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return "", err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return "", err
	}
	defer log.Close()
	g.cmd = exec.Command(bin, "serve", "-c", config)
	g.cmd.Stdout, g.cmd.Stderr = log, log
	g.cmd.Env = append(pgserver.CleanEnv(), "SUITES_PASSWORD="+r.server.Password, "SUITES_UPSTREAM="+r.server.Password)
	g.cmd.SysProcAttr = attributes()
	if err := g.cmd.Start(); err != nil {
		return "", err
	}
	go func() { g.exited <- g.cmd.Wait() }()
	addr = "127.0.0.1:" + strconv.Itoa(port)
	return addr, g.wait(addr, log.Name())
}

// wait polls until the gateway accepts connections.
func (g *gateway) wait(addr, log string) error {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			return c.Close()
		}
		select {
		case err := <-g.exited:
			g.cmd = nil
			text, _ := os.ReadFile(log)
			return fmt.Errorf("sluice serve: %w: %s", errors.Join(err, errors.New("it ended")), strings.TrimSpace(string(text)))
		default:
		}
	}
	return errors.New("sluice serve: it does not listen")
}

// stop ends relays and gateway.
func (g *gateway) stop() {
	for _, r := range g.relays {
		r.Close()
	}
	if g.cmd != nil {
		g.cmd.Process.Signal(syscall.SIGTERM)
		<-g.exited
	}
}
