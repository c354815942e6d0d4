package server

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sluice/access"
	"sluice/policy"
	"sluice/protocol"
	"sluice/protocol/postgres"
	"sluice/query/catalog"
)

// onlineTime bounds looking at one resource.
const onlineTime = 30 * time.Second

// CheckOnline connects to each resource of a valid configuration with its own
// credential and warns of what can only be seen there: accounts that may do more
// than they should, columns that the resource's Classification does not mention,
// classified columns that do not exist. A resource that cannot be reached is a
// warning too.
func CheckOnline(ctx context.Context, path string) []string {
	cfg, set, err := loadWhole(path)
	if err != nil {
		return []string{err.Error()}
	}
	var warnings []string
	for _, r := range cfg.Resources {
		for _, w := range lookAt(ctx, set, r.Name, func(ctx context.Context) (protocol.Target, error) { return target(ctx, cfg, r.Name) }) {
			warnings = append(warnings, r.Pos.Problemf("resource %q: %s", r.Name, w).String())
		}
	}
	return warnings
}

func lookAt(ctx context.Context, set *policy.Set, name string, find func(context.Context) (protocol.Target, error)) (warnings []string) {
	ctx, cancel := context.WithTimeout(ctx, onlineTime)
	defer cancel()
	t, err := find(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	seen, err := (&postgres.Server{Now: time.Now}).Look(ctx, t)
	if err != nil {
		return []string{"cannot be looked at: " + err.Error()}
	}
	warnings = append(warnings, seen.Account.Warnings()...)
	classes := set.Classification(name)
	if open := unclassified(classes, seen.Snapshot); len(open) > 0 {
		warnings = append(warnings, fmt.Sprintf("%s in no Classification: %s (sluice scan --new %s)", plural(len(open), "column stands", "columns stand"), names(open), name))
	}
	for _, p := range classes.Missing(columnsOf(seen.Snapshot)) {
		warnings = append(warnings, fmt.Sprintf("its Classification names %s, and there is no such column in database %s", p, t.Resource.Database))
	}
	return append(warnings, looserParents(classes, seen.Snapshot)...)
}

// looserParents names columns whose tags a parent lacks: reading the parent
// shows the child's rows under the parent's tags.
func looserParents(classes *policy.Classification, snap *catalog.Snapshot) (warnings []string) {
	snap.Relations(func(r *catalog.Relation) bool {
		for _, oid := range r.Parents {
			for _, c := range r.Columns {
				p := snap.Relation(oid)
				if p == nil || p.Column(c.Name) == nil {
					continue
				}
				own, above := classes.Tags(r.Schema, r.Name, c.Name), classes.Tags(p.Schema, p.Name, c.Name)
				if i := slices.IndexFunc(own, func(tag string) bool { return !slices.Contains(above, tag) }); i >= 0 {
					warnings = append(warnings, fmt.Sprintf("%s.%s.%s has the tag %s and %s.%s.%s has not: who reads the parent sees it untagged", r.Schema, r.Name, c.Name, own[i], p.Schema, p.Name, c.Name))
				}
			}
		}
		return true
	})
	slices.Sort(warnings)
	return warnings
}

// columnsOf lists every column that is not the server's own.
func columnsOf(snap *catalog.Snapshot) []access.ColumnID {
	var all []access.ColumnID
	snap.Relations(func(r *catalog.Relation) bool {
		for _, c := range r.Columns {
			if !r.System {
				all = append(all, access.ColumnID{Schema: r.Schema, Table: r.Name, Column: c.Name})
			}
		}
		return true
	})
	return all
}
