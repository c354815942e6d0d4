package policy

import (
	"cmp"
	"slices"
	"strings"

	"sluice/access"
)

// obligations collects what every rule that holds demands, strictest first:
// masks in order of column, then one limit, one record and the channels.
func (j *judgement) obligations() []access.Obligation {
	var (
		out   []access.Obligation
		masks []access.Mask
		limit *access.Limit
		rec   *access.Record
		tell  []access.Notify
	)
	for i := range j.findings {
		f := &j.findings[i]
		if f.rule.monitor || !f.holds() {
			continue
		}
		if f.rule.mask != nil {
			masks = f.rule.masks(j.q, masks)
		}
		if f.rule.limit != nil {
			limit = tighter(limit, f.rule.limit)
		}
		if f.rule.record && rec == nil {
			rec = &access.Record{Rule: f.rule.name}
		}
		for _, channel := range f.rule.notify {
			tell = notify(tell, access.Notify{Channel: channel, Rule: f.rule.name})
		}
	}
	for _, m := range strictest(masks) {
		out = append(out, m)
	}
	if limit != nil {
		out = append(out, *limit)
	}
	if rec != nil {
		out = append(out, *rec)
	}
	for _, n := range tell {
		out = append(out, n)
	}
	return out
}

func notify(all []access.Notify, n access.Notify) []access.Notify {
	if slices.ContainsFunc(all, func(o access.Notify) bool { return o.Channel == n.Channel }) {
		return all
	}
	return append(all, n)
}

// tighter merges limits: the minimum of each, naming every rule that gave one.
func tighter(a, b *access.Limit) *access.Limit {
	if a == nil {
		c := *b
		return &c
	}
	least := func(x, y int64) int64 {
		if x == 0 || y != 0 && y < x {
			return y
		}
		return x
	}
	return &access.Limit{
		Rows: least(a.Rows, b.Rows), Bytes: least(a.Bytes, b.Bytes), AffectedRows: least(a.AffectedRows, b.AffectedRows),
		Rule: a.Rule + ", " + b.Rule,
	}
}

// masks appends what the rule masks in an action that it holds for: the columns
// that the action is known to touch, and a mask for the unknown where more may
// be reached.
func (r *rule) masks(q *question, all []access.Mask) []access.Mask {
	a := &q.r.Action
	m := access.Mask{With: r.mask.with, Rule: r.name}
	if len(r.mask.detect) > 0 {
		m.Detect = r.mask.detect
		return append(all, m)
	}
	for i := range a.Objects {
		if o := &a.Objects[i]; o.Kind == access.KindTable {
			all = r.tableMasks(q, o, m, all)
		}
	}
	if a.Confidence != access.Exact {
		m.Unknown = true
		all = append(all, m)
	}
	return all
}

func (r *rule) tableMasks(q *question, o *access.Object, m access.Mask, all []access.Mask) []access.Mask {
	for _, p := range r.mask.on(q, o) {
		if p.onTable(o) == no || !r.onTable(o) {
			continue
		}
		m.Column = access.ColumnID{Schema: o.Schema, Table: o.Name, Column: p.parts[2].String()}
		if !o.ColumnsKnown {
			m.Unknown = true
			all = append(all, m)
			m.Unknown = false
			continue
		}
		for _, c := range o.Columns {
			if p.parts[2].match(c.Name) {
				m.Column.Column = c.Name
				all = append(all, m)
			}
		}
	}
	return all
}

// onTable applies the rule's own list of tables to a mask.
func (r *rule) onTable(o *access.Object) bool {
	if len(r.match.tables) == 0 {
		return true
	}
	t, counts := relation(r.match.tables, o, false)
	return counts && t != no
}

// strictest keeps one mask a column, the strictest, in order of column.
func strictest(all []access.Mask) []access.Mask {
	key := func(m access.Mask) string {
		return m.Column.String() + "\x00" + strings.Join(m.Detect, ",")
	}
	slices.SortStableFunc(all, func(a, b access.Mask) int {
		return cmp.Or(cmp.Compare(key(a), key(b)), cmp.Compare(strictness(b.With), strictness(a.With)))
	})
	var out []access.Mask
	for _, m := range all {
		if n := len(out); n > 0 && key(out[n-1]) == key(m) {
			out[n-1].Unknown = out[n-1].Unknown || m.Unknown
			continue
		}
		out = append(out, m)
	}
	return out
}
