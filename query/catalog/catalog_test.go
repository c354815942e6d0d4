package catalog

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"
)

// tracer answers for views from a table.
type tracer map[string]Trace

func (f tracer) TraceView(_ *Snapshot, v *Relation) Trace { return f[v.Name] }

func build(t testing.TB, rows Rows, tr Tracer) *Snapshot {
	t.Helper()
	s, err := Build(rows, tr)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sample() Rows {
	return Rows{
		Schemas: []SchemaRow{{1, "public"}, {2, "pg_catalog"}, {3, "other"}},
		Relations: []RelationRow{
			{OID: 10, Schema: "public", Name: "t", Kind: 'r'}, {OID: 11, Schema: "other", Name: "t", Kind: 'r'},
			{OID: 12, Schema: "pg_catalog", Name: "pg_class", Kind: 'r'}, {OID: 13, Schema: "public", Name: "pg_class", Kind: 'r'},
			{OID: 14, Schema: "public", Name: "v", Kind: 'v'}, {OID: 15, Schema: "public", Name: "w", Kind: 'v'},
			{OID: 16, Schema: "public", Name: "child", Kind: 'r'},
		},
		Columns: []ColumnRow{
			{10, 3, "c", 25, false, false, -1}, {10, 1, "a", 23, true, false, -1}, {14, 1, "x", 25, false, false, -1}, {14, 2, "y", 25, false, false, -1}, {15, 1, "z", 25, false, false, -1},
			{16, 1, "a", 23, true, false, -1}, {16, 2, "own", 23, true, false, -1}, {99, 1, "gone", 23, false, false, -1},
		},
		Inherits: []InheritRow{{16, 10}, {98, 10}},
		Views:    []ViewRow{{14, "select 1"}, {15, "select 2"}},
	}
}

var sampleTracer = tracer{
	"v": {Columns: []Lineage{{[]Source{{10, 1}}, true, true}, {[]Source{{10, 3}}, false, false}}, Reads: []uint32{10}, Known: true},
	"w": {Columns: []Lineage{{[]Source{{14, 1}, {15, 1}}, true, false}}, Reads: []uint32{14, 15}, Why: "calls f"},
}

func TestResolve(t *testing.T) {
	s := build(t, sample(), nil)
	for _, c := range []struct {
		path []string
		name string
		oid  uint32
	}{
		{[]string{"public", "other"}, "t", 10}, {[]string{"other", "public"}, "t", 11}, {[]string{"nosuch"}, "t", 0},
		{[]string{"public"}, "pg_class", 12}, {[]string{"public", "pg_catalog"}, "pg_class", 13},
	} {
		r := s.Resolve(c.path, c.name)
		if (r == nil) != (c.oid == 0) || r != nil && r.OID != c.oid {
			t.Errorf("%v %s: %+v", c.path, c.name, r)
		}
	}
	if r := s.Relation(10); r.Column("c").Num != 3 || r.ByNum(3).Name != "c" || r.ByNum(2) != nil || !r.Column("a").NotNull {
		t.Errorf("%+v", r)
	}
}

func TestSources(t *testing.T) {
	s := build(t, sample(), sampleTracer)
	for _, c := range []struct {
		relation uint32
		num      int16
		want     string
		complete bool
	}{
		{10, 1, "[public.t.a]", true},
		{14, 1, "[public.v.x public.t.a]", true},
		{14, 2, "[public.v.y public.t.c]", false},
		{15, 1, "[public.w.z public.v.x public.t.a]", true}, // w reads itself
		{16, 1, "[public.child.a public.t.a]", true},
		{16, 2, "[public.child.own]", true},
		{10, 2, "[]", false},
		{77, 1, "[]", false},
	} {
		got, complete := s.Origins(c.relation, c.num)
		if fmt.Sprint(got) != c.want || complete != c.complete {
			t.Errorf("%d.%d: %v %v", c.relation, c.num, got, complete)
		}
	}
	if _, complete := build(t, sample(), nil).Origins(14, 1); complete {
		t.Error("a view without a tracer is traced")
	}
}

func TestReaches(t *testing.T) {
	s := build(t, sample(), sampleTracer)
	reached, why := s.Reaches(s.Relation(15))
	if len(reached) != 2 || reached[0].OID != 14 || reached[1].OID != 10 || why != "view public.w: calls f" {
		t.Errorf("%v %q", reached, why)
	}
	if reached, why := s.Reaches(s.Relation(16)); len(reached) != 1 || why != "" {
		t.Errorf("%v %q", reached, why)
	}
}

func TestVersion(t *testing.T) {
	first := build(t, sample(), nil).Version()
	shuffled := sample()
	slices.Reverse(shuffled.Relations)
	slices.Reverse(shuffled.Columns)
	if build(t, shuffled, nil).Version() != first {
		t.Error("the order of rows changes the version")
	}
	changed := sample()
	changed.Columns[0].NotNull = true
	if build(t, changed, nil).Version() == first {
		t.Error("a changed column keeps the version")
	}
}

func TestTwice(t *testing.T) {
	rows := sample()
	rows.Relations = append(rows.Relations, RelationRow{OID: 50, Schema: "public", Name: "t"})
	if _, err := Build(rows, nil); err == nil {
		t.Error("a name may stand twice")
	}
}

func TestScan(t *testing.T) {
	var rows Rows
	for _, q := range Queries() {
		if err := q.Scan(&rows, [][]byte{[]byte("x")}); err == nil {
			t.Errorf("%s: too few columns pass", q.Name)
		}
	}
	q := Queries()[0]
	if err := q.Scan(&rows, [][]byte{[]byte("1"), []byte("s"), nil}); err == nil {
		t.Error("too many columns pass")
	}
	if err := q.Scan(&rows, [][]byte{[]byte("-1"), []byte("s")}); err == nil {
		t.Error("a negative OID passes")
	}
}

// TestLarge builds a snapshot of the size that the package comment names.
func TestLarge(t *testing.T) {
	var rows Rows
	for i := range uint32(10_000) {
		rows.Relations = append(rows.Relations, RelationRow{OID: 20000 + i, Schema: "public", Name: fmt.Sprint("table", i), Kind: 'r'})
		for c := range int16(10) {
			rows.Columns = append(rows.Columns, ColumnRow{Relation: 20000 + i, Num: c + 1, Name: fmt.Sprint("column", c), Type: 25})
		}
	}
	began := time.Now()
	s := build(t, rows, nil)
	t.Logf("built in %v", time.Since(began))
	if r := s.Resolve([]string{"public"}, "table9999"); r == nil || len(r.Columns) != 10 {
		t.Errorf("%+v", r)
	}
}

func TestDerived(t *testing.T) {
	rows := sample()
	rows.Relations = append(rows.Relations, RelationRow{OID: 30, Schema: "public", Name: "whole", Kind: 'p'}, RelationRow{OID: 31, Schema: "public", Name: "part", Kind: 'r'},
		RelationRow{OID: 32, Schema: "public", Name: "m", Kind: 'm'}, RelationRow{OID: 33, Schema: "public", Name: "seq", Kind: 'S'})
	rows.Inherits = append(rows.Inherits, InheritRow{31, 30})
	s := build(t, rows, nil)
	for name, want := range map[string]bool{"t": false, "v": true, "m": true, "child": false, "whole": false, "part": true, "seq": true} {
		if got := s.Lookup("public", name).Derived(); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Whatever differs in a row, the version does: a field that the hash forgot
// would leave an old snapshot in use.
func TestVersionSeesEveryField(t *testing.T) {
	rows := reflect.TypeFor[Rows]()
	for i := range rows.NumField() {
		if !rows.Field(i).IsExported() {
			continue
		}
		for f := range rows.Field(i).Type.Elem().NumField() {
			var a, b Rows
			one := reflect.MakeSlice(rows.Field(i).Type, 1, 1)
			reflect.ValueOf(&a).Elem().Field(i).Set(one)
			two := reflect.MakeSlice(rows.Field(i).Type, 1, 1)
			v := two.Index(0).Field(f)
			switch v.Kind() {
			case reflect.String:
				v.SetString("x")
			case reflect.Bool:
				v.SetBool(true)
			case reflect.Int, reflect.Int16, reflect.Int32:
				v.SetInt(1)
			default:
				v.SetUint(1)
			}
			reflect.ValueOf(&b).Elem().Field(i).Set(two)
			if a.hash() == b.hash() {
				t.Errorf("%s.%s is not hashed", rows.Field(i).Name, rows.Field(i).Type.Elem().Field(f).Name)
			}
		}
	}
	var ab, ba Rows
	ab.Relations, ba.Relations = []RelationRow{{Schema: "a", Name: "bc"}}, []RelationRow{{Schema: "ab", Name: "c"}}
	if ab.hash() == ba.hash() {
		t.Error("where one text ends and the next begins makes no difference")
	}
}
