package pipeline

import (
	"sync"
	"time"

	"sluice/access"
)

// A Meter counts what each subject does at each resource, for rules such as
// rate("statements", "1m") > 120. Safe for concurrent use. It keeps seconds for
// a minute, minutes for an hour and hours for a day: a window is answered in
// the finest unit that reaches that far, so it is never shorter than asked and
// at most one unit longer. Windows beyond a day count as a day.
//
// The zero Meter is ready to use.
type Meter struct {
	mu      sync.Mutex
	tallies map[meterKey]*tally
}

type meterKey struct{ issuer, subject, resource string }

// NewMeter returns an empty meter.
func NewMeter() *Meter { return &Meter{} }

// maxTallies bounds the meter's memory; beyond it idle tallies are dropped.
const maxTallies = 100_000

func (m *Meter) tally(s access.Subject, resource string, now time.Time) *tally {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := meterKey{s.Issuer, s.ID, resource}
	t := m.tallies[k]
	if t == nil {
		if len(m.tallies) >= maxTallies {
			m.forget(now)
		}
		t = &tally{}
		if m.tallies == nil {
			m.tallies = map[meterKey]*tally{}
		}
		m.tallies[k] = t
	}
	return t
}

func (m *Meter) forget(now time.Time) {
	for k, t := range m.tallies {
		if t.idle(now) {
			delete(m.tallies, k)
		}
	}
}

// The kinds of event that a meter counts.
const (
	countStatements = iota
	countReads
	countWrites
	countAdmin
	countDenied
	countRows
	countKinds
)

var countNames = map[string]int{
	"statements": countStatements, "reads": countReads, "writes": countWrites,
	"admin": countAdmin, "denied": countDenied, "rows": countRows,
}

var units = [...]struct {
	seconds int64
	slots   int
}{{1, 61}, {60, 61}, {3600, 25}}

type tally struct {
	mu    sync.Mutex
	last  int64
	rings [countKinds][len(units)]ring
}

// A ring counts per unit of time; slot i holds the unit at[i].
type ring struct {
	n  []int64
	at []int64
}

func (r *ring) add(unit int64, slots int, n int64) {
	if r.n == nil {
		r.n, r.at = make([]int64, slots), make([]int64, slots)
	}
	i := int(unit % int64(slots))
	if r.at[i] != unit {
		r.at[i], r.n[i] = unit, 0
	}
	r.n[i] += n
}

func (r *ring) sum(from, to int64) (total int64) {
	for i, at := range r.at {
		if at >= from && at <= to {
			total += r.n[i]
		}
	}
	return total
}

func (t *tally) add(kind int, n int64, now time.Time) {
	sec := now.Unix()
	t.mu.Lock()
	t.last = sec
	for i, u := range units {
		t.rings[kind][i].add(sec/u.seconds, u.slots, n)
	}
	t.mu.Unlock()
}

func (t *tally) idle(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return now.Unix()-t.last > 24*3600
}

func (t *tally) count(kind int, window time.Duration, now time.Time) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	secs := int64((window + time.Second - 1) / time.Second)
	for i, u := range units {
		n := (secs + u.seconds - 1) / u.seconds
		if n < int64(u.slots) || i == len(units)-1 {
			to := now.Unix() / u.seconds
			return t.rings[kind][i].sum(to-n+1, to)
		}
	}
	return 0
}

// counts is a tally at one moment; it implements access.Counts.
type counts struct {
	t   *tally
	now time.Time
}

// Count returns 0 for a kind that nothing counts; policy refuses such names at load.
func (c *counts) Count(kind string, window time.Duration) int64 {
	k, ok := countNames[kind]
	if !ok {
		return 0
	}
	return c.t.count(k, window, c.now)
}
