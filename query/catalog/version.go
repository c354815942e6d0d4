package catalog

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"slices"
)

// sort brings every slice into an order that does not depend on the server's.
func (r *Rows) sort() {
	slices.SortFunc(r.Schemas, func(a, b SchemaRow) int { return cmp.Compare(a.OID, b.OID) })
	slices.SortFunc(r.Relations, func(a, b RelationRow) int { return cmp.Compare(a.OID, b.OID) })
	slices.SortFunc(r.Columns, func(a, b ColumnRow) int {
		return cmp.Or(cmp.Compare(a.Relation, b.Relation), cmp.Compare(a.Num, b.Num))
	})
	slices.SortFunc(r.Inherits, func(a, b InheritRow) int {
		return cmp.Or(cmp.Compare(a.Child, b.Child), cmp.Compare(a.Parent, b.Parent))
	})
	slices.SortFunc(r.Generated, func(a, b GeneratedRow) int {
		return cmp.Or(cmp.Compare(a.Relation, b.Relation), cmp.Compare(a.Num, b.Num), cmp.Compare(a.From, b.From))
	})
	slices.SortFunc(r.Views, func(a, b ViewRow) int { return cmp.Compare(a.Relation, b.Relation) })
	slices.SortFunc(r.Functions, func(a, b FunctionRow) int { return cmp.Compare(a.OID, b.OID) })
	slices.SortFunc(r.Operators, func(a, b OperatorRow) int {
		return cmp.Or(cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Left, b.Left), cmp.Compare(a.Right, b.Right))
	})
	slices.SortFunc(r.Types, func(a, b TypeRow) int { return cmp.Compare(a.OID, b.OID) })
	slices.SortFunc(r.Labels, func(a, b LabelRow) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Order, b.Order))
	})
	slices.SortFunc(r.Parts, func(a, b PartRow) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Num, b.Num))
	})
	slices.SortFunc(r.Casts, func(a, b CastRow) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Target, b.Target))
	})
}

// hash identifies the sorted rows.
func (r *Rows) hash() string {
	d := digest{h: sha256.New(), buf: make([]byte, 0, digestBuffer)}
	for _, v := range r.Schemas {
		d.row('s', v.OID).text(v.Name)
	}
	for _, v := range r.Relations {
		d.row('r', v.OID).text(v.Schema).text(v.Name).chars(v.Kind).flags(v.Rules, v.RowSecurity)
	}
	for _, v := range r.Columns {
		d.row('c', v.Relation, uint32(v.Num), v.Type, uint32(v.Mod)).text(v.Name).flags(v.NotNull, v.Computed)
	}
	for _, v := range r.Generated {
		d.row('g', v.Relation, uint32(v.Num), uint32(v.From))
	}
	for _, v := range r.Inherits {
		d.row('i', v.Child, v.Parent)
	}
	for _, v := range r.Views {
		d.row('v', v.Relation).text(v.Definition)
	}
	for _, v := range r.Functions {
		d.row('f', v.OID, uint32(v.Args), uint32(v.Defaults)).text(v.Schema).text(v.Name).text(v.Language).text(v.Extension).
			chars(v.Kind, v.Volatile).flags(v.Variadic, v.Definer)
	}
	for _, v := range r.Operators {
		d.row('o', v.Left, v.Right).text(v.Schema).text(v.Name).text(v.Language).text(v.Extension)
	}
	for _, v := range r.Types {
		d.row('t', v.OID, v.Base, uint32(v.Mod)).text(v.Schema).text(v.Name).text(v.Extension).chars(v.Kind)
	}
	for _, v := range r.Labels {
		d.row('l', v.Type, uint32(v.Order)).text(v.Label)
	}
	for _, v := range r.Parts {
		d.row('p', v.Type, uint32(v.Num), v.Of, uint32(v.Mod)).text(v.Name)
	}
	for _, v := range r.Casts {
		d.row('k', v.Source, v.Target).text(v.Language).text(v.Extension)
	}
	d.flush()
	return hex.EncodeToString(d.h.Sum(nil)[:16])
}

const digestBuffer = 64 << 10

// A digest hashes rows without ambiguity: each starts with a letter that says
// what follows, and texts carry their length.
type digest struct {
	h   hash.Hash
	buf []byte
}

func (d *digest) row(kind byte, numbers ...uint32) *digest {
	if len(d.buf) > digestBuffer/2 {
		d.flush()
	}
	d.buf = append(d.buf, kind)
	for _, n := range numbers {
		d.buf = binary.BigEndian.AppendUint32(d.buf, n)
	}
	return d
}

func (d *digest) text(s string) *digest {
	d.buf = binary.AppendUvarint(d.buf, uint64(len(s)))
	d.buf = append(d.buf, s...)
	return d
}

func (d *digest) chars(cs ...byte) *digest {
	d.buf = append(d.buf, cs...)
	return d
}

func (d *digest) flags(fs ...bool) *digest {
	for _, f := range fs {
		if f {
			d.buf = append(d.buf, 1)
		} else {
			d.buf = append(d.buf, 0)
		}
	}
	return d
}

func (d *digest) flush() {
	d.h.Write(d.buf)
	d.buf = d.buf[:0]
}
