package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// A child is a peer's process.
type child struct {
	cmd    *exec.Cmd
	log    string // its standard error and output
	exited chan struct{}
}

// startChild runs argv with its output in a file of dir and returns when addr
// accepts connections.
func startChild(dir, name, addr string, account *syscall.Credential, env []string, argv ...string) (*child, error) {
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := &child{cmd: exec.Command(argv[0], argv[1:]...), log: log.Name(), exited: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = log, log
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.SysProcAttr = attributes()
	c.cmd.SysProcAttr.Credential = account
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		c.cmd.Wait() // how it ended stands in its log
		close(c.exited)
	}()
	if err := c.ready(addr); err != nil {
		c.stop()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

const (
	startDeadline = 60 * time.Second
	stopDeadline  = 10 * time.Second
)

func (c *child) ready(addr string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startDeadline)
	defer cancel()
	var d net.Dialer
	for {
		if conn, err := d.DialContext(ctx, "tcp", addr); err == nil {
			return conn.Close()
		}
		select {
		case <-c.exited:
			said, _ := os.ReadFile(c.log)
			return fmt.Errorf("ended at its start: %s", said)
		case <-ctx.Done():
			return fmt.Errorf("does not listen at %s", addr)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop asks the process to end, and ends it if it does not.
func (c *child) stop() {
	c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-time.After(stopDeadline):
		c.cmd.Process.Kill()
		<-c.exited
	}
}
