package server

import (
	"cmp"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"sluice/access"
	"sluice/policy"
	"sluice/protocol/postgres"
	"sluice/query/catalog"
)

// A lookout takes up what looks at databases find: columns that nobody has
// classified, and accounts that may do more than they should. Each is said
// once. Safe for concurrent use.
type lookout struct {
	log *slog.Logger
	set func() *policy.Set

	mu       sync.Mutex
	accounts map[string]bool // resource and user, once looked at
	known    map[string]*sighting
}

// A sighting is what the last look at one database found.
type sighting struct {
	version, digest string // of catalog and policy
	open            []access.ColumnID
}

// seen is called after every look.
func (l *lookout) seen(x postgres.Seen) {
	l.account(x)
	set := l.set()
	key := x.Resource.Name + "/" + x.Resource.Database
	l.mu.Lock()
	last := l.known[key]
	l.mu.Unlock()
	if x.Snapshot == nil || last != nil && last.version == x.Snapshot.Version() && last.digest == set.Digest() {
		return
	}
	next := &sighting{x.Snapshot.Version(), set.Digest(), unclassified(set.Classification(x.Resource.Name), x.Snapshot)}
	l.mu.Lock()
	if l.known == nil {
		l.known = map[string]*sighting{}
	}
	l.known[key] = next
	l.mu.Unlock()
	if fresh := news(last, next.open); len(fresh) > 0 {
		l.log.Warn("columns that no Classification mentions", "resource", x.Resource.Name, "database", x.Resource.Database,
			"columns", len(next.open), "new", names(fresh), "next", "sluice scan --new "+x.Resource.Name)
	}
}

func (l *lookout) account(x postgres.Seen) {
	if x.Account == nil {
		return
	}
	key := x.Resource.Name + "\x00" + x.Account.User
	l.mu.Lock()
	first := !l.accounts[key]
	if l.accounts == nil {
		l.accounts = map[string]bool{}
	}
	l.accounts[key] = true
	l.mu.Unlock()
	if !first {
		return
	}
	for _, w := range x.Account.Warnings() {
		l.log.Warn("the gateway's own account can do too much", "resource", x.Resource.Name, "account", w)
	}
}

// open counts the unclassified columns of every database seen.
func (l *lookout) open() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, s := range l.known {
		n += len(s.open)
	}
	return float64(n)
}

// news lists what was not open the last time.
func news(last *sighting, open []access.ColumnID) []access.ColumnID {
	if last == nil {
		return open
	}
	return slices.DeleteFunc(slices.Clone(open), func(c access.ColumnID) bool {
		_, found := slices.BinarySearchFunc(last.open, c, byColumn)
		return found
	})
}

// names writes a few of them.
func names(columns []access.ColumnID) string {
	const few = 5
	var all []string
	for _, c := range columns[:min(few, len(columns))] {
		all = append(all, c.String())
	}
	if len(columns) > few {
		all = append(all, "...")
	}
	return strings.Join(all, ", ")
}

func byColumn(a, b access.ColumnID) int {
	return cmp.Or(cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Table, b.Table), cmp.Compare(a.Column, b.Column))
}

// unclassified lists the columns of tables that a Classification does not
// mention, in order. Without a Classification there are none.
func unclassified(c *policy.Classification, snap *catalog.Snapshot) []access.ColumnID {
	if c == nil || snap == nil {
		return nil
	}
	var open []access.ColumnID
	for _, id := range userColumns(snap) {
		if !c.Known(id.Schema, id.Table, id.Column) {
			open = append(open, id)
		}
	}
	return open
}

// userColumns lists the columns that hold data of their own, in order: what
// views and partitions show is another table's.
func userColumns(snap *catalog.Snapshot) []access.ColumnID {
	var all []access.ColumnID
	snap.Relations(func(r *catalog.Relation) bool {
		if !r.System && !r.Derived() {
			for _, col := range r.Columns {
				all = append(all, access.ColumnID{Schema: r.Schema, Table: r.Name, Column: col.Name})
			}
		}
		return true
	})
	slices.SortFunc(all, byColumn)
	return all
}
