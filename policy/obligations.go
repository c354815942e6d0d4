package policy

import (
	"slices"
	"time"

	"sluice/access"
)

// obligations collects what every rule that holds demands, strictest first:
// masks in order of column, then the limits, one record and the channels.
func (j *judgement) obligations() []access.Obligation {
	var (
		out   []access.Obligation
		masks []access.Mask
		least limits
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
			least.add(f.rule.limit)
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
	out = least.append(out)
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

// limits are the strictest bounds of several rules, each with the rule that set
// it: a refusal names that one.
type limits struct {
	rows, bytes, affected, timeout bound
}

// A bound is a number, 0 for none, and the limit it came from.
type bound struct {
	n    int64
	from *access.Limit
}

func (b *bound) lower(n int64, from *access.Limit) {
	if n > 0 && (b.n == 0 || n < b.n) {
		b.n, b.from = n, from
	}
}

func (l *limits) add(o *access.Limit) {
	l.rows.lower(o.Rows, o)
	l.bytes.lower(o.Bytes, o)
	l.affected.lower(o.AffectedRows, o)
	l.timeout.lower(int64(o.Timeout), o)
}

// append adds one obligation for each rule that set a bound.
func (l *limits) append(out []access.Obligation) []access.Obligation {
	var all []access.Limit
	of := func(b bound) *access.Limit {
		for i := range all {
			if all[i].Rule == b.from.Rule {
				return &all[i]
			}
		}
		all = append(all, access.Limit{Rule: b.from.Rule})
		return &all[len(all)-1]
	}
	if l.rows.n > 0 {
		of(l.rows).Rows = l.rows.n
	}
	if l.bytes.n > 0 {
		of(l.bytes).Bytes = l.bytes.n
	}
	if l.affected.n > 0 {
		of(l.affected).AffectedRows = l.affected.n
	}
	if l.timeout.n > 0 {
		of(l.timeout).Timeout = time.Duration(l.timeout.n)
	}
	for _, o := range all {
		out = append(out, o)
	}
	return out
}

// masks appends what the rule masks in an action that it holds for: the columns
// that the action is known to touch, and a mask for the unknown where more may
// be reached.
func (r *rule) masks(q *question, all []access.Mask) []access.Mask {
	a := &q.r.Action
	m := r.maskOf(access.ColumnID{})
	if len(r.mask.detect) > 0 {
		return append(all, m)
	}
	for i := range a.Objects {
		if o := &a.Objects[i]; o.Kind == access.KindTable {
			all = r.tableMasks(q, o, m, all)
		}
	}
	if a.Confidence != access.Exact {
		m.Unknown, m.Paths = true, nil
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
