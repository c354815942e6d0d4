package postgres

import (
	"sluice/mask"
	"sluice/query/catalog"
)

// Limits of types within types (domains over domains, arrays of composites of
// arrays). What lies beyond is of no known kind, and so NULL.
const (
	maxTypeDepth = 8
	maxTypeParts = 4096 // of composites, in all; a relation has at most 1600 columns
)

// typeOf is what a mask must know of the type with this OID and modifier.
func typeOf(snap *catalog.Snapshot, oid uint32, mod int32) mask.Type {
	t := mask.Builtin(oid, mod)
	if t.Kind != mask.KindUnknown || snap == nil {
		return t
	}
	return (&typing{snap, maxTypeParts}).typ(oid, mod, maxTypeDepth)
}

// A typing follows one type down to the built-in types that it is made of.
type typing struct {
	snap  *catalog.Snapshot
	parts int // that may still be added
}

func (g *typing) typ(oid uint32, mod int32, depth int) mask.Type {
	t := mask.Builtin(oid, mod)
	row := g.snap.TypeByOID(oid)
	if t.Kind != mask.KindUnknown || row == nil || depth == 0 {
		return t
	}
	switch row.Kind {
	case 'd':
		return g.typ(row.Base, row.Mod, depth-1)
	case 'e':
		return mask.Type{Kind: mask.KindEnum, Labels: g.snap.Labels(oid)}
	case 'r':
		return mask.Type{Kind: mask.KindRange}
	case 'm':
		return mask.Type{Kind: mask.KindMultirange}
	case 'c':
		return g.composite(oid, depth)
	case 'b':
		if row.Base != 0 {
			elem := g.typ(row.Base, mod, depth-1)
			return mask.Type{Kind: mask.KindArray, Elem: &elem}
		}
		if row.Name == "citext" && row.Extension == row.Name {
			return mask.Type{Kind: mask.KindText}
		}
	}
	return t
}

func (g *typing) composite(oid uint32, depth int) mask.Type {
	parts := g.snap.Parts(oid)
	if g.parts -= len(parts); g.parts < 0 {
		return mask.Type{}
	}
	t := mask.Type{Kind: mask.KindComposite, Parts: make([]mask.Type, len(parts))}
	for i, p := range parts {
		t.Parts[i] = g.typ(p.Of, p.Mod, depth-1)
	}
	return t
}
