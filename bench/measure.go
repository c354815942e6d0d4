package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// A workload is what one run does.
type workload interface {
	name() string
	clients() int
	fits(p *peer) bool // whether the peer can do it
	// run calls begin with its client's process, 0 if it has none of its own yet,
	// when what is measured begins.
	run(s *stage, p *peer, tls bool, begin func(client int) error) (result, error)
}

// A result is one run, or the medians of several.
type result struct {
	Operations    int64   // statements or rows
	Seconds       float64 // elapsed
	Bytes         int64   // of result; 0: not counted
	P10, P50, P99 float64 // latency of a transaction, or of the first row, microseconds

	Client, Proxy, Server time.Duration // CPU; the client's is all it used until it is set against what it had at the beginning
	Foreign               float64       // share of the machine that others used
}

// rate is operations a second.
func (r result) rate() float64 { return float64(r.Operations) / r.Seconds }

// each is CPU time divided by operations, in microseconds.
func (r result) each(d time.Duration) float64 { return micros(d) / float64(r.Operations) }

func (r result) total() time.Duration { return r.Client + r.Proxy + r.Server }

// A cell names a run: the workload and the way to the server.
type cell struct {
	Workload string
	Clients  int
	Peer     string
	TLS      bool
}

func (c cell) String() string {
	s := fmt.Sprintf("%s/%d/%s", c.Workload, c.Clients, c.Peer)
	if c.TLS {
		s += "+tls"
	}
	return s
}

func (s *stage) workloads() (all []workload) {
	if s.scale > 0 {
		for _, n := range s.clients {
			for _, mode := range []string{"simple", "extended", "prepared"} {
				all = append(all, pgbench{"select-only", mode, n})
			}
			all = append(all, pgbench{"tpcb-like", "simple", n}, pgbench{"tpcb-like", "prepared", n})
		}
	}
	if s.rows > 0 {
		for _, copy := range []bool{false, true} {
			for _, masked := range []int{0, 1, len(maskedColumns)} {
				all = append(all, bulk{copy, masked})
			}
		}
	}
	return all
}

// A way is a peer with or without TLS.
type way struct {
	*peer
	tls bool
}

func (s *stage) ways() (all []way) {
	for _, p := range s.peers {
		all = append(all, way{p, false}, way{p, true})
	}
	return all
}

// errStopped says that the user wants no more.
var errStopped = errors.New("stopped")

// measure runs every cell once a round. Cells of one workload follow each
// other, so that what is compared is close in time; each round begins with
// another way.
func (s *stage) measure(all *results, stop <-chan os.Signal) error {
	ways := s.ways()
	if !s.anything(ways) {
		return fmt.Errorf("bench: -only %s: no cell is called so", s.only)
	}
	for round := range s.rounds {
		for _, w := range s.workloads() {
			for i := range ways {
				select {
				case <-stop:
					return errStopped
				default:
				}
				way := ways[(i+round*3)%len(ways)]
				c := cell{w.name(), w.clients(), way.name, way.tls}
				if !w.fits(way.peer) || !s.only.MatchString(c.String()) {
					continue
				}
				s.cell(all, c, w, way, round)
			}
		}
	}
	return nil
}

// anything reports whether any cell is wanted.
func (s *stage) anything(ways []way) bool {
	for _, w := range s.workloads() {
		for _, way := range ways {
			if w.fits(way.peer) && s.only.MatchString(cell{w.name(), w.clients(), way.name, way.tls}.String()) {
				return true
			}
		}
	}
	return false
}

// cell runs one cell; a failure is a result too.
func (s *stage) cell(all *results, c cell, w workload, way way, round int) {
	stop := s.startProfile(way.peer, c, round)
	r, err := s.once(w, way)
	stop()
	if err != nil {
		progress("round %d %s: %v", round+1, c, err)
		all.fail(c, err)
		return
	}
	progress("round %d %-34s %10.0f/s  p50 %7.0f us  cpu/op us: client %.2f proxy %.2f server %.2f  foreign %.0f%%",
		round+1, c, r.rate(), r.P50, r.each(r.Client), r.each(r.Proxy), r.each(r.Server), 100*r.Foreign)
	all.add(c, r)
}

// settle is how long ended backends get to be waited for by the postmaster,
// which is when their CPU time counts.
const settle = 150 * time.Millisecond

func (s *stage) once(w workload, way way) (r result, err error) {
	var before usage
	var start time.Time
	begin := func(client int) (err error) {
		start = time.Now()
		before, err = snapshot(s.server.PID, way.pid(), client)
		return err
	}
	if r, err = w.run(s, way.peer, way.tls, begin); err != nil {
		return r, err
	}
	time.Sleep(settle)
	elapsed := time.Since(start)
	after, err := snapshot(s.server.PID, way.pid(), 0)
	if err != nil {
		return r, err
	}
	after.Client = r.Client
	used := after.minus(before)
	r.Client, r.Proxy, r.Server = used.Client, used.Proxy, used.Server
	r.Foreign = used.foreign(elapsed, runtime.NumCPU())
	return r, nil
}

// startProfile fetches a profile of Sluice while the cell runs, in the last
// round only. The returned function waits for it.
func (s *stage) startProfile(p *peer, c cell, round int) (wait func()) {
	if p.pprof == "" || round < s.rounds-1 {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.fetchProfile(p, c); err != nil {
			progress("profile of %s: %v", c, err)
		}
	}()
	return func() { <-done }
}

func (s *stage) fetchProfile(p *peer, c cell) (err error) {
	seconds := max(s.seconds-1, 1)
	response, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", p.pprof, seconds))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	if err := os.MkdirAll(s.profile, 0o755); err != nil {
		return err
	}
	name := strings.NewReplacer("/", "-", "+", "-").Replace(c.String()) + ".pprof"
	f, err := os.Create(filepath.Join(s.profile, name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, response.Body)
	return err
}
