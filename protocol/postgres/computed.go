package postgres

import (
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
func tracedCopy(snap *catalog.Snapshot, o query.Output) bool {
	return snap != nil && o.Bare && len(o.Sources) == 1 && snap.Copied(o.Sources[0].Relation, o.Sources[0].Num)
}

// forComputed is the method that masks a computed value where with masks the
// columns it was computed from.
func forComputed(with string) string {
	if with == "hash" || mask.Stricter(with, "hash") == with {
		return with
	}
	return "redact"
}
