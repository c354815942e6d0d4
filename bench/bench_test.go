package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary be its own children, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "relay" || os.Args[1] == "fetch") {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestParseStat(t *testing.T) {
	s, err := parseStat([]byte("42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 30 20 20 0 1 0\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := (procStat{42, 7, 2 * time.Second, 500 * time.Millisecond}); s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
	for _, bad := range []string{"", "42", "42 (x) S 1", "x (y) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 30 20", "42 (x) S a 42 42 0 -1 4194560 1 2 3 4 150 50 30 20 1"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestSumTree(t *testing.T) {
	stats := []procStat{{1, 0, 100, 100}, {5, 1, 10, 3}, {6, 5, 4, 0}, {7, 6, 1, 0}, {8, 1, 50, 0}}
	got, err := sumTree(stats, 5)
	if err != nil || got != 18 {
		t.Errorf("got %v, %v, want 18", got, err)
	}
	if _, err := sumTree(stats, 9); err == nil {
		t.Error("a process that is gone has no error")
	}
}

// TestTreeCPU burns time and finds it in its own account.
func TestTreeCPU(t *testing.T) {
	before, err := treeCPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for after := before; after < before+3*tick; {
		for i := range 1_000_000 {
			_ = math.Sqrt(float64(i))
		}
		if after, err = treeCPU(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	busy, err := busyCPU()
	if err != nil || busy < before {
		t.Errorf("the machine used %v, this process alone %v, %v", busy, before, err)
	}
	if got, err := treeCPU(0); got != 0 || err != nil {
		t.Errorf("no proxy used %v, %v", got, err)
	}
}

func TestForeign(t *testing.T) {
	u := usage{Client: time.Second, Proxy: time.Second, Server: time.Second, Busy: 4 * time.Second}
	if got := u.foreign(2*time.Second, 2); got != 0.25 {
		t.Errorf("got %v", got)
	}
	u.Busy = time.Second // clocks of different grain
	if got := u.foreign(2*time.Second, 2); got != 0 {
		t.Errorf("got %v", got)
	}
}

func TestMedianAndQuantile(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{{[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5}, {[]float64{7}, 7}} {
		if got := median(c.in); got != c.want {
			t.Errorf("median of %v is %v", c.in, got)
		}
	}
	if !math.IsNaN(median(nil)) || !math.IsNaN(quantile(nil, 0.5)) {
		t.Error("nothing has a median")
	}
	ten := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for q, want := range map[float64]float64{0: 1, 0.1: 1, 0.5: 5, 0.99: 10, 1: 10} {
		if got := quantile(ten, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}

// TestReadLatencies reads what pgbench logged behind the warm-up.
func TestReadLatencies(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "log.1"), "0 1 7 0 1700000000 5\n0 2 300 0 1700000001 5\n1 1 100 0 1700000003 9\n")
	write(t, filepath.Join(dir, "log.1.1"), "2 1 200 0 1700000002 5\n")
	got, end, err := readLatencies(dir, time.Unix(1700000001, 0))
	if err != nil || len(got) != 3 || got[0] != 100 || got[2] != 300 || !end.Equal(time.Unix(1700000003, 9000)) {
		t.Errorf("got %v until %v, %v", got, end, err)
	}
	if _, _, err := readLatencies(dir, time.Unix(1700000004, 0)); err == nil {
		t.Error("all of it was warm-up, no error")
	}
	write(t, filepath.Join(dir, "log.2"), "2 1 skipped 0 1700000002 5\n")
	if _, _, err := readLatencies(dir, time.Unix(1700000001, 0)); err == nil {
		t.Error("an odd line was accepted")
	}
}

func TestReserveHugePages(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nr_hugepages")
	write(t, file, "3\n")
	reserved, restore := reserveHugePages(file, 4)
	if n, err := readNumber(file); !reserved || n != 7 || err != nil {
		t.Errorf("reserved %v: %d, %v", reserved, n, err)
	}
	restore()
	if n, _ := readNumber(file); n != 3 {
		t.Errorf("%d given back", n)
	}
	if reserved, restore := reserveHugePages(filepath.Join(t.TempDir(), "none"), 4); reserved || restore == nil {
		t.Error("reserved from nothing")
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func message(kind byte, body string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))
	return append(b, body...)
}

func TestDrain(t *testing.T) {
	stream := bytes.Join([][]byte{
		message('T', "description"), message('D', telltale+" and "+telltale), message('D', telltale),
		message('D', strings.Repeat("x", 3*readBuffer)), message('C', "SELECT 3"), message('Z', "I"), message('D', "not ours"),
	}, nil)
	var got fetched
	if err := drain(bytes.NewReader(stream), &got, time.Now()); err != nil {
		t.Fatal(err)
	}
	if got.Rows != 3 || got.Telltales != 2 || got.Bytes != int64(len(stream)-len(message('D', "not ours"))) {
		t.Errorf("got %+v", got)
	}
	if err := drain(bytes.NewReader(message('E', "SERROR\x00")), &got, time.Now()); err == nil || !strings.Contains(err.Error(), "SERROR") {
		t.Errorf("an error message gave %v", err)
	}
	if err := drain(bytes.NewReader(stream[:20]), &got, time.Now()); err == nil {
		t.Error("a cut stream gave no error")
	}
}

func TestOptions(t *testing.T) {
	o, err := parseOptions([]string{"-short", "-rows", "7", "-clients", "2,3"})
	if err != nil {
		t.Fatal(err)
	}
	if o.rounds != 1 || o.seconds != 1 || o.rows != 7 || len(o.clients) != 2 || !o.wants("sluice") || o.wants("nginx") {
		t.Errorf("got %+v", o)
	}
	for _, bad := range [][]string{{"-clients", "0"}, {"-costs", "some"}, {"-peers", "rely"}, {"-clients", "x"}, {"-rounds", "0"}, {"-only", "("}, {"left"}, {"-nope"}} {
		if _, err := parseOptions(bad); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}

func TestPolicies(t *testing.T) {
	for _, dynamic := range []bool{false, true} {
		s := &stage{options: options{rules: 100, maskWith: "hash", dynamic: dynamic}}
		text := s.policies()
		if n := strings.Count(text, "{id: "); n != 100 {
			t.Errorf("%d rules", n)
		}
		if strings.Contains(text, "rate(") != dynamic {
			t.Error("the dynamic rule is there when it should not, or not when it should")
		}
		if n := strings.Count(text, "mask: {with: hash}"); n != 1+len(maskedColumns) {
			t.Errorf("%d masks", n)
		}
	}
}

func TestReport(t *testing.T) {
	a := newResults(&stage{options: options{rounds: 3, seconds: 5, rules: 100, maskWith: "partial"}, absent: []string{"pgbouncer: not installed"}})
	us := func(n int) time.Duration { return time.Duration(n) * time.Microsecond }
	run := func(rate float64, client, proxy, server int) result {
		return result{Operations: 1000, Seconds: 1000 / rate, P10: 1, P50: 2, P99: 3, Client: us(1000 * client), Proxy: us(1000 * proxy), Server: us(1000 * server)}
	}
	direct, relay := cell{"select-simple", 8, "direct", false}, cell{"select-simple", 8, "relay", false}
	for _, rate := range []float64{1000, 9000, 2000} {
		a.add(relay, run(rate, 20, 20, 40))
	}
	a.add(direct, run(4000, 20, 0, 40))
	a.add(cell{"bulk-copy", 1, "sluice", true}, run(5, 1, 1, 1))
	a.add(cell{"bulk-copy-masked5", 1, "sluice", true}, run(4, 1, 1, 1))
	long := run(4, 1, 2, 1)
	long.Operations, long.Seconds, long.Client, long.Proxy, long.Server = 1000*long.Operations, 1000*long.Seconds, 1000*long.Client, 1000*long.Proxy, 1000*long.Server
	a.add(cell{"bulk-copy-masked1", 1, "sluice", false}, long)
	a.add(cell{"bulk-select", 1, "sluice", false}, run(4, 1, 2, 1)) // too short to tell
	a.Costs = []cost{{"statement, same text again", 5.4321, perStatement}, {"rows", 9_876_543.2, perCore}}
	a.fail(direct, errors.New("it broke"))
	var out strings.Builder
	a.markdown(&out)
	for _, want := range []string{
		"| direct | 4000 | 2.00 |  | 1/2/3 | 20.00 | 0.00 | 40.00 | 1.00 |",
		"| relay | 2000 | 1.00 |  | 1/2/3 | 20.00 | 20.00 | 40.00 | 0.75 |",
		"## select-simple, 8 clients", "## bulk-copy, 1 client", "sluice+tls, 5 masked", "Left out: pgbouncer: not installed", "- select-simple/8/direct: it broke",
		"| statement, same text again | 5.43 us a statement |", "| rows | 9,876,543 rows/s a core |", "| the large table through the gateway: COPY, one column masked | 500,000 rows/s a core |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "gateway: SELECT, plain") {
		t.Error("a cost of two ticks is reported")
	}
	if strings.Index(out.String(), "| direct |") > strings.Index(out.String(), "| relay |") {
		t.Error("direct does not come first")
	}
	name := filepath.Join(t.TempDir(), "r.json")
	if err := a.write(name); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(name); err != nil || !bytes.Contains(b, []byte(`"Workload": "bulk-copy-masked5"`)) {
		t.Errorf("%s, %v", b, err)
	}
}

// TestCosts runs the benchmarks for a moment: each number of the report must be
// found in what they print.
func TestCosts(t *testing.T) {
	t.Chdir("..")
	found := map[string]map[string]float64{}
	out, err := command(nil, "go", "test", "./protocol/postgres", "-run", "^$", "-bench", "^Benchmark(Statement|MaskedRows|Catalog)$", "-benchtime", "1x", "-short")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, metrics := range parseBenchmarks(bytes.NewReader(out)) {
		found[name] = metrics
	}
	all, err := costsOf(found)
	if err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	for i, c := range all {
		if c.Value <= 0 || c.Unit == "" {
			t.Errorf("%s: %v %s", costKinds[i].benchmark, c.Value, c.Unit)
		}
	}
	delete(found, "MaskedRows/one")
	if _, err := costsOf(found); err == nil {
		t.Error("a benchmark that is gone has no error")
	}
}

func TestCommandStops(t *testing.T) {
	stop := make(chan os.Signal, 1)
	stop <- os.Interrupt
	if _, err := command(stop, "sleep", "1000"); !errors.Is(err, errStopped) {
		t.Errorf("got %v", err)
	}
}

// TestRealServer measures a small stage: PostgreSQL, direct and through the
// relay, with and without TLS.
func TestRealServer(t *testing.T) {
	o, err := parseOptions([]string{"-short", "-rows", "2000", "-scale", "1", "-clients", "2", "-peers", "relay", "-strict",
		"-data", t.TempDir(), "-only", "select-prepared|tpcb-simple/2/relay$|bulk"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := setStage(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.strike()
	all := newResults(s)
	if err := s.measure(all, nil); err != nil {
		t.Fatal(err)
	}
	for name, why := range all.Failures {
		t.Errorf("%s: %s", name, why)
	}
	if len(all.Cells) != 4+1+2*4 {
		t.Errorf("%d cells", len(all.Cells))
	}
	for _, c := range all.Cells {
		if m := c.Median; m.P50 <= 0 || m.Seconds <= 0 || strings.HasPrefix(c.Workload, "select") && (m.Client <= 0 || m.Server <= 0 || c.Peer == "relay" && m.Proxy <= 0) {
			t.Errorf("%v: %+v", c.cell, m)
		}
	}
	s.only = regexp.MustCompile("select-prepaid")
	if err := s.measure(all, nil); err == nil {
		t.Error("a run of nothing passes")
	}
	masked := bulk{masked: 1}
	if _, err := masked.run(s, &peer{port: s.server.Port, masked: map[int]login{1: s.direct()}}, false, func(int) error { return nil }); err == nil {
		t.Error("values in clear pass for masked ones")
	}
}
