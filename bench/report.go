package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// results are all runs, by cell.
type results struct {
	Machine   string
	CPUs      int
	Started   time.Time
	SyncUS    float64 // one fsync in the data folder, median
	Rounds    int
	Warmup    int // seconds
	HugePages bool
	Seconds   int
	Rows      int
	Rules     int
	Mask      string
	Absent    []string          // peers left out, with the reason
	Cells     []*runs           // in the order of their first run
	Costs     []cost            // of the gateway itself
	Failures  map[string]string // by cell

	index map[cell]*runs
}

// runs are one cell's.
type runs struct {
	cell
	Runs   []result
	Median result
}

func newResults(s *stage) *results {
	host, _ := os.Hostname() // only a label
	return &results{
		Machine: fmt.Sprintf("%s %s/%s %s", host, runtime.GOOS, runtime.GOARCH, runtime.Version()), CPUs: runtime.NumCPU(), Started: time.Now().UTC(),
		SyncUS: micros(s.sync), Rounds: s.rounds, Seconds: s.seconds, Warmup: s.warmup, HugePages: s.huge, Rows: s.rows, Rules: s.rules, Mask: s.maskWith, Absent: s.absent,
		Failures: map[string]string{}, index: map[cell]*runs{},
	}
}

func (a *results) add(c cell, r result) {
	of := a.index[c]
	if of == nil {
		of = &runs{cell: c}
		a.index[c] = of
		a.Cells = append(a.Cells, of)
	}
	of.Runs = append(of.Runs, r)
	of.Median = medians(of.Runs)
}

func (a *results) fail(c cell, err error) { a.Failures[c.String()] = err.Error() }

// medians takes the median of every number. Operations are set so that rate
// and CPU an operation are the medians of those, not quotients of medians.
func medians(rs []result) (m result) {
	of := func(f func(result) float64) float64 {
		var v []float64
		for _, r := range rs {
			v = append(v, f(r))
		}
		return median(v)
	}
	const unit = 1_000_000
	cpu := func(part func(result) time.Duration) time.Duration {
		return time.Duration(of(func(r result) float64 { return r.each(part(r)) }) * float64(time.Microsecond) * unit)
	}
	return result{
		Operations: unit, Seconds: unit / of(result.rate), Bytes: int64(of(func(r result) float64 { return float64(r.Bytes) * unit / float64(r.Operations) })),
		P10: of(func(r result) float64 { return r.P10 }), P50: of(func(r result) float64 { return r.P50 }), P99: of(func(r result) float64 { return r.P99 }),
		Client: cpu(func(r result) time.Duration { return r.Client }), Proxy: cpu(func(r result) time.Duration { return r.Proxy }),
		Server: cpu(func(r result) time.Duration { return r.Server }), Foreign: of(func(r result) float64 { return r.Foreign }),
	}
}

// write saves everything as JSON. An empty name saves nothing.
func (a *results) write(name string) error {
	if name == "" {
		return nil
	}
	b, err := json.MarshalIndent(a, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}

// markdown prints everything as a page.
func (a *results) markdown(w io.Writer) {
	fmt.Fprintf(w, "# Sluice, PgBouncer, a bare TCP relay and the server itself\n\n")
	fmt.Fprintf(w, "%s; %d CPUs, %s.\n", a.Machine, a.CPUs, a.Started.Format(time.DateOnly))
	for _, reason := range a.Absent {
		fmt.Fprintf(w, "\nLeft out: %s\n", reason)
	}
	a.compared(w)
	a.costTable(w)
	if len(a.Failures) > 0 {
		fmt.Fprintf(w, "\n## Failed\n\n")
		for _, name := range slices.Sorted(mapKeys(a.Failures)) {
			fmt.Fprintf(w, "- %s: %s\n", name, strings.TrimSpace(a.Failures[name]))
		}
	}
}

// compared prints a table for each workload and number of clients.
func (a *results) compared(w io.Writer) {
	if len(a.Cells) == 0 {
		return
	}
	fmt.Fprintf(w, "\nMedians over %d interleaved rounds of %d s behind %d s of warm-up, the server %s huge pages (the large table: %d rows). Sluice: %d rules, masks with %q, journal durable. One fsync in the data folder takes %.0f us.\n",
		a.Rounds, a.Seconds, a.Warmup, map[bool]string{true: "in", false: "without"}[a.HugePages], a.Rows, a.Rules, a.Mask, a.SyncUS)
	fmt.Fprintf(w, "\nCPU is microseconds a statement (a row, in the large table's). Capacity: CPU of client and server when direct without TLS, by CPU of client, proxy and server. Foreign: what other processes took of the machine.\n")
	for _, t := range a.tables() {
		t.print(w)
	}
}

func mapKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// A table is what is compared with each other.
type table struct {
	title   string
	rows    []*runs
	capBase *runs // direct without TLS, same statements; nil: none
	rate    map[string]*runs
	bulk    bool
}

// tables groups the cells: a number of clients of a workload each; masked
// readings of the large table beside the plain one.
func (a *results) tables() (all []*table) {
	byTitle := map[string]*table{}
	for _, c := range a.Cells {
		base, masked, _ := strings.Cut(c.Workload, "-masked")
		title := fmt.Sprintf("%s, %d clients", base, c.Clients)
		if c.Clients == 1 {
			title = base + ", 1 client"
		}
		t := byTitle[title]
		if t == nil {
			t = &table{title: title, rate: map[string]*runs{}, bulk: strings.HasPrefix(base, "bulk")}
			byTitle[title] = t
			all = append(all, t)
		}
		t.rows = append(t.rows, c)
		if masked != "" {
			continue
		}
		if c.Peer == "direct" && !c.TLS {
			t.capBase = c
		}
		t.rate[way{&peer{name: c.Peer}, c.TLS}.String()] = c
	}
	for _, t := range all {
		slices.SortStableFunc(t.rows, compareRows)
	}
	return all
}

// String is the peer's name with its TLS.
func (w way) String() string {
	if w.tls {
		return w.name + "+tls"
	}
	return w.name
}

var peerOrder = []string{"direct", "relay", "pgbouncer", "sluice"}

func compareRows(a, b *runs) int {
	rank := func(r *runs) int {
		n := slices.Index(peerOrder, r.Peer)*100 + len(r.Workload) + int(r.Workload[len(r.Workload)-1])%10
		if r.TLS {
			n += 1000
		}
		return n
	}
	return rank(a) - rank(b)
}

func (t *table) print(w io.Writer) {
	unit, latency := "statements/s", "p10/p50/p99 us"
	if t.bulk {
		unit, latency = "rows/s", "first row us"
	}
	fmt.Fprintf(w, "\n## %s\n\n", t.title)
	fmt.Fprintf(w, "| way | %s | of relay | of pgbouncer | %s | CPU client | proxy | server | capacity | foreign |\n", unit, latency)
	fmt.Fprintf(w, "|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range t.rows {
		m := r.Median
		fmt.Fprintf(w, "| %s | %.0f | %s | %s | %s | %.2f | %.2f | %.2f | %s | %.0f%% |\n",
			t.label(r), m.rate(), t.share(r, "relay"), t.share(r, "pgbouncer"), t.latency(m),
			m.each(m.Client), m.each(m.Proxy), m.each(m.Server), t.capacity(m), 100*m.Foreign)
	}
}

func (t *table) label(r *runs) string {
	name := way{&peer{name: r.Peer}, r.TLS}.String()
	if _, columns, ok := strings.Cut(r.Workload, "-masked"); ok {
		name += ", " + columns + " masked"
	}
	return name
}

func (t *table) latency(m result) string {
	if t.bulk {
		return fmt.Sprintf("%.0f", m.P50)
	}
	return fmt.Sprintf("%.0f/%.0f/%.0f", m.P10, m.P50, m.P99)
}

// share is the rate as a part of the named peer's with the same TLS.
func (t *table) share(r *runs, peerName string) string {
	other := t.rate[way{&peer{name: peerName}, r.TLS}.String()]
	if other == nil {
		return ""
	}
	return ratio(r.Median.rate() / other.Median.rate())
}

func (t *table) capacity(m result) string {
	if t.capBase == nil {
		return ""
	}
	d := t.capBase.Median
	return ratio((d.each(d.Client) + d.each(d.Server)) / m.each(m.total()))
}

func ratio(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return ""
	}
	return fmt.Sprintf("%.2f", f)
}
