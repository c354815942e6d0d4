package postgres

import (
	"sync"
	"sync/atomic"
	"time"

	"sluice/access"
	"sluice/pipeline"
	query "sluice/query/postgres"
)

// A prepared is what a statement name stands for: from Parse or from PREPARE.
type prepared struct {
	st     *query.Statement // nil: the empty query
	types  []uint32         // declared parameter types
	text   string           // as forwarded
	source string           // as the client wrote it
	env    *query.Env       // that st was judged in
	opaque bool             // perhaps defined where the gateway could not see it
	// canonical is true if text is what the deparse of what was judged says.
	canonical bool
}

// A portal is a bound statement, or a cursor that SQL declared.
type portal struct {
	def    *prepared
	judged *query.Statement // what the permit is for: behind EXECUTE and FETCH, the statement that they run
	refers referent         // what its EXECUTE or FETCH named when it was judged
	permit *pipeline.Permit // nil for a declared cursor: FETCH is asked about each time
	cur    result           // over several Executes; readUpstream's
	asked  bool             // the upstream is asked what its columns are
	copy   *copyTo          // for COPY TO STDOUT under obligations
	ran    atomic.Bool      // an Execute was forwarded
	// counted is true if the number of rows that it changes is limited.
	counted bool
}

func newPortal(def *prepared, p *pipeline.Permit, now time.Time) *portal {
	po := &portal{def: def, judged: def.st, permit: p}
	po.cur.began = now
	if len(p.Decision.Obligations) > 0 {
		po.cur.limit(p)
		po.counted = po.cur.hold != nil
	}
	return po
}

type space uint8

const (
	statements space = iota
	portals
	spaces
)

// A change is a name that gets a new meaning once the upstream confirms the
// message that carries it. It is nil for a Close, and with all set clears the
// whole space.
type change struct {
	segment uint64
	owner   *entry
	index   int // of the statement within a Query
	space   space
	name    string
	stmt    *prepared
	portal  *portal
	all     bool
}

// nameLimit is how many bytes of a name the server looks at (NAMEDATALEN - 1).
const nameLimit = 63

// key is a name as the server compares it.
func key(name string) string {
	if len(name) > nameLimit {
		return name[:nameLimit]
	}
	return name
}

// Names tracks what statement and portal names mean. The truth is upstream: a
// Parse may fail or be skipped behind an earlier error, and then the name keeps
// its old meaning. So a name has a confirmed meaning, changed only when the
// upstream's answer has been seen, and a list of pending changes in the order
// in which they were forwarded.
//
// Within one segment (up to a Sync) the newest pending change is what counts:
// if it fails, everything behind it is skipped as well. Across segments it is
// not, and lookup then waits until the change is settled. Deciding on the wrong
// meaning would be a bypass.
type names struct {
	mu      sync.Mutex
	settled sync.Cond
	stmts   map[string]*prepared
	portals map[string]*portal
	pending []change // in the order forwarded
	base    []change // the array behind pending, from its beginning
	// waiting counts the pending changes of each name, so that a long pipeline
	// is not searched for a name that is not in it.
	waiting map[nameKey]int
	closed  bool
}

// A nameKey is a name in its space; of a change to all names, the empty one
// with all set.
type nameKey struct {
	space space
	all   bool
	name  string
}

func (c *change) key() nameKey {
	if c.all {
		return nameKey{space: c.space, all: true}
	}
	return nameKey{space: c.space, name: c.name}
}

func newNames() *names {
	n := &names{stmts: map[string]*prepared{}, portals: map[string]*portal{}, waiting: map[nameKey]int{}}
	n.settled.L = &n.mu
	return n
}

// add notes changes that are about to be forwarded.
func (n *names) add(cs ...change) {
	if len(cs) == 0 {
		return
	}
	for i := range cs {
		cs[i].name = key(cs[i].name)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.pending) == 0 {
		n.pending = n.base[:0]
	}
	n.pending = append(n.pending, cs...)
	if len(n.pending) == len(cs) {
		n.base = n.pending
	}
	for i := range cs {
		n.waiting[cs[i].key()]++
	}
}

// find returns the pending change that decides about name, searching ahead
// (not yet forwarded) before pending, newest first.
func (n *names) find(sp space, name string, ahead []change) *change {
	lists := [2][]change{ahead, n.pending}
	if n.waiting[nameKey{space: sp, name: name}]+n.waiting[nameKey{space: sp, all: true}] == 0 {
		lists[1] = nil
	}
	for _, list := range lists {
		for i := len(list) - 1; i >= 0; i-- {
			c := &list[i]
			if c.space == sp && (c.all || key(c.name) == name) {
				return c
			}
		}
	}
	return nil
}

// wait blocks while the deciding change belongs to an earlier segment. flush
// must have sent everything, or the answer would never come.
func (n *names) wait(sp space, name string, segment uint64, ahead []change, flush func() error) (*change, error) {
	flushed := false
	for {
		c := n.find(sp, name, ahead)
		if c == nil || c.segment == segment || n.closed {
			return c, nil
		}
		if !flushed {
			n.mu.Unlock()
			err := flush()
			n.mu.Lock()
			if err != nil {
				return nil, err
			}
			flushed = true
			continue
		}
		n.settled.Wait()
	}
}

// statement returns what a statement name means to the message being read; nil
// if it means nothing.
func (n *names) statement(name string, segment uint64, ahead []change, flush func() error) (*prepared, error) {
	name = key(name)
	n.mu.Lock()
	defer n.mu.Unlock()
	c, err := n.wait(statements, name, segment, ahead, flush)
	if err != nil {
		return nil, err
	}
	if c != nil {
		return c.stmt, nil
	}
	return n.stmts[name], nil
}

// portal returns what a portal name means to the message being read.
func (n *names) portal(name string, segment uint64, ahead []change, flush func() error) (*portal, error) {
	name = key(name)
	n.mu.Lock()
	defer n.mu.Unlock()
	c, err := n.wait(portals, name, segment, ahead, flush)
	if err != nil {
		return nil, err
	}
	if c != nil {
		return c.portal, nil
	}
	return n.portals[name], nil
}

// A fate is what became of a message.
type fate uint8

const (
	confirmed      fate = iota
	failedUpstream      // it ran, and an error ended it
	skippedByError      // it did not run: an error came before it
)

// settle takes the pending changes of owner up to and including statement
// index off the list and, if they were confirmed, makes them the meaning.
func (n *names) settle(owner *entry, index int, f fate) (dropped []*portal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := 0
	for i < len(n.pending) && n.pending[i].owner == owner && n.pending[i].index <= index {
		// What the server does before it can fail (index -1) has happened.
		if f == confirmed || f == failedUpstream && n.pending[i].index < 0 {
			dropped = n.apply(&n.pending[i], dropped)
		} else if p := n.pending[i].portal; p != nil {
			dropped = append(dropped, p)
		}
		n.forget(&n.pending[i])
		i++
	}
	if i > 0 {
		n.pending = n.pending[i:]
		n.settled.Broadcast()
	}
	return dropped
}

// forget takes a settled change out of the count.
func (n *names) forget(c *change) {
	k := c.key()
	if n.waiting[k]--; n.waiting[k] == 0 {
		delete(n.waiting, k)
	}
	*c = change{} // the array outlives it
}

func (n *names) apply(c *change, dropped []*portal) []*portal {
	switch {
	case c.space == statements && c.all:
		clear(n.stmts)
	case c.space == statements && c.stmt == nil:
		delete(n.stmts, c.name)
	case c.space == statements:
		n.stmts[c.name] = c.stmt
	case c.all:
		for _, p := range n.portals {
			dropped = append(dropped, p)
		}
		clear(n.portals)
	default:
		if old := n.portals[c.name]; old != nil {
			dropped = append(dropped, old)
		}
		if c.portal == nil {
			delete(n.portals, c.name)
		} else {
			n.portals[c.name] = c.portal
		}
	}
	return dropped
}

// endTransaction drops every portal: none outlives the transaction. (A cursor
// WITH HOLD does; it is kept, as a declared one.)
func (n *names) endTransaction() (dropped []*portal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, p := range n.portals {
		if p.permit != nil {
			dropped = append(dropped, p)
			delete(n.portals, name)
		}
	}
	return dropped
}

// taint marks every confirmed statement as possibly redefined: code that the
// gateway cannot look into has run and may have used PREPARE or DEALLOCATE.
func (n *names) taint() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, p := range n.stmts {
		q := *p
		q.opaque = true
		n.stmts[name] = &q
	}
}

// stop lets nobody wait any longer.
func (n *names) stop() {
	n.mu.Lock()
	n.closed = true
	n.settled.Broadcast()
	n.mu.Unlock()
}

// close returns the portals that are left.
func (n *names) close() (dropped []*portal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.portals {
		dropped = append(dropped, p)
	}
	for i := range n.pending {
		if p := n.pending[i].portal; p != nil {
			dropped = append(dropped, p)
		}
	}
	clear(n.portals)
	n.pending = nil
	return dropped
}

// finishUnused reports portals that were bound and never executed.
func finishUnused(dropped []*portal) {
	for _, p := range dropped {
		if p.permit != nil && !p.ran.Load() {
			p.permit.Done(access.Outcome{NotRun: true})
		}
	}
}
