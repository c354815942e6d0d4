package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/pgserver"
)

// A pgbench is one of pgbench's workloads at a number of clients.
type pgbench struct {
	script string // builtin: select-only, tpcb-like
	mode   string // protocol: simple, extended, prepared
	n      int    // clients
}

func (b pgbench) name() string {
	if b.script == "select-only" {
		return "select-" + b.mode
	}
	return "tpcb-" + b.mode
}

func (b pgbench) clients() int { return b.n }

// statements in one transaction: tpcb-like has BEGIN, three UPDATEs, a SELECT,
// an INSERT and END.
func (b pgbench) statements() int {
	if b.script == "select-only" {
		return 1
	}
	return 7
}

func (b pgbench) fits(*peer) bool { return true }

// run lets pgbench warm up first: every connection has a server process of its
// own, which needs thousands of statements until it has touched what it works on.
func (b pgbench) run(s *stage, p *peer, tls bool, begin func(int) error) (r result, err error) {
	logs, err := os.MkdirTemp(s.dir, "latency-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(logs)
	cmd := pgbenchCommand(p.port, p.login, tls, "-n", "-b", b.script, "-M", b.mode, "-c", strconv.Itoa(b.n), "-j", strconv.Itoa(min(b.n, s.threads)),
		"-T", strconv.Itoa(s.warmup+s.seconds), "-l", "--log-prefix", filepath.Join(logs, "log"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return r, err
	}
	time.Sleep(time.Duration(s.warmup) * time.Second)
	start := time.Now()
	began := begin(cmd.Process.Pid)
	if err := cmd.Wait(); err != nil {
		return r, fmt.Errorf("pgbench: %w: %s", err, stderr.Bytes())
	}
	if began != nil {
		return r, began
	}
	took, end, err := readLatencies(logs, start)
	if err != nil {
		return r, err
	}
	return result{
		Operations: int64(len(took) * b.statements()), Seconds: end.Sub(start).Seconds(),
		P10: quantile(took, 0.10), P50: quantile(took, 0.50), P99: quantile(took, 0.99),
		Client: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
	}, nil
}

func pgbenchCommand(port int, who login, tls bool, args ...string) *exec.Cmd {
	cmd := exec.Command(pgserver.Program("pgbench"), append(args, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-U", who.user, who.dbname)...)
	mode := "disable"
	if tls {
		mode = "require"
	}
	cmd.Env = append(pgserver.CleanEnv(), "PGPASSWORD="+who.password, "PGSSLMODE="+mode, "PGGSSENCMODE=disable")
	cmd.SysProcAttr = attributes()
	return cmd
}

// readLatencies returns the latencies in microseconds, sorted, of transactions
// that ended behind start, and when the last one did, from pgbench's logs: one
// file a thread.
func readLatencies(dir string, start time.Time) (took []float64, end time.Time, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "log.*"))
	if err != nil {
		return nil, end, err
	}
	for _, name := range files {
		if took, end, err = readLog(name, start, took, end); err != nil {
			return nil, end, err
		}
	}
	if len(took) == 0 {
		return nil, end, fmt.Errorf("pgbench: no transaction was logged")
	}
	slices.Sort(took)
	return took, end, nil
}

// readLog appends the latencies of a log, whose lines are: client, number,
// latency, script, and when it ended in seconds and microseconds.
func readLog(name string, start time.Time, took []float64, end time.Time) ([]float64, time.Time, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, end, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		us, at, err := parseLog(lines.Text())
		if err != nil {
			return nil, end, fmt.Errorf("pgbench: %s: odd line %q", name, lines.Text())
		}
		if at.Before(start) {
			continue
		}
		took = append(took, us)
		if at.After(end) {
			end = at
		}
	}
	return took, end, lines.Err()
}

func parseLog(line string) (us float64, at time.Time, err error) {
	fields := strings.Fields(line)
	if len(fields) < 6 {
		return 0, at, errors.New("too few fields")
	}
	us, err = strconv.ParseFloat(fields[2], 64)
	sec, err2 := strconv.ParseInt(fields[4], 10, 64)
	micro, err3 := strconv.ParseInt(fields[5], 10, 64)
	return us, time.Unix(sec, micro*1000), errors.Join(err, err2, err3)
}
