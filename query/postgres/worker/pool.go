package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	query "sluice/query/postgres"
)

// Options configure a [Pool]. Zero fields take the defaults.
type Options struct {
	Exe     string        // the binary whose parse-worker command is [Main]; default: this one
	N       int           // children; default: one a core
	Timeout time.Duration // for one text; default 2 s
	Log     *slog.Logger  // default: silent
}

// A Pool keeps parse-workers; it implements [query.Parser]. Safe for
// concurrent use.
type Pool struct {
	opts Options
	line line
	wait sync.WaitGroup
}

var (
	_ query.Parser = (*Pool)(nil)

	// ErrClosed is returned once the pool is closed.
	ErrClosed = errors.New("parse-worker: pool is closed")
)

// NewPool starts the children; it fails if the first does not answer.
func NewPool(o Options) (*Pool, error) {
	if o.Exe == "" {
		exe, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("parse-worker: %w", err)
		}
		o.Exe = exe
	}
	if o.N == 0 {
		o.N = runtime.NumCPU()
	}
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Pool{opts: o}
	p.line.init()
	for range o.N {
		p.wait.Go(p.run)
	}
	if _, err := p.Parse(context.Background(), "", "SELECT 1"); err != nil {
		p.Close()
		return nil, fmt.Errorf("parse-worker: the first text failed: %w", err)
	}
	return p, nil
}

// Close ends the children. What waits fails with ErrClosed.
func (p *Pool) Close() error {
	p.line.close()
	p.wait.Wait()
	return nil
}

// Parse implements [query.Parser].
func (p *Pool) Parse(ctx context.Context, subject, text string) ([]byte, error) {
	return p.ask(ctx, subject, kindParse, []byte(text))
}

// Deparse implements [query.Parser].
func (p *Pool) Deparse(ctx context.Context, subject string, tree []byte) (string, error) {
	text, err := p.ask(ctx, subject, kindDeparse, tree)
	return string(text), err
}

func (p *Pool) ask(ctx context.Context, subject string, kind byte, body []byte) ([]byte, error) {
	if len(body) > maxRequest {
		return nil, fmt.Errorf("%w: %d bytes", query.ErrHostile, len(body))
	}
	j := &job{ctx: ctx, kind: kind, body: body, done: make(chan struct{})}
	if !p.line.put(subject, j) {
		return nil, ErrClosed
	}
	select {
	case <-j.done:
		return j.result, j.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run is one child's keeper: it takes jobs in turn and replaces the child when
// it fails.
func (p *Pool) run() {
	var c *child
	defer func() { c.stop() }()
	for {
		j := p.line.take()
		if j == nil {
			return
		}
		if j.ctx.Err() == nil {
			c = p.carryOut(c, j)
		}
		close(j.done)
	}
}

// carryOut runs a job, a second time in a fresh child if the first one was
// lost: only then it is known to be the text's fault.
func (p *Pool) carryOut(c *child, j *job) *child {
	for try := range 2 {
		if c == nil {
			var err error
			if c, err = p.start(); err != nil {
				j.err = fmt.Errorf("parse-worker: start: %w", err)
				return nil
			}
		}
		kind, body, err := c.ask(j.kind, j.body, p.opts.Timeout)
		if err == nil {
			j.result, j.err = outcome(kind, body)
			return c
		}
		p.opts.Log.Warn("parse-worker lost", "error", err, "bytes", len(j.body), "again", try == 0)
		c.stop()
		c = nil
		j.err = fmt.Errorf("%w: %w", query.ErrHostile, err)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil // a stall costs the full time; once is enough
		}
	}
	return c
}

func outcome(kind byte, body []byte) ([]byte, error) {
	switch kind {
	case kindResult:
		return body, nil
	case kindSyntax:
		position, message, err := parseSyntax(body)
		if err != nil {
			return nil, err
		}
		return nil, &query.SyntaxError{Message: message, Position: position}
	case kindFailed:
		return nil, fmt.Errorf("%w: %s", query.ErrHostile, body)
	}
	return nil, errFrame
}

// complaints logs the beginning of what a child says on its standard error: what
// could not be confined, or how it died.
type complaints struct {
	log  *slog.Logger
	said int
}

// Write logs; it never fails.
func (c *complaints) Write(b []byte) (int, error) {
	const enough = 1 << 10 // bytes
	if show := b[:min(len(b), max(enough-c.said, 0))]; len(show) > 0 {
		c.log.Warn("parse-worker", "says", string(show))
	}
	c.said += len(b)
	return len(b), nil
}

// A child is one process; nil is none.
type child struct {
	cmd *exec.Cmd
	in  *os.File
	out *os.File
}

func (p *Pool) start() (*child, error) {
	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		childIn.Close()
		in.Close()
		return nil, err
	}
	cmd := exec.Command(p.opts.Exe, Command)
	cmd.Env = []string{}
	cmd.Stdin, cmd.Stdout = childIn, childOut
	cmd.Stderr = &complaints{log: p.opts.Log}
	cmd.Dir = "/"
	err = cmd.Start()
	childIn.Close()
	childOut.Close()
	if err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	return &child{cmd, in, out}, nil
}

// ask sends one request and waits for its answer, at most for timeout.
func (c *child) ask(kind byte, body []byte, timeout time.Duration) (byte, []byte, error) {
	deadline := time.Now().Add(timeout)
	c.in.SetWriteDeadline(deadline)
	c.out.SetReadDeadline(deadline)
	if err := writeFrame(c.in, kind, body); err != nil {
		return 0, nil, err
	}
	return readFrame(c.out, maxAnswer)
}

func (c *child) stop() {
	if c == nil {
		return
	}
	c.cmd.Process.Kill()
	c.cmd.Wait()
	c.in.Close()
	c.out.Close()
}
