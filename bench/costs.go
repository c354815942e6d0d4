package main

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A cost is one number of what the gateway does for itself, without clients,
// server and disk: measured by the Go benchmarks beside the code.
type cost struct {
	What  string
	Value float64
	Unit  string // as the report says it
}

// A costKind says which number of which benchmark is reported, and how.
type costKind struct {
	benchmark string // without "Benchmark" and the number of processors
	metric    string // of the benchmark's line
	scale     float64
	what      string
	unit      string
}

const (
	perStatement = "us a statement"
	perCore      = "rows/s a core"
)

// costKinds are the lines of the report, in order.
var costKinds = []costKind{
	{"Statement/unrestricted/cached", "ns/op", 1e-3, "statement, same text again, no restrictive rule", perStatement},
	{"Statement/unrestricted/constants", "ns/op", 1e-3, "statement, other constants each time, no restrictive rule", perStatement},
	{"Statement/unrestricted/new", "ns/op", 1e-3, "statement, new each time, no restrictive rule", perStatement},
	{"Statement/restricted/cached", "ns/op", 1e-3, "statement, same text again, masks and hidden tables", perStatement},
	{"Statement/restricted/constants", "ns/op", 1e-3, "statement, other constants each time, masks and hidden tables", perStatement},
	{"Statement/restricted/new", "ns/op", 1e-3, "statement, new each time, masks and hidden tables", perStatement},
	{"MaskedRows/none", "Mrows/s/core", 1e6, "rows passed on, no column masked", perCore},
	{"MaskedRows/one", "Mrows/s/core", 1e6, "rows, one column masked", perCore},
	{"MaskedRows/five", "Mrows/s/core", 1e6, "rows, five columns masked", perCore},
	{"MaskedRows/five_hashes", "Mrows/s/core", 1e6, "rows, five columns hashed with a key", perCore},
	{"Catalog/full", "ns/op", 1e-6, "catalog, read whole", "ms"},
	{"Catalog/full", "relations", 1, "catalog, relations in it", "relations"},
	{"Catalog/full", "MB/snapshot", 1, "catalog, memory", "MB"},
	{"Catalog/unchanged", "ns/op", 1e-6, "catalog, a look after writes that changed nothing in it", "ms"},
	{"Catalog/idle", "ns/op", 1e-6, "catalog, a look when nothing was written", "ms"},
}

// costRows is how many rows each of the masking benchmarks masks.
const costRows = 1_000_000

// A costRun is one call of go test: benchmarks that take the same time.
type costRun struct{ benchmarks, time string }

func (o *options) costRuns() []costRun {
	statements, catalog := "1s", "5x"
	if o.short {
		statements, catalog = "100ms", "2x"
	}
	return []costRun{{"^BenchmarkStatement$", statements}, {"^BenchmarkMaskedRows$", strconv.Itoa(costRows) + "x"}, {"^BenchmarkCatalog$", catalog}}
}

// costs runs the benchmarks of the package that has them. short makes the
// catalog small: ten thousand tables take longer to make than to read.
func (o *options) costs(stop <-chan os.Signal) (all []cost, err error) {
	found := map[string]map[string]float64{}
	for _, r := range o.costRuns() {
		progress("costs: %s", r.benchmarks)
		args := []string{"test", "./protocol/postgres", "-run", "^$", "-bench", r.benchmarks, "-benchtime", r.time, "-timeout", "30m"}
		if o.short {
			args = append(args, "-short")
		}
		out, err := command(stop, cmp.Or(os.Getenv("GO"), "go"), args...)
		if err != nil {
			return nil, fmt.Errorf("bench: %s: %w: %s", r.benchmarks, err, out)
		}
		for name, metrics := range parseBenchmarks(bytes.NewReader(out)) {
			found[name] = metrics
		}
	}
	return costsOf(found)
}

// command runs a program until it ends or somebody wants no more.
func command(stop <-chan os.Signal, name string, args ...string) ([]byte, error) {
	var out bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &out, &out, attributes()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		return out.Bytes(), err
	case <-stop:
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // go test and what it runs; it may have ended
		<-done
		return nil, errStopped
	}
}

// costsOf picks the reported numbers. One that is missing is an error: a
// benchmark was renamed, and nobody would notice.
func costsOf(found map[string]map[string]float64) (all []cost, err error) {
	for _, k := range costKinds {
		v, ok := found[k.benchmark][k.metric]
		if !ok {
			return nil, fmt.Errorf("bench: no %s of Benchmark%s", k.metric, k.benchmark)
		}
		all = append(all, cost{k.what, v * k.scale, k.unit})
	}
	return all, nil
}

// parseBenchmarks reads what go test prints: by benchmark, its metrics.
func parseBenchmarks(r io.Reader) map[string]map[string]float64 {
	all := map[string]map[string]float64{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name = name[:i]
		}
		metrics := map[string]float64{}
		for i := 2; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				metrics[fields[i+1]] = v
			}
		}
		all[name] = metrics
	}
	return all
}

// costTable prints the costs, and beside them what a row of the large table cost
// the gateway in earnest, network included.
func (a *results) costTable(w io.Writer) {
	costs := a.Costs
	for _, c := range a.Cells {
		if c.Peer == "sluice" && !c.TLS && strings.HasPrefix(c.Workload, "bulk-") && c.measurable() {
			costs = append(costs, cost{"the large table through the gateway: " + bulkWords(c.Workload), 1e6 / c.Median.each(c.Median.Proxy), perCore})
		}
	}
	if len(costs) == 0 {
		return
	}
	fmt.Fprintf(w, "\n## What the gateway itself costs\n\n")
	fmt.Fprintf(w, "A statement: from its text to the text that is forwarded, with analysis, decision and both records, without network and disk. Rows: a million of eight columns, 155 bytes each, from the server's buffer into the client's.\n\n")
	fmt.Fprintf(w, "| what | cost |\n|---|---|\n")
	for _, c := range costs {
		fmt.Fprintf(w, "| %s | %s %s |\n", c.What, figures(c.Value), c.Unit)
	}
}

// measurable reports whether the gateway's CPU clock, which ticks a hundred times a
// second, has gone far enough to divide by.
func (r *runs) measurable() bool {
	var all time.Duration
	for _, one := range r.Runs {
		all += one.Proxy
	}
	return all >= 30*tick
}

// bulkWords says a reading of the large table: bulk-copy-masked5.
func bulkWords(workload string) string {
	base, masked, _ := strings.Cut(strings.TrimPrefix(workload, "bulk-"), "-masked")
	switch masked {
	case "":
		return strings.ToUpper(base) + ", plain"
	case "1":
		return strings.ToUpper(base) + ", one column masked"
	}
	return strings.ToUpper(base) + ", " + masked + " columns masked"
}

// figures writes a number with as many digits as it is worth.
func figures(v float64) string {
	switch {
	case v >= 1000:
		return thousands(strconv.FormatFloat(v, 'f', 0, 64))
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// thousands puts commas into digits.
func thousands(digits string) string {
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}
