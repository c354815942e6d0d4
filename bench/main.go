package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is the harness, or one of its children.
func run(args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "relay":
			return relayMain(args[1:])
		case "fetch":
			return fetchMain()
		}
	}
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	all, err := o.measured(stop)
	if all == nil {
		return err
	}
	all.markdown(os.Stdout)
	return errors.Join(err, all.write(o.json))
}

// measured compares the peers and measures the costs, or one of both. What was
// measured before an error is worth printing; nil: nothing was.
func (o *options) measured(stop <-chan os.Signal) (all *results, err error) {
	all = newResults(&stage{options: *o})
	if o.costsMode != onlyCosts {
		if all, err = o.compared(stop); err != nil {
			return all, err
		}
	}
	if o.costsMode != withoutCosts {
		all.Costs, err = o.costs(stop)
	}
	return all, err
}

func (o *options) compared(stop <-chan os.Signal) (*results, error) {
	s, err := setStage(*o)
	if err != nil {
		return nil, err
	}
	defer s.strike()
	all := newResults(s)
	return all, s.measure(all, stop)
}

// What -costs may say.
const (
	withCosts    = "with"
	onlyCosts    = "only"
	withoutCosts = "without"
)

// options are the flags.
type options struct {
	rounds, seconds, warmup, scale, rows, rules, threads int
	clients                                              []int
	only                                                 *regexp.Regexp
	peerNames                                            []string
	sluice, data, json, profile, maskWith                string
	costsMode                                            string
	keep, dynamic, strict, short                         bool
}

func parseOptions(args []string) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&o.rounds, "rounds", 3, "rounds; medians are over them")
	f.IntVar(&o.seconds, "seconds", 5, "length of what is measured of each pgbench run")
	f.IntVar(&o.warmup, "warmup", 3, "seconds that each pgbench runs before them")
	f.IntVar(&o.scale, "scale", 20, "pgbench's scale factor")
	f.IntVar(&o.rows, "rows", 5_000_000, "rows of the large table")
	f.IntVar(&o.rules, "rules", 100, "rules in Sluice's policy")
	f.IntVar(&o.threads, "threads", 1, "pgbench's threads")
	clients := f.String("clients", "1,8,32", "numbers of clients")
	only := f.String("only", "", "run only cells whose WORKLOAD/CLIENTS/PEER[+tls] matches the regular expression")
	peers := f.String("peers", "relay,pgbouncer,sluice", "peers beside direct")
	f.BoolVar(&o.short, "short", false, "a quick look: one round, one second, 8 clients, 200000 rows, a catalog of 1000 tables")
	f.StringVar(&o.costsMode, "costs", withCosts, "the gateway's own costs: with, without, or only (nothing is compared then)")
	f.StringVar(&o.sluice, "sluice", filepath.Join("bin", "sluice"), "Sluice's binary")
	f.StringVar(&o.data, "data", "", "folder for configuration, logs and journal; default: a temporary one in bench")
	f.StringVar(&o.json, "json", filepath.Join("bench", "results.json"), "file for everything measured; empty: none")
	f.StringVar(&o.profile, "profile", "", "folder for CPU profiles of Sluice, one a cell")
	f.StringVar(&o.maskWith, "mask", "partial", "how columns are masked")
	f.BoolVar(&o.dynamic, "dynamic", false, "add a rule on rates, which must be evaluated for every statement")
	f.BoolVar(&o.keep, "keep", false, "keep the folder")
	f.BoolVar(&o.strict, "strict", false, "fail if a peer cannot be started")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.short {
		shorten(&o, f, clients)
	}
	o.peerNames = strings.Split(*peers, ",")
	for _, name := range o.peerNames {
		if name != "" && !slices.Contains(peerOrder, name) {
			return o, fmt.Errorf("-peers: there is no %q", name)
		}
	}
	if o.clients, err = numbers(*clients); err != nil {
		return o, fmt.Errorf("-clients: %w", err)
	}
	if o.rounds < 1 || o.seconds < 1 || o.warmup < 0 || o.threads < 1 || o.scale < 0 || o.rows < 0 {
		return o, fmt.Errorf("numbers must be positive")
	}
	if !slices.Contains([]string{withCosts, onlyCosts, withoutCosts}, o.costsMode) {
		return o, fmt.Errorf("-costs: %q is none of with, without, only", o.costsMode)
	}
	o.only, err = regexp.Compile(*only)
	return o, err
}

// shorten sets what -short stands for, except what was given.
func shorten(o *options, f *flag.FlagSet, clients *string) {
	given := map[string]bool{}
	f.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for name, set := range map[string]func(){
		"rounds": func() { o.rounds = 1 }, "seconds": func() { o.seconds = 1 }, "warmup": func() { o.warmup = 1 }, "rows": func() { o.rows = 200_000 },
		"scale": func() { o.scale = 2 }, "clients": func() { *clients = "8" },
	} {
		if !given[name] {
			set()
		}
	}
}

func numbers(list string) (ns []int, err error) {
	for _, s := range strings.Split(list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no positive number", s)
		}
		ns = append(ns, n)
	}
	return ns, nil
}

func (o *options) wants(name string) bool { return slices.Contains(o.peerNames, name) }

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
