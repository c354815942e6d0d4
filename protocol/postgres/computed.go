package postgres

import (
	"slices"

	"sluice/mask"
	"sluice/protocol/postgres/wire"
	"sluice/query/catalog"
	query "sluice/query/postgres"
)

// Methods that leave part of a value (an e-mail address's domain, a card's last
// digits) know what the column holds. Of a value that a view computed from it
// they could leave any part: of a reversed address, the name.

// shownCopy reports whether the server says that a field is some table's column,
// unchanged on the way through views.
func shownCopy(snap *catalog.Snapshot, f wire.Field) bool {
	return snap != nil && f.Table != 0 && f.Attribute > 0 && snap.Copied(f.Table, f.Attribute)
}

// tracedCopy is shownCopy where only the text can tell.
func tracedCopy(snap *catalog.Snapshot, o *query.Output) bool {
	if snap == nil || !o.Copied {
		return false
	}
	for _, src := range o.Sources {
		if !snap.Copied(src.Relation, src.Num) {
			return false
		}
	}
	return true
}

// contradicts reports whether the server says that a field is a column which,
// by the text, cannot be in it, or that it is none where the text has one.
func contradicts(f wire.Field, o *query.Output) bool {
	if f.Table == 0 {
		return o.Bare
	}
	return f.Attribute > 0 && o.Traced &&
		!slices.Contains(o.Sources, catalog.Source{Relation: f.Table, Num: f.Attribute})
}

// outputType is the type and modifier that all columns have whose values an output
// shows; 0 and -1: they differ, or it shows something else.
func outputType(snap *catalog.Snapshot, o *query.Output) (typ uint32, mod int32) {
	if snap == nil || !o.Copied {
		return 0, -1
	}
	for i, src := range o.Sources {
		rel := snap.Relation(src.Relation)
		if rel == nil {
			return 0, -1
		}
		c := rel.ByNum(src.Num)
		if c == nil || i > 0 && (c.Type != typ || c.Mod != mod) {
			return 0, -1
		}
		typ, mod = c.Type, c.Mod
	}
	return typ, mod
}

// forComputed is the method that masks a computed value where with masks the
// columns it was computed from.
func forComputed(with string) string {
	if with == "hash" || mask.Stricter(with, "hash") == with {
		return with
	}
	return "redact"
}
