package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

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

func (b pgbench) run(s *stage, p *peer, tls bool) (r result, err error) {
	logs, err := os.MkdirTemp(s.dir, "latency-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(logs)
	cmd := pgbenchCommand(p.port, p.login, tls, "-n", "-b", b.script, "-M", b.mode, "-c", strconv.Itoa(b.n), "-j", strconv.Itoa(min(b.n, s.threads)),
		"-T", strconv.Itoa(s.seconds), "-l", "--log-prefix", filepath.Join(logs, "log"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("pgbench: %w: %s", err, stderr.Bytes())
	}
	tps, err := parseTPS(string(out))
	if err != nil {
		return r, err
	}
	took, err := readLatencies(logs)
	if err != nil {
		return r, err
	}
	n := int64(len(took))
	return result{
		Operations: n * int64(b.statements()), Seconds: float64(n) / tps,
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

// parseTPS reads "tps = 1234.5 (without initial connection time)" from
// pgbench's summary.
func parseTPS(out string) (float64, error) {
	for line := range strings.Lines(out) {
		rest, ok := strings.CutPrefix(line, "tps = ")
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(rest, " ")
		return strconv.ParseFloat(number, 64)
	}
	return 0, fmt.Errorf("pgbench: no tps in %q", out)
}

// readLatencies returns every transaction's latency in microseconds, sorted,
// from pgbench's logs: one file a thread.
func readLatencies(dir string) ([]float64, error) {
	files, err := filepath.Glob(filepath.Join(dir, "log.*"))
	if err != nil {
		return nil, err
	}
	var took []float64
	for _, name := range files {
		if took, err = readLog(name, took); err != nil {
			return nil, err
		}
	}
	if len(took) == 0 {
		return nil, fmt.Errorf("pgbench: no transaction was logged")
	}
	slices.Sort(took)
	return took, nil
}

// readLog appends the latencies of a log, whose lines are: client, number,
// latency, script, seconds, microseconds.
func readLog(name string, took []float64) ([]float64, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 {
			return nil, fmt.Errorf("pgbench: %s: odd line %q", name, lines.Text())
		}
		us, err := strconv.ParseFloat(fields[2], 64)
		if err != nil {
			return nil, fmt.Errorf("pgbench: %s: odd line %q", name, lines.Text())
		}
		took = append(took, us)
	}
	return took, lines.Err()
}
