package strictyaml

import (
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A field is one key that a struct knows.
type field struct {
	index    []int
	required bool
}

// structure decodes a mapping into a struct.
func (d *Decoder) structure(n *yaml.Node, v reflect.Value) {
	d.place(n, v)
	if n.Kind != yaml.MappingNode {
		d.wrong(n, v.Type())
		return
	}
	fields := fieldsOf(v.Type(), nil, map[string]field{})
	given := map[string]bool{}
	d.pairs(n, func(key, val *yaml.Node) {
		f, ok := fields[key.Value]
		if !ok {
			d.Problemf(key, "unknown key %q%s", key.Value, Suggest(key.Value, names(fields)))
			return
		}
		given[key.Value] = true
		d.value(val, v.FieldByIndex(f.index))
	})
	for _, name := range names(fields) {
		if fields[name].required && !given[name] {
			d.Problemf(n, "key %q is missing", name)
		}
	}
}

// place sets the struct's own Pos fields, also those of inlined structs.
func (d *Decoder) place(n *yaml.Node, v reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case f.Type == posType && f.IsExported():
			v.Field(i).Set(reflect.ValueOf(d.At(n)))
		case inlined(f):
			d.place(n, v.Field(i))
		}
	}
}

func inlined(f reflect.StructField) bool {
	_, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return f.Type.Kind() == reflect.Struct && f.Type != posType && (f.Anonymous || strings.Contains(opts, "inline"))
}

// fieldsOf collects the keys of a struct type. Fields without a tag take their
// name in lower case, as in yaml.v3.
func fieldsOf(t reflect.Type, index []int, into map[string]field) map[string]field {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(append([]int{}, index...), i)
		name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case name == "-" || f.Type == posType:
		case inlined(f): // also where the struct's own name is unexported
			fieldsOf(f.Type, at, into)
		case f.IsExported():
			if name == "" {
				name = strings.ToLower(f.Name)
			}
			into[name] = field{index: at, required: strings.Contains(opts, "required")}
		}
	}
	return into
}
